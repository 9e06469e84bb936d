//! Rust types as messages: `serde` straight to and from the encoded [`Body`], without a
//! [`Value`](crate::Value) in between.
//!
//! What becomes the values of the message is decided at the outermost level only:
//!
//! | Rust | message |
//! |---|---|
//! | tuple, array | one value each |
//! | [`AnyMessage`](crate::AnyMessage), [`Reason`](crate::Reason) | their values |
//! | unit, unit struct | no value |
//! | newtype struct | as what it holds |
//! | type with [`Variants`] (`derive(Message)`) | the tag, then the fields in order |
//! | everything else | one value |
//!
//! The same rules hold in both directions: what was one value is read as one, what was no value as
//! unit, and several values as a list where the type looks at what is there.
//!
//! Below it: struct → map, enum → externally tagged as `serde` has it, `None` → null, `[u8]`
//! through `serialize_bytes` → bytes, `str` → text. There is one null: `Some` of nothing (`None`,
//! `()`) is refused, for it would be read as `None`. Names (port and node IDs, tags, map keys,
//! field and variant names) and a string in front of a message are bytes where they can be
//! (`PROTOCOL.md`, "Data"). The format counts as human-readable, so that an IP address is a string
//! here and in Perl.
//!
//! Decoding takes what a Perl program may have made of a value: see [`from_body`].

mod de;
mod error;
mod impls;
mod ser;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

pub use error::{DecodeError, EncodeError, Misfit};

use crate::wire::Body;

/// The most levels of lists and maps in one value. Perl's decoders take 512, and the frame is one
/// of them.
pub const DEPTH_MAX: usize = 511;

/// How a type with tags travels: what `derive(Message)` knows about it.
///
/// For an enum, one entry for each variant; for a struct, one entry for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Variants {
    /// Name of the variant in `serde` and its tag in the message.
    pub tags: &'static [(&'static str, &'static str)],
    /// Name in `serde` of the variant that takes all messages whose tag is not in `tags`.
    ///
    /// It holds the whole message, tag included: a newtype variant with a list
    /// ([`AnyMessage`](crate::AnyMessage)) holds all values and with anything else (`String`) the
    /// first one; a tuple or struct variant holds the values in order; a unit variant holds
    /// nothing. It is written as the same values, so only a unit variant needs an entry in `tags`.
    pub other: Option<&'static str>,
    /// Fields that the sender may leave out (`skip_serializing_if`): the name of their variant in
    /// `serde`, and which of its values they are, counted from 0. Null stands for one that is left
    /// out, and one that is not there gets its `#[serde(default)]`.
    pub optional: &'static [(&'static str, &'static [usize])],
}

impl Variants {
    /// For types without tags: tuples, `AnyMessage`, single values.
    pub const NONE: Variants = Variants { tags: &[], other: None, optional: &[] };

    /// The fields of a variant, or of the struct, that may be left out.
    fn optional(&self, name: &str) -> &'static [usize] {
        self.optional.iter().find(|(variant, _)| *variant == name).map_or(&[], |(_, fields)| fields)
    }

    fn is_none(&self) -> bool {
        self.tags.is_empty() && self.other.is_none()
    }

    /// The tag of the variant with this number and this name in `serde`.
    fn tag(&self, index: u32, name: &str) -> Option<&'static str> {
        // The two names are often the same constant.
        let is = |variant: &str| std::ptr::eq(variant, name) || variant == name;
        match self.tags.get(index as usize) {
            Some((variant, tag)) if is(variant) => Some(tag),
            _ => self.tags.iter().find(|(variant, _)| *variant == name).map(|(_, tag)| *tag),
        }
    }
}

/// Encodes a message without tags of its own: a tuple, a [`AnyMessage`](crate::AnyMessage), a
/// single value.
///
/// # Errors
///
/// An integer is outside of -2⁶⁴..2⁶⁴-1, the nesting is deeper than [`DEPTH_MAX`], an option holds
/// nothing, or the type's `Serialize` failed.
pub fn to_body<T: Serialize + ?Sized>(value: &T) -> Result<Body, EncodeError> {
    to_body_tagged(value, &Variants::NONE)
}

/// Encodes a message of a type with tags; with [`Variants::NONE`] the same as [`to_body`].
///
/// # Errors
///
/// As [`to_body`]; and the variant has no tag.
pub fn to_body_tagged<T: Serialize + ?Sized>(value: &T, variants: &Variants) -> Result<Body, EncodeError> {
    let mut items = Vec::with_capacity(64);
    let count = encode_into(value, variants, &mut items)?;
    Ok(Body::new(count, Bytes::from(items)))
}

/// Appends the encoded message to `out` and returns how many values it has: for callers with a
/// buffer to reuse.
///
/// # Errors
///
/// As [`to_body_tagged`]; then `out` is as it was before.
pub fn encode_into<T: Serialize + ?Sized>(
    value: &T,
    variants: &Variants,
    out: &mut Vec<u8>,
) -> Result<u32, EncodeError> {
    let start = out.len();
    value.serialize(ser::MessageSerializer::new(out, variants)).inspect_err(|_| out.truncate(start))
}

/// Decodes a message without tags: a tuple, a [`AnyMessage`](crate::AnyMessage), a single value.
///
/// Lenient where Perl's data is, at every level:
///
/// | wanted | taken |
/// |---|---|
/// | integer | integer; float without fraction; numeric string |
/// | float | float; integer without loss; numeric string |
/// | bool | bool; 0, 1; `""`, `"0"`, `"1"`; null |
/// | string, char | text; bytes as UTF-8, else as Latin-1; a number as its digits |
/// | bytes | bytes; text up to U+00FF; list of numbers; a number as its digits |
/// | `Vec<u8>`, `[u8; N]` | list of numbers; bytes |
/// | name (port or node ID) | text; bytes as the code points U+0000–U+00FF |
/// | `Option` | null and undefined are `None` |
/// | struct | map; list of the fields in order |
///
/// Map keys follow the same table, so a string is taken for an integer key. Values, list elements
/// and map entries that nobody asked for are ignored; missing fields need `#[serde(default)]`. CBOR
/// tags are ignored, except that big numbers are numbers.
///
/// A field of a message that may be left out has its default where null stands.
///
/// Where the type looks at what is there (`deserialize_any`: untagged and internally tagged enums,
/// flattened structs, `serde_json::Value`), bytes are a string if they are UTF-8, otherwise bytes,
/// and `serde` itself then is strict.
///
/// # Errors
///
/// The values do not fit the type.
pub fn from_body<'de, T: Deserialize<'de>>(body: &'de Body) -> Result<T, DecodeError> {
    from_body_skip(body, 0)
}

/// Decodes what comes after the first `skip` values of a message, by the rules of [`from_body`]:
/// with 1, the arguments behind a tag, as a tuple or a single value.
///
/// # Errors
///
/// The values do not fit the type.
pub fn from_body_skip<'de, T: Deserialize<'de>>(body: &'de Body, skip: u32) -> Result<T, DecodeError> {
    let mut reader = de::Reader::new(body.items());
    let skip = skip.min(body.count());
    for _ in 0..skip {
        reader.skip()?;
    }
    T::deserialize(de::MessageDeserializer::plain(&mut reader, skip, body.count() - skip))
}

/// Decodes a message of a type with tags; with [`Variants::NONE`] the same as [`from_body`].
///
/// # Errors
///
/// [`DecodeError::UnknownTag`] where the tag belongs to no variant and there is no `other`;
/// anything else does not fit.
pub fn from_body_tagged<'de, T: Deserialize<'de>>(
    body: &'de Body,
    variants: &Variants,
) -> Result<T, DecodeError> {
    from_items(body.count(), body.items(), variants)
}

/// As [`from_body_tagged`], for `count` values that are joined in `items`.
///
/// # Errors
///
/// As [`from_body_tagged`].
#[inline]
pub fn from_items<'de, T: Deserialize<'de>>(
    count: u32,
    items: &'de [u8],
    variants: &Variants,
) -> Result<T, DecodeError> {
    let mut reader = de::Reader::new(items);
    T::deserialize(de::MessageDeserializer::tagged(&mut reader, count, variants))
}
