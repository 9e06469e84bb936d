//! Reading items, and what one kind of item may stand for where another one is wanted.

use std::borrow::Cow;

use minicbor::Decoder;
use serde::de::{Error as _, Expected, Unexpected};

use crate::typed::{DEPTH_MAX, DecodeError};
use crate::value::{latin1, to_latin1};

/// The largest integer up to which every integer is a float too.
const FLOAT_EXACT: f64 = 9_007_199_254_740_992.0;

const BIG_POSITIVE: u64 = 2;
const BIG_NEGATIVE: u64 = 3;
const BREAK: u8 = 0xff;

/// Reads the items of a body one after the other.
pub(in crate::typed) struct Reader<'de> {
    decoder: Decoder<'de>,
    /// Levels that may still be entered, so that no body can use up the stack.
    levels: usize,
}

/// One item; of a list or map only its head.
pub(super) enum Item<'de> {
    Null,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(Cow<'de, str>),
    Octets(Cow<'de, [u8]>),
    List(Option<u64>),
    Map(Option<u64>),
}

impl<'de> Reader<'de> {
    pub(in crate::typed) fn new(items: &'de [u8]) -> Reader<'de> {
        Reader { decoder: Decoder::new(items), levels: DEPTH_MAX + 1 }
    }

    /// Leaves out one item.
    pub(in crate::typed) fn skip(&mut self) -> Result<(), DecodeError> {
        Ok(self.decoder.skip()?)
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
            Some(head) if head >> 5 == 6 => Ok(Some(self.decoder.tag()?.as_u64())),
            _ => Ok(None),
        }
    }

    /// The next item, whatever CBOR tags are on it.
    pub(super) fn item(&mut self) -> Result<Item<'de>, DecodeError> {
        while let Some(tag) = self.take_tag()? {
            if tag == BIG_POSITIVE || tag == BIG_NEGATIVE {
                return self.big_number(tag);
            }
        }
        let head = self.peek().ok_or_else(|| DecodeError::new("the message ends too early"))?;
        match head >> 5 {
            0 => Ok(Item::Int(self.decoder.u64()?.into())),
            1 => Ok(Item::Int(self.decoder.int()?.into())),
            2 => Ok(Item::Octets(self.octets(head)?)),
            3 => Ok(Item::Text(self.text(head)?)),
            4 => Ok(Item::List(self.decoder.array()?)),
            5 => Ok(Item::Map(self.decoder.map()?)),
            _ => self.simple(head),
        }
    }

    fn peek(&self) -> Option<u8> {
        self.decoder.input().get(self.decoder.position()).copied()
    }

    fn octets(&mut self, head: u8) -> Result<Cow<'de, [u8]>, DecodeError> {
        if head != 0x5f {
            return Ok(Cow::Borrowed(self.decoder.bytes()?));
        }
        let mut octets = Vec::new();
        for piece in self.decoder.bytes_iter()? {
            octets.extend_from_slice(piece?);
        }
        Ok(Cow::Owned(octets))
    }

    fn text(&mut self, head: u8) -> Result<Cow<'de, str>, DecodeError> {
        if head != 0x7f {
            return Ok(Cow::Borrowed(self.decoder.str()?));
        }
        let mut text = String::new();
        for piece in self.decoder.str_iter()? {
            text.push_str(piece?);
        }
        Ok(Cow::Owned(text))
    }

    fn simple(&mut self, head: u8) -> Result<Item<'de>, DecodeError> {
        match head {
            0xf4 | 0xf5 => Ok(Item::Bool(self.decoder.bool()?)),
            0xf6 => Ok(self.decoder.null().map(|()| Item::Null)?),
            0xf7 => Ok(self.decoder.undefined().map(|()| Item::Null)?),
            0xf9..=0xfb => Ok(Item::Float(self.decoder.f64()?)),
            _ => Err(DecodeError::new(format_args!("{head:#04x} is not a value"))),
        }
    }

    fn big_number(&mut self, tag: u64) -> Result<Item<'de>, DecodeError> {
        let Some(head) = self.peek().filter(|head| head >> 5 == 2) else {
            return Err(DecodeError::new("a big number is not made of octets"));
        };
        let octets = self.octets(head)?;
        let number = octets.iter().try_fold(0i128, |number, &octet| {
            number.checked_mul(256).and_then(|number| number.checked_add(octet.into()))
        });
        let number = number.ok_or_else(|| DecodeError::new("a number of more than 127 bits"))?;
        Ok(Item::Int(if tag == BIG_NEGATIVE { -1 - number } else { number }))
    }
}

impl<'de> Item<'de> {
    pub(super) fn into_integer(self, expected: &dyn Expected) -> Result<i128, DecodeError> {
        let found = match &self {
            Item::Int(number) => Some(*number),
            Item::Float(number) => integral(*number),
            Item::Text(text) => parse_integer(text),
            Item::Octets(octets) => std::str::from_utf8(octets).ok().and_then(parse_integer),
            _ => None,
        };
        found.ok_or_else(|| self.misfit(expected))
    }

    pub(super) fn into_float(self, expected: &dyn Expected) -> Result<f64, DecodeError> {
        let found = match &self {
            Item::Float(number) => Some(*number),
            Item::Int(number) => Some(*number as f64).filter(|float| *float as i128 == *number),
            Item::Text(text) => parse_float(text),
            Item::Octets(octets) => std::str::from_utf8(octets).ok().and_then(parse_float),
            _ => None,
        };
        found.ok_or_else(|| self.misfit(expected))
    }

    pub(super) fn into_bool(self, expected: &dyn Expected) -> Result<bool, DecodeError> {
        let found = match &self {
            Item::Null => Some(false),
            Item::Bool(truth) => Some(*truth),
            Item::Int(0) => Some(false),
            Item::Int(1) => Some(true),
            Item::Float(number) => integral(*number).filter(|n| matches!(n, 0 | 1)).map(|n| n == 1),
            Item::Text(text) => truth(text.as_bytes()),
            Item::Octets(octets) => truth(octets),
            _ => None,
        };
        found.ok_or_else(|| self.misfit(expected))
    }

    pub(super) fn into_text(self) -> Result<Cow<'de, str>, Item<'de>> {
        match self {
            Item::Text(text) => Ok(text),
            Item::Octets(octets) => Ok(utf8_or_latin1(octets)),
            Item::Int(number) => Ok(Cow::Owned(number.to_string())),
            Item::Float(number) => Ok(Cow::Owned(number.to_string())),
            other => Err(other),
        }
    }

    /// The string as a name: octets are code points.
    pub(super) fn into_name(self) -> Result<Cow<'de, str>, Item<'de>> {
        match self {
            Item::Octets(octets) if !octets.is_ascii() => Ok(Cow::Owned(latin1(&octets))),
            other => other.into_text(),
        }
    }

    pub(super) fn into_octets(self) -> Result<Cow<'de, [u8]>, Item<'de>> {
        match self {
            Item::Octets(octets) => Ok(octets),
            Item::Text(Cow::Borrowed(text)) if text.is_ascii() => Ok(Cow::Borrowed(text.as_bytes())),
            Item::Text(text) => to_latin1(&text).map(Cow::Owned).ok_or(Item::Text(text)),
            Item::Int(number) => Ok(Cow::Owned(number.to_string().into_bytes())),
            Item::Float(number) => Ok(Cow::Owned(number.to_string().into_bytes())),
            other => Err(other),
        }
    }

    /// The error that this item is not what was wanted.
    pub(super) fn misfit(&self, expected: &dyn Expected) -> DecodeError {
        let number;
        let found = match self {
            Item::Null => Unexpected::Other("null"),
            Item::Bool(truth) => Unexpected::Bool(*truth),
            Item::Int(n) => {
                number = format!("integer `{n}`");
                Unexpected::Other(&number)
            }
            Item::Float(n) => Unexpected::Float(*n),
            Item::Text(text) => Unexpected::Str(text),
            Item::Octets(octets) => match std::str::from_utf8(octets) {
                Ok(text) => Unexpected::Str(text),
                Err(_) => Unexpected::Bytes(octets),
            },
            Item::List(_) => Unexpected::Other("a list"),
            Item::Map(_) => Unexpected::Map,
        };
        DecodeError::invalid_type(found, expected)
    }
}

/// Octets as UTF-8 where they are that, otherwise as code points.
pub(super) fn utf8_or_latin1(octets: Cow<'_, [u8]>) -> Cow<'_, str> {
    match octets {
        Cow::Borrowed(octets) => match std::str::from_utf8(octets) {
            Ok(text) => Cow::Borrowed(text),
            Err(_) => Cow::Owned(latin1(octets)),
        },
        Cow::Owned(octets) => {
            Cow::Owned(String::from_utf8(octets).unwrap_or_else(|error| latin1(error.as_bytes())))
        }
    }
}

fn truth(text: &[u8]) -> Option<bool> {
    match text {
        b"" | b"0" => Some(false),
        b"1" => Some(true),
        _ => None,
    }
}

fn integral(number: f64) -> Option<i128> {
    // 2^64 is far inside of i128, so the conversion is exact.
    (number.fract() == 0.0 && number.abs() <= 18_446_744_073_709_551_616.0).then_some(number as i128)
}

/// A string that Perl takes for an integer, white space around it included.
fn parse_integer(text: &str) -> Option<i128> {
    let text = text.trim_ascii();
    text.parse().ok().or_else(|| {
        // As "3.0" or "1e3"; larger ones have lost digits on the way.
        let number = text.parse().ok().filter(|number: &f64| number.abs() <= FLOAT_EXACT)?;
        integral(number)
    })
}

fn parse_float(text: &str) -> Option<f64> {
    text.trim_ascii().parse().ok()
}
