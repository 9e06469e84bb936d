//! Where a connection to a node can lead.

use crate::NodeId;

/// What is dialled, and what the times between two dials are remembered for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum DialTarget {
    /// An address: `HOST:PORT`.
    Direct(String),
    /// A node that relays the connection to another one.
    Relay {
        /// The node that relays.
        relay: NodeId,
        /// The node at the other end.
        to: NodeId,
    },
}
