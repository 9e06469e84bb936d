//! Ports, and what runs them: the floor below [`aemp`](https://docs.rs/aemp), which knows no node,
//! no socket and no runtime.
//!
//! ```text
//!   aemp ──── implements ───► Host          what ports ask of what they belong to
//!     │                        ▲
//!     │ deliver, signal,       │ exited, flush, waits_for, …
//!     ▼ end_port, turn         │
//!   table of slots ─► mailbox ─► run ─► code of users, in Host::Context
//!                                 │
//!                                 ▼
//!                      effects, notifications
//! ```
//!
//! Everything is generic over [`Host`]: a node in `aemp`, a few lines in the tests here. No method
//! waits: what does (sockets, timers, tasks, the thread of a runner) is the host's, which calls
//! [`scheduler::turn`] and wakes its runners when it is told to.
//!
//! Reading order: [`message`], [`mailbox`] and [`items`] (what waits), [`slot`] and [`table`]
//! (where ports are), [`actor`] (what handles it), [`run`] (one run of one port), [`effects`] (what
//! its code has asked for), [`scheduler`], [`help`] and [`here`] (which port runs next, and where),
//! [`pressure`] (which one waits for another), [`signal`] and [`exit`] (how one is told something,
//! and ends), [`monitor`] (who is told of it).
//!
//! The interface follows `aemp` and changes with it.

#![allow(clippy::new_without_default)] // what is new here is no default of anything

pub mod actor;
pub mod answer;
pub mod batch;
pub mod clock;
pub mod decision;
pub mod deliver;
mod doom;
pub mod effects;
mod encoded;
pub mod exit;
pub mod extra;
pub mod help;
pub mod here;
pub mod host;
pub mod items;
pub mod known;
pub mod lock_order;
pub mod mailbox;
pub mod mailbox_limits;
pub mod message;
pub mod monitor;
pub mod node_ref;
pub mod owned;
pub mod port_no;
pub mod pressure;
pub mod reply_slot;
pub mod run;
pub mod scheduler;
pub mod sender;
pub mod signal;
mod sleepers;
pub mod slot;
pub mod sync;
pub mod table;
#[cfg(test)]
mod table_tests;
#[cfg(test)]
mod test_host;
#[cfg(test)]
mod tests;
pub mod this_thread;
pub mod wake;

pub use host::{Host, Ports};
pub use mailbox_limits::MailboxLimits;
pub use port_no::PortNo;
