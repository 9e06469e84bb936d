//! The handle of a node, and where an ID leads. Verbs stand in the files above: `verbs`, `send`,
//! `monitor`, `spawn`, `call`, …

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use aemp_ports::monitor::Monitor;
use aemp_ports::node_ref::OwnRef;
use aemp_ports::scheduler::Scheduler;
use aemp_ports::table::Table;
use aemp_ports::{PortNo, Ports};
use aemp_proto::name::join_name;
use aemp_proto::{Home, NodeId, PortId};
use parking_lot::{Mutex, RwLock};
use tokio::sync::Notify;

use crate::deadline::Deadlines;
use crate::functions::Functions;
#[cfg(feature = "logs")]
use crate::log::LogSource;
use crate::remote::Remotes;
use crate::runtime::event::Event;
use crate::runtime::runners::Runners;
use crate::runtime::shared::Shared;

/// Limits inside of a node.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes in the mailbox of a port above which ports that send to it wait (8 MiB).
    pub mailbox_high: usize,
    /// Bytes in the mailbox of a port at which it is killed with `mailbox_full` (1 GiB).
    pub mailbox: usize,
    /// Ports here that one peer may monitor (1 M).
    pub peer_monitors: usize,
    /// Names of dead ports that are remembered for each node that has chosen them (64 K, and 4
    /// MiB).
    pub tombstones: usize,
    /// Data connections that other nodes may have here at once, the expected ones included (1,024).
    pub streams: usize,
    /// The same for one node (256).
    pub peer_streams: usize,
    /// Ports here that one other node may have made, by spawning them or by calling functions (64
    /// K). What is beyond is refused: of a spawn its monitors tell.
    pub peer_ports: usize,
    /// Nodes that may be connected at once (4,096); the next one is refused until another has gone.
    /// Each costs a descriptor, of which the process must have enough, and 16 KiB of memory or so.
    pub connections: usize,
}

impl Limits {
    /// The same with this [`Limits::mailbox_high`].
    #[must_use]
    pub const fn mailbox_high(mut self, mailbox_high: usize) -> Limits {
        self.mailbox_high = mailbox_high;
        self
    }

    /// The same with this [`Limits::mailbox`].
    #[must_use]
    pub const fn mailbox(mut self, mailbox: usize) -> Limits {
        self.mailbox = mailbox;
        self
    }

    /// The same with this [`Limits::peer_monitors`].
    #[must_use]
    pub const fn peer_monitors(mut self, peer_monitors: usize) -> Limits {
        self.peer_monitors = peer_monitors;
        self
    }

    /// The same with this [`Limits::tombstones`].
    #[must_use]
    pub const fn tombstones(mut self, tombstones: usize) -> Limits {
        self.tombstones = tombstones;
        self
    }

    /// The same with this [`Limits::streams`].
    #[must_use]
    pub const fn streams(mut self, streams: usize) -> Limits {
        self.streams = streams;
        self
    }

    /// The same with this [`Limits::peer_streams`].
    #[must_use]
    pub const fn peer_streams(mut self, peer_streams: usize) -> Limits {
        self.peer_streams = peer_streams;
        self
    }

    /// The same with this [`Limits::peer_ports`].
    #[must_use]
    pub const fn peer_ports(mut self, peer_ports: usize) -> Limits {
        self.peer_ports = peer_ports;
        self
    }

    /// The same with this [`Limits::connections`].
    #[must_use]
    pub const fn connections(mut self, connections: usize) -> Limits {
        self.connections = connections;
        self
    }
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            mailbox_high: 8 << 20,
            mailbox: 1 << 30,
            peer_monitors: 1 << 20,
            tombstones: 1 << 16,
            streams: 1024,
            peer_streams: 256,
            peer_ports: 1 << 16,
            connections: 4096,
        }
    }
}

/// A node: cheap to clone, without global state; one process may have several.
///
/// A node that was configured with nothing works locally. It lives until [`Node::shutdown`] or
/// until its runtime ends. To drop this, or the last clone of it, ends nothing: ports go on and
/// others still reach them. A program that ends without a shutdown may lose what it sent last.
#[derive(Clone)]
pub struct Node(Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) id: NodeId,
    pub(crate) home: &'static Home,
    pub(crate) ports: Ports<Node>,
    pub(crate) runners: Arc<Runners>,
    remotes: Remotes,
    settings: NodeSettings,
    /// Ports with names that other nodes have chosen.
    pub(crate) names: RwLock<HashMap<String, PortNo>>,
    pub(crate) functions: Functions,
    pub(crate) events: tokio::sync::mpsc::UnboundedSender<Event>,
    pub(crate) runtime: tokio::runtime::Handle,
    pub(crate) shared: Shared,
    /// Monitors of the node itself, by their number.
    pub(crate) own_monitors: Mutex<BTreeMap<u64, Arc<Monitor<Node>>>>,
    /// The task of an async port has ended.
    pub(crate) task_ended: Notify,
    pub(crate) counter: AtomicU64,
    deadlines: Deadlines,
    pub(crate) own_ref: OwnRef,
}

/// What a node was started with, as far as ports are concerned.
pub(crate) struct NodeSettings {
    pub(crate) limits: Limits,
    pub(crate) secure: AtomicBool,
    /// What the program logs.
    #[cfg(feature = "logs")]
    pub(crate) logs: Option<LogSource>,
}

/// Where a port ID leads.
pub(crate) enum Place<'a> {
    /// A port of this node, which may have died.
    Here(PortNo),
    /// This node itself.
    Node,
    /// Nothing has this name here.
    Nowhere,
    /// The port of another node, which need not be known yet.
    There(&'a NodeId),
}

impl Inner {
    pub(crate) fn new(
        (me, home): (Weak<Inner>, &'static Home),
        remotes: Remotes,
        (ports, runners): (Ports<Node>, Arc<Runners>),
        settings: NodeSettings,
        functions: Functions,
        events: tokio::sync::mpsc::UnboundedSender<Event>,
        shared: Shared,
    ) -> Inner {
        Inner {
            id: home.node().clone(),
            home,
            ports,
            runners,
            remotes,
            settings,
            names: RwLock::default(),
            functions,
            events,
            runtime: tokio::runtime::Handle::current(),
            shared,
            own_monitors: Mutex::default(),
            task_ended: Notify::new(),
            counter: AtomicU64::new(1),
            deadlines: Deadlines::new(),
            own_ref: OwnRef::new(me),
        }
    }
}

impl Node {
    /// The ID of the node.
    pub fn id(&self) -> &NodeId {
        &self.0.id
    }

    pub(crate) fn from_inner(inner: Arc<Inner>) -> Node {
        Node(inner)
    }

    pub(crate) fn weak(&self) -> Weak<Inner> {
        Arc::downgrade(&self.0)
    }

    pub(crate) fn inner(&self) -> &Inner {
        &self.0
    }

    pub(crate) fn table(&self) -> &Table<Node> {
        &self.0.ports.table
    }

    pub(crate) fn scheduler(&self) -> &Scheduler<Node> {
        &self.0.ports.scheduler
    }

    pub(crate) fn remotes(&self) -> &Remotes {
        &self.0.remotes
    }

    pub(crate) fn deadlines(&self) -> &Deadlines {
        &self.0.deadlines
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.0.settings.limits
    }

    /// Whether local messages are encoded, too.
    #[inline]
    pub(crate) fn always_encodes(&self) -> bool {
        self.0.ports.always_encode
    }

    /// Whether other nodes may spawn and call nothing here.
    pub(crate) fn is_secure(&self) -> bool {
        self.0.settings.secure.load(Ordering::Relaxed)
    }

    /// Other nodes can spawn and call nothing here, registered functions included, from now on; or
    /// they can. See [`Builder::secure`](crate::Builder::secure).
    pub fn set_secure(&self, secure: bool) {
        self.0.settings.secure.store(secure, Ordering::Relaxed);
    }

    /// Whether the node has been shut down, and no port lives any more.
    pub(crate) fn is_over(&self) -> bool {
        self.0.shared.ending.is_over()
    }

    #[cfg(feature = "logs")]
    pub(crate) fn log_source(&self) -> Option<&LogSource> {
        self.0.settings.logs.as_ref()
    }

    /// The ID of a port of this node.
    pub(crate) fn port_id(&self, number: PortNo) -> PortId {
        self.0.ports.id_of(self, number)
    }

    /// The head of the names that this node makes for its own ports.
    pub(crate) fn own_head(&self) -> &str {
        self.0.home.head()
    }

    /// The number of the port with this ID, if it is one of this node.
    pub(crate) fn local_number(&self, port: &PortId) -> Option<PortNo> {
        match self.place(port) {
            Place::Here(number) => Some(number),
            Place::Node | Place::Nowhere | Place::There(_) => None,
        }
    }

    #[inline]
    pub(crate) fn place<'a>(&self, port: &'a PortId) -> Place<'a> {
        self.own_number(port).map_or_else(|| self.place_of(port), Place::Here)
    }

    /// The number of a port whose ID was made here, by this node.
    #[inline]
    pub(crate) fn own_number(&self, port: &PortId) -> Option<PortNo> {
        let (home, number) = port.parts();
        if std::ptr::eq(home, self.0.home) { PortNo::new(number) } else { None }
    }

    pub(crate) fn place_of<'a>(&self, port: &'a PortId) -> Place<'a> {
        let (home, number) = port.parts();
        if home.node() != &self.0.id {
            return Place::There(home.node());
        }
        self.place_here(home.head(), number)
    }

    /// The place of a name on this node.
    pub(crate) fn place_here(&self, head: &str, number: u64) -> Place<'static> {
        if head == self.own_head()
            && let Some(number) = PortNo::new(number)
        {
            return Place::Here(number);
        }
        if number == 0 && head.is_empty() {
            return Place::Node;
        }
        let names = self.0.names.read();
        if names.is_empty() {
            return Place::Nowhere;
        }
        let found = if number == 0 { names.get(head) } else { names.get(&join_name(head, number)) };
        found.map_or(Place::Nowhere, |number| Place::Here(*number))
    }

    /// Tells the driver. After a shutdown nobody listens, and nothing must be done.
    pub(crate) fn event(&self, event: Event) {
        let _ = self.0.events.send(event);
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Node({})", self.0.id)
    }
}
