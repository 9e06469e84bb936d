//! Ports, and what runs them: a floor of its own, which knows no node, no socket and no runtime.
//!
//! All that it asks of what is above is [`host::Host`]. Reading order: [`mailbox`] and [`items`]
//! (what waits), [`slot`] and [`table`] (where ports are), [`actor`] (what handles it), [`run`]
//! (one run of one port), [`effects`] (what its code has asked for), [`scheduler`], [`help`] and
//! [`here`] (which port runs next, and where), [`pressure`] (which one waits for another),
//! [`signal`] and [`exit`] (how one is told something, and ends), [`monitor`] (who is told of it).

#![allow(unreachable_pub)] // it is going to be a crate of its own

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
pub mod test_host;
#[cfg(test)]
mod tests;
pub mod this_thread;
pub mod wake;

pub use host::{Host, MailboxLimits, Ports};
pub use port_no::PortNo;
