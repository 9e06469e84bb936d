//! What can be wrong with bytes that are read, and with values that are to be written.

use std::convert::Infallible;
use std::fmt;

use thiserror::Error;

use super::framing::Framing;

/// Bytes that are not what they are taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("malformed at byte {at}: {what}")]
pub struct Malformed {
    /// Where, counted from the start of the frame or body.
    pub at: usize,
    /// What is wrong there.
    pub what: &'static str,
}

/// A frame that cannot be accepted; the connection it came on has to end.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FrameError {
    /// The frame is, or announces to become, longer than [`Limits::frame`](super::Limits::frame).
    #[error("a frame is longer than the {limit} bytes allowed")]
    TooLong {
        /// The limit.
        limit: usize,
    },
    /// The frame nests deeper than [`Limits::depth`](super::Limits::depth).
    #[error("a frame nests deeper than the {limit} levels allowed")]
    TooDeep {
        /// The limit.
        limit: usize,
    },
    /// The frame is not well formed.
    #[error("a frame is {0}")]
    Malformed(#[from] Malformed),
    /// A native frame of a kind that we do not know.
    #[error("a frame has the unknown kind {0}")]
    Kind(u8),
    /// A native frame does not have the next number.
    #[error("frame {got} came where {expected} was due")]
    Sequence {
        /// The number that was due.
        expected: u64,
        /// The number that the frame has.
        got: u64,
    },
    /// A part of a message does not fit to those before it, or begins one message too many.
    #[error("a part of message {number} came that {what}")]
    Part {
        /// The number that the message has while it is unfinished.
        number: u32,
        /// What is wrong with the part.
        what: &'static str,
    },
    /// A message cannot be written in the framing of the peer.
    #[error(transparent)]
    Encode(#[from] EncodeError),
}

/// A value or message that cannot be written.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// The integer has no form on the wire.
    #[error("the integer {0} is outside of -2^64 to 2^64-1")]
    Integer(i128),
    /// The value nests deeper than peers accept.
    #[error("a value nests deeper than the {limit} levels that peers accept")]
    TooDeep {
        /// The most levels.
        limit: usize,
    },
    /// The name of the destination is too long for a frame.
    #[error("a port name of {0} bytes does not fit into a frame")]
    NameTooLong(usize),
    /// The message is too long for a frame, or has too many values.
    #[error("a message of {0} bytes does not fit into a frame")]
    TooLong(usize),
    /// The value has no form in the framing that the peer reads.
    #[error("{what} has no form in {framing}, the framing of the peer")]
    NoForm {
        /// What the value is.
        what: &'static str,
        /// What the peer reads.
        framing: Framing,
    },
    /// The type's own `Serialize` refused.
    #[error("{0}")]
    Custom(String),
}

impl serde::ser::Error for EncodeError {
    fn custom<T: fmt::Display>(message: T) -> EncodeError {
        EncodeError::Custom(message.to_string())
    }
}

impl From<minicbor::encode::Error<Infallible>> for EncodeError {
    fn from(error: minicbor::encode::Error<Infallible>) -> EncodeError {
        EncodeError::Custom(error.to_string())
    }
}
