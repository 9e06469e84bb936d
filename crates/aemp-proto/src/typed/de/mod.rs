//! CBOR items to Rust values, lenient where Perl's data is.

mod access;
mod item;
mod message;
mod reader;

use std::borrow::Cow;

use serde::Deserializer;
use serde::de::{Error as _, IntoDeserializer, Unexpected, Visitor};

use super::DecodeError;
use super::impls::{NAME, VALUE, VALUES};
use crate::wire::memory;
use access::{ByteItems, Entries, Items, OneEntry, TagContent};
use item::Item;

pub(super) use message::MessageDeserializer;
pub(super) use reader::Reader;

impl<'de> Reader<'de> {
    fn list<V: Visitor<'de>>(&mut self, len: Option<u64>, visitor: V) -> Result<V::Value, DecodeError> {
        self.enter()?;
        let mut items = Items::list(self, len);
        let value = visitor.visit_seq(&mut items)?;
        items.finish()?;
        self.leave();
        Ok(value)
    }

    fn map<V: Visitor<'de>>(&mut self, len: Option<u64>, visitor: V) -> Result<V::Value, DecodeError> {
        self.enter()?;
        let mut entries = Entries::new(self, len);
        let value = visitor.visit_map(&mut entries)?;
        entries.finish()?;
        self.leave();
        Ok(value)
    }

    /// A list, or bytes for types that are lists of them.
    fn sequence<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, DecodeError> {
        match self.item()? {
            Item::List(len) => self.list(len, visitor),
            string @ (Item::Bytes(_) | Item::Text(_)) => match string.into_bytes() {
                Ok(bytes) => visitor.visit_seq(ByteItems::new(&bytes)),
                Err(item) => Err(item.misfit(&visitor)),
            },
            item => Err(item.misfit(&visitor)),
        }
    }

    fn name<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, DecodeError> {
        match self.item()?.into_name() {
            Ok(name) => visit_text(name, visitor),
            Err(item) => Err(item.misfit(&visitor)),
        }
    }

    /// The next item as it is, for [`Value`](crate::Value): bytes and text apart, CBOR tags as
    /// enums.
    fn exact<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, DecodeError> {
        if let Some(number) = self.take_tag()? {
            self.charge(memory::TAG)?;
            return self.tagged(number, visitor);
        }
        match self.untyped_item()? {
            Item::List(len) => self.list(len, visitor),
            Item::Map(len) => self.map(len, visitor),
            Item::Bytes(bytes) => visit_bytes(bytes, visitor),
            item => visit_scalar(item, visitor),
        }
    }

    fn tagged<V: Visitor<'de>>(&mut self, number: u64, visitor: V) -> Result<V::Value, DecodeError> {
        self.enter()?;
        let value = visitor.visit_enum(TagContent { number, reader: self })?;
        self.leave();
        Ok(value)
    }
}

/// Visits anything but a list or map. In a function of its own: what recurses must be small on the
/// stack.
fn visit_scalar<'de, V: Visitor<'de>>(item: Item<'de>, visitor: V) -> Result<V::Value, DecodeError> {
    match item {
        Item::Null => visitor.visit_unit(),
        Item::Bool(truth) => visitor.visit_bool(truth),
        Item::Int(number) => visit_integer(number, visitor),
        Item::Float(number) => visitor.visit_f64(number),
        Item::Text(text) => visit_text(text, visitor),
        Item::Bytes(bytes) => match std::str::from_utf8(&bytes) {
            Ok(_) => visit_text(item::utf8_or_latin1(bytes), visitor),
            // Taken as text, bytes that are wanted would not come back; so this errs on the loud
            // side.
            Err(_) => visit_bytes(bytes, visitor),
        },
        Item::List(_) | Item::Map(_) => Err(item.misfit(&visitor)),
    }
}

fn visit_text<'de, V: Visitor<'de>>(text: Cow<'de, str>, visitor: V) -> Result<V::Value, DecodeError> {
    match text {
        Cow::Borrowed(text) => visitor.visit_borrowed_str(text),
        Cow::Owned(text) => visitor.visit_string(text),
    }
}

fn visit_bytes<'de, V: Visitor<'de>>(bytes: Cow<'de, [u8]>, visitor: V) -> Result<V::Value, DecodeError> {
    match bytes {
        Cow::Borrowed(bytes) => visitor.visit_borrowed_bytes(bytes),
        Cow::Owned(bytes) => visitor.visit_byte_buf(bytes),
    }
}

fn visit_integer<'de, V: Visitor<'de>>(number: i128, visitor: V) -> Result<V::Value, DecodeError> {
    if let Ok(number) = u64::try_from(number) {
        visitor.visit_u64(number)
    } else if let Ok(number) = i64::try_from(number) {
        visitor.visit_i64(number)
    } else {
        visitor.visit_i128(number)
    }
}

macro_rules! integers {
    ($($method:ident $visit:ident $t:ty;)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
            let number = match self.take_unsigned() {
                Some(number) => match <$t>::try_from(number) {
                    Ok(number) => return visitor.$visit(number),
                    Err(_) => number.into(),
                },
                None => self.item()?.into_integer(&visitor)?,
            };
            match <$t>::try_from(number) {
                Ok(number) => visitor.$visit(number),
                Err(_) => {
                    let found = format!("integer `{number}`");
                    Err(DecodeError::invalid_value(Unexpected::Other(&found), &visitor))
                }
            }
        }
    )*};
}

impl<'de> Deserializer<'de> for &mut Reader<'de> {
    type Error = DecodeError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match self.untyped_item()? {
            Item::List(len) => self.list(len, visitor),
            Item::Map(len) => self.map(len, visitor),
            item => visit_scalar(item, visitor),
        }
    }

    integers! {
        deserialize_i8 visit_i8 i8;
        deserialize_i16 visit_i16 i16;
        deserialize_i32 visit_i32 i32;
        deserialize_i64 visit_i64 i64;
        deserialize_i128 visit_i128 i128;
        deserialize_u8 visit_u8 u8;
        deserialize_u16 visit_u16 u16;
        deserialize_u32 visit_u32 u32;
        deserialize_u64 visit_u64 u64;
        deserialize_u128 visit_u128 u128;
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        let truth = self.item()?.into_bool(&visitor)?;
        visitor.visit_bool(truth)
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match self.item()? {
            // A float is rounded, as Perl has only wide ones; an integer that would be rounded is a
            // mistake.
            Item::Int(number) if (number as f32) as i128 != number => Err(Item::Int(number).misfit(&visitor)),
            item => {
                let number = item.into_float(&visitor)?;
                visitor.visit_f32(number as f32)
            }
        }
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        let number = match self.take_float() {
            Some(number) => number,
            None => self.item()?.into_float(&visitor)?,
        };
        visitor.visit_f64(number)
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        if let Some(text) = self.take_str() {
            return visitor.visit_borrowed_str(text);
        }
        match self.item()?.into_text() {
            Ok(text) => visit_text(text, visitor),
            Err(item) => Err(item.misfit(&visitor)),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match self.item()?.into_bytes() {
            Ok(bytes) => visit_bytes(bytes, visitor),
            Err(Item::List(len)) => self.list(len, visitor),
            Err(item) => Err(item.misfit(&visitor)),
        }
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        if self.at_null() {
            self.skip()?;
            return visitor.visit_none();
        }
        visitor.visit_some(self)
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match self.item()? {
            Item::Null => visitor.visit_unit(),
            item => Err(item.misfit(&visitor)),
        }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        match name {
            NAME => self.name(visitor),
            VALUE => self.exact(visitor),
            VALUES => self.sequence(visitor),
            _ => visitor.visit_newtype_struct(self),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.sequence(visitor)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, DecodeError> {
        self.sequence(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.sequence(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match self.item()? {
            Item::Map(len) => self.map(len, visitor),
            item => Err(item.misfit(&visitor)),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        match self.item()? {
            Item::Map(len) => self.map(len, visitor),
            Item::List(len) => self.list(len, visitor),
            item => Err(item.misfit(&visitor)),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        match self.item()? {
            Item::Map(len) => {
                self.enter()?;
                let value = visitor.visit_enum(OneEntry { reader: self, len })?;
                self.leave();
                Ok(value)
            }
            item => match item.into_text() {
                Ok(name) => visitor.visit_enum(name.into_deserializer()),
                Err(item) => Err(item.misfit(&visitor)),
            },
        }
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.skip()?;
        visitor.visit_unit()
    }
}
