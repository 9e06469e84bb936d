//! What a message of a broker holds: one chunk of a stream.
//!
//! ```text
//!   version  kind  flags   to   from   ack   limit   offset   length   body
//!      1       1     1     16    16     8      8       8        4       …     bytes, big-endian
//! ```
//!
//! The length is that of the body, so that a message that was cut short is refused: otherwise the
//! end of a stream could be in the wrong place.

use thiserror::Error;

use super::{REASON_MAX, Session};
use crate::NodeId;
use crate::name::NameError;

/// Bytes of a chunk before its body.
pub const HEADER_LEN: usize = 63;

const VERSION: u8 = 1;

const OPEN: u8 = 1;
const PART: u8 = 2;
const RESET: u8 = 3;

const END: u8 = 1;
const MISSING: u8 = 2;
const ANSWER: u8 = 4;

/// A chunk as it was read. Nothing in it can be trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Chunk<'a> {
    /// Somebody wants a stream.
    Open {
        /// The end that wants it.
        from: Session,
        /// How many bytes may be sent to that end.
        limit: u64,
        /// The node that says that it has this end.
        node: NodeId,
    },
    /// A segment of a stream, or only numbers.
    Data(Data<'a>),
    /// The end of a stream before its time.
    Reset {
        /// Whose.
        to: Session,
        /// Who says so.
        from: Session,
        /// Why, for people.
        reason: String,
    },
}

/// A segment of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Data<'a> {
    /// The end that it is for.
    pub(super) to: Session,
    /// The end that has sent it.
    pub(super) from: Session,
    /// All before this number has arrived at the sender.
    pub(super) ack: u64,
    /// The number that the receiver of this may not pass.
    pub(super) limit: u64,
    /// The number of the first byte.
    pub(super) offset: u64,
    /// Whether these are the last bytes. The end takes a number, too, the one behind them.
    pub(super) end: bool,
    /// Whether something has come to the sender that is behind `ack`.
    pub(super) missing: bool,
    /// Whether an answer is wanted at once.
    pub(super) answer: bool,
    /// The bytes, if any.
    pub(super) bytes: &'a [u8],
}

/// A message that is no chunk.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ChunkError {
    /// It is shorter than a header.
    #[error("a chunk of {0} bytes is shorter than a header")]
    Short(usize),
    /// It is longer or shorter than it says.
    #[error("a chunk has {is} bytes behind its header, and says that it has {says}")]
    Length {
        /// Bytes that there are.
        is: usize,
        /// Bytes that there should be.
        says: u32,
    },
    /// It is of another version of these rules.
    #[error("a chunk of version {0}, and only {VERSION} is known")]
    Version(u8),
    /// It is of a kind that is not known.
    #[error("a chunk of kind {0}, which is not known")]
    Kind(u8),
    /// The node that wants a stream has an impossible ID.
    #[error("a stream is wanted by a node whose ID is not usable: {0}")]
    Node(#[from] NameError),
    /// Its text is not UTF-8.
    #[error("the text of a chunk is not UTF-8")]
    Text,
}

impl<'a> Chunk<'a> {
    /// Reads a message.
    ///
    /// # Errors
    ///
    /// It is no chunk; see [`ChunkError`].
    pub fn decode(message: &'a [u8]) -> Result<Chunk<'a>, ChunkError> {
        let short = ChunkError::Short(message.len());
        let (fixed, rest) = message.split_first_chunk::<3>().ok_or_else(|| short.clone())?;
        let (to, rest) = rest.split_first_chunk::<16>().ok_or_else(|| short.clone())?;
        let (from, rest) = rest.split_first_chunk::<16>().ok_or_else(|| short.clone())?;
        let (numbers, rest) = rest.split_first_chunk::<24>().ok_or_else(|| short.clone())?;
        let (length, body) = rest.split_first_chunk::<4>().ok_or(short)?;
        let number = |at: usize| {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(&numbers[at * 8..][..8]);
            u64::from_be_bytes(bytes)
        };
        let session = |bytes: &[u8; 16]| Session::new(u128::from_be_bytes(*bytes));
        let (to, from) = (session(to), session(from));
        let [version, kind, flags] = *fixed;
        if version != VERSION {
            return Err(ChunkError::Version(version));
        }
        let says = u32::from_be_bytes(*length);
        if u32::try_from(body.len()) != Ok(says) {
            return Err(ChunkError::Length { is: body.len(), says });
        }
        let text = || str::from_utf8(body).map_err(|_| ChunkError::Text);
        match kind {
            OPEN => Ok(Chunk::Open { from, limit: number(1), node: NodeId::new(text()?)? }),
            PART => Ok(Chunk::Data(Data {
                to,
                from,
                ack: number(0),
                limit: number(1),
                offset: number(2),
                end: flags & END != 0,
                missing: flags & MISSING != 0,
                answer: flags & ANSWER != 0,
                bytes: body,
            })),
            RESET => {
                let text = text()?;
                let reason = text[..text.floor_char_boundary(REASON_MAX)].into();
                Ok(Chunk::Reset { to, from, reason })
            }
            kind => Err(ChunkError::Kind(kind)),
        }
    }

    /// The end that it is for; nobody's yet if a stream is wanted.
    pub fn to(&self) -> Option<Session> {
        match self {
            Chunk::Open { .. } => None,
            Chunk::Data(data) => Some(data.to),
            Chunk::Reset { to, .. } => Some(*to),
        }
    }

    /// The message that asks a node for a stream.
    pub(super) fn open(from: Session, limit: u64, node: &NodeId) -> Vec<u8> {
        let nobody = Session::new(0);
        message(OPEN, 0, [nobody, from], [0, limit, 0], node.as_str().len(), |out| {
            out.extend_from_slice(node.as_str().as_bytes());
        })
    }

    /// The message that ends a stream, or refuses it. `to` is the other end.
    pub fn reset(to: Session, from: Session, reason: &str) -> Vec<u8> {
        let reason = &reason[..reason.floor_char_boundary(REASON_MAX)];
        message(RESET, 0, [to, from], [0; 3], reason.len(), |out| out.extend_from_slice(reason.as_bytes()))
    }
}

impl Data<'_> {
    /// The message for this, with `bytes` in two slices.
    pub(super) fn encode(&self, (one, two): (&[u8], &[u8])) -> Vec<u8> {
        let flag = |set: bool, bit: u8| if set { bit } else { 0 };
        let flags = flag(self.end, END) | flag(self.missing, MISSING) | flag(self.answer, ANSWER);
        let (ends, numbers) = ([self.to, self.from], [self.ack, self.limit, self.offset]);
        message(PART, flags, ends, numbers, one.len() + two.len(), |out| {
            out.extend_from_slice(one);
            out.extend_from_slice(two);
        })
    }
}

fn message(
    kind: u8,
    flags: u8,
    ends: [Session; 2],
    numbers: [u64; 3],
    len: usize,
    body: impl FnOnce(&mut Vec<u8>),
) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEADER_LEN + len);
    out.extend_from_slice(&[VERSION, kind, flags]);
    ends.iter().for_each(|Session(bits)| out.extend_from_slice(&bits.to_be_bytes()));
    numbers.iter().for_each(|number| out.extend_from_slice(&number.to_be_bytes()));
    // No body is longer than a chunk may be.
    out.extend_from_slice(&u32::try_from(len).unwrap_or(u32::MAX).to_be_bytes());
    body(&mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Session = Session::new(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef);
    const B: Session = Session::new(2);

    #[test]
    fn a_request_for_a_stream_names_the_node_and_its_end() {
        let node = NodeId::new("shop/1").unwrap();
        let message = Chunk::open(A, 77, &node);
        assert_eq!(message.len(), HEADER_LEN + 6);
        assert_eq!(Chunk::decode(&message), Ok(Chunk::Open { from: A, limit: 77, node }));
    }

    #[test]
    fn a_part_has_the_layout_of_the_protocol() {
        let data = Data {
            to: A,
            from: B,
            ack: 3,
            limit: 4,
            offset: 5,
            end: true,
            missing: false,
            answer: true,
            bytes: b"xyz",
        };
        let message = data.encode((b"x", b"yz"));
        assert_eq!(message[..3], [1, 2, 5]);
        assert_eq!(message[3..11], [0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef]);
        assert_eq!(
            message[35..63],
            [0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 3]
        );
        assert_eq!(Chunk::decode(&message), Ok(Chunk::Data(data)));
    }

    #[test]
    fn what_is_no_chunk_is_refused_by_name() {
        let message = Chunk::reset(A, B, "enough");
        assert!(matches!(Chunk::decode(&message), Ok(Chunk::Reset { to: A, from: B, .. })));
        for len in 0..HEADER_LEN {
            assert_eq!(Chunk::decode(&message[..len]), Err(ChunkError::Short(len)));
        }
        let changed = |at: usize, byte: u8| {
            let mut message = message.clone();
            message[at] = byte;
            Chunk::decode(&message).map(drop)
        };
        assert_eq!(changed(0, 2), Err(ChunkError::Version(2)));
        assert_eq!(changed(1, 9), Err(ChunkError::Kind(9)));
        assert_eq!(changed(HEADER_LEN, 0xff), Err(ChunkError::Text));
        assert_eq!(changed(1, OPEN), Ok(()), "an ID like any other");
        let mut nobody = Chunk::reset(A, B, "");
        nobody[1] = OPEN;
        assert_eq!(Chunk::decode(&nobody), Err(ChunkError::Node(NameError::Empty)));
    }

    #[test]
    fn a_reason_is_cut() {
        let long = "é".repeat(REASON_MAX);
        let message = Chunk::reset(A, B, &long);
        assert_eq!(message.len(), HEADER_LEN + REASON_MAX);
        let cut = Chunk::decode(&message[..message.len() - 2]);
        assert_eq!(cut, Err(ChunkError::Length { is: REASON_MAX - 2, says: 256 }));
    }
}
