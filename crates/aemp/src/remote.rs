//! One remote node as the rest of this node sees it: its outbox under a lock, and who waits for it.

use std::collections::HashMap;
use std::sync::Arc;

use aemp_proto::kernel::LinkId;
use aemp_proto::outbox::{Outbox, OutboxLimits};
use aemp_proto::{Home, NodeId, PortId};
use parking_lot::{Mutex, RwLock};
use tokio::sync::Notify;

use crate::monitor::Monitor;

/// Above this backlog, ports that send to the node wait until it has drained, in octets.
pub(crate) const HIGH_WATER: usize = 64 << 20;

/// One remote node.
pub(crate) struct Remote {
    pub(crate) node: NodeId,
    pub(crate) outbox: Mutex<Outbox<Arc<Monitor>>>,
    /// The writer of the attached link waits here.
    pub(crate) wake: Notify,
    /// Senders that asked wait here for the backlog to drain.
    pub(crate) drained: Notify,
    /// Ports of this node that wait for the backlog to drain.
    pub(crate) blocked: Mutex<Vec<u64>>,
    /// Ports of this node that the other one monitors, by the link that it asked over; how often each.
    pub(crate) watching: Mutex<Watching>,
    /// The link whose frames count. Its reader holds this while it delivers, so nothing of a link is delivered once the
    /// outbox that belonged to it has been broken.
    pub(crate) delivering: Mutex<Option<LinkId>>,
    /// Names of ports that this node spawns there.
    pub(crate) spawned: Arc<Home>,
}

/// What another node monitors here.
#[derive(Default)]
pub(crate) struct Watching {
    pub(crate) link: Option<LinkId>,
    pub(crate) ports: HashMap<u64, usize>,
}

/// All nodes that something was sent to, or that are connected.
pub(crate) struct Remotes {
    nodes: RwLock<HashMap<NodeId, Arc<Remote>>>,
    spawn_head: String,
    limits: OutboxLimits,
}

impl Remotes {
    pub(crate) fn new(spawn_head: String, limits: OutboxLimits) -> Remotes {
        Remotes { nodes: RwLock::default(), spawn_head, limits }
    }

    /// The node with this ID, made known if it was not.
    pub(crate) fn get(&self, node: &NodeId) -> Arc<Remote> {
        if let Some(remote) = self.nodes.read().get(node) {
            return remote.clone();
        }
        let make = || {
            Arc::new(Remote {
                node: node.clone(),
                outbox: Mutex::new(Outbox::new(node.clone(), self.limits)),
                wake: Notify::new(),
                drained: Notify::new(),
                blocked: Mutex::default(),
                watching: Mutex::default(),
                delivering: Mutex::default(),
                spawned: Home::new(node.clone(), &self.spawn_head),
            })
        };
        self.nodes.write().entry(node.clone()).or_insert_with(make).clone()
    }

    /// Forgets a node that nothing is queued for, monitored at or gated.
    pub(crate) fn forget_if_idle(&self, node: &NodeId) {
        let mut nodes = self.nodes.write();
        let idle = nodes
            .get(node)
            .is_some_and(|remote| Arc::strong_count(remote) == 1 && remote.outbox.lock().is_idle());
        if idle {
            nodes.remove(node);
        }
    }
}

/// Holds a port gated after a loss; dropping it reports that the monitor has fired.
pub(crate) struct Gate {
    remote: Arc<Remote>,
    port: PortId,
}

impl Gate {
    pub(crate) fn new(remote: &Arc<Remote>, port: PortId) -> Gate {
        Gate { remote: remote.clone(), port }
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.remote.outbox.lock().fired(&self.port);
    }
}
