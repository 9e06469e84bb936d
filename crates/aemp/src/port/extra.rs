//! What a port has beside mailbox and code, if it has any of it: who watches it, and what ends with it.

use std::sync::Arc;

use aemp_proto::PortId;
use aemp_proto::kernel::LinkId;
use tokio::task::AbortHandle;

use crate::database::Registration;
use crate::monitor::Monitor;
use crate::remote::Remote;

/// Somebody who is told when the port dies.
pub(crate) enum Watcher {
    /// A monitor of this node.
    Local(Arc<Monitor>),
    /// A node that sent `mon1` over this link.
    Remote(Arc<Remote>, LinkId),
}

/// Something that ends with the port.
pub(crate) enum Child {
    /// A task or timer that runs beside it.
    Task(AbortHandle),
    /// A registration in the database.
    Registration(Registration),
    /// A monitor of another port, which does something in this one.
    Monitor(Arc<Monitor>),
}

impl Child {
    /// Whether nothing is left to be ended.
    fn is_over(&self) -> bool {
        match self {
            Child::Task(task) => task.is_finished(),
            Child::Monitor(monitor) => !monitor.is_armed(),
            Child::Registration(_) => false,
        }
    }
}

/// The rarer part of a port.
#[derive(Default)]
pub(crate) struct Extra {
    pub(crate) watchers: Vec<Watcher>,
    pub(crate) children: Vec<Child>,
    /// Ports that wait until this one has drained.
    pub(crate) blocked: Vec<u64>,
    /// The name that another node has chosen for it.
    pub(crate) name: Option<PortId>,
}

impl Extra {
    /// Adds something that ends with the port; finished tasks and fired monitors make room first.
    pub(crate) fn adopt(&mut self, child: Child) {
        if self.children.len() >= 16 && self.children.len().is_power_of_two() {
            self.children.retain(|child| !child.is_over());
        }
        self.children.push(child);
    }
}
