//! A message on its way: the value itself, or its wire form.

use std::any::Any;
use std::fmt;

use aemp_proto::Body;
use serde::de::Error as _;

use super::{DecodeError, EncodeError, FromMessage, IntoMessage};

/// A message whose type is not known here: a moved value or encoded bytes. Anyone who takes it as
/// the type that was sent gets the value itself.
#[non_exhaustive]
pub enum Envelope {
    /// The value.
    Moved(Box<dyn Erased>),
    /// The wire form.
    Encoded(Body),
}

/// A value that can be taken out again as what it is, or encoded.
pub trait Erased: Any + Send {
    /// The wire form.
    ///
    /// # Errors
    ///
    /// The value has none.
    fn encode_body(&self) -> Result<Body, EncodeError>;
}

impl<M: IntoMessage + Send + 'static> Erased for M {
    fn encode_body(&self) -> Result<Body, EncodeError> {
        self.encode()
    }
}

impl Envelope {
    /// The value itself.
    #[doc(hidden)]
    pub fn moved<M: IntoMessage + Send + 'static>(message: M) -> Envelope {
        Envelope::Moved(Box::new(message))
    }

    /// The wire form.
    ///
    /// # Errors
    ///
    /// A moved value has none.
    pub fn encode(&self) -> Result<Body, EncodeError> {
        match self {
            Envelope::Moved(value) => value.encode_body(),
            Envelope::Encoded(body) => Ok(body.clone()),
        }
    }

    /// Whether [`Envelope::open`] gives this type as it was sent.
    #[doc(hidden)]
    pub fn is<M: 'static>(&self) -> bool {
        matches!(self, Envelope::Moved(value) if (&**value as &dyn Any).is::<M>())
    }

    /// The message as an `M`.
    ///
    /// # Errors
    ///
    /// It does not fit; what was sent cannot be had back.
    pub fn open<M: FromMessage>(self) -> Result<M, DecodeError> {
        match self {
            Envelope::Moved(value) if (&*value as &dyn Any).is::<M>() => {
                let value: Box<dyn Any> = value;
                value
                    .downcast()
                    .map(|message| *message)
                    .map_err(|_| DecodeError::custom("a message changed its type"))
            }
            Envelope::Moved(value) => M::decode(&value.encode_body().map_err(DecodeError::custom)?),
            Envelope::Encoded(body) => M::decode(&body),
        }
    }

    /// Bytes that the message is counted with in a mailbox.
    #[doc(hidden)]
    pub fn bytes(&self) -> usize {
        match self {
            Envelope::Moved(value) => size_of_val(&**value),
            Envelope::Encoded(body) => body.items().len(),
        }
    }
}

impl fmt::Debug for Envelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Envelope::Moved(_) => f.write_str("Moved(…)"),
            Envelope::Encoded(body) => write!(f, "Encoded({} values)", body.count()),
        }
    }
}
