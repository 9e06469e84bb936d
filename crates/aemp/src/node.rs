//! The handle of a node: the verbs that need no port.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Weak};
use std::time::Duration;

use aemp_proto::kernel::LinkId;
use aemp_proto::name::join_name;
use aemp_proto::outbox::{Loss, LostPort};
use aemp_proto::{Addr, Framing, Home, NodeId, PortId, Reason};
use parking_lot::RwLock;
use tokio::sync::Notify;

use crate::builder::Builder;
use crate::deadline::Deadlines;
#[cfg(feature = "logs")]
use crate::log::LogSource;
use crate::message::{Destination, FromMessage, IntoMessage};
use crate::monitor::Telling;
use crate::port::context::Context;
use crate::port::handlers::Handlers;
use crate::port::wake::wake_all;
use crate::remote::{Gate, Remote, Remotes};
use crate::runtime::runner::Runners;
use crate::runtime::{Event, sender};
use crate::send::SendError;
use crate::spawn::Functions;
use crate::timer::Timer;
use aemp_ports::Ports;
use aemp_ports::actor::{Callback, Closure};
use aemp_ports::known::Known;
use aemp_ports::mailbox::{Queue, Signal};
use aemp_ports::monitor::{Monitor, Telling as NewsTelling};
use aemp_ports::node_ref::OwnRef;
use aemp_ports::port_no::PortNo;
use aemp_ports::pressure::{Pressure, unpark};
use aemp_ports::scheduler::Scheduler;
use aemp_ports::signal::signal;
use aemp_ports::slot::State;
use aemp_ports::table::Table;

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
        }
    }
}

/// A node: cheap to clone, without global state; one process may have several.
///
/// A node that was configured with nothing works locally. It lives until [`Node::shutdown`] or
/// until its runtime ends.
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
    pub(crate) shared: crate::runtime::Shared,
    /// The task of an async port has ended.
    pub(crate) task_ended: Notify,
    pub(crate) counter: AtomicU64,
    deadlines: Deadlines,
    pub(crate) own_ref: OwnRef,
}

/// What a node was started with, as far as ports are concerned.
pub(crate) struct NodeSettings {
    pub(crate) limits: Limits,
    pub(crate) secure: bool,
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

/// What breaking an outbox leaves to be done.
pub(crate) struct Reset {
    /// The link that drained it, to be closed.
    pub(crate) link: Option<LinkId>,
    /// Whether something was queued.
    pub(crate) lost: bool,
    /// Alive until all callbacks of monitors have run.
    pub(crate) telling: Weak<Telling>,
}

impl Inner {
    pub(crate) fn new(
        (me, home): (Weak<Inner>, &'static Home),
        remotes: Remotes,
        (ports, runners): (Ports<Node>, Arc<Runners>),
        settings: NodeSettings,
        functions: Functions,
        events: tokio::sync::mpsc::UnboundedSender<Event>,
        shared: crate::runtime::Shared,
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
            task_ended: Notify::new(),
            counter: AtomicU64::new(1),
            deadlines: Deadlines::new(),
            own_ref: OwnRef::new(me),
        }
    }
}

impl Node {
    /// Begins the description of a node.
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// The ID of the node.
    pub fn id(&self) -> &NodeId {
        &self.0.id
    }

    /// Opens a port with one handler and one message type. What does not decode as `M` kills the
    /// port with `bad_message`, an unknown tag with `unhandled_message`.
    #[doc(alias = "rcv")]
    pub fn port<M: FromMessage>(&self, handler: impl FnMut(&mut Context<'_>, M) + Send + 'static) -> Addr<M> {
        let actor = Callback::<Node, M, _>::new(Closure(handler), None);
        self.open(State::Idle, Known::boxed(Queue::<Node, M>::default()), Some(Box::new(actor))).assume()
    }

    /// Begins a port with tagged handlers.
    pub fn handlers(&self) -> Handlers {
        Handlers::new(self.clone())
    }

    /// Sends a message. It arrives in the order in which one sender sends to one port, or it may be
    /// lost together with all later ones until the monitors of the port have fired; see
    /// `SEMANTICS.md`. Sending to a port that does not exist does nothing. Never waits.
    ///
    /// # Errors
    ///
    /// The message cannot be encoded or is too large for a frame; nothing was sent.
    #[doc(alias = "snd")]
    #[doc(alias = "tell")]
    #[doc(alias = "cast")]
    #[inline]
    pub fn send<M: IntoMessage>(
        &self,
        to: &(impl Destination<M> + ?Sized),
        message: M,
    ) -> Result<(), SendError> {
        self.send_under_pressure(to.port_id(), message).map(drop)
    }

    /// Waits until the way to a port is not crowded: until the queue for its node, or the port's
    /// own if it is here, is below its high-water mark. For tasks and async ports; other ports wait
    /// by themselves.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the future is dropped.
    pub async fn ready(&self, to: &PortId) {
        self.ready_below(to, crate::remote::HIGH_WATER).await;
    }

    /// As [`Node::ready`], with another limit, which may not be above the high-water mark.
    pub(crate) async fn ready_below(&self, to: &PortId, limit: usize) {
        let remote = match self.place(to) {
            // Nothing waits for a node that is not known.
            Place::There(node) => self.remotes().find(node),
            Place::Here(number) => return self.ready_here(number).await,
            Place::Node | Place::Nowhere => return,
        };
        if let Some(remote) = remote {
            remote.ready_below(limit).await;
        }
    }

    /// Kills a port with this reason, after what was sent to it before. The empty reason is a
    /// normal death. Killing a dead port does nothing. An async port ends at its next `await`,
    /// no matter what it has not looked at yet; monitors fire then, behind what it has sent.
    #[doc(alias = "kil")]
    pub fn kill(&self, port: &PortId, reason: Reason) {
        self.kill_under_pressure(port, reason);
    }

    /// The same, and says whether the node of the port is behind.
    pub(crate) fn kill_under_pressure(&self, port: &PortId, reason: Reason) -> Option<Pressure<Node>> {
        match self.place(port) {
            Place::Here(number) => signal(self, number, Signal::Kill(reason)),
            Place::Node => tracing::warn!("a node port cannot be killed"),
            Place::Nowhere => {}
            Place::There(node) => {
                let remote = self.remotes().get_or_create(node);
                let (queued, backlog) = {
                    let mut outbox = remote.outbox.lock();
                    (outbox.by(sender::current).kill(port, &reason), outbox.backlog())
                };
                self.queued(&remote, queued);
                return remote.pressure(backlog);
            }
        }
        None
    }

    /// Runs code in a port of this node, in order with its messages and exclusive with its handlers
    /// (Perl's `psub`). Nothing happens if there is no such port here.
    pub fn run_in(&self, port: &PortId, code: impl FnOnce(&mut Context<'_>) + Send + 'static) {
        if let Some(number) = self.local_number(port) {
            signal(self, number, Signal::Job(Box::new(code)));
        }
    }

    /// Runs code soon, outside of any port, and never inside of this function (AnyEvent's
    /// `postpone`).
    pub fn postpone(&self, code: impl FnOnce(&Node) + Send + 'static) {
        self.scheduler().call(Box::new(code));
    }

    /// Runs code once after a delay, outside of any port. Dropping the timer changes nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::time::Duration;
    /// # fn example(node: &aemp::Node) {
    /// let timer = node.after(Duration::from_secs(5), |node| println!("{} is there", node.id()));
    /// timer.cancel();
    /// # }
    /// ```
    pub fn after(&self, delay: Duration, code: impl FnOnce(&Node) + Send + 'static) -> Timer {
        let node = self.clone();
        let timer = self.0.runtime.spawn(async move {
            tokio::time::sleep(delay).await;
            node.scheduler().call(Box::new(code));
        });
        Timer::new(timer.abort_handle())
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
        self.0.settings.secure
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

    /// From now on this link drains the outbox of a node, and what it brings is delivered.
    pub(crate) fn attach_remote(&self, remote: &Arc<Remote>, link: LinkId, framing: Framing) {
        *remote.delivering.lock() = Some(link);
        let attached = remote.outbox.lock().attach(link, framing);
        remote.forwarded();
        if framing != Framing::Native {
            self.remotes().foreign_node(true);
        }
        for LostPort { port, why, fires } in attached.lost {
            self.lost(remote, &port, fires, &why);
        }
        self.left_out(&remote.node, attached.left_out);
    }

    /// This many entries of the database were not told to a node.
    pub(crate) fn left_out(&self, node: &NodeId, entries: usize) {
        if entries > 0
            && let Some(withheld) = self.may_complain()
        {
            tracing::warn!(peer = %node, entries, withheld, "database entries were left out that the node cannot read");
        }
    }

    /// Breaks the outbox of a node: its monitors fire, what it monitors here is forgotten.
    pub(crate) fn break_remote(&self, remote: &Arc<Remote>, reason: &str) -> Reset {
        // Its reader may not have heard yet: what it still has came before the break, and would
        // arrive after it.
        *remote.delivering.lock() = None;
        let broken = {
            let mut outbox = remote.outbox.lock();
            if outbox.framing() != Framing::Native {
                self.remotes().foreign_node(false);
            }
            outbox.break_now()
        };
        self.not_sent(broken.dropped());
        remote.counts.broke(broken.counts);
        remote.forwarded();
        self.0.shared.relaying.down(self, &remote.node, reason);
        self.forget_watchers(remote);
        self.0.shared.tombstones.forget(&remote.node);
        let telling = Telling::of(self, &remote.node);
        self.fire_losses(remote, broken.fires, reason, Some(&(telling.clone() as NewsTelling)));
        wake_all(&remote.drained);
        let blocked = std::mem::take(&mut *remote.blocked.lock());
        unpark(self, blocked);
        let lost = broken.counts.lost > 0;
        Reset { link: broken.link, lost, telling: Arc::downgrade(&telling) }
    }

    /// More was sent to gated ports of a node than may be held: what was held is lost, and its
    /// monitors fire.
    pub(crate) fn fire_refused(&self, remote: &Arc<Remote>) {
        let (losses, lost) = remote.outbox.lock().refused();
        drop(lost);
        let reason = "more was sent to the port than may wait while earlier monitors are told of a loss";
        self.fire_losses(remote, losses, reason, None);
    }

    pub(crate) fn fire_losses(
        &self,
        remote: &Arc<Remote>,
        losses: Vec<Loss<Arc<Monitor<Node>>>>,
        reason: impl fmt::Display,
        telling: Option<&NewsTelling>,
    ) {
        let reason = Reason::transport(&remote.node, reason);
        for Loss { port, id, monitor } in losses {
            let gate = Gate::new(self, remote, port, id);
            monitor.fire_loss(self, reason.clone(), Box::new(gate), telling);
        }
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Node({})", self.0.id)
    }
}
