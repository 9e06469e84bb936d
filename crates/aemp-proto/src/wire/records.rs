//! Messages as native frames on their way to a socket; the bodies of large ones are shared instead
//! of copied.
//!
//! Small frames stand one behind the other in one buffer. Of a large frame only what comes before
//! its values stands there; the values are bytes that the message has anyway, and a note says where
//! they belong.

use std::collections::VecDeque;

use bytes::Bytes;

use super::error::{EncodeError, FrameError, Malformed};
use super::framing::Framing;
use super::limits::Limits;
use super::native::{self, Parsed};
use super::scan::ARRAY;
use super::{Body, cbor, json};
use crate::TraceContext;

/// From this size on the values of a message are shared: to copy them costs more than to keep track
/// of one more piece.
pub const SHARED_FROM: usize = 16 << 10;

/// Whole native frames one after the other, and how far they have been written.
#[derive(Debug, Default)]
pub struct Records {
    bytes: Vec<u8>,
    shared: VecDeque<Shared>,
    /// Bytes of all that was added.
    len: usize,
    /// How much of `bytes`, and of the first shared piece, is written.
    done: usize,
    part: usize,
}

/// Values that stand in front of the byte at this place.
#[derive(Debug)]
struct Shared {
    at: usize,
    items: Bytes,
}

impl Records {
    /// Appends a message. Its values are copied unless they are large; then they are shared.
    ///
    /// # Errors
    ///
    /// The name or the message is longer than the frame has room for; nothing was appended.
    pub fn push(&mut self, seq: u64, port: &str, body: &Body) -> Result<(), EncodeError> {
        if body.items().len() < SHARED_FROM {
            return self.push_items(seq, port, body.count(), body.items());
        }
        let head = native::write_head(&mut self.bytes, seq, port, body.count(), body.items().len())?;
        self.shared.push_back(Shared { at: self.bytes.len(), items: body.items().clone() });
        self.len += head + body.items().len();
        Ok(())
    }

    /// As [`Records::push`], with the place of the message in a trace. Only native frames say it.
    ///
    /// # Errors
    ///
    /// As [`Records::push`].
    pub fn push_traced(
        &mut self,
        seq: u64,
        port: &str,
        body: &Body,
        trace: TraceContext,
    ) -> Result<(), EncodeError> {
        let start = self.bytes.len();
        native::write_head(&mut self.bytes, seq, port, body.count(), body.items().len())?;
        native::add_trace(&mut self.bytes, start, trace)?;
        if body.items().len() < SHARED_FROM {
            self.bytes.extend_from_slice(body.items());
            self.len += self.bytes.len() - start;
            return Ok(());
        }
        self.len += self.bytes.len() - start + body.items().len();
        self.shared.push_back(Shared { at: self.bytes.len(), items: body.items().clone() });
        Ok(())
    }

    /// Appends a message of `count` values, joined in `items`, which are copied.
    ///
    /// # Errors
    ///
    /// As [`Records::push`].
    #[inline]
    pub fn push_items(&mut self, seq: u64, port: &str, count: u32, items: &[u8]) -> Result<(), EncodeError> {
        let head = native::write_head(&mut self.bytes, seq, port, count, items.len())?;
        self.bytes.extend_from_slice(items);
        self.len += head + items.len();
        Ok(())
    }

    /// Appends a part of a message: of its payload `left` bytes are still to come, `head` and
    /// `items` being the next of them. What is large enough to be cut is shared. The last part has
    /// the place of the message in a trace, if that is known.
    pub(crate) fn push_part(
        &mut self,
        (seq, trace): (u64, Option<TraceContext>),
        number: u32,
        left: usize,
        head: &[u8],
        items: Bytes,
    ) {
        let before = self.bytes.len();
        let left = u32::try_from(left).expect("what fits into a frame has this many bytes at most");
        native::write_part_head(&mut self.bytes, seq, number, left, head.len() + items.len());
        if let Some(trace) = trace {
            native::add_trace(&mut self.bytes, before, trace).expect("parts are small");
        }
        self.bytes.extend_from_slice(head);
        self.len += self.bytes.len() - before + items.len();
        self.shared.push_back(Shared { at: self.bytes.len(), items });
    }

    /// Bytes of all that was added since the last [`Records::clear`], written or not.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing was added.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Forgets everything. Keeps memory for at most `keep` bytes; that of a busy sender would be
    /// asked for again.
    pub fn clear(&mut self, keep: usize) {
        if self.bytes.len() < self.bytes.capacity() / 4 {
            self.bytes.shrink_to(keep);
        }
        self.bytes.clear();
        self.shared.clear();
        (self.len, self.done, self.part) = (0, 0, 0);
    }

    /// What is still to be written, in order.
    pub fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        let ends = self.shared.iter().map(|shared| shared.at).chain([self.bytes.len()]);
        let starts = [self.done].into_iter().chain(self.shared.iter().map(|shared| shared.at));
        let own = starts.zip(ends).map(|(start, end)| &self.bytes[start..end]);
        let mut part = self.part;
        let shared = self.shared.iter().map(move |shared| &shared.items[std::mem::take(&mut part)..]);
        own.zip(shared.chain([&[][..]])).flat_map(<[_; 2]>::from).filter(|piece| !piece.is_empty())
    }

    /// This many more bytes are written. Shared values that are done with are given to `finished`.
    pub fn advance(&mut self, mut bytes: usize, mut finished: impl FnMut(Bytes)) {
        loop {
            let end = self.shared.front().map_or(self.bytes.len(), |shared| shared.at);
            let own = bytes.min(end - self.done);
            self.done += own;
            bytes -= own;
            let Some(shared) = self.shared.front().filter(|_| self.done == end && bytes > 0) else { return };
            let part = bytes.min(shared.items.len() - self.part);
            self.part += part;
            bytes -= part;
            if self.part == shared.items.len() {
                self.part = 0;
                self.shared.pop_front().map(|shared| shared.items).map(&mut finished);
            }
        }
    }

    /// Gives all messages to `take`, in order: the name of the port and the values. Nothing of them
    /// may have been written, and none may be a part.
    pub(crate) fn each(&self, mut take: impl FnMut(&str, Body)) {
        self.each_while(|name, body| {
            take(name, body);
            true
        });
    }

    /// The same, until `take` says that it has enough.
    pub(crate) fn each_while(&self, mut take: impl FnMut(&str, Body) -> bool) {
        let mut shared = self.shared.iter().peekable();
        let mut at = 0;
        let unlimited = Limits { frame: 0, ..Limits::DEFAULT };
        while let Ok(Some(len)) = native::frame_len(&self.bytes[at..], unlimited) {
            let shared = shared.next_if(|shared| shared.at < at + len);
            let end = shared.map_or(at + len, |shared| shared.at);
            let Some(frame) = self.bytes.get(at..end) else { return };
            let Ok(Parsed::Message { name, count, items, .. }) = native::parse(frame) else { return };
            let name = std::str::from_utf8(&frame[name]).unwrap_or_default();
            let items =
                shared.map_or_else(|| Bytes::copy_from_slice(&frame[items]), |shared| shared.items.clone());
            if !take(name, Body::new(count, items)) {
                return;
            }
            at = end;
        }
    }

    /// Appends the messages to `out` in the framing of a peer, in the same order. Nothing of them
    /// may have been written.
    ///
    /// # Errors
    ///
    /// One of them has no form in JSON; then `out` ends with the message before it.
    pub fn reframe(&self, framing: Framing, out: &mut Vec<u8>) -> Result<(), FrameError> {
        if framing == Framing::Native {
            self.pieces().for_each(|piece| out.extend_from_slice(piece));
            return Ok(());
        }
        let mut shared = self.shared.iter().peekable();
        let mut at = 0;
        while at < self.bytes.len() {
            let rest = &self.bytes[at..];
            let len = native::frame_len(rest, Limits { frame: 0, ..Limits::DEFAULT })?;
            let len = len.ok_or(NOT_WHOLE)?;
            match shared.next_if(|shared| shared.at < at + len) {
                Some(Shared { at: end, items }) => {
                    reframe_one(&self.bytes[at..*end], Some(items), framing, out)?;
                    at = *end;
                }
                None => {
                    reframe_one(rest.get(..len).ok_or(NOT_WHOLE)?, None, framing, out)?;
                    at += len;
                }
            }
        }
        Ok(())
    }
}

const NOT_WHOLE: Malformed = Malformed { at: 0, what: "not a sequence of whole native frames with messages" };

/// Appends the messages of native frames in the framing of a peer, in the same order.
///
/// # Errors
///
/// `records` is not a sequence of whole native frames with messages, or one of them has no form in
/// JSON; then `out` ends with the message before it.
pub fn reframe(mut records: &[u8], framing: Framing, out: &mut Vec<u8>) -> Result<(), FrameError> {
    if framing == Framing::Native {
        out.extend_from_slice(records);
        return Ok(());
    }
    while !records.is_empty() {
        let len = native::frame_len(records, Limits { frame: 0, ..Limits::DEFAULT })?;
        let (frame, rest) = len.and_then(|len| records.split_at_checked(len)).ok_or(NOT_WHOLE)?;
        reframe_one(frame, None, framing, out)?;
        records = rest;
    }
    Ok(())
}

/// One frame, whose values stand elsewhere if they are shared.
fn reframe_one(
    frame: &[u8],
    shared: Option<&[u8]>,
    framing: Framing,
    out: &mut Vec<u8>,
) -> Result<(), FrameError> {
    let Parsed::Message { name, count, items, .. } = native::parse(frame)? else {
        return Err(NOT_WHOLE.into());
    };
    let name = std::str::from_utf8(&frame[name]).unwrap_or_default();
    let items = shared.unwrap_or(&frame[items]);
    match framing {
        Framing::Json => json::write_frame(out, name, items)?,
        _ => {
            cbor::write_head(out, ARRAY, u64::from(count) + 1);
            cbor::write_name(out, name);
            out.extend_from_slice(items);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Value;

    /// Messages of these sizes.
    fn records(sizes: &[usize]) -> Records {
        let mut records = Records::default();
        for (seq, size) in (1..).zip(sizes) {
            let body = Body::encode(&[Value::Bytes(vec![7; *size].into())]).unwrap();
            records.push(seq, "port", &body).unwrap();
        }
        records
    }

    /// The same, all copied.
    fn copied(sizes: &[usize]) -> Vec<u8> {
        let mut out = Vec::new();
        for (seq, size) in (1..).zip(sizes) {
            let body = Body::encode(&[Value::Bytes(vec![7; *size].into())]).unwrap();
            native::write_message(&mut out, seq, "port", &body).unwrap();
        }
        out
    }

    const SIZES: [&[usize]; 5] =
        [&[], &[3], &[SHARED_FROM], &[1, SHARED_FROM, 2, 3, 70_000, SHARED_FROM, 1], &[70_000, 70_000]];

    #[test]
    fn what_is_shared_stands_where_it_would_have_been_copied_to() {
        for sizes in SIZES {
            let (records, expected) = (records(sizes), copied(sizes));
            assert_eq!(records.len(), expected.len());
            assert_eq!(records.pieces().collect::<Vec<_>>().concat(), expected);
            for framing in Framing::ALL {
                let (mut ours, mut theirs) = (Vec::new(), Vec::new());
                // Bytes that are no text have a form in JSON as well.
                records.reframe(framing, &mut ours).unwrap();
                reframe(&expected, framing, &mut theirs).unwrap();
                assert!(ours == theirs, "{framing} {sizes:?}");
            }
        }
    }

    #[test]
    fn written_in_any_steps_nothing_is_missing_or_written_twice() {
        for sizes in SIZES {
            for step in [1, 7, 16_384, 16_385, 100_000, usize::MAX] {
                let (mut records, expected) = (records(sizes), copied(sizes));
                let (mut written, mut finished) = (Vec::new(), 0);
                loop {
                    let rest = records.pieces().collect::<Vec<_>>().concat();
                    assert_eq!(rest.len(), expected.len() - written.len());
                    let part = &rest[..rest.len().min(step.max(expected.len() / 40))];
                    if part.is_empty() {
                        break;
                    }
                    written.extend_from_slice(part);
                    records.advance(part.len(), |_| finished += 1);
                }
                assert!(written == expected);
                assert_eq!(finished, sizes.iter().filter(|size| **size >= SHARED_FROM).count());
                records.clear(0);
                assert!(records.is_empty() && records.pieces().next().is_none());
            }
        }
    }
}
