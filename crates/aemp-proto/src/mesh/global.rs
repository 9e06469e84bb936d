//! The global service of one node: who else is global, who is attached to us, who watches what
//! here.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::NodeId;
use crate::budget::{Charge, PeerBudgets};
use crate::db::size::memory;
use crate::time::Time;
use crate::wire::MeshRequest;

/// A node that becomes global waits this long for what other global nodes know, before it answers
/// out of its own.
const SETTLE: Duration = Duration::from_secs(1);

/// What a watch, or a question that waits, takes beside the name of its family.
const WATCH_COST: usize = 256;

/// A node that became global and does not know yet what the others know.
#[derive(Debug)]
struct Settling {
    until: Time,
    /// Global nodes whose database has not come yet.
    missing: BTreeSet<NodeId>,
    /// What cannot be answered yet.
    deferred: Vec<(NodeId, MeshRequest, Charge)>,
}

/// The state of the global service.
#[derive(Debug, Default)]
pub(crate) struct Global {
    active: bool,
    /// Nodes that are up and have said that they are global.
    others: BTreeSet<NodeId>,
    slaves: BTreeSet<NodeId>,
    /// Who watches a family, and what that takes out of the budget of that node.
    watchers: BTreeMap<String, BTreeMap<NodeId, Charge>>,
    /// Those of `others` whose database has come.
    told: BTreeSet<NodeId>,
    settling: Option<Settling>,
}

impl Global {
    /// Whether this node is global.
    pub(crate) fn is_active(&self) -> bool {
        self.active
    }

    /// This node becomes global.
    pub(crate) fn activate(&mut self, now: Time) {
        self.active = true;
        if !self.others.is_empty() {
            let missing = self.others.clone();
            self.settling = Some(Settling { until: now + SETTLE, missing, deferred: Vec::new() });
        }
    }

    /// A node says that it is global: it is nobody's slave.
    pub(crate) fn add_other(&mut self, node: &NodeId) -> bool {
        self.others.insert(node.clone());
        self.forget_watcher(node);
        self.slaves.remove(node)
    }

    /// Whether this node is up and global.
    pub(crate) fn is_other(&self, node: &NodeId) -> bool {
        self.others.contains(node)
    }

    /// The other global nodes that are up.
    pub(crate) fn others(&self) -> impl Iterator<Item = &NodeId> {
        self.others.iter()
    }

    /// A node attaches itself to us.
    pub(crate) fn add_slave(&mut self, node: &NodeId) {
        self.slaves.insert(node.clone());
    }

    /// Whether this node is attached to us.
    pub(crate) fn is_slave(&self, node: &NodeId) -> bool {
        self.slaves.contains(node)
    }

    /// A node watches a family here. False if it has too much here already.
    pub(crate) fn watch(&mut self, node: &NodeId, family: &str, budgets: &PeerBudgets) -> bool {
        if self.watchers.get(family).is_some_and(|nodes| nodes.contains_key(node)) {
            return true;
        }
        let Some(charge) = budgets.of(node).charge(WATCH_COST + family.len()) else { return false };
        self.watchers.entry(family.into()).or_default().insert(node.clone(), charge);
        true
    }

    /// It does not any more.
    pub(crate) fn unwatch(&mut self, node: &NodeId, family: &str) {
        if let Some(nodes) = self.watchers.get_mut(family) {
            nodes.remove(node);
            if nodes.is_empty() {
                self.watchers.remove(family);
            }
        }
    }

    /// Who watches this family.
    pub(crate) fn watchers(&self, family: &str) -> impl Iterator<Item = &NodeId> {
        self.watchers.get(family).into_iter().flat_map(BTreeMap::keys)
    }

    /// A node is down. Gives whether it was global, and whether it was our slave.
    pub(crate) fn lost(&mut self, node: &NodeId) -> (bool, bool) {
        self.forget_watcher(node);
        if let Some(settling) = &mut self.settling {
            settling.deferred.retain(|(from, ..)| from != node);
            settling.missing.remove(node);
        }
        self.told.remove(node);
        (self.others.remove(node), self.slaves.remove(node))
    }

    /// Another global node's database has come.
    pub(crate) fn heard_from(&mut self, node: &NodeId) {
        self.told.insert(node.clone());
        if let Some(settling) = &mut self.settling {
            settling.missing.remove(node);
        }
    }

    /// Whether the database of this global node has come.
    pub(crate) fn has_heard_from(&self, node: &NodeId) -> bool {
        self.told.contains(node)
    }

    /// Keeps a request for later, if it cannot be answered yet. One of a node that has too much
    /// here already is answered at once, out of what is known.
    pub(crate) fn defer(
        &mut self,
        from: &NodeId,
        request: MeshRequest,
        budgets: &PeerBudgets,
    ) -> Result<(), MeshRequest> {
        let Some(settling) = &mut self.settling else { return Err(request) };
        let Some(charge) = budgets.of(from).charge(request_memory(&request)) else { return Err(request) };
        settling.deferred.push((from.clone(), request, charge));
        Ok(())
    }

    /// Whether answers have to wait.
    pub(crate) fn is_settling(&self) -> bool {
        self.settling.is_some()
    }

    /// Ends the wait when it is over, and gives the requests that were kept.
    pub(crate) fn settle(&mut self, now: Time) -> Option<Vec<(NodeId, MeshRequest)>> {
        let over = |settling: &mut Settling| settling.missing.is_empty() || settling.until <= now;
        let deferred = self.settling.take_if(over)?.deferred.into_iter();
        Some(deferred.map(|(from, request, _)| (from, request)).collect())
    }

    /// When [`Global::settle`] has something to do.
    pub(crate) fn next_timeout(&self) -> Option<Time> {
        self.settling.as_ref().map(|settling| settling.until)
    }

    fn forget_watcher(&mut self, node: &NodeId) {
        self.watchers.retain(|_, nodes| {
            nodes.remove(node);
            !nodes.is_empty()
        });
    }
}

/// About how many bytes of memory a question takes.
fn request_memory(request: &MeshRequest) -> usize {
    let inside = match request {
        MeshRequest::Family(family, id) | MeshRequest::Keys(family, id) | MeshRequest::Values(family, id) => {
            family.len() + memory(id)
        }
        MeshRequest::Watch(family) | MeshRequest::Unwatch(family) => family.len(),
        _ => 0,
    };
    WATCH_COST + inside
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Value;

    fn node(id: &str) -> NodeId {
        NodeId::new(id).unwrap()
    }

    #[test]
    fn a_lone_node_that_becomes_global_answers_at_once() {
        let mut global = Global::default();
        global.activate(Time::ZERO);
        assert!(!global.is_settling());
    }

    #[test]
    fn one_with_global_peers_waits_for_their_databases() {
        let budgets = PeerBudgets::default();
        let mut global = Global::default();
        global.add_other(&node("a"));
        global.add_other(&node("b"));
        global.activate(Time::ZERO);
        assert_eq!(global.defer(&node("s"), MeshRequest::Watch("f".into()), &budgets), Ok(()));
        global.heard_from(&node("a"));
        assert_eq!(global.settle(Time::ZERO), None);
        global.lost(&node("b"));
        assert_eq!(global.settle(Time::ZERO).map(|kept| kept.len()), Some(1));
        assert!(global.defer(&node("s"), MeshRequest::Watch("f".into()), &budgets).is_err());
    }

    #[test]
    fn it_does_not_wait_for_ever() {
        let mut global = Global::default();
        global.add_other(&node("a"));
        global.activate(Time::ZERO);
        assert_eq!(global.settle(global.next_timeout().unwrap()), Some(vec![]));
    }

    #[test]
    fn what_a_node_watches_and_asks_takes_memory_of_its_own_and_gives_it_back() {
        let (mut global, budgets) = (Global::default(), PeerBudgets::new(100_000));
        let [a, b] = ["a", "b"].map(node);
        let watched = (0..).take_while(|n| global.watch(&a, &format!("{n:01000}"), &budgets)).count();
        assert!((50..100).contains(&watched), "{watched}");
        assert!(global.watch(&a, &format!("{:01000}", 0), &budgets), "it is watched already");
        assert!(global.watch(&b, "f", &budgets), "b has a budget of its own");
        global.unwatch(&a, &format!("{:01000}", 0));
        assert!(global.watch(&a, "f", &budgets));
        global.lost(&a);
        assert_eq!(budgets.of(&a).used(), 0);
        global.add_other(&b);
        global.activate(Time::ZERO);
        let question = || MeshRequest::Keys("f".into(), Value::Text("x".repeat(1000)));
        let deferred = (0..).take_while(|_| global.defer(&a, question(), &budgets).is_ok()).count();
        assert!((50..100).contains(&deferred), "{deferred}");
        assert_eq!(global.settle(global.next_timeout().unwrap()).map(|kept| kept.len()), Some(deferred));
        assert_eq!(budgets.of(&a).used(), 0);
    }

    #[test]
    fn a_node_that_is_down_watches_nothing() {
        let budgets = PeerBudgets::default();
        let mut global = Global::default();
        assert!(global.watch(&node("a"), "f", &budgets));
        assert!(global.watch(&node("b"), "f", &budgets));
        global.lost(&node("a"));
        assert_eq!(global.watchers("f").collect::<Vec<_>>(), [&node("b")]);
        global.unwatch(&node("b"), "f");
        assert!(global.watchers.is_empty());
    }
}
