//! Large messages that come in parts, until they are whole.
//!
//! The first part of a message says how long it will be, and what has come is kept in memory that
//! grows with it: anyone who announces much and sends little makes us hold little. How many
//! messages may be unfinished, and how much they may come to, is limited; a sender keeps to the
//! same limits ([`may_begin`]), so that crossing them is a mistake.

use super::error::FrameError;
use super::limits::Limits;
use super::native::HEADER;

/// This many messages of one direction may be unfinished at once.
pub(crate) const UNFINISHED_MAX: usize = 8;

/// Memory for the first bytes of a message, if it is not shorter than that.
const FIRST: usize = 512 << 10;

/// Whether one more message may begin, of this length, beside `others` that are `announced` bytes
/// together: there are few enough then, and they are no longer than two frames of the largest size
/// (`limit`, 0 = any).
pub(crate) fn may_begin(others: usize, announced: usize, len: usize, limit: usize) -> bool {
    others < UNFINISHED_MAX && (limit == 0 || announced.saturating_add(len) <= limit.saturating_mul(2))
}

/// The messages of a connection that are not whole.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    unfinished: Vec<Unfinished>,
    /// How many have begun: each one is numbered, from 1.
    begun: u32,
}

#[derive(Debug)]
struct Unfinished {
    number: u32,
    len: usize,
    bytes: Vec<u8>,
}

impl Parts {
    /// Takes the next part of a message: a piece of its payload, of which this many bytes are left,
    /// these included. Gives the payload if it is whole now.
    pub(crate) fn take(
        &mut self,
        number: u32,
        left: u32,
        piece: &[u8],
        limits: Limits,
    ) -> Result<Option<Vec<u8>>, FrameError> {
        let wrong = |what| FrameError::Part { number, what };
        let left = left as usize;
        if piece.is_empty() || piece.len() > left {
            return Err(wrong("has no bytes, or more than are left"));
        }
        let known = self.unfinished.iter().position(|message| message.number == number);
        let at = match known {
            Some(at) if self.unfinished[at].left() == left => at,
            Some(_) => return Err(wrong("is not the next one")),
            None => self.begin(number, left, limits)?,
        };
        let message = &mut self.unfinished[at];
        message.append(piece);
        if message.left() > 0 {
            return Ok(None);
        }
        Ok(Some(self.unfinished.remove(at).bytes))
    }

    fn begin(&mut self, number: u32, len: usize, limits: Limits) -> Result<usize, FrameError> {
        let wrong = |what| FrameError::Part { number, what };
        if number != self.begun.wrapping_add(1) {
            return Err(wrong("does not begin the next message, and of no unfinished one"));
        }
        if limits.frame != 0 && len > limits.frame.saturating_sub(HEADER) {
            return Err(FrameError::TooLong { limit: limits.frame });
        }
        let announced = self.unfinished.iter().map(|message| message.len).sum();
        if !may_begin(self.unfinished.len(), announced, len, limits.frame) {
            return Err(wrong("begins it while too much is unfinished"));
        }
        self.begun = number;
        self.unfinished.push(Unfinished { number, len, bytes: Vec::new() });
        Ok(self.unfinished.len() - 1)
    }
}

impl Unfinished {
    fn left(&self) -> usize {
        self.len - self.bytes.len()
    }

    /// In the end the memory is exactly as large as the message: it becomes a part of it without
    /// being copied.
    fn append(&mut self, piece: &[u8]) {
        let needed = self.bytes.len() + piece.len();
        if needed > self.bytes.capacity() {
            let room = needed.max(2 * self.bytes.len()).max(FIRST).min(self.len);
            self.bytes.reserve_exact(room - self.bytes.len());
        }
        self.bytes.extend_from_slice(piece);
    }
}
