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
    /// Which callbacks are still to be run because a node was lost.
    losses: HashMap<NodeId, Weak<Telling>>,
    waiting: HashMap<NodeId, VecDeque<(NodeEvent, Weak<Telling>)>>,
}

impl Announcements {
    /// The node is lost, and its monitors are being told.
    pub(super) fn lost(&mut self, node: NodeId, telling: Weak<Telling>) {
        self.losses.insert(node, telling);
    }

    /// Adds an event of a node. Returns what can be announced now.
    pub(super) fn add(&mut self, node: &NodeId, event: NodeEvent) -> Vec<NodeEvent> {
        let telling = match event {
            NodeEvent::Down(..) => self.losses.remove(node).unwrap_or_default(),
            NodeEvent::Up(_) | NodeEvent::Missed(_) => Weak::new(),
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
