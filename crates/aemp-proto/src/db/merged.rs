//! The merge that a global node holds: of its own slaves, itself included, and of what other global nodes report.
//!
//! Several nodes may own one subkey. Of a node's own slaves the one that set it last counts, and that is what it *claims*
//! towards other global nodes. Of several claims the one with the highest stamp counts, then our own kind before Perl's,
//! then the one of the global node with the lowest ID: all of our global nodes compute the same. A stamp is raised above
//! all claims that are known when a value is set in spite of them, so "the last one wins" holds wherever there is a last
//! one; only values that are set at the same time are decided by name. Whoever owned the value leaves, the next shows.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Changes, GLOBALS, GLOBALS_MAX};
use crate::wire::Tables;
use crate::wire::request::Family;
use crate::{NodeId, Value};

/// What one step has changed.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Delta {
    /// What we claim towards other global nodes.
    pub(crate) claims: Changes,
    /// What the database shows.
    pub(crate) view: Changes,
    /// The stamps of our claims that have changed: family, subkey, stamp.
    pub(crate) stamps: Vec<(String, String, u64)>,
    /// Entries that were over the limit of their node, and left out.
    pub(crate) refused: usize,
}

/// On whose behalf entries are held.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Holder {
    Slave(NodeId),
    Global(NodeId),
}

/// What another global node reports for one subkey.
#[derive(Debug)]
struct Claim {
    node: NodeId,
    native: bool,
    stamp: u64,
    value: Value,
}

/// One subkey with all that is said of it.
#[derive(Debug, Default)]
struct Entry {
    /// The values of our slaves; the last one is our claim.
    slaves: Vec<(NodeId, Value)>,
    /// The stamp of our claim.
    stamp: u64,
    claims: Vec<Claim>,
}

/// Family and subkey; the texts are shared by all that name the entry.
type Name = (Arc<str>, Arc<str>);

/// The merged database.
#[derive(Debug)]
pub(crate) struct Merged {
    own: NodeId,
    /// Entries that one slave may own.
    limit: usize,
    families: BTreeMap<Arc<str>, BTreeMap<Arc<str>, Entry>>,
    held: BTreeMap<Holder, BTreeSet<Name>>,
}

impl Merged {
    /// An empty database of the global node `own`, each of whose slaves may own `limit` entries.
    pub(crate) fn new(own: NodeId, limit: usize) -> Merged {
        Merged { own, limit, families: BTreeMap::new(), held: BTreeMap::new() }
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
        for name in self.held.remove(&Holder::Slave(node.clone())).unwrap_or_default() {
            self.held.entry(Holder::Global(node.clone())).or_default().insert(name.clone());
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
            let claims =
                entries.iter().filter_map(|(key, entry)| Some((key.to_string(), entry.claim()?.clone())));
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
            entries.iter().map(move |(key, entry)| (family.to_string(), key.to_string(), entry.stamp))
        });
        entries.filter(|(_, _, stamp)| *stamp > 0).collect()
    }

    /// What the database shows of a family.
    pub(crate) fn family(&self, family: &str) -> Family {
        let entries = self.families.get(family).into_iter().flatten();
        entries.filter_map(|(key, entry)| Some((key.to_string(), entry.shown(&self.own)?.clone()))).collect()
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
        let held = self.held.entry(Holder::Slave(node.clone())).or_default();
        if !held.contains(&name) && (held.len() >= self.limit || is_full(family, held)) {
            delta.refused += 1;
            return;
        }
        held.insert(name.clone());
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
        let held = self.held.entry(Holder::Global(node.clone())).or_default();
        if !held.contains(&name) && is_full(family, held) {
            delta.refused += 1;
            return;
        }
        held.insert(name.clone());
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

    fn remove(&mut self, holder: &Holder, name: &Name, delta: &mut Delta) {
        let Some(held) = self.held.get_mut(holder) else { return };
        if !held.remove(name) {
            return;
        }
        if held.is_empty() {
            self.held.remove(holder);
        }
        self.let_go(holder, name, delta);
    }

    fn remove_absent(&mut self, holder: &Holder, tables: &Tables, delta: &mut Delta) {
        let held = self.held.get(holder).into_iter().flatten();
        let stays = |family: &str, key: &str| tables.get(family).is_some_and(|keys| keys.contains_key(key));
        let gone: Vec<Name> = held.filter(|(family, key)| !stays(family, key)).cloned().collect();
        for name in gone {
            self.remove(holder, &name, delta);
        }
    }

    fn drop_holder(&mut self, holder: &Holder) -> Delta {
        let mut delta = Delta::default();
        for name in self.held.remove(holder).unwrap_or_default() {
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
        let key = entries.get_key_value(key).map_or_else(|| key.into(), |(key, _)| key.clone());
        (family.clone(), key)
    }

    /// Changes one entry and notes what that means.
    fn alter(&mut self, (family, key): &Name, delta: &mut Delta, change: impl FnOnce(&NodeId, &mut Entry)) {
        let entries = self.families.entry(family.clone()).or_default();
        let entry = entries.entry(key.clone()).or_default();
        let (claim, shown, stamp) = (entry.claim().cloned(), entry.shown(&self.own).cloned(), entry.stamp);
        change(&self.own, entry);
        if entry.slaves.is_empty() {
            entry.stamp = 0;
        }
        note(&mut delta.claims, family, key, claim.as_ref(), entry.claim());
        note(&mut delta.view, family, key, shown.as_ref(), entry.shown(&self.own));
        if entry.stamp != stamp && entry.stamp > 0 {
            delta.stamps.push((family.to_string(), key.to_string(), entry.stamp));
        }
        if entry.slaves.is_empty() && entry.claims.is_empty() {
            entries.remove(key);
            if entries.is_empty() {
                self.families.remove(family);
            }
        }
    }

    fn entry(&self, family: &str, key: &str) -> Option<&Entry> {
        self.families.get(family)?.get(key)
    }
}

impl Claim {
    fn rank(&self) -> (u64, bool, Reverse<&NodeId>) {
        (self.stamp, self.native, Reverse(&self.node))
    }
}

impl Entry {
    /// What we say for our slaves.
    fn claim(&self) -> Option<&Value> {
        self.slaves.last().map(|(_, value)| value)
    }

    /// The claim of another global node that counts instead of ours.
    fn ahead(&self, own: &NodeId) -> Option<&Claim> {
        let best = self.claims.iter().max_by(|a, b| a.rank().cmp(&b.rank()))?;
        (self.slaves.is_empty() || best.rank() > (self.stamp, true, Reverse(own))).then_some(best)
    }

    /// What counts.
    fn shown(&self, own: &NodeId) -> Option<&Value> {
        self.ahead(own).map(|claim| &claim.value).or_else(|| self.claim())
    }

    /// The highest stamp of all claims.
    fn highest(&self) -> u64 {
        self.claims.iter().map(|claim| claim.stamp).chain([self.stamp]).max().unwrap_or_default()
    }
}

/// Whether there are as many entries in the family as its kind may have from one node.
fn is_full(family: &str, held: &BTreeSet<Name>) -> bool {
    if family != GLOBALS {
        return false;
    }
    let first: Name = (GLOBALS.into(), "".into());
    held.range(first..).take_while(|(family, _)| **family == *GLOBALS).count() >= GLOBALS_MAX
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
