//! What is held on behalf of one node: which entries, and how much memory they take out of its
//! budget.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::budget::{Budget, Charge};
use crate::db::size::memory;
use crate::db::{GLOBALS, GLOBALS_MAX};
use crate::{NodeId, Value};

/// What an entry takes beside its names and its value, in the tables of all entries and of those of
/// a node.
const ENTRY_COST: usize = 256;

/// On whose behalf entries are held.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Holder {
    Slave(NodeId),
    Global(NodeId),
}

impl Holder {
    pub(super) fn node(&self) -> &NodeId {
        match self {
            Holder::Slave(node) | Holder::Global(node) => node,
        }
    }
}

/// Family and subkey; the texts are shared by all that name the entry.
pub(super) type Name = (Arc<str>, Arc<str>);

/// The entries of one holder.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) names: BTreeSet<Name>,
    charge: Charge,
}

impl Held {
    /// Nothing, out of this budget.
    pub(super) fn new(budget: &Arc<Budget>) -> Held {
        Held { names: BTreeSet::new(), charge: budget.nothing() }
    }

    /// Holds an entry with this value, which had another one before. False if that is more than the
    /// node may have: then nothing is changed.
    pub(super) fn set(&mut self, name: &Name, before: Option<&Value>, value: &Value, limit: usize) -> bool {
        if before.is_none() && (self.names.len() >= limit || self.is_full(&name.0)) {
            return false;
        }
        let before = before.map_or(0, |before| cost(name, before));
        // What is charged already for it is a part of the charge.
        let fits = self.charge.resize(self.charge.bytes() - before + cost(name, value));
        if fits && before == 0 {
            self.names.insert(name.clone());
        }
        fits
    }

    /// Holds an entry no more.
    pub(super) fn remove(&mut self, name: &Name, value: Option<&Value>) -> bool {
        let held = self.names.remove(name);
        if held {
            let bytes = value.map_or(0, |value| cost(name, value));
            self.charge.resize(self.charge.bytes() - bytes);
        }
        held
    }

    /// Whether there are as many entries in the family as its kind may have from one node.
    fn is_full(&self, family: &str) -> bool {
        if family != GLOBALS {
            return false;
        }
        let first: Name = (GLOBALS.into(), "".into());
        self.names.range(first..).take_while(|(family, _)| **family == *GLOBALS).count() >= GLOBALS_MAX
    }

    /// Bytes of all entries.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.charge.bytes()
    }
}

fn cost((family, key): &Name, value: &Value) -> usize {
    ENTRY_COST + family.len() + key.len() + memory(value)
}
