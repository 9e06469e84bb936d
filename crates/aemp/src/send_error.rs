//! Why a message was not sent.

use aemp_proto::outbox::Refused;
use aemp_proto::{Body, NodeId, wire};
use thiserror::Error;

use crate::message::EncodeError;

/// A message that could not be sent. Nothing of it was queued.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SendError {
    /// A value has no wire form.
    #[error("the message cannot be encoded: {0}")]
    Encode(#[from] EncodeError),
    /// It is larger than a frame may be.
    #[error("the message has {size} bytes; a frame to another node may have {limit}")]
    TooLarge {
        /// Bytes of the message.
        size: usize,
        /// Bytes that it may have.
        limit: usize,
        /// The message.
        message: Box<Body>,
    },
    /// The other node reads another framing than nodes of ours do, and a value has no form in it.
    #[error("the message cannot be sent to the node {node}: {error}")]
    NoForm {
        /// The node.
        node: NodeId,
        /// What has no form there.
        #[source]
        error: wire::EncodeError,
        /// The message.
        message: Box<Body>,
    },
    /// A reply that no port has decoded, so it is not known through which node it can be sent.
    #[error("the question was not decoded by a port, so its node is not known: answer with Node::reply")]
    NoNode,
}

impl SendError {
    pub(crate) fn refused(node: &NodeId, refused: Refused, message: Body) -> SendError {
        let message = Box::new(message);
        match refused {
            Refused::TooLarge { size, limit } => SendError::TooLarge { size, limit, message },
            Refused::NoForm(error) => SendError::NoForm { node: node.clone(), error, message },
        }
    }

    /// The message that was not sent, which can be sent elsewhere or read again; `None` if it could
    /// not be encoded.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aemp::{Node, PortId, SendError};
    /// fn send(node: &Node, to: &PortId, text: &str, keeps: &PortId) -> Result<(), SendError> {
    ///     match node.send(to, (text,)).map_err(SendError::into_message) {
    ///         // A port of this node takes any size.
    ///         Err(Some(unsent)) => node.send(keeps, unsent),
    ///         _ => Ok(()),
    ///     }
    /// }
    /// ```
    pub fn into_message(self) -> Option<Body> {
        match self {
            SendError::TooLarge { message, .. } | SendError::NoForm { message, .. } => Some(*message),
            SendError::Encode(_) | SendError::NoNode => None,
        }
    }
}
