//! Streams over a message broker: an ordered stream of bytes in both directions, made of messages
//! that may be lost, repeated, reordered, cut short or late.
//!
//! ```text
//!   connection: greeting, TLS, proofs, frames
//!        │ write                  ▲ read
//!   [`Stream`] ──── chunks ────► [`Stream`]
//!        │ poll                   ▲ input
//!        └──► broker: subjects ───┘        once, not at all, or again
//! ```
//!
//! A [`Stream`] is one end, a pure machine with the contract of the others. Each end has a
//! [`Session`], random bits of its own; a chunk names both, so that a late chunk of an earlier
//! stream belongs to no other one. Bytes are numbered from 0. What is not acknowledged is sent
//! again; if that is of no use for [`StreamLimits::timeout`], the stream ends and says why.
//!
//! # Invariants
//!
//! - What one end reads is a prefix of what the other end has written: no byte is missing in
//!   between, none comes twice, none out of order. The end of the stream is read only behind the
//!   last byte.
//! - A stream that cannot keep this ends, with a reason for both ends if the other one can still
//!   be told. It never goes on behind a hole.
//! - An end holds at most [`StreamLimits::window`] bytes that came and are not read, and the same
//!   number of bytes that are written and not acknowledged. No number of the other side makes it
//!   allocate.
//! - At most [`IN_FLIGHT_MAX`] chunks of a stream are on their way in one direction, and with no
//!   answer at most one more for each repetition: a broker that queues by number of messages or by
//!   bytes is not made to drop.
//!
//! # What it does not do
//!
//! It authenticates nothing and hides nothing. Anyone who sees the chunks can forge some, and the
//! broker can. A connection above has to be encrypted and authenticated from end to end, so that
//! forged bytes end it (TLS does that).

mod chunk;
mod receiving;
mod sending;
mod stream;
mod subject;

use std::fmt;
use std::time::Duration;

use thiserror::Error;

pub use chunk::{Chunk, ChunkError, HEADER_LEN};
pub use stream::Stream;
pub use subject::{ANY_GLOBAL, Network, NetworkError, SUBJECT_MAX, address_of, is_address, node_of};

/// Chunks of one direction that may be on their way at once.
pub const IN_FLIGHT_MAX: usize = 16;

/// Chunks that may be on their way without being full. What is written meanwhile waits for an
/// acknowledgement and shares a chunk, so that small messages do not cost a broker's message each.
const SMALL_IN_FLIGHT: usize = 8;

/// Chunks that come before an acknowledgement is sent at once; fewer than [`SMALL_IN_FLIGHT`].
const CHUNKS_PER_ACK: u32 = 4;

/// An acknowledgement waits for so long for something that is sent anyway.
const ACK_DELAY: Duration = Duration::from_millis(10);

/// What is not acknowledged is sent again after this time, which doubles up to the second one. The
/// first is longer than any round trip through a broker.
const FIRST_REPEAT: Duration = Duration::from_millis(500);
const LAST_REPEAT: Duration = Duration::from_secs(4);

/// The window of a stream is at least and at most this.
const WINDOW_MIN: u64 = 16 << 10;
const WINDOW_MAX: u64 = 1 << 20;

/// The bytes of one chunk beside its header are at least and at most this. Larger ones are no
/// faster, and delay what other streams send.
const CHUNK_MIN: usize = 1 << 10;
const CHUNK_MAX: usize = 16 << 10;

/// Why a stream ended is cut to this many bytes: it is for people.
const REASON_MAX: usize = 256;

/// One end of a stream: random bits, never used again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Session(u128);

impl Session {
    /// The session of these bits, which have to be random and fresh.
    pub const fn new(bits: u128) -> Session {
        Session(bits)
    }

    /// The session that a text of 32 hexadecimal digits in lower case names, as it stands in a
    /// subject.
    pub fn from_hex(text: &str) -> Option<Session> {
        let is_digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if text.len() != 32 || !text.bytes().all(is_digit) {
            return None;
        }
        u128::from_str_radix(text, 16).ok().map(Session)
    }
}

impl fmt::Display for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "session {self}")
    }
}

/// What a stream may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamLimits {
    /// Bytes of one direction that may be on their way or wait to be read: 256 KiB. From 16 KiB to
    /// 1 MiB; what is beyond is taken for the nearer of these.
    pub window: u64,
    /// The longest message that the broker takes, in bytes, the header included: 16 KiB and a
    /// header. Less than 1 KiB and a header is taken for that much, more for 16 KiB and a header.
    pub message: usize,
    /// A stream ends if for so long nothing was heard, or something was not acknowledged: 30 s. At
    /// least 1 s.
    pub timeout: Duration,
}

impl StreamLimits {
    /// The limits that are good for most.
    pub const DEFAULT: StreamLimits =
        StreamLimits { window: 256 << 10, message: CHUNK_MAX + HEADER_LEN, timeout: Duration::from_secs(30) };

    /// The same with this [`StreamLimits::window`].
    #[must_use]
    pub const fn window(mut self, window: u64) -> StreamLimits {
        self.window = window;
        self
    }

    /// The same with this [`StreamLimits::message`].
    #[must_use]
    pub const fn message(mut self, message: usize) -> StreamLimits {
        self.message = message;
        self
    }

    /// The same with this [`StreamLimits::timeout`].
    #[must_use]
    pub const fn timeout(mut self, timeout: Duration) -> StreamLimits {
        self.timeout = timeout;
        self
    }

    /// The nearest limits that can be used.
    fn usable(self) -> StreamLimits {
        StreamLimits {
            window: self.window.clamp(WINDOW_MIN, WINDOW_MAX),
            message: self.message.clamp(CHUNK_MIN + HEADER_LEN, CHUNK_MAX + HEADER_LEN),
            timeout: self.timeout.max(Duration::from_secs(1)),
        }
    }
}

impl Default for StreamLimits {
    fn default() -> StreamLimits {
        StreamLimits { window: 256 << 10, message: CHUNK_MAX + HEADER_LEN, timeout: Duration::from_secs(30) }
    }
}

/// Why a stream has ended.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EndReason {
    /// Both ends have sent all they wanted, and know that it has arrived.
    #[error("both ends have closed the stream")]
    Closed,
    /// This end does not want it any more.
    #[error("given up at this end: {0}")]
    GivenUp(String),
    /// The other end does not want it any more, and says why.
    #[error("given up by the other end: {0}")]
    Reset(String),
    /// Nobody has answered the request for a stream.
    #[error("nobody has answered for {0:?}")]
    NoAnswer(Duration),
    /// Nothing has come from the other end.
    #[error("nothing was heard from the other end for {0:?}")]
    Silent(Duration),
    /// What was sent, again and again, is not acknowledged, although something is heard.
    #[error("what was sent was not acknowledged for {0:?}")]
    Unacknowledged(Duration),
    /// The other end, or the broker between, does not keep to the rules.
    #[error("the other end broke the rules of the stream: {0}")]
    Violation(#[from] Violation),
}

/// Which rule of a stream was broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Violation {
    /// A number is beyond all that there can be.
    #[error("a number is too large")]
    Number,
    /// More came than was allowed.
    #[error("more came than the window allows")]
    Window,
    /// A window is larger than any may be.
    #[error("a window is larger than {WINDOW_MAX} bytes")]
    Grant,
    /// Something is acknowledged that was not sent.
    #[error("something was acknowledged that was not sent")]
    Acknowledgement,
    /// Something came behind the end, or the end was said to be elsewhere.
    #[error("something came behind the end of the stream")]
    End,
}
