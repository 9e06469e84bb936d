//! The port that a call's answer goes to, as a value in the message.

use std::fmt;
use std::marker::PhantomData;

use aemp_ports::message::value_for::Value;
use aemp_proto::PortId;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use aemp_ports::node_ref::NodeRef;
use aemp_ports::this_thread::this;

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
    /// Through which node it is answered.
    node: Option<NodeRef>,
    answer: PhantomData<fn(T)>,
}

impl<T> ReplyTo<T> {
    /// A reply to this port, which expects a `T`. [`ReplyTo::send`] works if this runs in code of a
    /// port or callback, [`Node::reply`](crate::Node::reply) in any case.
    pub fn new(port: impl Into<PortId>) -> ReplyTo<T> {
        ReplyTo { port: port.into(), node: this(|this| this.node.get()), answer: PhantomData }
    }

    /// The same, which is answered through this node.
    pub(crate) fn at(node: NodeRef, port: PortId) -> ReplyTo<T> {
        ReplyTo { port, node: Some(node), answer: PhantomData }
    }

    /// Through which node it is answered, if that is known.
    pub(crate) fn node(&self) -> Option<NodeRef> {
        self.node
    }

    /// The port.
    pub fn port(&self) -> &PortId {
        &self.port
    }
}

impl<R> Value<PortId> for ReplyTo<R> {}

impl<T> Clone for ReplyTo<T> {
    fn clone(&self) -> ReplyTo<T> {
        ReplyTo { port: self.port.clone(), node: self.node, answer: PhantomData }
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
        PortId::deserialize(deserializer).map(ReplyTo::<T>::new)
    }
}
