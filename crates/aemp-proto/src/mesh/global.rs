//! The global service of one node: who else is global, who is attached to us, who watches what here.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::NodeId;
use crate::kernel::Time;
use crate::wire::MeshRequest;

/// A node that becomes global waits this long for what other global nodes know, before it answers out of its own.
const SETTLE: Duration = Duration::from_secs(1);

/// A node that became global and does not know yet what the others know.
#[derive(Debug)]
struct Settling {
    until: Time,
    /// Global nodes whose database has not come yet.
    missing: BTreeSet<NodeId>,
    /// What cannot be answered yet.
    deferred: Vec<(NodeId, MeshRequest)>,
}

/// The state of the global service.
#[derive(Debug, Default)]
pub(crate) struct Global {
    active: bool,
    /// Nodes that are up and have said that they are global.
    others: BTreeSet<NodeId>,
    slaves: BTreeSet<NodeId>,
    watchers: BTreeMap<String, BTreeSet<NodeId>>,
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

    /// A node watches a family here.
    pub(crate) fn watch(&mut self, node: &NodeId, family: &str) {
        self.watchers.entry(family.into()).or_default().insert(node.clone());
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
        self.watchers.get(family).into_iter().flatten()
    }

    /// A node is down. Gives whether it was global, and whether it was our slave.
    pub(crate) fn lost(&mut self, node: &NodeId) -> (bool, bool) {
        self.forget_watcher(node);
        if let Some(settling) = &mut self.settling {
            settling.deferred.retain(|(from, _)| from != node);
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

    /// Keeps a request for later, if it cannot be answered yet.
    pub(crate) fn defer(&mut self, from: &NodeId, request: MeshRequest) -> Result<(), MeshRequest> {
        match &mut self.settling {
            Some(settling) => {
                settling.deferred.push((from.clone(), request));
                Ok(())
            }
            None => Err(request),
        }
    }

    /// Whether answers have to wait.
    pub(crate) fn is_settling(&self) -> bool {
        self.settling.is_some()
    }

    /// Ends the wait when it is over, and gives the requests that were kept.
    pub(crate) fn settle(&mut self, now: Time) -> Option<Vec<(NodeId, MeshRequest)>> {
        let over = |settling: &mut Settling| settling.missing.is_empty() || settling.until <= now;
        self.settling.take_if(over).map(|settling| settling.deferred)
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

#[cfg(test)]
mod tests {
    use super::*;

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
        let mut global = Global::default();
        global.add_other(&node("a"));
        global.add_other(&node("b"));
        global.activate(Time::ZERO);
        assert_eq!(global.defer(&node("s"), MeshRequest::Watch("f".into())), Ok(()));
        global.heard_from(&node("a"));
        assert_eq!(global.settle(Time::ZERO), None);
        global.lost(&node("b"));
        assert_eq!(global.settle(Time::ZERO).map(|kept| kept.len()), Some(1));
        assert!(global.defer(&node("s"), MeshRequest::Watch("f".into())).is_err());
    }

    #[test]
    fn it_does_not_wait_for_ever() {
        let mut global = Global::default();
        global.add_other(&node("a"));
        global.activate(Time::ZERO);
        assert_eq!(global.settle(global.next_timeout().unwrap()), Some(vec![]));
    }

    #[test]
    fn a_node_that_is_down_watches_nothing() {
        let mut global = Global::default();
        global.watch(&node("a"), "f");
        global.watch(&node("b"), "f");
        global.lost(&node("a"));
        assert_eq!(global.watchers("f").collect::<Vec<_>>(), [&node("b")]);
        global.unwatch(&node("b"), "f");
        assert!(global.watchers.is_empty());
    }
}
