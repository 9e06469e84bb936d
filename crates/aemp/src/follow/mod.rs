//! Tracer messages: a trace that is recorded goes along with each message that follows from
//! another one, from node to node, and each node remembers what became of it here.
//!
//! A trace begins where a program says so ([`Node::traced`](crate::Node::traced)), or with a
//! message that matches a [`Rule`]. Without either nothing of this is asked: ports and outboxes do
//! what they always do, and look at one number that they look at anyway.
//!
//! ```text
//!   handler: span A ── sending: span B, parent A ──► handler there: span C, parent B ── …
//! ```
//!
//! A sending and a handling are spans of their own, as OpenTelemetry has producers and consumers.
//! What is remembered is a [`Hop`] each. How many there may be in a second is limited, for others
//! decide what they send.

mod ask;
mod current;
mod handler_span;
mod hop;
mod rule;
mod tracer;
mod verbs;

pub(crate) use handler_span::{DeliveryTrace, HandlerSpan};
pub use hop::{Hop, HopKind, Hops};
pub use rule::{Rule, RuleError, Subject};
pub use verbs::Traced;

pub(crate) use current::{Current, resume, suspend};
pub(crate) use tracer::Tracer;
