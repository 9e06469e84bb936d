//! What can go wrong between Rust types and encoded messages.

use std::fmt;

use thiserror::Error;

use super::DEPTH_MAX;

/// The most characters of a foreign text that an error repeats: it may become the reason of a
/// death.
const QUOTE_MAX: usize = 200;

/// A value that cannot be a message.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// An integer that CBOR has no plain form for.
    #[error("the integer {0} is outside of -2^64..2^64-1, which is what a message can carry")]
    Integer(String),
    /// Too many levels of lists and maps.
    #[error("the value is nested more than {DEPTH_MAX} levels deep")]
    Depth,
    /// A `Serialize` implementation that does not write what it said it would.
    #[error("Serialize announced {announced} elements and wrote {written}")]
    Length {
        /// Elements as announced.
        announced: usize,
        /// Elements as written; keys and values of a map each count half.
        written: usize,
    },
    /// A `Serialize` implementation that writes map keys and values in a wrong order.
    #[error("Serialize wrote a map key without a value, or a value without a key")]
    Pairing,
    /// `Some` of something that is written as null.
    #[error(
        "Some(None) and Some(()) would be read as None, for there is one null: use an enum, or bool for Option<()>"
    )]
    SomeNothing,
    /// More values than a message can have.
    #[error("a message cannot have {0} values")]
    Count(usize),
    /// The variant or type is not in the list of tags that the message type came with.
    #[error("{0} has no tag: derive(Message) did not see it")]
    NoTag(&'static str),
    /// What the `Serialize` implementation of the type said.
    #[error("{0}")]
    Custom(String),
}

impl serde::ser::Error for EncodeError {
    fn custom<T: fmt::Display>(text: T) -> EncodeError {
        EncodeError::Custom(text.to_string())
    }
}

/// A message that does not fit a type.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The tag belongs to no variant of the type.
    #[error("no variant has the tag {0:?}")]
    UnknownTag(String),
    /// The values are not what the type is made of.
    #[error("{0}")]
    Misfit(Box<Misfit>),
}

/// Where a message does not fit, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misfit {
    /// From the innermost place outwards.
    path: Vec<Place>,
    problem: String,
}

/// One step on the way to a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// A value of the message, counted from 0, which usually is the tag.
    Value(u32),
    /// An element of a list.
    Item(u64),
    /// An entry of a map.
    Key(String),
}

impl DecodeError {
    pub(super) fn unknown_tag(tag: &str) -> DecodeError {
        DecodeError::UnknownTag(quote(tag))
    }

    pub(super) fn new(problem: impl fmt::Display) -> DecodeError {
        DecodeError::Misfit(Box::new(Misfit { path: Vec::new(), problem: quote(&problem.to_string()) }))
    }

    /// The same error seen from one level further out.
    pub(super) fn at(mut self, place: Place) -> DecodeError {
        if let DecodeError::Misfit(misfit) = &mut self {
            misfit.path.push(place);
        }
        self
    }
}

impl Place {
    pub(super) fn key(text: &str) -> Place {
        Place::Key(quote(text))
    }
}

fn quote(text: &str) -> String {
    match text.char_indices().nth(QUOTE_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.into(),
    }
}

impl serde::de::Error for DecodeError {
    fn custom<T: fmt::Display>(text: T) -> DecodeError {
        DecodeError::new(text)
    }
}

impl From<minicbor::decode::Error> for DecodeError {
    fn from(error: minicbor::decode::Error) -> DecodeError {
        DecodeError::new(format_args!("not well-formed: {error}"))
    }
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, place) in self.path.iter().rev().enumerate() {
            write!(f, "{}{place}", if at > 0 { ", " } else { "" })?;
        }
        write!(f, "{}{}", if self.path.is_empty() { "" } else { ": " }, self.problem)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Value(at) => write!(f, "value {at}"),
            Place::Item(at) => write!(f, "item {at}"),
            Place::Key(key) => write!(f, "key {key:?}"),
        }
    }
}
