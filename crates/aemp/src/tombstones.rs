//! What ports died of that other nodes have named, for monitors that come too late: bounded for
//! each of these nodes, in number and in bytes of memory, and given back when the node is lost.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use aemp_proto::budget::{Charge, PeerBudgets};
use aemp_proto::{NodeId, Reason};
use parking_lot::Mutex;

use aemp_ports::port_no::PortNo;

/// Bytes of memory of all tombstones for one node.
const BYTES_MAX: usize = 4 << 20;

/// Bytes of memory of a reason; instead of a larger one it is kept that there was one.
const REASON_MAX: usize = 4 << 10;

/// What a tombstone takes beside its name and reason.
const COST: usize = 256;

/// The tombstones of a node.
#[derive(Default)]
pub(crate) struct Tombstones {
    budgets: PeerBudgets,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    by_name: HashMap<Arc<str>, Tombstone>,
    by_peer: HashMap<NodeId, Share>,
}

/// What is known of one port.
struct Tombstone {
    /// The number that it had, if it ever existed: what it has sent may still be on its way.
    number: Option<PortNo>,
    reason: Reason,
}

/// Those of the ports that one node has named.
struct Share {
    /// The names, the oldest first, with the bytes that each takes.
    names: VecDeque<(Arc<str>, usize)>,
    charge: Charge,
}

impl Tombstones {
    pub(crate) fn new(budgets: PeerBudgets) -> Tombstones {
        Tombstones { budgets, state: Mutex::default() }
    }

    /// The port that this node has named is dead, or without a `number` never came to exist. Of
    /// more than `limit` the oldest are forgotten. A name that is there keeps its reason: ports die
    /// once.
    pub(crate) fn add(
        &self,
        peer: &NodeId,
        name: &str,
        number: Option<PortNo>,
        reason: &Reason,
        limit: usize,
    ) {
        let reason = reason.shortened(REASON_MAX);
        let bytes = COST + name.len() + reason.memory();
        let mut state = self.state.lock();
        let State { by_name, by_peer } = &mut *state;
        if by_name.contains_key(name) || limit == 0 {
            return;
        }
        let share = by_peer
            .entry(peer.clone())
            .or_insert_with(|| Share { names: VecDeque::new(), charge: self.budgets.of(peer).nothing() });
        while share.names.len() >= limit || share.charge.bytes() + bytes > BYTES_MAX || !share.take(bytes) {
            let Some((oldest, freed)) = share.names.pop_front() else { return };
            by_name.remove(&oldest);
            share.charge.resize(share.charge.bytes() - freed);
        }
        let name: Arc<str> = name.into();
        share.names.push_back((name.clone(), bytes));
        by_name.insert(name, Tombstone { number, reason });
    }

    /// What killed the port with this name, if that is known.
    pub(crate) fn reason(&self, name: &str) -> Option<Reason> {
        self.state.lock().by_name.get(name).map(|tombstone| tombstone.reason.clone())
    }

    /// The number that the port with this name had, if it existed and that is known.
    pub(crate) fn number(&self, name: &str) -> Option<PortNo> {
        self.state.lock().by_name.get(name)?.number
    }

    /// The node is lost: anyone who monitored what it has named was told.
    pub(crate) fn forget(&self, peer: &NodeId) {
        let mut state = self.state.lock();
        let Some(share) = state.by_peer.remove(peer) else { return };
        for (name, _) in share.names {
            state.by_name.remove(&name);
        }
    }
}

impl Share {
    fn take(&mut self, bytes: usize) -> bool {
        self.charge.resize(self.charge.bytes() + bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peers() -> [NodeId; 2] {
        ["a", "b"].map(|id| NodeId::new(id).expect("a node ID"))
    }

    fn reason(bytes: usize) -> Reason {
        Reason::text("odd", "x".repeat(bytes))
    }

    #[test]
    fn as_many_failures_are_remembered_as_there_is_room_for() {
        let remembered = |limit, names: &[&str]| {
            let tombstones = Tombstones::default();
            for name in names {
                tombstones.add(&peers()[0], name, None, &reason(1), limit);
            }
            let all = ["a", "b", "c"].into_iter();
            all.filter(|name| tombstones.reason(name).is_some()).collect::<String>()
        };
        assert_eq!(remembered(0, &["a"]), "");
        assert_eq!(remembered(2, &["a", "b", "c"]), "bc");
        // A name that comes again takes no second place.
        assert_eq!(remembered(2, &["a", "b", "b"]), "ab");
    }

    #[test]
    fn each_node_has_its_share_in_bytes_and_gives_it_back() {
        let budgets = PeerBudgets::default();
        let tombstones = Tombstones::new(budgets.clone());
        let [a, b] = peers();
        tombstones.add(&b, "first", Some(PortNo::FIRST), &reason(10), 1 << 16);
        for n in 0..10_000 {
            let name = format!("{n}{}", "n".repeat(4000));
            tombstones.add(&a, &name, None, &reason(if n == 9_999 { 1 << 20 } else { 3000 }), 1 << 16);
        }
        let used = budgets.of(&a).used();
        assert!(used > BYTES_MAX / 2 && used <= BYTES_MAX, "{used}");
        let last = tombstones.reason(&format!("9999{}", "n".repeat(4000))).expect("the last one");
        assert!(!last.is_normal() && last.memory() <= REASON_MAX, "{last}");
        assert_eq!(
            (tombstones.reason("first"), tombstones.number("first")),
            (Some(reason(10)), Some(PortNo::FIRST))
        );
        tombstones.forget(&a);
        assert_eq!(budgets.of(&a).used(), 0);
        assert!(tombstones.state.lock().by_name.len() == 1 && budgets.of(&b).used() > 0);
    }
}
