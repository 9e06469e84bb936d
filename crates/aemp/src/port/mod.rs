//! Ports: destinations for messages, and contexts for code.
//!
//! Reading order: [`mailbox`] and [`items`] (what waits), [`slot`] and [`table`] (where ports are),
//! [`actor`] (what handles it), [`run`] (one run of one port), [`scheduler`], [`help`] and [`here`]
//! (which port runs next, and where), [`pressure`] (which one waits for another), [`port_task`]
//! (async ports), then what users see: [`context`], [`handlers`], [`task`].

pub(crate) mod actor;
pub(crate) mod clock;
pub(crate) mod context;
pub(crate) mod deliver;
mod doom;
pub(crate) mod effects;
mod encoded;
pub(crate) mod extra;
pub(crate) mod handlers;
mod help;
pub(crate) mod here;
pub(crate) mod items;
pub(crate) mod known;
pub(crate) mod life;
pub(crate) mod mailbox;
pub(crate) mod monitor;
pub(crate) mod port_no;
mod port_task;
pub(crate) mod pressure;
pub(crate) mod run;
pub(crate) mod scheduler;
mod sleepers;
pub(crate) mod slot;
pub(crate) mod table;
#[cfg(test)]
mod table_tests;
pub(crate) mod task;
#[cfg(test)]
mod tests;
mod verbs;
pub(crate) mod wake;

pub use context::Context;
pub use handlers::Handlers;
pub use task::{ExitResult, Mailbox};
