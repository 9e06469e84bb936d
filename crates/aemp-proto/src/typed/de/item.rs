//! What one kind of item may stand for where another one is wanted.

use std::borrow::Cow;

use serde::de::{Error as _, Expected, Unexpected};

use crate::Value;
use crate::typed::DecodeError;
use crate::value::{latin1, to_latin1};
use crate::wire::memory;

/// The largest integer up to which every integer is a float too.
const FLOAT_EXACT: f64 = 9_007_199_254_740_992.0;

/// One item; of a list or map only its head.
pub(super) enum Item<'de> {
    Null,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(Cow<'de, str>),
    Bytes(Cow<'de, [u8]>),
    List(Option<u64>),
    Map(Option<u64>),
}

impl<'de> Item<'de> {
    /// About how many bytes of memory it takes as an untyped value, without what is in a list or
    /// map.
    pub(super) fn memory(&self) -> usize {
        let inside = match self {
            Item::Null | Item::Bool(_) | Item::Int(_) | Item::Float(_) => 0,
            Item::Text(text) => memory::ALLOCATION + text.len(),
            Item::Bytes(bytes) => memory::ALLOCATION + bytes.len(),
            Item::List(_) | Item::Map(_) => memory::ALLOCATION,
        };
        size_of::<Value>() + inside
    }

    pub(super) fn into_integer(self, expected: &dyn Expected) -> Result<i128, DecodeError> {
        let found = match &self {
            Item::Int(number) => Some(*number),
            Item::Float(number) => integral(*number),
            Item::Text(text) => parse_integer(text),
            Item::Bytes(bytes) => std::str::from_utf8(bytes).ok().and_then(parse_integer),
            _ => None,
        };
        found.ok_or_else(|| self.misfit(expected))
    }

    pub(super) fn into_float(self, expected: &dyn Expected) -> Result<f64, DecodeError> {
        let found = match &self {
            Item::Float(number) => Some(*number),
            Item::Int(number) => Some(*number as f64).filter(|float| *float as i128 == *number),
            Item::Text(text) => parse_float(text),
            Item::Bytes(bytes) => std::str::from_utf8(bytes).ok().and_then(parse_float),
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
            Item::Bytes(bytes) => truth(bytes),
            _ => None,
        };
        found.ok_or_else(|| self.misfit(expected))
    }

    pub(super) fn into_text(self) -> Result<Cow<'de, str>, Item<'de>> {
        match self {
            Item::Text(text) => Ok(text),
            Item::Bytes(bytes) => Ok(utf8_or_latin1(bytes)),
            Item::Int(number) => Ok(Cow::Owned(number.to_string())),
            Item::Float(number) => Ok(Cow::Owned(number.to_string())),
            other => Err(other),
        }
    }

    /// The string as a name: bytes are code points.
    pub(super) fn into_name(self) -> Result<Cow<'de, str>, Item<'de>> {
        match self {
            Item::Bytes(bytes) if !bytes.is_ascii() => Ok(Cow::Owned(latin1(&bytes))),
            other => other.into_text(),
        }
    }

    pub(super) fn into_bytes(self) -> Result<Cow<'de, [u8]>, Item<'de>> {
        match self {
            Item::Bytes(bytes) => Ok(bytes),
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
            Item::Bytes(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => Unexpected::Str(text),
                Err(_) => Unexpected::Bytes(bytes),
            },
            Item::List(_) => Unexpected::Other("a list"),
            Item::Map(_) => Unexpected::Map,
        };
        DecodeError::invalid_type(found, expected)
    }
}

/// Bytes as UTF-8 where they are that, otherwise as code points.
pub(super) fn utf8_or_latin1(bytes: Cow<'_, [u8]>) -> Cow<'_, str> {
    match bytes {
        Cow::Borrowed(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => Cow::Borrowed(text),
            Err(_) => Cow::Owned(latin1(bytes)),
        },
        Cow::Owned(bytes) => {
            Cow::Owned(String::from_utf8(bytes).unwrap_or_else(|error| latin1(error.as_bytes())))
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
