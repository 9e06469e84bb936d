//! What a node counts and knows of itself, as one snapshot that all views are made of.
//!
//! [`Node::stats`](crate::Node::stats) takes it, and [`Node::stats_of`](crate::Node::stats_of) asks
//! another node for its own. Nothing is counted for each message: what was sent follows from the
//! numbers that messages have anyway, and the rest is counted for each read, each write, and where
//! something goes wrong.

mod ask;
pub(crate) mod counts;
mod descriptors;
mod handlers;
mod lost;
pub(crate) mod question;
mod snapshot;
mod take;
mod undelivered;

pub use ask::AskError;
pub use descriptors::Descriptors;
pub use handlers::{BlockedHandler, HANDLER_BOUNDS, HandlerStats};
pub use lost::LostMessage;
pub use snapshot::{
    ConnectionStats, FamilyStats, MailboxStats, PeerStats, PortStats, Stats, Traffic, VERSION,
};
