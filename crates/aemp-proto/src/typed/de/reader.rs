//! Reading items, one after the other.

use std::borrow::Cow;

use minicbor::Decoder;

use super::item::Item;
use crate::typed::{DEPTH_MAX, DecodeError};
use crate::wire::memory;

const UNSIGNED: u8 = 0;
const NEGATIVE: u8 = 1;
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const LIST: u8 = 4;
const MAP: u8 = 5;
const TAG: u8 = 6;

const BIG_POSITIVE: u64 = 2;
const BIG_NEGATIVE: u64 = 3;
const BREAK: u8 = 0xff;

/// Reads the items of a body one after the other.
pub(in crate::typed) struct Reader<'de> {
    decoder: Decoder<'de>,
    /// Levels that may still be entered, so that no body can use up the stack.
    levels: usize,
    /// Bytes of memory that untyped values may still take, which can be many times their bytes on
    /// the wire.
    untyped: usize,
}

/// What an item begins with.
struct Head {
    first: u8,
    major: u8,
    argument: u64,
    /// Where the head ends.
    end: usize,
}

impl<'de> Reader<'de> {
    pub(in crate::typed) fn new(items: &'de [u8]) -> Reader<'de> {
        Reader { decoder: Decoder::new(items), levels: DEPTH_MAX + 1, untyped: memory::VALUES_MAX }
    }

    /// Leaves out one item.
    pub(in crate::typed) fn skip(&mut self) -> Result<(), DecodeError> {
        // Tags are skipped most often, and they are strings.
        match self.head().filter(|head| matches!(head.major, BYTES | TEXT)) {
            Some(head) => self.bytes(&head).map(drop),
            None => Ok(self.decoder.skip()?),
        }
    }

    pub(super) fn position(&self) -> usize {
        self.decoder.position()
    }

    pub(super) fn rewind(&mut self, position: usize) {
        self.decoder.set_position(position);
    }

    /// An upper bound of what can still follow.
    pub(super) fn remaining(&self) -> usize {
        self.decoder.input().len() - self.decoder.position()
    }

    pub(super) fn enter(&mut self) -> Result<(), DecodeError> {
        let deeper = self.levels.checked_sub(1);
        self.levels = deeper.ok_or_else(|| DecodeError::new("nested too deeply"))?;
        Ok(())
    }

    pub(super) fn leave(&mut self) {
        self.levels += 1;
    }

    /// The next item, as a value of any type it is.
    pub(super) fn untyped_item(&mut self) -> Result<Item<'de>, DecodeError> {
        let item = self.item()?;
        self.charge(item.memory())?;
        Ok(item)
    }

    /// Counts the memory of an untyped value.
    pub(super) fn charge(&mut self, bytes: usize) -> Result<(), DecodeError> {
        let left = self.untyped.checked_sub(bytes);
        self.untyped = left.ok_or_else(|| {
            let limit = memory::VALUES_MAX;
            DecodeError::new(format_args!(
                "the values take more than {limit} bytes of memory; give them types"
            ))
        })?;
        Ok(())
    }

    /// Whether null or undefined is next.
    pub(super) fn at_null(&self) -> bool {
        matches!(self.peek(), Some(0xf6 | 0xf7))
    }

    /// Takes the end of a list or map of indefinite length, if it is next.
    pub(super) fn take_break(&mut self) -> bool {
        let found = self.peek() == Some(BREAK);
        if found {
            self.decoder.set_position(self.decoder.position() + 1);
        }
        found
    }

    /// The number of the CBOR tag, if one is next.
    pub(super) fn take_tag(&mut self) -> Result<Option<u64>, DecodeError> {
        match self.peek() {
            Some(head) if head >> 5 == TAG => Ok(Some(self.decoder.tag()?.as_u64())),
            _ => Ok(None),
        }
    }

    /// Takes the next item if it is a plain integer and not negative. This and the next two are the
    /// short ways to what nearly all messages are made of; where they find something else,
    /// [`item`](Self::item) looks closer.
    #[inline]
    pub(super) fn take_unsigned(&mut self) -> Option<u64> {
        let head = self.head().filter(|head| head.major == UNSIGNED)?;
        self.decoder.set_position(head.end);
        Some(head.argument)
    }

    /// Takes the next item if it is a plain float.
    #[inline]
    pub(super) fn take_float(&mut self) -> Option<f64> {
        let head = self.head()?;
        let number = head.float()?;
        self.decoder.set_position(head.end);
        Some(number)
    }

    /// Takes the next item if it is text or bytes in one piece, and UTF-8.
    #[inline]
    pub(super) fn take_str(&mut self) -> Option<&'de str> {
        let (bytes, end) = self.string()?;
        let text = std::str::from_utf8(bytes).ok()?;
        self.decoder.set_position(end);
        Some(text)
    }

    /// The bytes of the next item, and where it ends, if it is text or bytes in one piece. It is
    /// not taken.
    #[inline]
    pub(super) fn string(&self) -> Option<(&'de [u8], usize)> {
        let start = self.decoder.position();
        if let Some(first @ (0x40..0x58 | 0x60..0x78)) = self.decoder.input().get(start) {
            let end = start + 1 + usize::from(first & 0x1f);
            return Some((self.decoder.input().get(start + 1..end)?, end));
        }
        let head = self.head().filter(|head| matches!(head.major, BYTES | TEXT))?;
        self.content(&head)
    }

    /// The next item, no matter what CBOR tags are on it.
    pub(super) fn item(&mut self) -> Result<Item<'de>, DecodeError> {
        loop {
            let Some(head) = self.head() else { return self.indefinite() };
            let item = match head.major {
                UNSIGNED | NEGATIVE => head.integer().map(Item::Int),
                BYTES => return self.bytes(&head).map(|bytes| Item::Bytes(Cow::Borrowed(bytes))),
                TEXT => return self.text(&head).map(|text| Item::Text(Cow::Borrowed(text))),
                LIST => Some(Item::List(Some(head.argument))),
                MAP => Some(Item::Map(Some(head.argument))),
                TAG => None,
                _ => return self.simple(&head),
            };
            self.decoder.set_position(head.end);
            match item {
                Some(item) => return Ok(item),
                None if matches!(head.argument, BIG_POSITIVE | BIG_NEGATIVE) => {
                    return self.big_number(head.argument);
                }
                None => {}
            }
        }
    }

    fn peek(&self) -> Option<u8> {
        self.decoder.input().get(self.decoder.position()).copied()
    }

    /// The head of the next item, if it is complete and has an argument.
    #[inline]
    fn head(&self) -> Option<Head> {
        let start = self.decoder.position();
        let (&first, rest) = self.decoder.input().get(start..)?.split_first()?;
        let (argument, width) = match first & 0x1f {
            info @ 0..24 => (u64::from(info), 0),
            24 => (u64::from(*rest.first()?), 1),
            25 => (u64::from(u16::from_be_bytes(*rest.first_chunk()?)), 2),
            26 => (u64::from(u32::from_be_bytes(*rest.first_chunk()?)), 4),
            27 => (u64::from_be_bytes(*rest.first_chunk()?), 8),
            _ => return None,
        };
        Some(Head { first, major: first >> 5, argument, end: start + 1 + width })
    }

    /// What a string in one piece consists of, and where it ends.
    #[inline]
    fn content(&self, head: &Head) -> Option<(&'de [u8], usize)> {
        let end = head.end.checked_add(usize::try_from(head.argument).ok()?)?;
        Some((self.decoder.input().get(head.end..end)?, end))
    }

    fn bytes(&mut self, head: &Head) -> Result<&'de [u8], DecodeError> {
        let (bytes, end) = self.content(head).ok_or_else(too_early)?;
        self.decoder.set_position(end);
        Ok(bytes)
    }

    fn text(&mut self, head: &Head) -> Result<&'de str, DecodeError> {
        let bytes = self.bytes(head)?;
        std::str::from_utf8(bytes).map_err(DecodeError::new)
    }

    /// Lists and maps up to a break, and strings in pieces.
    fn indefinite(&mut self) -> Result<Item<'de>, DecodeError> {
        match self.peek() {
            Some(0x5f) => {
                let pieces: Result<Vec<&[u8]>, _> = self.decoder.bytes_iter()?.collect();
                Ok(Item::Bytes(Cow::Owned(pieces?.concat())))
            }
            Some(0x7f) => {
                let pieces: Result<String, _> = self.decoder.str_iter()?.collect();
                Ok(Item::Text(Cow::Owned(pieces?)))
            }
            Some(0x9f) => Ok(Item::List(self.decoder.array()?)),
            Some(0xbf) => Ok(Item::Map(self.decoder.map()?)),
            Some(head) if head & 0x1f > 27 => Err(not_a_value(head)),
            _ => Err(too_early()),
        }
    }

    fn simple(&mut self, head: &Head) -> Result<Item<'de>, DecodeError> {
        let item = match head.first {
            0xf4 | 0xf5 => Item::Bool(head.first == 0xf5),
            0xf6 | 0xf7 => Item::Null,
            0xf9 => return Ok(Item::Float(self.decoder.f16()?.into())),
            first => Item::Float(head.float().ok_or_else(|| not_a_value(first))?),
        };
        self.decoder.set_position(head.end);
        Ok(item)
    }

    fn big_number(&mut self, tag: u64) -> Result<Item<'de>, DecodeError> {
        let bytes = match self.peek() {
            Some(head) if head >> 5 == BYTES => self.item()?.into_bytes().unwrap_or_default(),
            _ => return Err(DecodeError::new("a big number is not made of bytes")),
        };
        let number = bytes.iter().try_fold(0i128, |number, &byte| {
            number.checked_mul(256).and_then(|number| number.checked_add(byte.into()))
        });
        let number = number.ok_or_else(|| DecodeError::new("a number of more than 127 bits"))?;
        Ok(Item::Int(if tag == BIG_NEGATIVE { -1 - number } else { number }))
    }
}

fn too_early() -> DecodeError {
    DecodeError::new("the message ends too early")
}

fn not_a_value(head: u8) -> DecodeError {
    DecodeError::new(format_args!("{head:#04x} begins no value"))
}

impl Head {
    #[inline]
    fn integer(&self) -> Option<i128> {
        match self.major {
            UNSIGNED => Some(self.argument.into()),
            NEGATIVE => Some(-1 - i128::from(self.argument)),
            _ => None,
        }
    }

    #[inline]
    fn float(&self) -> Option<f64> {
        match self.first {
            0xfa => Some(f32::from_bits(self.argument as u32).into()),
            0xfb => Some(f64::from_bits(self.argument)),
            _ => None,
        }
    }
}
