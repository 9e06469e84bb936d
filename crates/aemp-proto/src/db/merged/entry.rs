//! One subkey with all that is said of it, and what counts.

use std::cmp::Reverse;

use super::held::Holder;
use crate::{NodeId, Value};

/// What another global node reports for one subkey.
#[derive(Debug)]
pub(super) struct Claim {
    pub(super) node: NodeId,
    pub(super) native: bool,
    pub(super) stamp: u64,
    pub(super) value: Value,
}

/// One subkey with all that is said of it.
#[derive(Debug, Default)]
pub(super) struct Entry {
    /// The values of our slaves; the last one is our claim.
    pub(super) slaves: Vec<(NodeId, Value)>,
    /// The stamp of our claim.
    pub(super) stamp: u64,
    pub(super) claims: Vec<Claim>,
}

impl Claim {
    fn rank(&self) -> (u64, bool, Reverse<&NodeId>) {
        (self.stamp, self.native, Reverse(&self.node))
    }
}

impl Entry {
    /// What we say for our slaves.
    pub(super) fn claim(&self) -> Option<&Value> {
        self.slaves.last().map(|(_, value)| value)
    }

    /// The claim of another global node that counts instead of ours.
    pub(super) fn ahead(&self, own: &NodeId) -> Option<&Claim> {
        let best = self.claims.iter().max_by(|a, b| a.rank().cmp(&b.rank()))?;
        (self.slaves.is_empty() || best.rank() > (self.stamp, true, Reverse(own))).then_some(best)
    }

    /// What counts.
    pub(super) fn shown(&self, own: &NodeId) -> Option<&Value> {
        self.ahead(own).map(|claim| &claim.value).or_else(|| self.claim())
    }

    /// The highest stamp of all claims.
    pub(super) fn highest(&self) -> u64 {
        self.claims.iter().map(|claim| claim.stamp).chain([self.stamp]).max().unwrap_or_default()
    }

    /// What this holder says.
    pub(super) fn value_of(&self, holder: &Holder) -> Option<&Value> {
        match holder {
            Holder::Slave(node) => {
                self.slaves.iter().find(|(slave, _)| slave == node).map(|(_, value)| value)
            }
            Holder::Global(node) => {
                self.claims.iter().find(|claim| claim.node == *node).map(|claim| &claim.value)
            }
        }
    }
}
