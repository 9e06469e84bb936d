//! Messages: what may be sent, and what a port may take.
//!
//! A message is a list of values. In Rust it is one of
//!
//! - an enum with `#[derive(Serialize, Deserialize, Message)]`: one variant is one message, its tag
//!   first;
//! - a tuple of serde values: `("ping", 1)`; `()` is the empty message;
//! - an untyped [`AnyMessage`](crate::AnyMessage).
//!
//! The wire form is the meaning. A local send between equal derived (or untyped) types moves the
//! value; everything else is encoded once and decoded once, exactly as over the wire.

/// # Examples
///
/// ```
/// use aemp::message::Destination;
/// use aemp::{Node, SendError};
///
/// fn ping(node: &Node, to: &impl Destination<(&'static str,)>) -> Result<(), SendError> {
///     node.send(to, ("ping",))
/// }
/// ```
pub use aemp_ports::message::Destination;
/// # Examples
///
/// ```
/// # use aemp::{Addr, Node, SendError};
/// fn example(node: &Node, to: &Addr<(String, u64)>) -> Result<(), SendError> {
///     node.send(to, ("a borrowed text does", 1))?;
///     node.send(to.port(), ("anything", "to the port ID"))
/// }
/// ```
///
/// None of these compiles:
///
/// ```compile_fail,E0277
/// # use aemp::{Addr, Node};
/// fn example(node: &Node, to: &Addr<(String, u64)>) {
///     let _ = node.send(to, ("one value only",));
/// }
/// ```
///
/// ```compile_fail,E0277
/// # use aemp::{Addr, Node};
/// fn example(node: &Node, to: &Addr<(String, u64)>) {
///     let _ = node.send(to, ("no number", true));
/// }
/// ```
///
/// ```compile_fail,E0277
/// # use std::time::Duration;
/// # use aemp::{Addr, Message, Node, ReplyTo};
/// #[derive(serde::Serialize, serde::Deserialize, Message)]
/// enum Ask {
///     Total { reply: ReplyTo<i64> },
/// }
///
/// async fn example(node: &Node, to: &Addr<Ask>) {
///     let _ = node.call::<_, i64, _>(to, Duration::MAX, |reply| ("total", reply)).await;
/// }
/// ```
///
/// ```compile_fail,E0277
/// # use aemp::{Addr, AnyMessage, Context};
/// # #[derive(serde::Serialize, serde::Deserialize, aemp::Message)]
/// # enum Ask { Total }
/// fn example(cx: &mut Context<'_>, to: &Addr<Ask>) {
///     cx.send(to, AnyMessage(Vec::new()));
/// }
/// ```
pub use aemp_ports::message::MessageFor;
pub(crate) use aemp_ports::message::{Aside, misfit};
pub use reply::ReplyTo;
mod reply;

pub use aemp_ports::message::{
    DecodeError, EncodeError, Envelope, FromMessage, IntoMessage, Message, ValueFor, Variants,
};
