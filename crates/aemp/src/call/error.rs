//! Why a call had no answer.

use std::time::Duration;

use aemp_proto::Reason;
use thiserror::Error;

use crate::message::DecodeError;
use crate::send_error::SendError;

/// Why a call had no answer.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum CallError {
    /// The port died, does not exist, or something sent to it may have been lost.
    #[error("the called port died: {0}")]
    Died(Reason),
    /// There was no answer in time. The call may have been handled all the same.
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
    /// The answer is of another type, or cannot be sent: it has no form, or is too large for a
    /// frame.
    #[error("the reply has the wrong type: {0}")]
    BadReply(#[from] DecodeError),
    /// The call could not be sent.
    #[error(transparent)]
    Send(#[from] SendError),
}
