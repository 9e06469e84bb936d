//! The merge that a global node holds: of its own slaves, itself included, and of what other global
//! nodes report.
//!
//! Several nodes may own one subkey. Of a node's own slaves the one that set it last counts, and
//! that is what it *claims* towards other global nodes. Of several claims the one with the highest
//! stamp counts, then our own kind before Perl's, then the one of the global node with the lowest
//! ID: all of our global nodes compute the same. A stamp is raised above all claims that are known
//! when a value is set in spite of them, so "the last one wins" holds wherever there is a last one;
//! only values that are set at the same time are decided by name. Anyone who owned the value
//! leaves, the next shows.

mod entry;
mod held;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::size::{key_size, size};
use super::{Changes, FamilySize, QueryKind};
use crate::budget::{Budget, PeerBudgets};
use crate::wire::Tables;
use crate::wire::request::Family;
use crate::{NodeId, Value};
use entry::{Claim, Entry};
use held::{Held, Holder, Name};

/// The highest stamp that is taken from another node: there are always higher ones.
pub(crate) const STAMP_MAX: u64 = 1 << 62;

/// What one step has changed.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Delta {
    /// What we claim towards other global nodes.
    pub(crate) claims: Changes,
    /// What the database shows.
    pub(crate) view: Changes,
    /// The stamps of our claims that have changed: family, subkey, stamp.
    pub(crate) stamps: Vec<(String, String, u64)>,
    /// Entries that were over the limits of their node, and left out.
    pub(crate) refused: usize,
}

/// The merged database.
#[derive(Debug)]
pub(crate) struct Merged {
    own: NodeId,
    /// Entries that one slave may own.
    limit: usize,
    /// Bytes of memory that each other node may have here.
    budgets: PeerBudgets,
    families: BTreeMap<Arc<str>, Entries>,
    held: BTreeMap<Holder, Held>,
}

/// The entries of a family.
#[derive(Debug, Default)]
struct Entries {
    by_key: BTreeMap<Arc<str>, Entry>,
    /// About how many bytes all subkeys have on the wire, and all values that are shown: known
    /// without looking at them.
    keys: usize,
    values: usize,
}

impl Merged {
    /// An empty database of the global node `own`, each of whose slaves may own `limit` entries.
    pub(crate) fn new(own: NodeId, limit: usize, budgets: PeerBudgets) -> Merged {
        Merged { own, limit, budgets, families: BTreeMap::new(), held: BTreeMap::new() }
    }

    /// A slave has changed what it owns.
    pub(crate) fn slave_update(
        &mut self,
        node: &NodeId,
        family: &str,
        set: Family,
        deleted: &[String],
    ) -> Delta {
        let mut delta = Delta::default();
        for key in deleted.iter().filter(|key| !set.contains_key(*key)) {
            let name = self.shared(family, key);
            self.remove(&Holder::Slave(node.clone()), &name, &mut delta);
        }
        for (key, value) in set {
            self.slave_set(node, family, &key, value, true, &mut delta);
        }
        delta
    }

    /// A slave tells all that it owns.
    pub(crate) fn slave_replace(&mut self, node: &NodeId, tables: Tables) -> Delta {
        let mut delta = Delta::default();
        self.remove_absent(&Holder::Slave(node.clone()), &tables, &mut delta);
        for (family, entries) in tables {
            for (key, value) in entries {
                // It does not say when it set them, so they are not later than anything.
                self.slave_set(node, &family, &key, value, false, &mut delta);
            }
        }
        delta
    }

    /// A slave is gone.
    pub(crate) fn slave_drop(&mut self, node: &NodeId) -> Delta {
        self.drop_holder(&Holder::Slave(node.clone()))
    }

    /// A slave has become global: what it owned is what it claims, until it says more.
    pub(crate) fn slave_to_global(&mut self, node: &NodeId, native: bool) -> Delta {
        let mut delta = Delta::default();
        let Some(held) = self.held.remove(&Holder::Slave(node.clone())) else { return delta };
        let names = held.names.clone();
        self.held.insert(Holder::Global(node.clone()), held);
        for name in names {
            self.alter(&name, &mut delta, |_, entry| {
                let at = entry.slaves.iter().position(|(slave, _)| slave == node);
                let Some((_, value)) = at.map(|at| entry.slaves.remove(at)) else { return };
                entry.claims.retain(|claim| claim.node != *node);
                entry.claims.push(Claim { node: node.clone(), native, stamp: 0, value });
            });
        }
        delta
    }

    /// Another global node has changed what it claims.
    pub(crate) fn global_update(
        &mut self,
        node: &NodeId,
        native: bool,
        family: &str,
        set: Family,
        deleted: &[String],
    ) -> Delta {
        let mut delta = Delta::default();
        for key in deleted.iter().filter(|key| !set.contains_key(*key)) {
            let name = self.shared(family, key);
            self.remove(&Holder::Global(node.clone()), &name, &mut delta);
        }
        for (key, value) in set {
            // A Perl node gives no stamps: with it, what arrives last is the last.
            self.global_set((node, native), family, &key, value, !native, &mut delta);
        }
        delta
    }

    /// Another global node tells all that it claims.
    pub(crate) fn global_replace(&mut self, node: &NodeId, native: bool, tables: Tables) -> Delta {
        let mut delta = Delta::default();
        self.remove_absent(&Holder::Global(node.clone()), &tables, &mut delta);
        for (family, entries) in tables {
            for (key, value) in entries {
                self.global_set((node, native), &family, &key, value, false, &mut delta);
            }
        }
        delta
    }

    /// Another global node tells the stamp of one of its claims.
    pub(crate) fn global_stamp(&mut self, node: &NodeId, family: &str, key: &str, stamp: u64) -> Delta {
        let mut delta = Delta::default();
        if self.entry(family, key).is_some() {
            self.alter(&self.shared(family, key), &mut delta, |_, entry| {
                for claim in entry.claims.iter_mut().filter(|claim| claim.node == *node) {
                    claim.stamp = stamp;
                }
            });
        }
        delta
    }

    /// Another global node is gone.
    pub(crate) fn global_drop(&mut self, node: &NodeId) -> Delta {
        self.drop_holder(&Holder::Global(node.clone()))
    }

    /// All that we claim.
    pub(crate) fn claims(&self) -> Tables {
        let mut tables = Tables::new();
        for (family, entries) in &self.families {
            let claims = entries
                .by_key
                .iter()
                .filter_map(|(key, entry)| Some((key.to_string(), entry.claim()?.clone())));
            let claims: Family = claims.collect();
            if !claims.is_empty() {
                tables.insert(family.to_string(), claims);
            }
        }
        tables
    }

    /// The stamps of our claims, where they have one: family, subkey, stamp.
    pub(crate) fn stamps(&self) -> Vec<(String, String, u64)> {
        let entries = self.families.iter().flat_map(|(family, entries)| {
            entries.by_key.iter().map(move |(key, entry)| (family.to_string(), key.to_string(), entry.stamp))
        });
        entries.filter(|(_, _, stamp)| *stamp > 0).collect()
    }

    /// What the database shows of a family.
    pub(crate) fn family(&self, family: &str) -> Family {
        let entries = self.families.get(family).into_iter().flat_map(|entries| &entries.by_key);
        entries.filter_map(|(key, entry)| Some((key.to_string(), entry.shown(&self.own)?.clone()))).collect()
    }

    /// About how many bytes the answer to a query has on the wire, and not fewer.
    pub(crate) fn answer_size(&self, kind: QueryKind, family: &str) -> usize {
        let (keys, values) =
            self.families.get(family).map_or((0, 0), |entries| (entries.keys, entries.values));
        5 + match kind {
            QueryKind::Family => keys + values,
            QueryKind::Keys => keys,
            QueryKind::Values => values,
        }
    }

    /// How many entries each family has, and about how many bytes these have on the wire.
    pub(crate) fn sizes(&self) -> BTreeMap<String, FamilySize> {
        let sizes = self.families.iter().map(|(family, entries)| {
            let bytes = entries.keys + entries.values;
            (family.to_string(), FamilySize { entries: entries.by_key.len(), bytes })
        });
        sizes.collect()
    }

    /// What the database shows for one subkey.
    pub(crate) fn get(&self, family: &str, key: &str) -> Option<&Value> {
        self.entry(family, key)?.shown(&self.own)
    }

    fn slave_set(
        &mut self,
        node: &NodeId,
        family: &str,
        key: &str,
        value: Value,
        latest: bool,
        delta: &mut Delta,
    ) {
        let name = self.shared(family, key);
        if !self.hold(Holder::Slave(node.clone()), &name, &value) {
            delta.refused += 1;
            return;
        }
        self.alter(&name, delta, |own, entry| {
            if !latest && entry.slaves.iter().any(|(slave, known)| slave == node && *known == value) {
                return;
            }
            entry.slaves.retain(|(slave, _)| slave != node);
            let hidden = entry.ahead(own).is_some_and(|claim| claim.value != value);
            entry.slaves.push((node.clone(), value));
            if latest && hidden && entry.ahead(own).is_some() {
                entry.stamp = entry.highest() + 1;
            }
        });
    }

    fn global_set(
        &mut self,
        (node, native): (&NodeId, bool),
        family: &str,
        key: &str,
        value: Value,
        latest: bool,
        delta: &mut Delta,
    ) {
        let name = self.shared(family, key);
        if !self.hold(Holder::Global(node.clone()), &name, &value) {
            delta.refused += 1;
            return;
        }
        self.alter(&name, delta, |own, entry| {
            let known = entry.claims.iter().position(|claim| claim.node == *node);
            let stamp = known.map_or(0, |at| entry.claims.swap_remove(at).stamp);
            entry.claims.push(Claim { node: node.clone(), native, stamp, value });
            if latest && entry.ahead(own).is_none_or(|claim| claim.node != *node) {
                let stamp = entry.highest() + 1;
                for claim in entry.claims.iter_mut().filter(|claim| claim.node == *node) {
                    claim.stamp = stamp;
                }
            }
        });
    }

    /// Charges an entry to a node. False if that has too much already.
    fn hold(&mut self, holder: Holder, name: &Name, value: &Value) -> bool {
        let entry = self.families.get(&name.0).and_then(|entries| entries.by_key.get(&name.1));
        let before = entry.and_then(|entry| entry.value_of(&holder));
        // What we own ourselves was checked when it was set. Of globals each brings what many nodes
        // own.
        let own = *holder.node() == self.own;
        let limit = if own || matches!(holder, Holder::Global(_)) { usize::MAX } else { self.limit };
        let budgets = &self.budgets;
        let held = self.held.entry(holder).or_insert_with_key(|holder| {
            Held::new(&if own { Budget::new(usize::MAX) } else { budgets.of(holder.node()) })
        });
        held.set(name, before, value, limit)
    }

    fn remove(&mut self, holder: &Holder, name: &Name, delta: &mut Delta) {
        let value =
            self.families.get(&name.0).and_then(|entries| entries.by_key.get(&name.1)?.value_of(holder));
        let Some(held) = self.held.get_mut(holder) else { return };
        if !held.remove(name, value) {
            return;
        }
        if held.names.is_empty() {
            self.held.remove(holder);
        }
        self.let_go(holder, name, delta);
    }

    fn remove_absent(&mut self, holder: &Holder, tables: &Tables, delta: &mut Delta) {
        let held = self.held.get(holder).into_iter().flat_map(|held| &held.names);
        let stays = |family: &str, key: &str| tables.get(family).is_some_and(|keys| keys.contains_key(key));
        let gone: Vec<Name> = held.filter(|(family, key)| !stays(family, key)).cloned().collect();
        for name in gone {
            self.remove(holder, &name, delta);
        }
    }

    fn drop_holder(&mut self, holder: &Holder) -> Delta {
        let mut delta = Delta::default();
        let names = self.held.remove(holder).map(|held| held.names);
        for name in names.into_iter().flatten() {
            self.let_go(holder, &name, &mut delta);
        }
        delta
    }

    fn let_go(&mut self, holder: &Holder, name: &Name, delta: &mut Delta) {
        self.alter(name, delta, |_, entry| match holder {
            Holder::Slave(node) => entry.slaves.retain(|(slave, _)| slave != node),
            Holder::Global(node) => entry.claims.retain(|claim| claim.node != *node),
        });
    }

    /// The names of an entry, sharing the texts that are there already.
    fn shared(&self, family: &str, key: &str) -> Name {
        let Some((family, entries)) = self.families.get_key_value(family) else {
            return (family.into(), key.into());
        };
        let key = entries.by_key.get_key_value(key).map_or_else(|| key.into(), |(key, _)| key.clone());
        (family.clone(), key)
    }

    /// Changes one entry and notes what that means.
    fn alter(&mut self, (family, key): &Name, delta: &mut Delta, change: impl FnOnce(&NodeId, &mut Entry)) {
        let entries = self.families.entry(family.clone()).or_default();
        let entry = entries.by_key.entry(key.clone()).or_insert_with(|| {
            entries.keys += key_size(key);
            Entry::default()
        });
        let (claim, shown, stamp) = (entry.claim().cloned(), entry.shown(&self.own).cloned(), entry.stamp);
        change(&self.own, entry);
        if entry.slaves.is_empty() {
            entry.stamp = 0;
        }
        let shown_size = |value: Option<&Value>| value.map_or(0, size);
        entries.values += shown_size(entry.shown(&self.own));
        entries.values -= shown_size(shown.as_ref());
        note(&mut delta.claims, family, key, claim.as_ref(), entry.claim());
        note(&mut delta.view, family, key, shown.as_ref(), entry.shown(&self.own));
        if entry.stamp != stamp && entry.stamp > 0 {
            delta.stamps.push((family.to_string(), key.to_string(), entry.stamp));
        }
        if entry.slaves.is_empty() && entry.claims.is_empty() {
            entries.by_key.remove(key);
            entries.keys -= key_size(key);
            if entries.by_key.is_empty() {
                self.families.remove(family);
            }
        }
    }

    fn entry(&self, family: &str, key: &str) -> Option<&Entry> {
        self.families.get(family)?.by_key.get(key)
    }
}

fn note(changes: &mut Changes, family: &str, key: &str, before: Option<&Value>, after: Option<&Value>) {
    if before == after {
        return;
    }
    let change = changes.entry(family.into()).or_default();
    match after {
        Some(value) => {
            change.set.insert(key.into(), value.clone());
        }
        None => change.deleted.push(key.into()),
    }
}

#[cfg(test)]
mod tests;
