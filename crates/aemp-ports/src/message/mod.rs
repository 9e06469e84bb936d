//! Messages: what may be sent, and what a port may take.
//!
//! A message is a list of values. In Rust it is one of
//!
//! - an enum with `#[derive(Serialize, Deserialize, Message)]`: one variant is one message, its tag
//!   first;
//! - a tuple of serde values: `("ping", 1)`; `()` is the empty message;
//! - an untyped [`AnyMessage`].
//!
//! The wire form is the meaning. A local send between equal derived (or untyped) types moves the
//! value; everything else is encoded once and decoded once, exactly as over the wire.

mod envelope;
#[doc(hidden)]
pub mod value_for;

pub use aemp_proto::typed::{DecodeError, EncodeError, Variants};
pub use envelope::Envelope;
pub use value_for::ValueFor;

use std::sync::Arc;

use aemp_proto::wire::Span;
use aemp_proto::{Addr, AnyMessage, Body, PortId, Reason, typed};
use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::host::Host;
use crate::known::AnyMailbox;
use crate::mailbox::Queue;

/// What `#[derive(Message)]` implements: the tags of a type's variants.
pub trait Message: Serialize + DeserializeOwned + Send + 'static {
    /// Variant → tag, and the variant that takes unknown tags.
    const VARIANTS: Variants;
}

/// What can be sent: types that derive [`Message`], tuples and untyped messages. No other type can
/// implement it.
pub trait IntoMessage: sealed::IntoMessage + Sized {
    /// The wire form.
    ///
    /// # Errors
    ///
    /// A value has no wire form, for example an integer beyond 64 bits.
    fn encode(&self) -> Result<Body, EncodeError>;

    /// Appends the values of the wire form to `out` and says how many they are. The same as
    /// [`IntoMessage::encode`] for a caller with a buffer to reuse.
    ///
    /// # Errors
    ///
    /// As [`IntoMessage::encode`]; then `out` is as it was before.
    fn encode_into(&self, out: &mut Vec<u8>) -> Result<u32, EncodeError> {
        let body = self.encode()?;
        out.extend_from_slice(body.items());
        Ok(body.count())
    }

    /// The wire form, if the message is kept in it.
    fn encoded(&self) -> Option<&Body> {
        None
    }

    /// The message as a value that can be put aside: moved if it can be, else encoded.
    ///
    /// # Errors
    ///
    /// As [`IntoMessage::encode`].
    fn into_envelope(self) -> Result<Envelope, EncodeError> {
        self.encode().map(Envelope::Encoded)
    }

    /// The queue of a mailbox whose port takes just this type. It is asked before the message is
    /// moved, so that this is done once.
    #[doc(hidden)]
    fn own_queue<H: Host>(_mailbox: AnyMailbox<'_, H>) -> Option<&mut Queue<H, Self>> {
        None
    }
}

/// A message that is given to code which is rarely needed. It lies in a place of its own, so that
/// otherwise it need not lie anywhere before it is in a mailbox: it stays in registers.
#[doc(hidden)]
pub struct Aside<M>(pub M);

/// What a port can take.
pub trait FromMessage: IntoMessage + MessageFor<Self> + Send + 'static {
    /// Reads the wire form.
    ///
    /// # Errors
    ///
    /// The values do not fit the type.
    fn decode(body: &Body) -> Result<Self, DecodeError>;

    /// The same for a message that lies among others in what was received.
    ///
    /// # Errors
    ///
    /// As [`FromMessage::decode`].
    #[doc(hidden)]
    fn decode_at(batch: &Bytes, span: Span) -> Result<Self, DecodeError> {
        Self::decode(&span.body(batch))
    }
}

impl<T: Message> IntoMessage for T {
    fn encode(&self) -> Result<Body, EncodeError> {
        typed::to_body_tagged(self, &T::VARIANTS)
    }

    fn encode_into(&self, out: &mut Vec<u8>) -> Result<u32, EncodeError> {
        typed::encode_into(self, &T::VARIANTS, out)
    }

    fn into_envelope(self) -> Result<Envelope, EncodeError> {
        Ok(Envelope::moved(self))
    }

    #[inline]
    fn own_queue<H: Host>(mailbox: AnyMailbox<'_, H>) -> Option<&mut Queue<H, T>> {
        mailbox.downcast()
    }
}

impl<T: Message> FromMessage for T {
    fn decode(body: &Body) -> Result<T, DecodeError> {
        typed::from_body_tagged(body, &T::VARIANTS)
    }

    #[inline]
    fn decode_at(batch: &Bytes, span: Span) -> Result<T, DecodeError> {
        typed::from_items(span.count(), span.items(batch), &T::VARIANTS)
    }
}

impl IntoMessage for AnyMessage {
    fn encode(&self) -> Result<Body, EncodeError> {
        typed::to_body(self)
    }

    fn encode_into(&self, out: &mut Vec<u8>) -> Result<u32, EncodeError> {
        typed::encode_into(self, &Variants::NONE, out)
    }

    fn into_envelope(self) -> Result<Envelope, EncodeError> {
        Ok(Envelope::moved(self))
    }

    #[inline]
    fn own_queue<H: Host>(mailbox: AnyMailbox<'_, H>) -> Option<&mut Queue<H, AnyMessage>> {
        mailbox.downcast()
    }
}

impl FromMessage for AnyMessage {
    fn decode(body: &Body) -> Result<AnyMessage, DecodeError> {
        typed::from_body(body)
    }

    fn decode_at(batch: &Bytes, span: Span) -> Result<AnyMessage, DecodeError> {
        typed::from_items(span.count(), span.items(batch), &Variants::NONE)
    }
}

impl IntoMessage for &AnyMessage {
    fn encode(&self) -> Result<Body, EncodeError> {
        typed::to_body(*self)
    }

    fn encode_into(&self, out: &mut Vec<u8>) -> Result<u32, EncodeError> {
        typed::encode_into(*self, &Variants::NONE, out)
    }
}

impl IntoMessage for Envelope {
    fn encode(&self) -> Result<Body, EncodeError> {
        Envelope::encode(self)
    }

    fn encoded(&self) -> Option<&Body> {
        match self {
            Envelope::Encoded(body) => Some(body),
            Envelope::Moved(_) => None,
        }
    }

    fn into_envelope(self) -> Result<Envelope, EncodeError> {
        Ok(self)
    }

    #[inline]
    fn own_queue<H: Host>(mailbox: AnyMailbox<'_, H>) -> Option<&mut Queue<H, Envelope>> {
        mailbox.downcast()
    }
}

impl FromMessage for Envelope {
    fn decode(body: &Body) -> Result<Envelope, DecodeError> {
        Ok(Envelope::Encoded(body.clone()))
    }
}

impl IntoMessage for Body {
    fn encode(&self) -> Result<Body, EncodeError> {
        Ok(self.clone())
    }

    fn encoded(&self) -> Option<&Body> {
        Some(self)
    }
}

impl IntoMessage for &Body {
    fn encode(&self) -> Result<Body, EncodeError> {
        Ok(Body::clone(self))
    }

    fn encoded(&self) -> Option<&Body> {
        Some(self)
    }
}

impl FromMessage for Body {
    fn decode(body: &Body) -> Result<Body, DecodeError> {
        Ok(body.clone())
    }
}

macro_rules! tuples {
    ($(($($name:ident)*))*) => {$(
        impl<$($name: Serialize),*> IntoMessage for ($($name,)*) {
            fn encode(&self) -> Result<Body, EncodeError> {
                typed::to_body(self)
            }

            fn encode_into(&self, out: &mut Vec<u8>) -> Result<u32, EncodeError> {
                typed::encode_into(self, &Variants::NONE, out)
            }
        }

        impl<$($name: Serialize + DeserializeOwned + Send + 'static),*> FromMessage for ($($name,)*) {
            fn decode(body: &Body) -> Result<Self, DecodeError> {
                typed::from_body(body)
            }

            fn decode_at(batch: &Bytes, span: Span) -> Result<Self, DecodeError> {
                typed::from_items(span.count(), span.items(batch), &Variants::NONE)
            }
        }
    )*};
}
tuples! { () (A) (A B) (A B C) (A B C D) (A B C D E) (A B C D E F) (A B C D E F G) (A B C D E F G H) }

/// Where an `M` may be sent: a [`PortId`], to which anything may, or an [`Addr`] of a type that
/// takes it.
#[diagnostic::on_unimplemented(
    message = "a message of type `{M}` cannot be sent to `{Self}`",
    note = "anything may be sent to the port ID, `addr.port()`; it is checked when it arrives"
)]
pub trait Destination<M>: sealed::Destination {
    /// Returns the port ID.
    fn port_id(&self) -> &PortId;
}

/// What may be sent to an [`Addr<T>`](Addr).
///
/// A type that derives [`Message`] takes itself. A tuple takes tuples of as many values, each of
/// them a [`ValueFor`] the one that is expected. [`AnyMessage`], [`Envelope`] and [`Body`] take
/// every message.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be sent to an `Addr<{T}>`",
    note = "anything may be sent to the port ID, `addr.port()`; it is checked when it arrives"
)]
pub trait MessageFor<T>: IntoMessage {}

impl<M: IntoMessage> Destination<M> for PortId {
    #[inline]
    fn port_id(&self) -> &PortId {
        self
    }
}

impl<T, M: MessageFor<T>> Destination<M> for Addr<T> {
    #[inline]
    fn port_id(&self) -> &PortId {
        self.port()
    }
}

impl<M, D: Destination<M> + ?Sized> Destination<M> for &D {
    #[inline]
    fn port_id(&self) -> &PortId {
        (**self).port_id()
    }
}

impl<M, D: Destination<M> + ?Sized> Destination<M> for Arc<D> {
    #[inline]
    fn port_id(&self) -> &PortId {
        (**self).port_id()
    }
}

impl<T: Message> MessageFor<T> for T {}
impl<M: IntoMessage> MessageFor<AnyMessage> for M {}
impl<M: IntoMessage> MessageFor<Envelope> for M {}
impl<M: IntoMessage> MessageFor<Body> for M {}

macro_rules! tuples_for_tuples {
    ($(($($sent:ident $taken:ident)*))*) => {$(
        impl<$($sent: Serialize + ValueFor<$taken>, $taken: Serialize + DeserializeOwned),*>
            MessageFor<($($taken,)*)> for ($($sent,)*) {}
    )*};
}
tuples_for_tuples! {
    () (A TA) (A TA B TB) (A TA B TB C TC) (A TA B TB C TC D TD) (A TA B TB C TC D TD E TE)
    (A TA B TB C TC D TD E TE F TF) (A TA B TB C TC D TD E TE F TF G TG)
    (A TA B TB C TC D TD E TE F TF G TG H TH)
}

mod sealed {
    use std::sync::Arc;

    use aemp_proto::{Addr, AnyMessage, Body, PortId};

    /// Implemented here alone.
    pub trait IntoMessage {}
    impl<T: super::Message> IntoMessage for T {}
    impl IntoMessage for AnyMessage {}
    impl IntoMessage for &AnyMessage {}
    impl IntoMessage for super::Envelope {}
    impl IntoMessage for Body {}
    impl IntoMessage for &Body {}

    macro_rules! tuples {
        ($(($($name:ident)*))*) => {$(
            impl<$($name),*> IntoMessage for ($($name,)*) {}
        )*};
    }
    tuples! { () (A) (A B) (A B C) (A B C D) (A B C D E) (A B C D E F) (A B C D E F G) (A B C D E F G H) }

    /// Implemented here alone.
    pub trait Destination {}
    impl Destination for PortId {}
    impl<T> Destination for Addr<T> {}
    impl<D: Destination + ?Sized> Destination for &D {}
    impl<D: Destination + ?Sized> Destination for Arc<D> {}
}

/// The reason with which a port dies that got a message which fits nothing.
pub fn misfit(error: &DecodeError) -> Reason {
    match error {
        DecodeError::UnknownTag(tag) => {
            Reason::text("unhandled_message", format_args!("no handler for the tag {tag:?}"))
        }
        error => Reason::text("bad_message", error),
    }
}
