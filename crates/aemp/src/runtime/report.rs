//! The request that a node ends, and what it says when it has.

use std::fmt;
use std::time::Duration;

use aemp_proto::NodeId;
use tokio::sync::oneshot;

/// What a node could not deliver before it ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShutdownReport {
    /// The nodes that may not have got everything that was sent to them, in no order.
    pub undelivered: Vec<Undelivered>,
}

/// A node that may not have got everything that was sent to it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Undelivered {
    /// The node.
    pub node: NodeId,
    /// What is known of the cause.
    pub reason: String,
}

impl ShutdownReport {
    /// Whether each node has read all that was sent to it. What its ports did with it is not known.
    pub fn is_complete(&self) -> bool {
        self.undelivered.is_empty()
    }
}

impl fmt::Display for Undelivered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "node {} may not have got everything that was sent to it: {}", self.node, self.reason)
    }
}

/// Somebody wants the node to end.
pub(crate) struct ShutdownRequest {
    pub(super) grace: Duration,
    pub(super) done: oneshot::Sender<ShutdownReport>,
}
