//! Carried connections: for two nodes of which neither can dial the other, through a third one that
//! both are connected to.
//!
//! ```text
//!   end ─────────── relay ─────────── end        each line is an ordinary connection
//!      x_dial 5 B            x_call 8 A            begun
//!      x_data 5 …            x_data 8 …            bytes of a connection like any other:
//!                                                 greeting, proofs, frames
//! ```
//!
//! What is carried is a stream of bytes with everything that a connection has, from the greeting
//! on, so authentication, epochs and the promise are those of the two ends. The node in between
//! knows which two connections belong together, and how much it may hold: every direction has a
//! *window*, the bytes that may be on their way, which the receiving end opens again by
//! acknowledging what it has read. So a slow end stops the other end, and nothing else.
//!
//! [`Relay`] is all of this for one node, as an end and as a relay; a pure machine with the
//! contract of the others. It stands beside the kernel, not in it: bytes do not pass through the
//! kernel. Which nodes are dialled this way is the kernel's business (`kernel/ways`).

mod machine;

use std::fmt;
use std::time::Duration;

use bytes::Bytes;

use crate::NodeId;
use crate::wire::RelayRequest;

pub use machine::Relay;

/// The most bytes of one request: short enough that the requests of the node itself get in between.
pub const PIECE: usize = 16 << 10;

/// Why a connection is over that its node has closed in order: it ends as any stream does, without
/// an error.
pub const CLOSED: &str = "closed by the node";

/// Why a connection is over is cut to this many bytes: it is for people.
const REASON_MAX: usize = 1 << 10;

/// What a piece costs in a window beside its bytes, so that a flood of tiny ones is bounded too.
pub const PIECE_COST: u64 = 64;

/// The window of a connection is at least and at most this.
const WINDOW_MIN: u64 = 1 << 10;
const WINDOW_MAX: u64 = 1 << 20;

fn cost(bytes: usize) -> u64 {
    bytes as u64 + PIECE_COST
}

/// What a relay takes upon itself. Together it holds at most `connections * 2 * window` bytes,
/// and for one node that reads slowly `of_one_node * window`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct RelayLimits {
    /// Connections that are carried at once, and that may be carried to this node as an end: 1024.
    pub connections: usize,
    /// Of these, such as have one node as an end: 256, so that with the default window they leave
    /// half of its outbox's high-water mark to others.
    pub of_one_node: usize,
    /// Bytes of one direction of a connection that may be on their way, counting [`PIECE_COST`] a
    /// piece: 128 KiB. From 1 KiB to 1 MiB; what is beyond is taken for the nearer of these.
    pub window: u64,
    /// After this time without a byte a connection may have to make place for another one: 1 h.
    /// Ends that live send signs of life more often.
    pub idle: Duration,
}

impl RelayLimits {
    /// The same with this [`RelayLimits::connections`].
    #[must_use]
    pub const fn connections(mut self, connections: usize) -> RelayLimits {
        self.connections = connections;
        self
    }

    /// The same with this [`RelayLimits::of_one_node`].
    #[must_use]
    pub const fn of_one_node(mut self, of_one_node: usize) -> RelayLimits {
        self.of_one_node = of_one_node;
        self
    }

    /// The same with this [`RelayLimits::window`].
    #[must_use]
    pub const fn window(mut self, window: u64) -> RelayLimits {
        self.window = window;
        self
    }

    /// The same with this [`RelayLimits::idle`].
    #[must_use]
    pub const fn idle(mut self, idle: Duration) -> RelayLimits {
        self.idle = idle;
        self
    }
}

impl Default for RelayLimits {
    fn default() -> RelayLimits {
        RelayLimits {
            connections: 1024,
            of_one_node: 256,
            window: 128 << 10,
            idle: Duration::from_secs(3600),
        }
    }
}

/// One end of a relayed connection, on the node that has it. Never reused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndId(u64);

impl fmt::Debug for EndId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "end {}", self.0)
    }
}

/// What must be done, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RelayAction {
    /// Put this request into the outbox of a node.
    Send {
        /// The node.
        to: NodeId,
        /// The request.
        request: RelayRequest,
    },
    /// A connection has come to this node: it is an accepted one from now on.
    Called {
        /// Our end.
        end: EndId,
        /// Who carries it.
        via: NodeId,
        /// Who is said to be at the other end; its greeting will prove it.
        from: NodeId,
    },
    /// Bytes have come. [`Relay::read`] when they are out of the way.
    Came {
        /// Our end.
        end: EndId,
        /// The bytes.
        bytes: Bytes,
    },
    /// There is room for [`Relay::write`] again.
    Room {
        /// Our end.
        end: EndId,
    },
    /// The connection is over; what came before still counts.
    Ended {
        /// Our end, which is forgotten.
        end: EndId,
        /// Why, for people.
        reason: String,
    },
}

#[cfg(test)]
mod tests;
