//! Nodes that meet at a message broker, because they cannot dial each other.
//!
//! A [`Broker`] makes streams of bytes between nodes, by their IDs alone: no listener, no address,
//! no seed. A node has at most one ([`Builder::broker`](crate::Builder::broker)), beside its
//! listeners and seeds, and then relays connections between those that have only one of the two.
//! What runs on such a stream is what runs on a socket: greeting, TLS, proofs, frames, and so the
//! same promises.
//!
//! The broker is not trusted: without a certificate on both sides nothing is sent over it but the
//! greeting, and a node without one does not start, unless [`Broker::is_trusted`] says that the
//! broker may read and forge everything.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::time::Duration;

use aemp_proto::NodeId;
use tokio::io::{AsyncRead, AsyncWrite};

/// A stream of bytes to another node. What is read is a prefix of what the other side has written;
/// if bytes are lost, reading ends with an error. Dropping it ends it in order, as with a socket:
/// what was written before still arrives.
pub trait BrokerStream: AsyncRead + AsyncWrite + Send + Unpin + 'static {
    /// Whether the other side is to see an error when this is dropped, and not an orderly end. What
    /// has not arrived by then may be lost.
    fn reset_when_dropped(&self, reset: bool);
}

/// What a broker does, once it is done.
pub type BrokerFuture<'a, T> = Pin<Box<dyn Future<Output = io::Result<T>> + Send + 'a>>;

/// What a broker is told of the node that uses it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct BrokerUser {
    /// The ID of the node.
    pub node: NodeId,
    /// How long silence may last before a connection counts as lost.
    pub monitor_timeout: Duration,
}

/// Makes streams between nodes.
pub trait Broker: Send + Sync + 'static {
    /// What it is called in logs.
    fn name(&self) -> String;

    /// Whether the broker may read, change and forge what nodes send over it.
    fn is_trusted(&self) -> bool {
        false
    }

    /// Begins to be there for this node. Called once, in the runtime of the node, before the
    /// others. That the broker cannot be reached now is no error: it is tried again.
    ///
    /// # Errors
    ///
    /// The settings of the broker can never work.
    fn start(&self, user: BrokerUser) -> BrokerFuture<'_, ()>;

    /// A stream to this node.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::NotFound`] if the broker says that the node is not there, which has to be
    /// at once; another one if it could not be asked, or nobody has answered.
    fn dial(&self, to: &NodeId) -> BrokerFuture<'_, Box<dyn BrokerStream>>;

    /// The next stream that another node has begun.
    ///
    /// # Errors
    ///
    /// There will be none any more.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the future is dropped.
    fn accept(&self) -> BrokerFuture<'_, Box<dyn BrokerStream>>;

    /// This node is a global one from now on, which those look for who know nobody. Called once at
    /// most, in the runtime of the node.
    fn become_global(&self);

    /// Accepts nothing from now on: the node is about to end. The streams that there are go on.
    fn close(&self);

    /// The global nodes that are there, without this one.
    ///
    /// # Errors
    ///
    /// The broker could not be asked.
    fn global_nodes(&self) -> BrokerFuture<'_, Vec<NodeId>>;
}
