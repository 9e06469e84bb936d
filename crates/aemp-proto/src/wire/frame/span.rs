//! Native messages where they lie: a busy reader looks at thousands of them, and a slice of each
//! would count references each time.

use std::ops::Range;

use bytes::Bytes;

use super::FrameReader;
use crate::wire::body::Body;
use crate::wire::error::{FrameError, Malformed};
use crate::wire::framing::Framing;
use crate::wire::native;

/// The values of a message as a place in the bytes that it came with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    start: u32,
    len: u32,
    count: u32,
}

impl Span {
    /// How many values there are.
    pub fn count(self) -> u32 {
        self.count
    }

    /// Bytes of the values.
    #[allow(clippy::len_without_is_empty)] // an empty message is nothing that anybody asks for
    pub fn len(self) -> usize {
        self.len as usize
    }

    /// The values, as CBOR items one after the other, in what [`FrameReader::batch`] was when the
    /// message came.
    ///
    /// # Panics
    ///
    /// It was another batch, and a smaller one.
    #[inline]
    pub fn items(self, batch: &[u8]) -> &[u8] {
        &batch[self.range()]
    }

    /// The same as a message that shares these bytes.
    ///
    /// # Panics
    ///
    /// As [`Span::items`].
    pub fn body(self, batch: &Bytes) -> Body {
        Body::new(self.count, batch.slice(self.range()))
    }

    fn range(self) -> Range<usize> {
        self.start as usize..self.start as usize + self.len as usize
    }
}

/// A message that lies in [`FrameReader::batch`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its number.
    pub seq: u64,
    /// Where the name of its port is, which is UTF-8.
    pub port: Range<usize>,
    /// Whether that is the port of the message found before it in this batch.
    pub same: bool,
    /// The message.
    pub span: Span,
}

impl FrameReader {
    /// Splits off all frames that have come completely as the next batch, if the last one is used
    /// up. False if no frame is left then.
    ///
    /// # Errors
    ///
    /// As [`FrameReader::next`].
    pub fn fill(&mut self) -> Result<bool, FrameError> {
        if self.taken == self.batch.len() {
            if let Some(error) = &self.failed {
                return Err(error.clone());
            }
            self.refill();
        }
        if self.taken < self.batch.len() {
            return Ok(true);
        }
        self.failed.clone().map_or(Ok(false), Err)
    }

    /// The bytes that messages are found in. They are others after [`FrameReader::fill`],
    /// [`FrameReader::next`] and an error.
    pub fn batch(&self) -> &Bytes {
        &self.batch
    }

    /// The next frame of the batch, if it is a message of the most usual kind: anyone who delivers
    /// many messages need not take each of them out of the batch. `None` says nothing: ask
    /// [`FrameReader::fill`] and [`FrameReader::next`].
    ///
    /// # Errors
    ///
    /// As [`FrameReader::next`].
    pub fn find(&mut self) -> Result<Option<Found>, FrameError> {
        if self.framing != Framing::Native || self.room.is_crowded() {
            return Ok(None);
        }
        let Some(plain) = native::plain_message(&self.batch[self.taken..]) else { return Ok(None) };
        let start = self.taken + plain.items;
        let (Ok(start), Ok(len)) = (u32::try_from(start), u32::try_from(plain.len - plain.items)) else {
            return Ok(None);
        };
        let span = Span { start, len, count: plain.count };
        self.take_plain(&plain, span).map(Some).map_err(|error| self.fail(error))
    }

    #[inline]
    fn take_plain(&mut self, plain: &native::Plain, span: Span) -> Result<Found, FrameError> {
        let port = self.taken + plain.name.start..self.taken + plain.name.end;
        // In a new batch the last name is an empty one, which none of these is.
        let same = self.batch[port.clone()] == self.batch[self.found.clone()];
        if !same {
            std::str::from_utf8(&self.batch[port.clone()])
                .map_err(|_| Malformed { at: plain.name.start, what: "the port name is not UTF-8" })?;
            self.found = port.clone();
        }
        let seq = plain.seq;
        if seq != self.due {
            return Err(FrameError::Sequence { expected: self.due, got: seq });
        }
        let frame = &self.batch[self.taken..self.taken + plain.len];
        native::check_items(&mut self.scanner, frame, plain.items, plain.count)?;
        self.due = self.due.wrapping_add(1);
        self.taken += plain.len;
        Ok(Found { seq, port, same, span })
    }
}
