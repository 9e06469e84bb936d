//! Questions of other nodes for an address that is not known here yet, while it may still become
//! known.
//!
//! A node that has just become global, or has just started, does not know yet what the other global
//! nodes know. "Not known yet" must not be answered as "not there": anyone who asked would give up
//! at once.

use std::collections::{BTreeMap, BTreeSet};

use super::{Kernel, Time};
use crate::NodeId;
use crate::db::{LISTENERS, ROUTES, binds_of_value};
use crate::wire::MeshRequest;

/// Questions that may wait at once; a further one is answered at once.
const WAITING_MAX: usize = 1024;

/// The questions that wait.
#[derive(Debug, Default)]
pub(super) struct Lookups {
    /// By the node whose address is asked for: the nodes that ask.
    waiting: BTreeMap<NodeId, BTreeSet<NodeId>>,
    count: usize,
    until: Option<Time>,
}

impl Lookups {
    /// When the questions are answered, whether or not the addresses are known by then.
    pub(super) fn next_timeout(&self) -> Option<Time> {
        self.until
    }

    /// A node that asked is down.
    pub(super) fn forget(&mut self, asker: &NodeId) {
        for askers in self.waiting.values_mut() {
            self.count -= usize::from(askers.remove(asker));
        }
        self.waiting.retain(|_, askers| !askers.is_empty());
        if self.waiting.is_empty() {
            self.until = None;
        }
    }

    fn hold(&mut self, node: &NodeId, asker: &NodeId, until: Time) -> bool {
        if self.count >= WAITING_MAX {
            return false;
        }
        self.count += usize::from(self.waiting.entry(node.clone()).or_default().insert(asker.clone()));
        self.until = Some(self.until.map_or(until, |known| known.max(until)));
        true
    }

    fn take(&mut self, node: &NodeId) -> BTreeSet<NodeId> {
        let askers = self.waiting.remove(node).unwrap_or_default();
        self.count -= askers.len();
        if self.waiting.is_empty() {
            self.until = None;
        }
        askers
    }
}

impl Kernel {
    /// A node asks where another one listens.
    pub(super) fn find(&mut self, asker: &NodeId, node: NodeId, now: Time) {
        let known = [LISTENERS, ROUTES].iter().any(|family| self.merged.get(family, node.as_str()).is_some());
        if !known
            && let Some(until) = self.may_be_told_until(now)
            && self.lookups.hold(&node, asker, until)
        {
            return;
        }
        self.answer_lookup(asker, &node);
    }

    /// An address of this node, or a way to it, has become known.
    pub(super) fn lookup_found(&mut self, node: &NodeId) {
        for asker in self.lookups.take(node) {
            self.answer_lookup(&asker, node);
        }
    }

    /// Answers all questions that wait, if nothing that would help is going to come any more.
    pub(super) fn end_lookups(&mut self, now: Time) {
        let Some(until) = self.lookups.until else { return };
        if now < until && self.may_be_told_until(now).is_some() {
            return;
        }
        for node in self.lookups.waiting.keys().cloned().collect::<Vec<_>>() {
            self.lookup_found(&node);
        }
    }

    /// Until when another global node may tell us of a node that we do not know.
    pub(super) fn may_be_told_until(&self, now: Time) -> Option<Time> {
        let told = |node: &NodeId| self.links.is_up(node) && self.global.has_heard_from(node);
        let starting = now < self.starting_until && self.seeds.any_missing(told);
        self.global.next_timeout().into_iter().chain(starting.then_some(self.starting_until)).max()
    }

    fn answer_lookup(&mut self, asker: &NodeId, node: &NodeId) {
        self.tell_routes(asker, node);
        let binds = self.merged.get(LISTENERS, node.as_str()).map(binds_of_value);
        self.send(asker, MeshRequest::Found(node.clone(), binds));
    }
}
