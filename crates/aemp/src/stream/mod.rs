//! Data connections: streams of bytes between two nodes, beside the messages (`PROTOCOL.md` §2.7).
//!
//! One node names a registered function of another one and gets a [`Stream`]; the function gets the
//! other end. A stream is a TCP connection of its own, made over the same listeners and
//! authenticated in the same way. It has nothing to do with the order of messages, and outlives the
//! connection that carries these.
//!
//! Reading order: `connect` (the side that wants a stream), `serve` (the other one), `dial` (who
//! can reach whom), `table` (which streams are awaited), `io`, `pipe`.

mod connect;
mod dial;
mod functions;
mod io;
mod pipe;
mod serve;
mod streams;
mod table;

use std::time::Duration;

use aemp_proto::{NodeId, Reason};
use thiserror::Error;

pub(crate) use functions::StreamFunctions;
pub use io::Stream;
pub(crate) use streams::{Claim, Streams, Unawaited};

use crate::message::EncodeError;
use crate::node::Node;
use crate::send_error::SendError;

/// What the requests of data connections begin with.
pub(crate) const REQUESTS: &str = "AnyEvent::MP::DataConn::";

/// The request that announces a data connection, and the one that asks for being dialled.
const EXPECT: &str = "_expect";
const CONNECT: &str = "_connect";

/// The identifier of the reasons with which ports die that wanted a data connection.
const IDENTIFIER: &str = "AnyEvent::MP::DataConn";

/// Why there is no stream.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum StreamError {
    /// An argument has no wire form.
    #[error("the arguments of the stream's function cannot be encoded: {0}")]
    Encode(#[from] EncodeError),
    /// The request is too large for a frame.
    #[error(transparent)]
    Send(#[from] SendError),
    /// The other node refused, or gave up: the function is not registered there, the arguments do
    /// not fit it, the node is in secure mode or has too many streams, or it was asked to dial this
    /// node and could not. A Perl node does not always say why.
    #[error("node {node} refused the stream: {reason}")]
    Refused {
        /// The other node.
        node: NodeId,
        /// What it says.
        reason: Reason,
    },
    /// The connection that carries messages to the node was lost, or could not be made.
    #[error("node {node} is not connected: {reason}")]
    Lost {
        /// The other node.
        node: NodeId,
        /// Why.
        reason: Reason,
    },
    /// This node reaches none of the other one's addresses, and has none itself at which it could
    /// be dialled.
    #[error("node {node} is unreachable, and this node has no address at which it could be dialled: {tried}")]
    Unreachable {
        /// The other node.
        node: NodeId,
        /// What was tried.
        tried: String,
    },
    /// The connection was made, and failed before the stream could be used.
    #[error("the data connection to node {node} failed: {error}")]
    Failed {
        /// The other node.
        node: NodeId,
        /// Why.
        error: String,
    },
    /// The time is up. The function may run all the same, with a stream that has ended.
    #[error("no data connection to node {node} within {limit:?}")]
    TimedOut {
        /// The other node.
        node: NodeId,
        /// The time.
        limit: Duration,
    },
    /// The operating system gives no random number for the ID.
    #[error("the operating system's random number generator failed: {0}")]
    Random(String),
    /// This node was shut down.
    #[error("this node has been shut down")]
    Shutdown,
}

impl StreamError {
    /// What a port dies of that wanted the stream: `AnyEvent::MP::DataConn, TEXT`.
    pub fn reason(&self) -> Reason {
        Reason::text(IDENTIFIER, self)
    }
}

impl Node {
    /// The data connections of this node.
    pub(crate) fn streams(&self) -> &Streams {
        &self.inner().shared.streams
    }
}

#[cfg(test)]
mod tests;
