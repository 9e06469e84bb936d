//! The inside of lists, maps, variants and CBOR tags.

use serde::de::value::U64Deserializer;
use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error as _, MapAccess, SeqAccess, VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use super::Reader;
use crate::typed::DecodeError;
use crate::typed::error::Place;

/// Room is made for no more elements than this before they are there.
const HINT_MAX: usize = 1024;

/// How many there still are.
struct Left(Option<u64>);

impl Left {
    fn is_end(&mut self, reader: &mut Reader<'_>) -> bool {
        match &mut self.0 {
            Some(0) => true,
            Some(left) => {
                *left -= 1;
                false
            }
            None => {
                let end = reader.take_break();
                if end {
                    self.0 = Some(0);
                }
                end
            }
        }
    }

    fn hint(&self, reader: &Reader<'_>) -> Option<usize> {
        let left = usize::try_from(self.0?).unwrap_or(usize::MAX);
        Some(left.min(reader.remaining()).min(HINT_MAX))
    }
}

/// The elements of a list, or the values of a message.
pub(super) struct Items<'a, 'de> {
    reader: &'a mut Reader<'de>,
    left: Left,
    /// The place of the next element.
    at: u64,
    outermost: bool,
    /// How many elements were asked for, and which of them may be left out.
    asked: usize,
    optional: &'static [usize],
}

impl<'a, 'de> Items<'a, 'de> {
    pub(super) fn list(reader: &'a mut Reader<'de>, len: Option<u64>) -> Items<'a, 'de> {
        Items { reader, left: Left(len), at: 0, outermost: false, asked: 0, optional: &[] }
    }

    /// Values of the message, from number `from` on. Those that are `optional` may be left out.
    pub(super) fn values(
        reader: &'a mut Reader<'de>,
        from: u32,
        count: u32,
        optional: &'static [usize],
    ) -> Items<'a, 'de> {
        let left = Left(Some(count.into()));
        Items { reader, left, at: from.into(), outermost: true, asked: 0, optional }
    }

    /// Leaves out what was not asked for.
    pub(super) fn finish(mut self) -> Result<(), DecodeError> {
        while !self.left.is_end(self.reader) {
            self.reader.skip()?;
        }
        Ok(())
    }

    fn place(&self) -> Place {
        match u32::try_from(self.at) {
            Ok(at) if self.outermost => Place::Value(at),
            _ => Place::Item(self.at),
        }
    }
}

impl<'de> SeqAccess<'de> for Items<'_, 'de> {
    type Error = DecodeError;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, DecodeError> {
        let asked = self.asked;
        self.asked += 1;
        if self.left.is_end(self.reader) {
            return Ok(None);
        }
        if self.optional.contains(&asked) && self.reader.at_null() {
            self.reader.skip().map_err(|error| error.at(self.place()))?;
            self.at += 1;
            // Not the end: anyone who asks gives the field its default, and asks for the next one.
            return Ok(None);
        }
        let value = seed.deserialize(&mut *self.reader).map_err(|error| error.at(self.place()))?;
        self.at += 1;
        Ok(Some(value))
    }

    fn size_hint(&self) -> Option<usize> {
        self.left.hint(self.reader)
    }
}

/// The entries of a map.
pub(super) struct Entries<'a, 'de> {
    reader: &'a mut Reader<'de>,
    left: Left,
    /// Where the key of the current entry begins.
    key: usize,
}

impl<'a, 'de> Entries<'a, 'de> {
    pub(super) fn new(reader: &'a mut Reader<'de>, len: Option<u64>) -> Entries<'a, 'de> {
        Entries { reader, left: Left(len), key: 0 }
    }

    /// Leaves out what was not asked for.
    pub(super) fn finish(mut self) -> Result<(), DecodeError> {
        while !self.left.is_end(self.reader) {
            self.reader.skip()?;
            self.reader.skip()?;
        }
        Ok(())
    }

    /// Names the entry in which something went wrong. The reader is of no use afterwards, as after
    /// any error.
    fn place(&mut self) -> Place {
        self.reader.rewind(self.key);
        let key = self.reader.item().ok().and_then(|item| item.into_text().ok());
        Place::key(key.as_deref().unwrap_or("?"))
    }
}

impl<'de> MapAccess<'de> for Entries<'_, 'de> {
    type Error = DecodeError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, DecodeError> {
        if self.left.is_end(self.reader) {
            return Ok(None);
        }
        self.key = self.reader.position();
        seed.deserialize(&mut *self.reader).map(Some).map_err(|error| error.at(self.place()))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, DecodeError> {
        seed.deserialize(&mut *self.reader).map_err(|error| error.at(self.place()))
    }

    fn size_hint(&self) -> Option<usize> {
        self.left.hint(self.reader)
    }
}

/// Bytes as a list of numbers, for `Vec<u8>` and `[u8; N]`; a list of anything else is not made of
/// a string.
pub(super) struct ByteItems<'a>(std::slice::Iter<'a, u8>);

impl<'a> ByteItems<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> ByteItems<'a> {
        ByteItems(bytes.iter())
    }
}

impl<'de> SeqAccess<'de> for ByteItems<'_> {
    type Error = DecodeError;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, DecodeError> {
        self.0.next().map(|&byte| seed.deserialize(Byte(byte))).transpose()
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.0.len())
    }
}

struct Byte(u8);

impl<'de> Deserializer<'de> for Byte {
    type Error = DecodeError;

    fn deserialize_u8<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_u8(self.0)
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        Err(DecodeError::custom(format_args!(
            "a string where a list was expected, each item {}",
            Wanted(&visitor)
        )))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

struct Wanted<'a>(&'a dyn serde::de::Expected);

impl std::fmt::Display for Wanted<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// A nested variant: a map with one entry.
pub(super) struct OneEntry<'a, 'de> {
    pub(super) reader: &'a mut Reader<'de>,
    pub(super) len: Option<u64>,
}

impl<'de> OneEntry<'_, 'de> {
    fn content<T>(
        self,
        read: impl FnOnce(&mut Reader<'de>) -> Result<T, DecodeError>,
    ) -> Result<T, DecodeError> {
        let value = read(self.reader)?;
        if self.len.is_none() && !self.reader.take_break() {
            return Err(DecodeError::new("a variant must be a map with one entry"));
        }
        Ok(value)
    }
}

impl<'de> EnumAccess<'de> for OneEntry<'_, 'de> {
    type Error = DecodeError;
    type Variant = Self;

    fn variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<(T::Value, Self), DecodeError> {
        if !matches!(self.len, None | Some(1)) {
            return Err(DecodeError::new("a variant must be a map with one entry"));
        }
        Ok((seed.deserialize(&mut *self.reader)?, self))
    }
}

impl<'de> VariantAccess<'de> for OneEntry<'_, 'de> {
    type Error = DecodeError;

    fn unit_variant(self) -> Result<(), DecodeError> {
        self.content(Reader::skip)
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, DecodeError> {
        self.content(|reader| seed.deserialize(reader))
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, DecodeError> {
        self.content(|reader| reader.deserialize_tuple(len, visitor))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.content(|reader| reader.deserialize_struct("", fields, visitor))
    }
}

/// A CBOR tag as an enum: the number and the content.
pub(super) struct TagContent<'a, 'de> {
    pub(super) number: u64,
    pub(super) reader: &'a mut Reader<'de>,
}

impl<'de> EnumAccess<'de> for TagContent<'_, 'de> {
    type Error = DecodeError;
    type Variant = Self;

    fn variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<(T::Value, Self), DecodeError> {
        Ok((seed.deserialize(U64Deserializer::<DecodeError>::new(self.number))?, self))
    }
}

impl<'de> VariantAccess<'de> for TagContent<'_, 'de> {
    type Error = DecodeError;

    fn unit_variant(self) -> Result<(), DecodeError> {
        self.reader.skip()
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, DecodeError> {
        seed.deserialize(self.reader)
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, DecodeError> {
        self.reader.deserialize_tuple(len, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.reader.deserialize_struct("", fields, visitor)
    }
}
