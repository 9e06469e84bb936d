//! Tells those who follow the nodes which come and go, each loss behind the callbacks of the
//! monitors that fired because of it.

use std::collections::{HashMap, VecDeque};
use std::sync::Weak;

use aemp_proto::NodeId;

use super::NodeEvent;
use crate::telling::Telling;

/// Events that wait for callbacks of monitors; those of one node keep their order.
#[derive(Default)]
pub(super) struct Announcements {
    /// The nodes that are up, and which callbacks are still to be run because one was lost.
    losses: HashMap<NodeId, Weak<Telling>>,
    waiting: HashMap<NodeId, VecDeque<(NodeEvent, Weak<Telling>)>>,
}

impl Announcements {
    /// The node is lost, and its monitors are being told. Of one that was not up nothing is to be
    /// announced, and nothing is kept.
    pub(super) fn lost(&mut self, node: &NodeId, telling: Weak<Telling>) {
        if let Some(loss) = self.losses.get_mut(node) {
            *loss = telling;
        }
    }

    /// Adds an event of a node. Returns what can be announced now.
    pub(super) fn add(&mut self, node: &NodeId, event: NodeEvent) -> Vec<NodeEvent> {
        let telling = match event {
            NodeEvent::Down(..) => self.losses.remove(node).unwrap_or_default(),
            NodeEvent::Up(_) => {
                self.losses.insert(node.clone(), Weak::new());
                Weak::new()
            }
            NodeEvent::Missed(_) => Weak::new(),
        };
        self.waiting.entry(node.clone()).or_default().push_back((event, telling));
        self.ready(node)
    }

    /// Returns what can be announced of a node now, in order.
    pub(super) fn ready(&mut self, node: &NodeId) -> Vec<NodeEvent> {
        let Some(waiting) = self.waiting.get_mut(node) else { return Vec::new() };
        let told = waiting.iter().take_while(|(_, telling)| telling.strong_count() == 0).count();
        let ready = waiting.drain(..told).map(|(event, _)| event).collect();
        if waiting.is_empty() {
            self.waiting.remove(node);
        }
        ready
    }

    /// Returns all that waits, in order for each node: no callback will run any more.
    pub(super) fn finish(&mut self) -> Vec<NodeEvent> {
        self.losses.clear();
        self.waiting.drain().flat_map(|(_, waiting)| waiting).map(|(event, _)| event).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::telling::Tellings;

    #[test]
    fn of_nodes_that_were_never_up_nothing_is_kept() {
        let mut announcements = Announcements::default();
        let node = |n: u32| NodeId::new(&format!("n{n}")).expect("a node ID");
        let lose = || Tellings::default().lose(|| Box::new(|| {}));
        // Each was wanted, and not reached.
        (0..1000).for_each(|n| announcements.lost(&node(n), Arc::downgrade(&lose())));
        assert!(announcements.losses.is_empty() && announcements.waiting.is_empty());
        let (up, down) = (NodeEvent::Up(node(0)), NodeEvent::Down(node(0), "test".into()));
        for _ in 0..2 {
            assert_eq!(announcements.add(&node(0), up.clone()), std::slice::from_ref(&up));
            let telling = lose();
            announcements.lost(&node(0), Arc::downgrade(&telling));
            assert_eq!(announcements.add(&node(0), down.clone()), []);
            drop(telling);
            assert_eq!(announcements.ready(&node(0)), std::slice::from_ref(&down));
        }
        assert!(announcements.losses.is_empty() && announcements.waiting.is_empty());
    }
}
