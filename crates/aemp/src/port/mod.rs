//! Ports as users see them: what is at hand in one, and the kinds of them. What runs them is in
//! [`aemp_ports`].
//!
//! Reading order: [`context`], [`handlers`], [`task`] (async ports) with [`port_task`], [`open`]
//! (how ports come to be), [`waiting`] (for receivers that are behind).

pub(crate) mod caught;
pub(crate) mod context;
mod exit_result;
pub(crate) mod handlers;
mod mailbox_limit;
pub(crate) mod open;
mod port_task;
pub(crate) mod task;
#[cfg(test)]
mod tests;
mod verbs;
pub(crate) mod waiting;
pub(crate) mod wake;

pub use context::Context;
pub use exit_result::ExitResult;
pub use handlers::Handlers;
pub use task::Mailbox;
