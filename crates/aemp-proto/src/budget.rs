//! Limits in bytes of memory on what is kept for somebody: a budget, and charges against it that
//! are given back when what they stand for is dropped.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::NodeId;

/// How many bytes may be kept for somebody, a peer for instance, and how many are.
pub struct Budget {
    limit: usize,
    used: AtomicUsize,
}

impl Budget {
    /// A budget of `limit` bytes, of which none is used.
    pub fn new(limit: usize) -> Arc<Budget> {
        Arc::new(Budget { limit, used: AtomicUsize::new(0) })
    }

    /// The bytes that may be used.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// The bytes that are in use.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Charges this many bytes until the charge is dropped; `None` if they are not left.
    pub fn charge(self: &Arc<Budget>, bytes: usize) -> Option<Charge> {
        self.take(bytes).then(|| Charge { budget: self.clone(), bytes })
    }

    /// A charge of no bytes, to be resized.
    pub fn nothing(self: &Arc<Budget>) -> Charge {
        Charge { budget: self.clone(), bytes: 0 }
    }

    fn take(&self, bytes: usize) -> bool {
        let take = |used: usize| used.checked_add(bytes).filter(|used| *used <= self.limit);
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Budget({} of {})", self.used(), self.limit)
    }
}

/// Bytes of a [`Budget`] that are in use; dropping it gives them back.
#[derive(Debug)]
pub struct Charge {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Charge {
    /// The bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Charges this much instead. Less is always possible; more only if it is left, else the charge
    /// stays and the result is false.
    pub fn resize(&mut self, bytes: usize) -> bool {
        if bytes > self.bytes {
            if !self.budget.take(bytes - self.bytes) {
                return false;
            }
        } else {
            self.budget.used.fetch_sub(self.bytes - bytes, Ordering::Relaxed);
        }
        self.bytes = bytes;
        true
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// The budgets of all peers of a node: one each, for everything that is kept for the peer, wherever
/// that is. Clones share them.
#[derive(Debug, Clone)]
pub struct PeerBudgets {
    limit: usize,
    peers: Arc<Mutex<Peers>>,
}

#[derive(Debug, Default)]
struct Peers {
    budgets: BTreeMap<NodeId, Weak<Budget>>,
    /// How many there may be before those are looked for that nobody holds.
    room: usize,
}

impl PeerBudgets {
    /// The bytes of memory that one peer has unless something else is configured: enough for about
    /// a million entries of a database.
    pub const LIMIT: usize = 256 << 20;

    /// Budgets of `limit` bytes for each peer.
    pub fn new(limit: usize) -> PeerBudgets {
        PeerBudgets { limit, peers: Arc::default() }
    }

    /// The budget of this peer. It is forgotten when nothing is charged to it and nobody holds it.
    pub fn of(&self, peer: &NodeId) -> Arc<Budget> {
        let mut peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(budget) = peers.budgets.get(peer).and_then(Weak::upgrade) {
            return budget;
        }
        if peers.budgets.len() >= peers.room {
            peers.budgets.retain(|_, budget| budget.strong_count() > 0);
            peers.room = (peers.budgets.len() * 2).max(64);
        }
        let budget = Budget::new(self.limit);
        peers.budgets.insert(peer.clone(), Arc::downgrade(&budget));
        budget
    }
}

impl Default for PeerBudgets {
    fn default() -> PeerBudgets {
        PeerBudgets::new(PeerBudgets::LIMIT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_charged_fits_and_comes_back() {
        let budget = Budget::new(10);
        let mut charge = budget.charge(4).unwrap();
        assert!(budget.charge(7).is_none() && budget.charge(usize::MAX).is_none());
        let other = budget.charge(6).unwrap();
        assert!(!charge.resize(5) && charge.bytes() == 4);
        drop(other);
        assert!(charge.resize(10) && charge.resize(1));
        assert_eq!(budget.used(), 1);
        drop(charge);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn a_peer_has_one_budget_as_long_as_something_is_charged_to_it() {
        let budgets = PeerBudgets::new(10);
        let [a, b] = ["a", "b"].map(|id| NodeId::new(id).unwrap());
        let charge = budgets.of(&a).charge(7);
        assert_eq!((budgets.of(&a).used(), budgets.of(&b).used()), (7, 0));
        drop(charge);
        assert_eq!(budgets.of(&a).used(), 0);
        (0..1000).for_each(|n| drop(budgets.of(&NodeId::new(&format!("n{n}")).unwrap())));
        assert!(budgets.peers.lock().unwrap().budgets.len() <= 64);
    }
}
