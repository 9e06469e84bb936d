//! Frames out of a stream of bytes, no matter what the pieces it arrives in.

mod span;

use std::collections::VecDeque;
use std::ops::Range;

use bytes::{Buf, Bytes, BytesMut};

use super::body::Body;
use super::error::{FrameError, Malformed};
use super::framing::Framing;
use super::json::Boundary;
use super::limits::Limits;
use super::native::{self, Control, Parsed, Part};
use super::parts::Parts;
use super::room::Room;
use super::scan::{ARRAY, Scanner};
use super::text::Str;
use super::{cbor, json};
use crate::TraceContext;

pub use span::{Found, Span};

/// What arrives on a connection after the handshake.
#[derive(Debug, Clone, PartialEq)]
pub enum Frame {
    /// A message.
    Message {
        /// Its number; only native frames have one.
        seq: Option<u64>,
        /// The name of the port that it is for; empty for the node port.
        port: Str,
        /// The message.
        body: Body,
        /// Its place in a trace that is recorded; only native frames have one. Boxed, for it is
        /// rare, and would make every frame larger that is moved.
        trace: Option<Box<TraceContext>>,
    },
    /// The empty array of `cbor` and `json`: a sign of life.
    KeepAlive,
    /// See [`Control::Ack`].
    Ack(u64),
    /// See [`Control::Credit`].
    Credit(u64),
    /// See [`Control::Ping`].
    Ping(u64),
    /// See [`Control::Pong`].
    Pong(u64),
    /// See [`Control::Bye`].
    Bye,
}

impl From<Control> for Frame {
    fn from(control: Control) -> Frame {
        match control {
            Control::Ack(number) => Frame::Ack(number),
            Control::Credit(bytes) => Frame::Credit(bytes),
            Control::Ping(number) => Frame::Ping(number),
            Control::Pong(number) => Frame::Pong(number),
            Control::Bye => Frame::Bye,
        }
    }
}

/// Reads the frames of one direction of a connection.
///
/// Fill [`FrameReader::buffer`], then call [`FrameReader::next`] until it gives `None`. All frames
/// that are complete by then are split off as one batch, of which names and bodies are slices. The
/// first bad frame is the last: the error is given again for ever.
///
/// [`FrameReader::make_room`] makes that buffer large enough, and uses memory again from which
/// nothing is in use any more.
#[derive(Debug)]
pub struct FrameReader {
    framing: Framing,
    limits: Limits,
    /// What has arrived and is not complete, or not looked at.
    input: BytesMut,
    room: Room,
    /// Complete frames, and how much of them has been handed out.
    batch: Bytes,
    taken: usize,
    /// `cbor`: where the frames of the batch end.
    ends: VecDeque<usize>,
    /// `cbor`: how far `input` has been looked at. In the other framings only whole frames are.
    scanned: usize,
    scanner: Scanner,
    boundary: Boundary,
    /// `aemp1`: the number of the next message.
    due: u64,
    /// `aemp1`: where in the batch the name of the port is that the last message was found for.
    found: Range<usize>,
    /// `aemp1`: messages of which only some parts have come.
    parts: Parts,
    failed: Option<FrameError>,
}

impl FrameReader {
    /// A reader for a stream that begins with the first frame.
    pub fn new(framing: Framing, limits: Limits) -> FrameReader {
        FrameReader::with_room(framing, limits, Room::default())
    }

    /// A reader that reads into this memory, which an earlier one may have left.
    pub fn with_room(framing: Framing, limits: Limits, room: Room) -> FrameReader {
        FrameReader {
            framing,
            limits,
            input: BytesMut::new(),
            room,
            batch: Bytes::new(),
            taken: 0,
            ends: VecDeque::new(),
            scanned: 0,
            // The array of a native body is inside of the frame, and counted as the first level
            // here.
            scanner: Scanner::new(match framing {
                Framing::Native => Limits { depth: limits.depth.saturating_sub(1), ..limits },
                _ => limits,
            }),
            boundary: Boundary::new(limits),
            due: 1,
            found: 0..0,
            parts: Parts::default(),
            failed: None,
        }
    }

    /// Lets the next native message have this number, instead of 1; for a stream that resumes
    /// another one.
    pub fn expect(&mut self, seq: u64) {
        self.due = seq;
    }

    /// Where bytes that have arrived are to be appended.
    pub fn buffer(&mut self) -> &mut BytesMut {
        &mut self.input
    }

    /// Makes room in the buffer for more bytes: what the next read takes at once, and for a large
    /// frame all that is missing, as far as its sender has shown that it means it.
    pub fn make_room(&mut self) {
        let missing = match self.framing {
            // A bad length is an error when the frame is looked at.
            Framing::Native => native::frame_len(&self.input, self.limits).ok().flatten(),
            Framing::Cbor | Framing::Json => None,
        };
        let missing = missing.map_or(0, |len| len.saturating_sub(self.input.len()));
        self.room.make(&mut self.input, missing);
    }

    /// Takes out the memory that was read into, of which messages may keep some: nothing more is
    /// read.
    pub fn take_room(&mut self) -> Room {
        drop(std::mem::take(&mut self.batch));
        self.room.end(std::mem::take(&mut self.input));
        std::mem::take(&mut self.room)
    }

    /// Gives back memory that is not in use; to be called from time to time.
    pub fn rest(&mut self) {
        if self.taken == self.batch.len() {
            // It would keep the memory that it was found in.
            self.batch = Bytes::new();
            (self.taken, self.found) = (0, 0..0);
        }
        self.room.rest(&mut self.input);
    }

    /// The next frame; `None` until more bytes arrive.
    ///
    /// # Errors
    ///
    /// The stream is not a sequence of frames, or passes a limit. Frames before the bad one are
    /// given first.
    #[allow(clippy::should_implement_trait)] // an iterator would end at `None`, this goes on
    pub fn next(&mut self) -> Result<Option<Frame>, FrameError> {
        while self.fill()? {
            if self.framing == Framing::Native && native::is_part(&self.batch[self.taken..]) {
                match self.take_part() {
                    Ok(None) => continue,
                    Ok(frame) => return Ok(frame),
                    Err(error) => return Err(self.fail(error)),
                }
            }
            return self.take().map(Some).map_err(|error| self.fail(error));
        }
        Ok(None)
    }

    fn fail(&mut self, error: FrameError) -> FrameError {
        self.batch.clear();
        (self.taken, self.found) = (0, 0..0);
        self.failed = Some(error.clone());
        error
    }

    /// Splits off what is complete as the next batch. An error is kept for when the batch is used
    /// up.
    fn refill(&mut self) {
        // Without a batch the buffer can be used again from its beginning.
        self.batch = Bytes::new();
        (self.taken, self.found) = (0, 0..0);
        let mut complete = 0;
        let outcome = match self.framing {
            Framing::Native => self.complete_native(&mut complete),
            Framing::Cbor => self.complete_cbor(&mut complete),
            Framing::Json => self.next_json(),
        };
        self.failed = outcome.err();
        if complete > 0 {
            self.batch = self.input.split_to(complete).freeze();
        }
    }

    fn complete_native(&mut self, complete: &mut usize) -> Result<(), FrameError> {
        while let Some(len) = native::frame_len(&self.input[*complete..], self.limits)? {
            if self.input.len() - *complete < len {
                break;
            }
            *complete += len;
        }
        Ok(())
    }

    fn complete_cbor(&mut self, complete: &mut usize) -> Result<(), FrameError> {
        while self.scanned < self.input.len() {
            if *complete == self.scanned && self.input[*complete] >> 5 != ARRAY {
                return Err(Malformed { at: 0, what: "a message is not an array" }.into());
            }
            if !self.scanner.advance(&self.input, *complete, &mut self.scanned)? {
                break;
            }
            *complete = self.scanned;
            self.ends.push_back(*complete);
        }
        self.scanned -= *complete;
        Ok(())
    }

    /// JSON is turned into CBOR, and so copied, frame by frame.
    fn next_json(&mut self) -> Result<(), FrameError> {
        let Some(end) = self.boundary.find(&mut self.input)? else { return Ok(()) };
        self.batch = json::read_frame(&self.input[..end], self.boundary.counts())?.into();
        self.ends.push_back(self.batch.len());
        self.input.advance(end);
        self.boundary.restart();
        Ok(())
    }

    /// Takes the next frame out of the batch, which is not used up.
    fn take(&mut self) -> Result<Frame, FrameError> {
        if self.framing == Framing::Native {
            return self.take_native();
        }
        let end = self.ends.pop_front().unwrap_or(self.batch.len());
        let frame = self.batch.slice(self.taken..end);
        self.taken = end;
        Ok(match cbor::read_message(&frame)? {
            Some((port, body)) => Frame::Message { seq: None, port, body: self.kept(body), trace: None },
            None => Frame::KeepAlive,
        })
    }

    fn take_native(&mut self) -> Result<Frame, FrameError> {
        let rest = &self.batch[self.taken..];
        let len = native::frame_len(rest, self.limits)?.unwrap_or(rest.len());
        let frame = &rest[..len];
        let (seq, trace, name, count, items) = match native::parse(frame)? {
            Parsed::Control(control) => {
                self.taken += len;
                return Ok(control.into());
            }
            Parsed::Message { seq, trace, name, count, items } => (seq, trace, name, count, items),
        };
        if seq != self.due {
            return Err(FrameError::Sequence { expected: self.due, got: seq });
        }
        native::check_items(&mut self.scanner, frame, items.start, count)?;
        let slice = |range: Range<usize>| self.batch.slice(self.taken + range.start..self.taken + range.end);
        let port = Str::from_utf8(slice(name)).unwrap_or_default();
        let body = self.kept(Body::new(count, slice(items)));
        self.due = self.due.wrapping_add(1);
        self.taken += len;
        Ok(Frame::Message { seq: Some(seq), port, body, trace })
    }

    /// The message as it may be kept: with memory of its own, if others keep too much.
    fn kept(&self, body: Body) -> Body {
        let copies = self.framing != Framing::Json && self.room.copies(body.items().len());
        if copies { Body::new(body.count(), Bytes::copy_from_slice(body.items())) } else { body }
    }

    /// Takes the next frame, which is a part; and the message, if it is whole now.
    #[cold]
    fn take_part(&mut self) -> Result<Option<Frame>, FrameError> {
        let rest = &self.batch[self.taken..];
        let frame = &rest[..native::frame_len(rest, self.limits)?.unwrap_or(rest.len())];
        let Part { seq, number, left, trace, piece } = native::parse_part(frame)?;
        let payload = self.parts.take(number, left, &frame[piece], self.limits)?;
        self.taken += frame.len();
        let Some(payload) = payload else {
            return match seq {
                0 => Ok(None),
                _ => {
                    Err(FrameError::Part { number, what: "is not the last, and has the number of a message" })
                }
            };
        };
        if seq != self.due {
            return Err(FrameError::Sequence { expected: self.due, got: seq });
        }
        let payload = Bytes::from(payload);
        let (name, count, items) = native::parse_payload(&payload, 0)?;
        native::check_items(&mut self.scanner, &payload, items.start, count)?;
        self.due = self.due.wrapping_add(1);
        let port = Str::from_utf8(payload.slice(name)).unwrap_or_default();
        let body = Body::new(count, payload.slice(items));
        Ok(Some(Frame::Message { seq: Some(seq), port, body, trace }))
    }
}
