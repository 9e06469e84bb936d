//! What one node may ask another one to follow, and what it is told.

use std::time::Duration;

use aemp_proto::NodeId;

use super::current::AtNode as _;
use super::hop::Hops;
use super::rule::Rule;
use crate::node::Node;
use crate::stats::AskError;
use crate::stats::question::Question;

impl Node {
    /// Begins a trace with some of the messages that this node sends, and that come from nodes
    /// which follow nothing. A rule takes the place of another one with the same subject; one with
    /// a count of zero ends it.
    pub fn follow_messages(&self, rule: Rule) {
        let shared = &self.inner().shared;
        let (before, after) = shared.tracer.set_rule(rule, shared.now());
        match (before, after) {
            (false, true) => self.look(true),
            (true, false) => self.look(false),
            _ => {}
        }
    }

    /// What this node remembers of the messages that it followed, from this [number] on: some two
    /// thousand hops.
    ///
    /// [number]: super::Hop::number
    pub fn hops(&self, from: u64) -> Hops {
        self.inner().shared.tracer.hops(from)
    }

    /// As [`Node::follow_messages`] on another node. A node in secure mode does not do it.
    ///
    /// # Errors
    ///
    /// As [`Node::stats_of`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up the answer; the rule may count.
    pub async fn follow_messages_at(
        &self,
        node: &NodeId,
        rule: Rule,
        limit: Duration,
    ) -> Result<Hops, AskError> {
        self.ask(node, Question::Follow(rule), limit).await
    }

    /// As [`Node::hops`] on another node. A node in secure mode does not tell.
    ///
    /// # Errors
    ///
    /// As [`Node::stats_of`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up the answer.
    pub async fn hops_of(&self, node: &NodeId, from: u64, limit: Duration) -> Result<Hops, AskError> {
        self.ask(node, Question::Hops(from), limit).await
    }
}
