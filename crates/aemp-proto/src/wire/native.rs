//! `aemp1`, the framing between our own nodes: numbered frames.
//!
//! ```text
//!  0      4      5      6             14           16
//!  +------+------+------+-------------+------------+------ … -----+------ … ------+
//!  | len  | kind | flags| seq         | tlv length | TLVs         | payload       |
//!  +------+------+------+-------------+------------+------ … -----+------ … ------+
//!  message: name length u16 · name in UTF-8 · CBOR array of the values
//!  part:    number u32 · bytes left u32 · the next bytes of the payload of a message
//! ```
//!
//! All numbers are little-endian; `len` counts what follows it. TLVs (file `tlv`) and flags that we
//! do not know are skipped. The other kinds have no payload: what they say is in `seq`, which
//! counts only the messages. Of a message that comes in parts the last one has the `seq`; the
//! others have 0.

use std::ops::Range;

use super::body::Body;
use super::error::{EncodeError, FrameError, Malformed};
use super::limits::Limits;
use super::scan::{self, ARRAY, Scanner};
use super::tlv;
use crate::TraceContext;

/// Bytes of the header before the TLVs.
pub(crate) const HEADER: usize = 16;
/// Bytes of the length field, which does not count itself.
pub(crate) const LEN: usize = 4;

/// Bytes of values for which there is room at once with those before them.
const SMALL: usize = 4096;

/// Bytes of a part before its piece of the message.
pub(crate) const PART_HEAD: usize = 8;

const MESSAGE: u8 = 1;
const PART: u8 = 2;
const ACK: u8 = 3;
const CREDIT: u8 = 4;
const PING: u8 = 5;
const PONG: u8 = 6;
const BYE: u8 = 7;

/// Frames that carry no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    /// All messages up to this number have arrived.
    Ack(u64),
    /// The peer may send this many more bytes.
    Credit(u64),
    /// Are you there? The number comes back in the [`Control::Pong`].
    Ping(u64),
    /// Yes.
    Pong(u64),
    /// The connection ends on purpose.
    Bye,
}

/// Bytes that [`write_message`] appends for this message.
pub fn message_len(port: &str, body: &Body) -> usize {
    let (_, head) = scan::shortest_head(ARRAY, body.count().into());
    HEADER + 2 + port.len() + head + body.items().len()
}

/// Appends a message as a native frame.
///
/// # Errors
///
/// The name or the message is longer than the frame has room for; nothing was appended.
pub fn write_message(out: &mut Vec<u8>, seq: u64, port: &str, body: &Body) -> Result<(), EncodeError> {
    write_head(out, seq, port, body.count(), body.items().len())?;
    out.extend_from_slice(body.items());
    Ok(())
}

/// Appends all of a message but its values, which have this many bytes, and says how many it
/// appended.
///
/// # Errors
///
/// As [`write_message`].
#[inline]
pub(crate) fn write_head(
    out: &mut Vec<u8>,
    seq: u64,
    port: &str,
    count: u32,
    items: usize,
) -> Result<usize, EncodeError> {
    let (head, head_len) = scan::shortest_head(ARRAY, count.into());
    let ours = HEADER + 2 + port.len() + head_len;
    let total = ours + items;
    let len = u32::try_from(total - LEN).map_err(|_| EncodeError::TooLong(total))?;
    let name_len = u16::try_from(port.len()).map_err(|_| EncodeError::NameTooLong(port.len()))?;
    let mut start = [0; HEADER + 2];
    start[..HEADER].copy_from_slice(&header(len, MESSAGE, seq));
    start[HEADER..].copy_from_slice(&name_len.to_le_bytes());
    out.reserve(ours + head.len() + items.min(SMALL));
    out.extend_from_slice(&start);
    out.extend_from_slice(port.as_bytes());
    // To append always as many bytes is faster.
    out.extend_from_slice(&head);
    out.truncate(out.len() - (head.len() - head_len));
    Ok(ours)
}

/// What comes before the values in the payload of a message of `count` values, which have this many
/// bytes.
///
/// # Errors
///
/// As [`write_message`].
pub(crate) fn payload_head(port: &str, count: u32, items: usize) -> Result<Vec<u8>, EncodeError> {
    let mut head = Vec::new();
    write_head(&mut head, 0, port, count, items)?;
    head.drain(..HEADER);
    Ok(head)
}

/// Appends the head of a part with a piece of this many bytes. Of its message `left` are still to
/// come, these included; `number` tells it from others that are unfinished, and `seq` is its number
/// as a message if this is the last part.
///
/// # Panics
///
/// The piece does not fit into a frame; pieces are cut to be small.
pub(crate) fn write_part_head(out: &mut Vec<u8>, seq: u64, number: u32, left: u32, piece: usize) {
    let len = u32::try_from(HEADER - LEN + PART_HEAD + piece).expect("parts are small");
    out.extend_from_slice(&header(len, PART, seq));
    out.extend_from_slice(&number.to_le_bytes());
    out.extend_from_slice(&left.to_le_bytes());
}

/// Adds a trace context to the frame whose head, from this place on, is all that was appended of it
/// so far.
///
/// # Errors
///
/// The frame would be longer than it can say; nothing was added, and the head taken away.
#[cold]
pub(crate) fn add_trace(out: &mut Vec<u8>, start: usize, trace: TraceContext) -> Result<(), EncodeError> {
    let len = out[start..].first_chunk().map_or(0, |len| u32::from_le_bytes(*len));
    let Some(longer) = len.checked_add(tlv::TRACE_LEN.into()) else {
        out.truncate(start);
        return Err(EncodeError::TooLong(len as usize + LEN + usize::from(tlv::TRACE_LEN)));
    };
    let payload = out.split_off(start + HEADER);
    out[start..start + LEN].copy_from_slice(&longer.to_le_bytes());
    out[start + HEADER - 2..].copy_from_slice(&tlv::TRACE_LEN.to_le_bytes());
    tlv::write_trace(out, trace);
    out.extend_from_slice(&payload);
    Ok(())
}

/// Appends a frame without a message.
pub fn write_control(out: &mut Vec<u8>, control: Control) {
    let (kind, number) = match control {
        Control::Ack(number) => (ACK, number),
        Control::Credit(bytes) => (CREDIT, bytes),
        Control::Ping(number) => (PING, number),
        Control::Pong(number) => (PONG, number),
        Control::Bye => (BYE, 0),
    };
    out.extend_from_slice(&header((HEADER - LEN) as u32, kind, number));
}

fn header(len: u32, kind: u8, seq: u64) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    header[..LEN].copy_from_slice(&len.to_le_bytes());
    header[LEN] = kind;
    header[6..14].copy_from_slice(&seq.to_le_bytes());
    header
}

/// Bytes of the frame that `bytes` begin with, its length field included; `None` if that field is
/// not complete.
pub(crate) fn frame_len(bytes: &[u8], limits: Limits) -> Result<Option<usize>, FrameError> {
    let Some(len) = bytes.first_chunk::<LEN>() else { return Ok(None) };
    let len = (u32::from_le_bytes(*len) as usize).saturating_add(LEN);
    if len < HEADER {
        return Err(Malformed { at: 0, what: "a frame is shorter than its header" }.into());
    }
    if limits.frame != 0 && len > limits.frame {
        return Err(FrameError::TooLong { limit: limits.frame });
    }
    Ok(Some(len))
}

/// A frame, as places in its bytes.
#[derive(Debug)]
pub(crate) enum Parsed {
    Message {
        seq: u64,
        trace: Option<Box<TraceContext>>,
        name: Range<usize>,
        count: u32,
        items: Range<usize>,
    },
    Control(Control),
}

/// Takes one whole frame apart that is no part of a message. The name is UTF-8; the items are
/// checked by [`check_items`].
#[inline]
pub(crate) fn parse(frame: &[u8]) -> Result<Parsed, FrameError> {
    let short = || Malformed { at: frame.len(), what: "a frame is shorter than its fields" };
    let header = frame.first_chunk::<HEADER>().ok_or_else(short)?;
    let seq = seq(header);
    let at = HEADER + usize::from(u16::from_le_bytes([header[14], header[15]]));
    let payload = frame.get(at..).ok_or_else(short)?;
    let control = match header[LEN] {
        MESSAGE => {
            let (name, count, items) = parse_payload(frame, at)?;
            let trace = trace(&frame[HEADER..at]);
            return Ok(Parsed::Message { seq, trace, name, count, items });
        }
        ACK => Control::Ack(seq),
        CREDIT => Control::Credit(seq),
        PING => Control::Ping(seq),
        PONG => Control::Pong(seq),
        BYE => Control::Bye,
        kind => return Err(FrameError::Kind(kind)),
    };
    if !payload.is_empty() {
        return Err(Malformed { at, what: "a frame without message has a payload" }.into());
    }
    Ok(Parsed::Control(control))
}

/// A part of a message.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) seq: u64,
    pub(crate) number: u32,
    pub(crate) left: u32,
    /// That of the message, in its last part.
    pub(crate) trace: Option<Box<TraceContext>>,
    /// Where its piece of the payload is.
    pub(crate) piece: Range<usize>,
}

/// Whether `bytes` begin with a part of a message.
pub(crate) fn is_part(bytes: &[u8]) -> bool {
    bytes.get(LEN) == Some(&PART)
}

/// Takes a frame apart that [`is_part`] says is one.
pub(crate) fn parse_part(frame: &[u8]) -> Result<Part, FrameError> {
    let short = || Malformed { at: frame.len(), what: "a frame is shorter than its fields" };
    let header = frame.first_chunk::<HEADER>().ok_or_else(short)?;
    let at = HEADER + usize::from(u16::from_le_bytes([header[14], header[15]]));
    let head = frame.get(at..).and_then(<[u8]>::first_chunk::<PART_HEAD>).ok_or_else(short)?;
    let [number, left] = [0, 4].map(|at| u32_at(head, at));
    let trace = trace(&frame[HEADER..at]);
    Ok(Part { seq: seq(header), number, left, trace, piece: at + PART_HEAD..frame.len() })
}

/// The trace context among these TLVs, which most frames have none of.
#[inline]
fn trace(tlvs: &[u8]) -> Option<Box<TraceContext>> {
    if tlvs.is_empty() { None } else { tlv::read_trace(tlvs).map(Box::new) }
}

/// Takes the payload of a message apart that begins at this place: where its name is, how many
/// values it has, and where they are.
#[inline]
pub(crate) fn parse_payload(
    frame: &[u8],
    at: usize,
) -> Result<(Range<usize>, u32, Range<usize>), FrameError> {
    let short = || Malformed { at: frame.len(), what: "a frame is shorter than its fields" };
    let name_len = frame[at..].first_chunk::<2>().ok_or_else(short)?;
    let name = at + 2..at + 2 + usize::from(u16::from_le_bytes(*name_len));
    std::str::from_utf8(frame.get(name.clone()).ok_or_else(short)?)
        .map_err(|_| Malformed { at: name.start, what: "the port name is not UTF-8" })?;
    let (count, head_len) = array_head(frame, name.end)?;
    let items = name.end + head_len..frame.len();
    Ok((name, count, items))
}

/// A message of the most usual kind, as places in its frame: without TLVs, and with few values.
#[derive(Debug)]
pub(crate) struct Plain {
    pub(crate) seq: u64,
    /// Bytes of the frame.
    pub(crate) len: usize,
    /// Not checked to be UTF-8.
    pub(crate) name: Range<usize>,
    pub(crate) count: u32,
    /// Where the values begin. They are checked by [`check_items`].
    pub(crate) items: usize,
}

/// The message that the frames in `bytes` begin with, if it is of the most usual kind. For
/// everything else, and everything that is wrong, there is [`parse`].
#[inline]
pub(crate) fn plain_message(bytes: &[u8]) -> Option<Plain> {
    let start = bytes.first_chunk::<{ HEADER + 2 }>()?;
    if start[LEN] != MESSAGE || start[14..HEADER] != [0, 0] {
        return None;
    }
    let len = u32::from_le_bytes([start[0], start[1], start[2], start[3]]) as usize + LEN;
    let name = HEADER + 2..HEADER + 2 + usize::from(u16::from_le_bytes([start[HEADER], start[HEADER + 1]]));
    let frame = bytes.get(..len)?;
    // An array with less than 24 values has one byte for its head, and no name is empty but that of
    // the node port.
    let count = u32::from(frame.get(name.end)?.checked_sub(ARRAY << 5).filter(|count| *count < 24)?);
    let items = name.end + 1;
    (!name.is_empty()).then(|| Plain { seq: seq(start), len, name, count, items })
}

fn seq<const N: usize>(header: &[u8; N]) -> u64 {
    header[6..].first_chunk().map_or(0, |number| u64::from_le_bytes(*number))
}

fn u32_at(bytes: &[u8; PART_HEAD], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn array_head(frame: &[u8], at: usize) -> Result<(u32, usize), FrameError> {
    let wrong = || Malformed { at, what: "the body is not an array of known length" };
    let head = scan::head(&frame[at..]).ok().flatten().ok_or_else(wrong)?;
    if head.major != ARRAY || head.is_indefinite() {
        return Err(wrong().into());
    }
    Ok((u32::try_from(head.argument).map_err(|_| wrong())?, head.len))
}

/// Checks that the items of a message are as many as it says, and well formed.
#[inline]
pub(crate) fn check_items(
    scanner: &mut Scanner,
    frame: &[u8],
    start: usize,
    count: u32,
) -> Result<(), FrameError> {
    let mut at = start;
    for _ in 0..count {
        if let Some(end) = scan::end_of_simple(frame, at) {
            at = end;
        } else if !scanner.advance(frame, 0, &mut at)? {
            return Err(Malformed { at, what: "a value is not complete" }.into());
        }
    }
    if at != frame.len() {
        return Err(Malformed { at, what: "bytes behind the last value" }.into());
    }
    Ok(())
}
