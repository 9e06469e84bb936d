//! A message that is followed, from its sending to the end of its handler.

use std::fmt;
use std::sync::Arc;

use aemp_proto::kernel::Time;
use aemp_proto::{NodeId, TraceContext};

use super::current::{self, AtNode, Current};
use super::hop::Hop;

/// The place of a message in a trace, where the message is.
#[derive(Debug)]
#[allow(unreachable_pub)] // as a type of `Host`, a trait of another crate
pub struct DeliveryTrace {
    /// That of its sending.
    pub(super) context: TraceContext,
    /// The trace begins with it, and nobody knows of its sending.
    pub(super) begins: bool,
    pub(super) tag: Option<String>,
    /// The node that it came from, if that is another one.
    pub(super) peer: Option<NodeId>,
    /// When it came into the mailbox: by the clock of the runtime, and for people.
    pub(super) arrived: Time,
    pub(super) time: f64,
}

/// A handler runs, or an async port deals with a message; dropped at the end of that.
#[allow(unreachable_pub)] // as a type of `Host`, a trait of another crate
pub struct HandlerSpan(pub(super) Box<OpenSpan>);

pub(super) struct OpenSpan {
    pub(super) hop: Hop,
    /// That of the handler.
    pub(super) context: TraceContext,
    pub(super) began: Time,
    pub(super) node: Arc<dyn AtNode>,
    /// What was current before it began, and is again when it ends.
    pub(super) outer: Option<Current>,
}

impl fmt::Debug for HandlerSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HandlerSpan({})", self.0.context)
    }
}

impl Drop for HandlerSpan {
    fn drop(&mut self) {
        let begun = &mut *self.0;
        if current::is(begun.context) {
            drop(current::replace(begun.outer.take()));
        }
        begun.node.handled(std::mem::take(&mut begun.hop), begun.began);
    }
}
