//! What holds a port of another node gated after a loss.

use std::sync::{Arc, Weak};

use aemp_proto::PortId;
use aemp_proto::outbox::Queued;

use crate::node::{Inner, Node};
use crate::remote::Remote;

/// Holds a port gated after a loss; dropping it reports that the monitor with this ID has fired.
pub(crate) struct Gate {
    node: Weak<Inner>,
    remote: Arc<Remote>,
    port: PortId,
    monitor: u64,
}

impl Gate {
    pub(crate) fn new(node: &Node, remote: &Arc<Remote>, port: PortId, monitor: u64) -> Gate {
        Gate { node: node.weak(), remote: remote.clone(), port, monitor }
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        let queued = self.remote.outbox.lock().fired(&self.port, self.monitor);
        match queued {
            Queued::Dropped | Queued::Behind => {}
            // Not written here: a gate is dropped wherever a monitor ends, under locks too.
            Queued::Wake | Queued::Bulk => self.remote.wake.notify_one(),
            Queued::Wanted | Queued::Overflow | Queued::Refused => {
                if let Some(node) = self.node.upgrade() {
                    Node::from_inner(node).queued(&self.remote, queued);
                }
            }
        }
    }
}
