//! Ports: destinations for messages, and contexts for code.
//!
//! Reading order: [`mailbox`] (what waits), [`table`] (where ports are), [`actor`] (what handles it), [`run`] (one run of one
//! port), [`scheduler`] and [`here`] (which port runs next), then what users see: [`context`], [`handlers`], [`task`].

pub(crate) mod actor;
pub(crate) mod clock;
pub(crate) mod context;
mod encoded;
pub(crate) mod extra;
pub(crate) mod handlers;
pub(crate) mod here;
pub(crate) mod items;
pub(crate) mod known;
pub(crate) mod life;
pub(crate) mod mailbox;
pub(crate) mod run;
pub(crate) mod scheduler;
mod sleepers;
mod sync;
pub(crate) mod table;
pub(crate) mod task;
#[cfg(test)]
mod tests;
mod verbs;

pub use context::Context;
pub use handlers::Handlers;
pub use task::{Ended, Port};
