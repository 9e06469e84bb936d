//! What a port has beside mailbox and code, if it has any of it: who watches it, and what ends with
//! it.

use std::collections::BTreeMap;
use std::sync::Arc;

use aemp_proto::PortId;
use aemp_proto::kernel::LinkId;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::monitor::Monitor;
use super::port_no::PortNo;
use super::pressure::Crowded;
use super::wake::wake_all;
use crate::database::Registration;
use crate::remote::Remote;
use crate::spawn_share::SpawnShare;

/// Who is told when the port dies.
#[derive(Default)]
pub(crate) struct Watchers {
    /// Monitors of this node by their number; in its order they fire.
    pub(crate) local: BTreeMap<u64, Arc<Monitor>>,
    /// Nodes that sent `mon1`, and the link over which they did.
    pub(crate) remote: Vec<(Arc<Remote>, LinkId)>,
    /// Calls that wait for an answer of the port.
    pub(crate) callers: Callers,
}

impl Watchers {
    pub(crate) fn is_empty(&self) -> bool {
        self.local.is_empty() && self.remote.is_empty()
    }

    /// A node is not to be told any more.
    pub(crate) fn forget(&mut self, remote: &Arc<Remote>) {
        self.remote.retain(|(other, _)| !Arc::ptr_eq(other, remote));
    }
}

/// The ports for the answers to calls. Those that have theirs are thrown out when many have come
/// together, not one by one: a call costs little more than its message.
#[derive(Default)]
pub(crate) struct Callers {
    numbers: Vec<PortNo>,
    /// How many there may be before they are looked through.
    crowded: usize,
}

impl Callers {
    /// Adds one. `is_over` says whether an earlier one waits no more.
    #[inline]
    pub(crate) fn add(&mut self, caller: PortNo, is_over: impl Fn(PortNo) -> bool) {
        // Anyone who calls again and again uses one slot of the table for its answers: of two ports
        // there the later one lives.
        if let Some(last) = self.numbers.last_mut()
            && last.same_slot(caller)
        {
            *last = (*last).max(caller);
            return;
        }
        if self.numbers.len() >= self.crowded {
            self.numbers.retain(|caller| !is_over(*caller));
            self.crowded = 16.max(2 * self.numbers.len());
        }
        self.numbers.push(caller);
    }

    /// All of them, in the order of their calls.
    pub(crate) fn into_iter(self) -> impl Iterator<Item = PortNo> {
        self.numbers.into_iter()
    }
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
    pub(crate) watchers: Watchers,
    pub(crate) children: Vec<Child>,
    /// Ports that wait until this one has drained.
    pub(crate) blocked: Vec<PortNo>,
    /// The same for what is no port.
    pub(crate) drained: Option<Arc<Notify>>,
    /// Code of this async port goes on when the port has fallen behind itself.
    pub(crate) falls_behind: Option<Arc<Notify>>,
    /// Receivers that were behind when this port was parked, and may be so still.
    pub(crate) crowded: Crowded,
    /// How many monitors wait in the mailbox that kill the port, unless they are withdrawn in time.
    pub(crate) kills: u32,
    /// The name that another node has chosen for it.
    pub(crate) name: Option<Arc<PortId>>,
    /// What counts it among the ports of the node that has made it.
    pub(crate) spawned_by: Option<SpawnShare>,
}

impl Extra {
    /// Whether anybody waits for this port to drain.
    #[inline]
    pub(crate) fn holds_up(&self) -> bool {
        self.drained.is_some() || !self.blocked.is_empty()
    }

    /// Who waited for this port to drain goes on; gives the ports among them.
    pub(crate) fn unblock(&mut self) -> Vec<PortNo> {
        if let Some(drained) = self.drained.take() {
            wake_all(&drained);
        }
        std::mem::take(&mut self.blocked)
    }

    /// Adds something that ends with the port; finished tasks and fired monitors make room first.
    pub(crate) fn adopt(&mut self, child: Child) {
        if self.children.len() >= 16 && self.children.len().is_power_of_two() {
            self.children.retain(|child| !child.is_over());
        }
        self.children.push(child);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_callers_in_one_slot_the_later_one_is_told() {
        let (earlier, later) = (PortNo::of_slot(4, 0), PortNo::of_slot(4, 1));
        for order in [[earlier, later], [later, earlier]] {
            let mut callers = Callers::default();
            order.into_iter().for_each(|caller| callers.add(caller, |_| false));
            assert_eq!(callers.into_iter().collect::<Vec<_>>(), [later]);
        }
        let mut callers = Callers::default();
        (0..100).for_each(|index| callers.add(PortNo::of_slot(index, 0), |_| false));
        assert_eq!(callers.into_iter().count(), 100);
    }
}
