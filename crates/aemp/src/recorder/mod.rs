//! The flight recorder: what happened on this node last, for those who ask after something went
//! wrong.
//!
//! Every node has one, of 64 KiB unless [`Builder::recorder`](crate::Builder::recorder) says
//! otherwise. It keeps what is rare: connections that come and go, with how many frames went over
//! each, outboxes that break, ports that die of something, addresses that are dialled. Nothing is
//! recorded for a message, and nothing of one: the numbers of frames are counted where they are
//! read in any case. When it is full the oldest records are overwritten, and how many is told.
//!
//! A record has the form in which the simulator tells what happens ([`history`]), and what checks
//! the simulator judges the records of several nodes: two ends of a connection have the same number
//! for it, and a frame that one wrote and the other did not take is found.
//!
//! [`Node::dump`](crate::Node::dump) gives the records of this node,
//! [`Node::dump_of`](crate::Node::dump_of) those of another one.

mod ask;
pub(crate) mod compact;
mod dump;
pub(crate) mod pending_mark;
pub(crate) mod ring;

pub use aemp_proto::history;
pub use dump::Dump;
