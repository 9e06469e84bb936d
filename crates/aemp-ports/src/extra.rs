//! What a port has beside mailbox and code, if it has any of it: who watches it, and what ends with
//! it.

use std::collections::BTreeMap;
use std::mem;
use std::sync::Arc;
use std::task::Waker;

use aemp_proto::PortId;
use aemp_proto::kernel::LinkId;

use super::host::Host;
use super::mailbox_limits::MailboxLimits;
use super::monitor::Monitor;
use super::port_no::PortNo;
use super::pressure::Crowded;
use super::wake::wake;

/// Who is told when the port dies.
pub struct Watchers<H: Host> {
    /// Monitors of this node by their number; in its order they fire.
    pub local: BTreeMap<u64, Arc<Monitor<H>>>,
    /// Nodes that sent `mon1`, and the link over which they did.
    pub remote: Vec<(H::Peer, LinkId)>,
    /// Calls that wait for an answer of the port.
    pub callers: Callers,
}

impl<H: Host> Default for Watchers<H> {
    fn default() -> Watchers<H> {
        Watchers { local: BTreeMap::new(), remote: Vec::new(), callers: Callers::default() }
    }
}

impl<H: Host> Watchers<H> {
    /// Whether nobody is told, callers aside.
    pub fn is_empty(&self) -> bool {
        self.local.is_empty() && self.remote.is_empty()
    }

    /// A node is not to be told any more.
    pub fn forget(&mut self, peer: &H::Peer) {
        self.remote.retain(|(other, _)| other != peer);
    }
}

/// The ports for the answers to calls. Those that have theirs are thrown out when many have come
/// together, not one by one: a call costs little more than its message.
#[derive(Default)]
pub struct Callers {
    numbers: Vec<PortNo>,
    /// How many there may be before they are looked through.
    crowded: usize,
}

impl Callers {
    /// Adds one. `is_over` says whether an earlier one waits no more.
    #[inline]
    pub fn add(&mut self, caller: PortNo, is_over: impl Fn(PortNo) -> bool) {
        // A task that calls again and again uses one slot of the table for its answers: of two
        // ports there the later one lives.
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
    pub fn into_numbers(self) -> impl Iterator<Item = PortNo> {
        self.numbers.into_iter()
    }
}

/// A task that runs beside a port.
pub trait Task: Send {
    /// Ends it.
    fn abort(&self);
    /// Whether it has ended.
    fn is_finished(&self) -> bool;
}

/// Something that ends with the port.
pub enum Child<H: Host> {
    /// A task or timer that runs beside it.
    Task(Box<dyn Task>),
    /// What the host takes back when this is dropped.
    Guard(Box<dyn Send>),
    /// A monitor of another port, which does something in this one.
    Monitor(Arc<Monitor<H>>),
}

impl<H: Host> Child<H> {
    /// Whether nothing is left to be ended.
    fn is_over(&self) -> bool {
        match self {
            Child::Task(task) => task.is_finished(),
            Child::Monitor(monitor) => !monitor.is_armed(),
            Child::Guard(_) => false,
        }
    }
}

/// The rarer part of a port.
pub struct Extra<H: Host> {
    /// Who is told when it dies.
    pub watchers: Watchers<H>,
    /// What ends with it.
    pub children: Vec<Child<H>>,
    /// Ports that wait until this one has drained.
    pub blocked: Vec<PortNo>,
    /// The same for tasks, which are not ports.
    pub drained: Vec<Waker>,
    /// Code of this async port goes on when the port has fallen behind itself.
    pub falls_behind: Vec<Waker>,
    /// Receivers that were behind when this port was parked, and may be so still.
    pub crowded: Crowded<H>,
    /// The limits of its mailbox, if it has its own.
    pub mailbox: Option<MailboxLimits>,
    /// How many monitors wait in the mailbox that kill the port, unless they are withdrawn in time.
    pub kills: u32,
    /// The name that another node has chosen for it.
    pub name: Option<Arc<PortId>>,
    /// What counts it among the ports of the node that has made it.
    pub share: Option<H::Share>,
}

impl<H: Host> Default for Extra<H> {
    fn default() -> Extra<H> {
        Extra {
            watchers: Watchers::default(),
            children: Vec::new(),
            blocked: Vec::new(),
            drained: Vec::new(),
            falls_behind: Vec::new(),
            crowded: Crowded::default(),
            mailbox: None,
            kills: 0,
            name: None,
            share: None,
        }
    }
}

impl<H: Host> Extra<H> {
    /// Whether anybody waits for this port to drain.
    #[inline]
    pub fn holds_up(&self) -> bool {
        !self.drained.is_empty() || !self.blocked.is_empty()
    }

    /// Who waited for this port to drain goes on; gives the ports among them.
    pub fn unblock(&mut self) -> Vec<PortNo> {
        mem::take(&mut self.drained).into_iter().for_each(wake);
        mem::take(&mut self.blocked)
    }

    /// Adds something that ends with the port; finished tasks and fired monitors make room first.
    pub fn adopt(&mut self, child: Child<H>) {
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
            assert_eq!(callers.into_numbers().collect::<Vec<_>>(), [later]);
        }
        let mut callers = Callers::default();
        (0..100).for_each(|index| callers.add(PortNo::of_slot(index, 0), |_| false));
        assert_eq!(callers.into_numbers().count(), 100);
    }
}
