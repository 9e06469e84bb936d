//! Rust values to CBOR items. No matter what a `Serialize` implementation does, what it leaves
//! behind is well formed: an element that failed is cut off again, and what was announced is
//! checked against what was written.

mod compound;
mod message;
mod write;

use serde::{Serialize, Serializer};

use super::impls::{NAME, TAG, TEXT};
use super::{DEPTH_MAX, EncodeError};
use compound::{Compound, Kind};
use write::{LIST, MAP, NEGATIVE, UNSIGNED};

pub(super) use message::MessageSerializer;

/// How a string is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Strings {
    /// As text.
    Text,
    /// A map key, or in front of a message: as bytes, if they will be read as the same string
    /// again.
    Key,
    /// A name: as bytes, where all code points are at most U+00FF.
    Name,
}

/// Writes one item. As for all serialisers here, the result is how many values were written: one.
struct ItemSerializer<'a> {
    out: &'a mut Vec<u8>,
    /// Levels that may still be opened.
    levels: usize,
    strings: Strings,
    /// Whether it stands in `Some`, so that null would be read as `None`.
    in_some: bool,
}

impl<'a> ItemSerializer<'a> {
    fn outermost(out: &'a mut Vec<u8>) -> ItemSerializer<'a> {
        ItemSerializer { out, levels: DEPTH_MAX, strings: Strings::Key, in_some: false }
    }

    fn after_tag(out: &'a mut Vec<u8>) -> ItemSerializer<'a> {
        ItemSerializer { out, levels: DEPTH_MAX, strings: Strings::Text, in_some: false }
    }

    fn list(mut self, len: Option<usize>) -> Result<Compound<'a>, EncodeError> {
        self.enter()?;
        write::begin(self.out, LIST, len);
        Ok(Compound::new(self.out, self.levels, Kind::List, len))
    }

    fn map(mut self, len: Option<usize>) -> Result<Compound<'a>, EncodeError> {
        self.enter()?;
        write::begin(self.out, MAP, len);
        Ok(Compound::new(self.out, self.levels, Kind::Map, len))
    }

    /// Begins the map with one entry that a nested variant is.
    fn variant(mut self, variant: &str) -> Result<ItemSerializer<'a>, EncodeError> {
        self.enter()?;
        write::begin(self.out, MAP, Some(1));
        write::key(self.out, variant);
        Ok(ItemSerializer { strings: Strings::Text, in_some: false, ..self })
    }

    fn enter(&mut self) -> Result<(), EncodeError> {
        self.levels = self.levels.checked_sub(1).ok_or(EncodeError::Depth)?;
        Ok(())
    }
}

macro_rules! scalars {
    ($($method:ident $t:ty => $write:ident $wide:ty;)*) => {$(
        fn $method(self, value: $t) -> Result<u32, EncodeError> {
            write::$write(self.out, <$wide>::from(value));
            Ok(1)
        }
    )*};
}

impl<'a> Serializer for ItemSerializer<'a> {
    type Ok = u32;
    type Error = EncodeError;
    type SerializeSeq = Compound<'a>;
    type SerializeTuple = Compound<'a>;
    type SerializeTupleStruct = Compound<'a>;
    type SerializeTupleVariant = Compound<'a>;
    type SerializeMap = Compound<'a>;
    type SerializeStruct = Compound<'a>;
    type SerializeStructVariant = Compound<'a>;

    scalars! {
        serialize_bool bool => boolean bool;
        serialize_u8 u8 => unsigned u64;
        serialize_u16 u16 => unsigned u64;
        serialize_u32 u32 => unsigned u64;
        serialize_u64 u64 => unsigned u64;
        serialize_i8 i8 => signed i64;
        serialize_i16 i16 => signed i64;
        serialize_i32 i32 => signed i64;
        serialize_i64 i64 => signed i64;
        serialize_f32 f32 => narrow_float f32;
        serialize_f64 f64 => float f64;
        serialize_bytes &[u8] => bytes &[u8];
    }

    fn serialize_i128(self, number: i128) -> Result<u32, EncodeError> {
        // The argument of a negative number -1-n is n.
        let argument = u64::try_from(if number < 0 { !number } else { number });
        let argument = argument.map_err(|_| EncodeError::Integer(number.to_string()))?;
        write::head(self.out, if number < 0 { NEGATIVE } else { UNSIGNED }, argument);
        Ok(1)
    }

    fn serialize_u128(self, number: u128) -> Result<u32, EncodeError> {
        let narrow = u64::try_from(number).map_err(|_| EncodeError::Integer(number.to_string()))?;
        self.serialize_u64(narrow)
    }

    fn serialize_char(self, c: char) -> Result<u32, EncodeError> {
        self.serialize_str(c.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, text: &str) -> Result<u32, EncodeError> {
        match self.strings {
            Strings::Text => write::text(self.out, text),
            Strings::Key => write::key(self.out, text),
            Strings::Name => write::name(self.out, text),
        }
        Ok(1)
    }

    fn serialize_none(self) -> Result<u32, EncodeError> {
        self.serialize_unit()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<u32, EncodeError> {
        value.serialize(ItemSerializer { in_some: true, ..self })
    }

    fn serialize_unit(self) -> Result<u32, EncodeError> {
        if self.in_some {
            return Err(EncodeError::SomeNothing);
        }
        write::null(self.out);
        Ok(1)
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<u32, EncodeError> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
    ) -> Result<u32, EncodeError> {
        write::key(self.out, variant);
        Ok(1)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        value: &T,
    ) -> Result<u32, EncodeError> {
        let strings = match name {
            NAME => Strings::Name,
            TEXT => Strings::Text,
            _ => self.strings,
        };
        value.serialize(ItemSerializer { strings, ..self })
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<u32, EncodeError> {
        value.serialize(self.variant(variant)?)
    }

    fn serialize_seq(self, len: Option<usize>) -> Result<Compound<'a>, EncodeError> {
        self.list(len)
    }

    fn serialize_tuple(self, len: usize) -> Result<Compound<'a>, EncodeError> {
        self.list(Some(len))
    }

    fn serialize_tuple_struct(mut self, name: &'static str, len: usize) -> Result<Compound<'a>, EncodeError> {
        if name != TAG {
            return self.list(Some(len));
        }
        self.enter()?;
        Ok(Compound::new(self.out, self.levels, Kind::Tag, Some(len)))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Compound<'a>, EncodeError> {
        self.variant(variant)?.list(Some(len))
    }

    fn serialize_map(self, len: Option<usize>) -> Result<Compound<'a>, EncodeError> {
        self.map(len)
    }

    fn serialize_struct(self, _: &'static str, len: usize) -> Result<Compound<'a>, EncodeError> {
        self.map(Some(len))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Compound<'a>, EncodeError> {
        self.variant(variant)?.map(Some(len))
    }
}
