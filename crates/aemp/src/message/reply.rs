//! The port that a call's answer goes to, as a value in the message.

use std::fmt;
use std::marker::PhantomData;

use aemp_proto::PortId;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Where the answer to a call goes, and of what type it is. On the wire it is a port ID.
///
/// The port is there for this answer alone: it is killed, with `bad_reply`, if the answer cannot be
/// sent. [`Node::call`](crate::Node::call) makes one for each call; a port of your own that lives
/// longer does not belong here.
///
/// Dropping it does not end the call: encoded it would not either. A tuple answers with several
/// values, everything else with one.
pub struct ReplyTo<T> {
    port: PortId,
    answer: PhantomData<fn(T)>,
}

impl<T> ReplyTo<T> {
    /// A reply to this port, which expects a `T`.
    pub fn new(port: impl Into<PortId>) -> ReplyTo<T> {
        ReplyTo { port: port.into(), answer: PhantomData }
    }

    /// The port.
    pub fn port(&self) -> &PortId {
        &self.port
    }
}

impl<T> Clone for ReplyTo<T> {
    fn clone(&self) -> ReplyTo<T> {
        ReplyTo::new(self.port.clone())
    }
}

impl<T> PartialEq for ReplyTo<T> {
    fn eq(&self, other: &ReplyTo<T>) -> bool {
        self.port == other.port
    }
}

impl<T> fmt::Debug for ReplyTo<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReplyTo({})", self.port)
    }
}

impl<T> Serialize for ReplyTo<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.port.serialize(serializer)
    }
}

impl<'de, T> Deserialize<'de> for ReplyTo<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<ReplyTo<T>, D::Error> {
        PortId::deserialize(deserializer).map(ReplyTo::new)
    }
}
