//! One remote node as the rest of this node sees it: its outbox under a lock, and who waits for it.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use aemp_proto::budget::{Budget, Charge};
use aemp_proto::kernel::LinkId;
use aemp_proto::outbox::{Outbox, OutboxLimits};
use aemp_proto::wire::Room;
use aemp_proto::{Body, Framing, Home, NodeId};
use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use tokio::sync::Notify;

use crate::node::Node;
use crate::runtime::outgoing::Outgoing;
use crate::stats::counts::{Counted, PeerCounts};
use crate::telling::Tellings;
use aemp_ports::lock_order::{DELIVERING, OUTBOX, Ordered, WATCHING};
use aemp_ports::monitor::Monitor;
use aemp_ports::port_no::PortNo;
use aemp_ports::pressure::Pressure;

/// Above this backlog, ports that send to the node wait until it has drained, in bytes.
pub(crate) const HIGH_WATER: usize = 64 << 20;

/// One remote node.
#[allow(unreachable_pub)] // as a type of `Host`, a trait of another crate
pub struct Remote {
    pub(crate) node: NodeId,
    /// Whose table it stands in.
    table: Arc<Identity>,
    pub(crate) outbox: Ordered<Outbox<Arc<Monitor<Node>>>, OUTBOX>,
    /// What is counted for people.
    pub(crate) counts: Arc<PeerCounts>,
    /// The writer of the attached link waits here.
    pub(crate) wake: Notify,
    /// The attached link, if any thread can write to it.
    pub(crate) direct: Mutex<Option<Arc<Outgoing>>>,
    /// Memory of large messages that are written, for the next ones.
    pub(crate) spare: Spare,
    /// Senders that asked wait here for the backlog to drain.
    pub(crate) drained: Notify,
    /// Ports of this node that wait for the backlog to drain.
    pub(crate) blocked: Mutex<Vec<PortNo>>,
    /// What other nodes have this one send there while it is not connected, charged to their
    /// budgets.
    forwarded: Mutex<HashMap<NodeId, Charge>>,
    /// Memory that earlier links were read into and that messages keep.
    pub(crate) rooms: Mutex<Vec<Room>>,
    /// Ports of this node that the other one monitors, and the link that it asked over.
    pub(crate) watching: Ordered<Watching, WATCHING>,
    /// The link whose frames count. Its reader holds this while it delivers, so nothing of a link
    /// is delivered once the outbox that belonged to it has been broken.
    pub(crate) delivering: Ordered<Option<LinkId>, DELIVERING>,
    /// Alive while callbacks of monitors on its ports are to be run.
    pub(crate) telling: Tellings,
    /// Names of ports that this node spawns there.
    pub(crate) spawned: Arc<Home>,
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Remote({})", self.node)
    }
}

impl PartialEq for Remote {
    /// Whether it is the same one.
    fn eq(&self, other: &Remote) -> bool {
        std::ptr::eq(self, other)
    }
}

impl Eq for Remote {}

impl PartialOrd for Remote {
    fn partial_cmp(&self, other: &Remote) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Remote {
    /// By where they are, which tells them apart.
    fn cmp(&self, other: &Remote) -> std::cmp::Ordering {
        std::ptr::from_ref(self).cmp(&std::ptr::from_ref(other))
    }
}

impl Remote {
    /// Whether it could be forgotten. Asked while nobody can get at it but by the table.
    fn is_unused(self: &Arc<Remote>) -> bool {
        Arc::strong_count(self) == 1 && self.outbox.lock().is_idle() && !self.is_kept()
    }

    /// Whether messages that came over earlier links keep memory, which is charged to the budget of
    /// the node: a node that comes back finds what it has left.
    fn is_kept(&self) -> bool {
        let mut rooms = self.rooms.lock();
        rooms.retain_mut(Room::is_kept);
        !rooms.is_empty()
    }

    /// Whether this is the node `node` as the node with the table `from` sees it.
    #[inline]
    pub(crate) fn is(&self, from: &Remotes, node: &NodeId) -> bool {
        Arc::ptr_eq(&self.table, &from.identity) && self.node == *node
    }

    /// Whether any thread can write to it.
    pub(crate) fn is_direct(&self) -> bool {
        self.direct.lock().is_some()
    }

    /// Waits until less than `limit` bytes wait for the node.
    pub(crate) async fn ready_below(&self, limit: usize) {
        loop {
            let drained = self.drained.notified();
            tokio::pin!(drained);
            drained.as_mut().enable();
            if self.outbox.lock().backlog() < limit {
                return;
            }
            drained.await;
        }
    }

    /// What a port that has sent to the node has to wait for, if so much waits for the node now.
    #[inline]
    pub(crate) fn pressure(self: &Arc<Remote>, backlog: usize) -> Option<Pressure<Node>> {
        (backlog > HIGH_WATER).then(|| Pressure::Peer(self.clone()))
    }

    /// Charges a message of this many bytes that another node has this one send there, as long as
    /// it waits for a connection; false if the budget of that node is used up.
    pub(crate) fn forwards(&self, from: &NodeId, budget: &Arc<Budget>, bytes: usize) -> bool {
        if self.outbox.lock().link().is_some() {
            return true;
        }
        let mut forwarded = self.forwarded.lock();
        let charge = forwarded.entry(from.clone()).or_insert_with(|| budget.nothing());
        let known = if charge.bytes() == 0 { FORWARD_COST } else { charge.bytes() };
        charge.resize(known + FORWARDED_COST + bytes)
    }

    /// Nothing waits for a connection any more.
    pub(crate) fn forwarded(&self) {
        self.forwarded.lock().clear();
    }
}

/// Memory of large messages that are written, for the next ones: what was just used is in the
/// cache, and new memory has to be asked for and cleared.
#[derive(Default)]
pub(crate) struct Spare(Mutex<Buffers>);

#[derive(Default)]
struct Buffers {
    list: Vec<Vec<u8>>,
    bytes: usize,
}

/// This many bytes of it are kept while the link is busy, in buffers of at most this size.
const SPARE_MAX: usize = 16 << 20;
const SPARE_EACH: usize = 1 << 20;

impl Spare {
    /// An empty buffer.
    pub(crate) fn take(&self) -> Vec<u8> {
        let mut buffers = self.0.lock();
        let buffer = buffers.list.pop().unwrap_or_default();
        buffers.bytes -= buffer.capacity();
        buffer
    }

    /// Keeps the memory of a message, if nobody else has a share in it.
    pub(crate) fn keep(&self, mut items: Bytes) {
        if !items.is_unique() {
            return;
        }
        items.clear();
        let buffer = Vec::from(items);
        let mut buffers = self.0.lock();
        if buffer.capacity() <= SPARE_EACH && buffers.bytes + buffer.capacity() <= SPARE_MAX {
            buffers.bytes += buffer.capacity();
            buffers.list.push(buffer);
        }
    }

    /// Gives all of it back.
    pub(crate) fn clear(&self) {
        let buffers = std::mem::take(&mut *self.0.lock());
        drop(buffers);
    }
}

/// What a node that is not connected is charged with, and a message for it beside its bytes. The
/// memory is less than that; but while such a node is dialled, it is looked at each time that
/// something can be dialled, and one peer must not make that take long.
const FORWARD_COST: usize = 64 << 10;
const FORWARDED_COST: usize = 256;

/// What another node monitors here.
#[derive(Default)]
pub(crate) struct Watching {
    pub(crate) link: Option<LinkId>,
    /// How many `mon1` without a `mon0` there were for each port: each one is answered.
    ports: HashMap<PortNo, u32>,
    /// What they take out of the budget of the node.
    charge: Option<Charge>,
}

/// Bytes of memory of a port that is monitored, here and in the port.
const WATCH_COST: usize = 256;

impl Watching {
    /// One more monitor of a port that is monitored already; false if it is not.
    pub(crate) fn add_again(&mut self, port: PortNo) -> bool {
        let monitors = self.ports.get_mut(&port);
        monitors.map(|monitors| *monitors = monitors.saturating_add(1)).is_some()
    }

    /// The first monitor of a port.
    ///
    /// # Errors
    ///
    /// Why there is no room for it: there are `limit` ports already, or the budget is used up.
    pub(crate) fn add(&mut self, port: PortNo, limit: usize, budget: &Arc<Budget>) -> Result<(), String> {
        let ports = self.ports.len();
        if ports >= limit {
            return Err(format!("{ports} ports are monitored by one node"));
        }
        let charge = self.charge.get_or_insert_with(|| budget.nothing());
        if !charge.resize((ports + 1) * WATCH_COST) {
            return Err(format!("what is kept for one node takes {budget:?} bytes"));
        }
        self.ports.insert(port, 1);
        Ok(())
    }

    /// One monitor less. Says whether the port is not monitored any more.
    pub(crate) fn withdraw(&mut self, port: PortNo) -> bool {
        match self.ports.get_mut(&port) {
            Some(monitors) if *monitors > 1 => {
                *monitors -= 1;
                false
            }
            Some(_) => self.end(port) > 0,
            None => false,
        }
    }

    /// The port is dead, or not monitored any more. Says how many monitors it had.
    pub(crate) fn end(&mut self, port: PortNo) -> u32 {
        let monitors = self.ports.remove(&port).unwrap_or_default();
        if let Some(charge) = &mut self.charge {
            charge.resize(self.ports.len() * WATCH_COST);
        }
        monitors
    }

    /// Forgets all of them, and says which ports they were.
    pub(crate) fn clear(&mut self) -> impl Iterator<Item = PortNo> + use<> {
        let Watching { ports, .. } = std::mem::take(self);
        ports.into_keys()
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.ports.is_empty()
    }
}

/// All nodes that something was sent to, or that are connected.
pub(crate) struct Remotes {
    nodes: RwLock<Nodes>,
    spawn_head: String,
    limits: OutboxLimits,
    identity: Arc<Identity>,
    counted: Counted,
    /// How many nodes are attached that read another framing than ours do.
    foreign: AtomicUsize,
}

/// The most bytes of the name of a port, in any framing: six for each of the 4096 that it may have.
const NAME_MAX: usize = 6 * 4096;

/// Tells the tables of several nodes in one process apart, by where it is.
struct Identity;

#[derive(Default)]
struct Nodes {
    known: HashMap<NodeId, Arc<Remote>>,
    /// How many may be known before those that nobody needs are looked for.
    room: usize,
}

/// This many nodes are known before any is forgotten.
const ROOM: usize = 64;

impl Remotes {
    pub(crate) fn new(spawn_head: String, limits: OutboxLimits) -> Remotes {
        Remotes {
            nodes: RwLock::default(),
            spawn_head,
            limits,
            identity: Arc::new(Identity),
            counted: Counted::default(),
            foreign: AtomicUsize::new(0),
        }
    }

    /// The node with this ID, if it is known.
    pub(crate) fn find(&self, node: &NodeId) -> Option<Arc<Remote>> {
        self.nodes.read().known.get(node).cloned()
    }

    /// The node with this ID, made known if it was not.
    pub(crate) fn get_or_create(&self, node: &NodeId) -> Arc<Remote> {
        if let Some(remote) = self.find(node) {
            return remote;
        }
        let make = || {
            Arc::new(Remote {
                node: node.clone(),
                table: self.identity.clone(),
                outbox: Ordered::new(Outbox::new(node.clone(), self.limits)),
                counts: self.counted.of(node),
                wake: Notify::new(),
                direct: Mutex::default(),
                spare: Spare::default(),
                drained: Notify::new(),
                blocked: Mutex::default(),
                forwarded: Mutex::default(),
                rooms: Mutex::default(),
                watching: Ordered::default(),
                delivering: Ordered::default(),
                telling: Tellings::default(),
                spawned: Home::new(node.clone(), &self.spawn_head),
            })
        };
        let mut nodes = self.nodes.write();
        if nodes.known.len() >= nodes.room {
            // Most names that were tried in vain are never tried again.
            nodes.known.retain(|_, remote| !remote.is_unused());
            nodes.room = (nodes.known.len() * 2).max(ROOM);
        }
        nodes.known.entry(node.clone()).or_insert_with(make).clone()
    }

    /// Whether a message can be sent to all nodes, no matter what framing they read.
    pub(crate) fn can_all_read(&self, body: &Body) -> bool {
        let foreign = self.foreign.load(Ordering::Relaxed) > 0;
        let fits = |framing| body.len_in(framing, "").is_ok_and(|len| len + NAME_MAX <= self.limits.message);
        body.items().len() <= self.limits.message && (!foreign || Framing::ALL.into_iter().all(fits))
    }

    /// A node was attached that reads another framing than ours do, or one of these is lost.
    pub(crate) fn foreign_node(&self, attached: bool) {
        match attached {
            true => self.foreign.fetch_add(1, Ordering::Relaxed),
            false => self.foreign.fetch_sub(1, Ordering::Relaxed),
        };
    }

    /// All of them.
    pub(crate) fn all(&self) -> Vec<Arc<Remote>> {
        self.nodes.read().known.values().cloned().collect()
    }

    /// The counters of a node are kept from now on, also when the node is forgotten.
    pub(crate) fn count(&self, remote: &Remote) {
        self.counted.keep(&remote.node, &remote.counts);
    }

    /// A client is gone, and will not come again.
    pub(crate) fn count_no_more(&self, node: &NodeId) {
        self.counted.forget(node);
    }

    /// The counters that are kept, and those of all nodes that they were not kept of any more.
    pub(crate) fn counted(&self) -> (Vec<(NodeId, Arc<PeerCounts>)>, Arc<PeerCounts>) {
        self.counted.all()
    }

    /// Forgets a node that nothing is queued for, monitored at or gated.
    pub(crate) fn forget_if_idle(&self, node: &NodeId) {
        let mut nodes = self.nodes.write();
        if nodes.known.get(node).is_some_and(Remote::is_unused) {
            nodes.known.remove(node);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_that_nobody_needs_are_forgotten() {
        let remotes = Remotes::new("x".into(), OutboxLimits::default());
        let node = |n: usize| NodeId::new(&format!("n{n}")).expect("a node ID");
        let kept = remotes.get_or_create(&node(0));
        let watched = node(1).named("port");
        let _ = remotes.get_or_create(&node(1)).outbox.lock().request(&aemp_proto::wire::Request::Nothing);
        (2..10_000).for_each(|n| drop(remotes.get_or_create(&node(n))));
        assert!(remotes.all().len() <= ROOM);
        assert!(Arc::ptr_eq(&kept, &remotes.get_or_create(&node(0))));
        assert!(remotes.get_or_create(watched.node()).outbox.lock().backlog() > 0);
    }
}
