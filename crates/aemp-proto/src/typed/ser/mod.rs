//! Rust values to CBOR items. Whatever a `Serialize` implementation does, what it leaves behind is well formed: an
//! element that failed is cut off again, and what was announced is checked against what was written.

mod compound;
mod message;

use minicbor::Encoder;
use minicbor::data::Int;
use serde::{Serialize, Serializer};

use super::impls::{NAME, TAG, TEXT};
use super::{DEPTH_MAX, EncodeError};
use crate::value::to_latin1;
use compound::{Compound, Kind};

pub(super) use message::MessageSerializer;

/// How a string is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Strings {
    /// As text.
    Text,
    /// A map key, or in front of a message: as octets, if they will be read as the same string again.
    Key,
    /// A name: as octets, where all code points are at most U+00FF.
    Name,
}

/// Writes one item. As for all serialisers here, the result is how many values were written: one.
struct ItemSerializer<'a> {
    out: &'a mut Vec<u8>,
    /// Levels that may still be opened.
    levels: usize,
    strings: Strings,
}

impl<'a> ItemSerializer<'a> {
    fn outermost(out: &'a mut Vec<u8>) -> ItemSerializer<'a> {
        ItemSerializer { out, levels: DEPTH_MAX, strings: Strings::Key }
    }

    fn after_tag(out: &'a mut Vec<u8>) -> ItemSerializer<'a> {
        ItemSerializer { out, levels: DEPTH_MAX, strings: Strings::Text }
    }

    fn encoder(&mut self) -> Encoder<&mut Vec<u8>> {
        Encoder::new(self.out)
    }

    fn list(mut self, len: Option<usize>) -> Result<Compound<'a>, EncodeError> {
        self.enter()?;
        match len {
            Some(len) => self.encoder().array(len as u64)?,
            None => self.encoder().begin_array()?,
        };
        Ok(Compound::new(self.out, self.levels, Kind::List, len))
    }

    fn map(mut self, len: Option<usize>) -> Result<Compound<'a>, EncodeError> {
        self.enter()?;
        match len {
            Some(len) => self.encoder().map(len as u64)?,
            None => self.encoder().begin_map()?,
        };
        Ok(Compound::new(self.out, self.levels, Kind::Map, len))
    }

    /// Begins the map with one entry that a nested variant is.
    fn variant(mut self, variant: &str) -> Result<ItemSerializer<'a>, EncodeError> {
        self.enter()?;
        self.encoder().map(1)?;
        write_key(self.out, variant)?;
        Ok(ItemSerializer { strings: Strings::Text, ..self })
    }

    fn enter(&mut self) -> Result<(), EncodeError> {
        self.levels = self.levels.checked_sub(1).ok_or(EncodeError::Depth)?;
        Ok(())
    }
}

fn write_text(out: &mut Vec<u8>, text: &str) -> Result<u32, EncodeError> {
    Encoder::new(out).str(text)?;
    Ok(1)
}

fn write_octets(out: &mut Vec<u8>, octets: &[u8]) -> Result<u32, EncodeError> {
    Encoder::new(out).bytes(octets)?;
    Ok(1)
}

fn write_name(out: &mut Vec<u8>, text: &str) -> Result<u32, EncodeError> {
    if text.is_ascii() {
        return write_octets(out, text.as_bytes());
    }
    match to_latin1(text) {
        Some(octets) => write_octets(out, &octets),
        None => write_text(out, text),
    }
}

/// Octets that happen to be UTF-8 would be read as another string (`Ã©` as `é`), so such a key is text.
fn write_key(out: &mut Vec<u8>, text: &str) -> Result<u32, EncodeError> {
    if text.is_ascii() {
        return write_octets(out, text.as_bytes());
    }
    match to_latin1(text) {
        Some(octets) if std::str::from_utf8(&octets).is_err() => write_octets(out, &octets),
        _ => write_text(out, text),
    }
}

fn too_large(number: impl std::fmt::Display) -> EncodeError {
    EncodeError::Integer(number.to_string())
}

macro_rules! integers {
    ($($method:ident $t:ty => $write:ident $wide:ty;)*) => {$(
        fn $method(mut self, number: $t) -> Result<u32, EncodeError> {
            self.encoder().$write(<$wide>::from(number))?;
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

    integers! {
        serialize_u8 u8 => u64 u64;
        serialize_u16 u16 => u64 u64;
        serialize_u32 u32 => u64 u64;
        serialize_u64 u64 => u64 u64;
        serialize_i8 i8 => i64 i64;
        serialize_i16 i16 => i64 i64;
        serialize_i32 i32 => i64 i64;
        serialize_i64 i64 => i64 i64;
        serialize_bool bool => bool bool;
        serialize_f32 f32 => f32 f32;
    }

    fn serialize_i128(mut self, number: i128) -> Result<u32, EncodeError> {
        self.encoder().int(Int::try_from(number).map_err(|_| too_large(number))?)?;
        Ok(1)
    }

    fn serialize_u128(mut self, number: u128) -> Result<u32, EncodeError> {
        self.encoder().u64(u64::try_from(number).map_err(|_| too_large(number))?)?;
        Ok(1)
    }

    fn serialize_f64(mut self, number: f64) -> Result<u32, EncodeError> {
        let narrow = number as f32;
        // As Perl has it: NaN, which equals nothing, is wide.
        if f64::from(narrow) == number {
            self.encoder().f32(narrow)?;
        } else {
            self.encoder().f64(number)?;
        }
        Ok(1)
    }

    fn serialize_char(self, c: char) -> Result<u32, EncodeError> {
        self.serialize_str(c.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, text: &str) -> Result<u32, EncodeError> {
        match self.strings {
            Strings::Text => write_text(self.out, text),
            Strings::Key => write_key(self.out, text),
            Strings::Name => write_name(self.out, text),
        }
    }

    fn serialize_bytes(self, octets: &[u8]) -> Result<u32, EncodeError> {
        write_octets(self.out, octets)
    }

    fn serialize_none(self) -> Result<u32, EncodeError> {
        self.serialize_unit()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<u32, EncodeError> {
        value.serialize(self)
    }

    fn serialize_unit(mut self) -> Result<u32, EncodeError> {
        self.encoder().null()?;
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
        write_key(self.out, variant)
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
