//! The outermost level: what becomes of the values of a message.

use serde::Deserializer;
use serde::de::value::StrDeserializer;
use serde::de::{DeserializeSeed, EnumAccess, VariantAccess, Visitor};

use super::Reader;
use super::access::Items;
use super::item::Item;
use crate::typed::error::Place;
use crate::typed::impls::{VALUE, VALUES};
use crate::typed::{DecodeError, Variants};

/// What the outermost type is.
#[derive(Clone, Copy)]
enum Shape<'v> {
    /// A type without tags.
    Plain,
    /// A type with tags.
    Tagged(&'v Variants),
    /// Something that takes a whole message: a list is the list of values.
    Whole,
}

/// Reads the values of one message.
pub(in crate::typed) struct MessageDeserializer<'a, 'de, 'v> {
    reader: &'a mut Reader<'de>,
    /// The number of the next value.
    from: u32,
    /// How many there still are.
    count: u32,
    shape: Shape<'v>,
    /// Which of its values may be left out.
    optional: &'static [usize],
}

/// What the front of a message says.
enum Front<'v> {
    /// The tag of this variant (its name in `serde`).
    Known(&'v str),
    /// A tag that is in no list.
    Unknown(String),
    /// Something that is not a string.
    Misfit(DecodeError),
}

impl<'a, 'de, 'v> MessageDeserializer<'a, 'de, 'v> {
    pub(in crate::typed) fn plain(reader: &'a mut Reader<'de>, from: u32, count: u32) -> Self {
        MessageDeserializer { reader, from, count, shape: Shape::Plain, optional: &[] }
    }

    pub(in crate::typed) fn tagged(reader: &'a mut Reader<'de>, count: u32, variants: &'v Variants) -> Self {
        let shape = if variants.is_none() { Shape::Plain } else { Shape::Tagged(variants) };
        MessageDeserializer { reader, from: 0, count, shape, optional: &[] }
    }

    /// Reads something that is one value.
    fn one<T>(self, read: impl FnOnce(&mut Reader<'de>) -> Result<T, DecodeError>) -> Result<T, DecodeError> {
        let place = Place::Value(self.from);
        if let Shape::Tagged(_) = self.shape {
            return Err(DecodeError::new("the type is neither an enum nor a struct, so it has no tags"));
        }
        if self.count == 0 {
            return Err(DecodeError::new("missing").at(place));
        }
        read(self.reader).map_err(|error| error.at(place))
    }

    fn values<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_seq(Items::values(self.reader, self.from, self.count, self.optional))
    }

    fn front(&mut self, variants: &'v Variants) -> Result<Front<'v>, DecodeError> {
        if self.count == 0 {
            return Ok(Front::Misfit(DecodeError::new("the message is empty")));
        }
        // The short way to what nearly all messages begin with.
        if let Some((bytes, end)) = self.reader.string()
            && let Some((variant, _)) =
                variants.tags.iter().find(|(_, tag)| tag.as_bytes() == bytes && tag.is_ascii())
        {
            self.reader.rewind(end);
            return Ok(self.known(variant));
        }
        let item = self.reader.item()?;
        let known = match &item {
            Item::Bytes(bytes) => variants.tags.iter().find(|(_, tag)| is_name(bytes, tag)),
            Item::Text(text) => variants.tags.iter().find(|(_, tag)| *tag == *text),
            _ => None,
        };
        if let Some((variant, _)) = known {
            return Ok(self.known(variant));
        }
        Ok(match item.into_name() {
            Ok(tag) => Front::Unknown(tag.into_owned()),
            Err(item) => Front::Misfit(item.misfit(&"a tag").at(Place::Value(0))),
        })
    }

    fn known(&mut self, variant: &'v str) -> Front<'v> {
        self.from += 1;
        self.count -= 1;
        Front::Known(variant)
    }

    /// Takes the tag of a struct, which is the only one in its list.
    fn take_tag(&mut self) -> Result<(), DecodeError> {
        let Shape::Tagged(variants) = self.shape else { return Ok(()) };
        let front = self.front(variants)?;
        self.shape = Shape::Plain;
        match front {
            Front::Known(name) => {
                self.optional = variants.optional(name);
                Ok(())
            }
            Front::Unknown(tag) => Err(DecodeError::unknown_tag(&tag)),
            Front::Misfit(error) => Err(error),
        }
    }

    fn is_tagged(&self) -> bool {
        matches!(self.shape, Shape::Tagged(_))
    }

    fn variant<V: Visitor<'de>>(
        mut self,
        variants: &'v Variants,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        let start = self.reader.position();
        let front = self.front(variants)?;
        match (front, variants.other) {
            (Front::Known(name), _) => {
                self.shape = Shape::Plain;
                self.optional = variants.optional(name);
                visitor.visit_enum(Fields { name, message: self })
            }
            (_, Some(name)) => {
                self.reader.rewind(start);
                self.shape = Shape::Whole;
                self.optional = variants.optional(name);
                visitor.visit_enum(Fields { name, message: self })
            }
            (Front::Unknown(tag), None) => Err(DecodeError::unknown_tag(&tag)),
            (Front::Misfit(error), None) => Err(error),
        }
    }
}

/// Whether these bytes, as code points, are the name.
fn is_name(bytes: &[u8], name: &str) -> bool {
    if name.is_ascii() {
        return bytes == name.as_bytes();
    }
    bytes.iter().map(|&byte| char::from(byte)).eq(name.chars())
}

macro_rules! single {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
            self.one(|reader| reader.$method(visitor))
        }
    )*};
}

impl<'de> Deserializer<'de> for MessageDeserializer<'_, 'de, '_> {
    type Error = DecodeError;

    single! {
        deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128
        deserialize_f32 deserialize_f64 deserialize_char deserialize_str deserialize_string
        deserialize_bytes deserialize_byte_buf deserialize_map deserialize_identifier
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match (self.shape, self.count) {
            (Shape::Whole, _) => self.values(visitor),
            (Shape::Plain, 0) => visitor.visit_unit(),
            (Shape::Plain, 2..) => self.values(visitor),
            _ => self.one(|reader| reader.deserialize_any(visitor)),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        if self.count == 0 && !self.is_tagged() {
            return visitor.visit_none();
        }
        self.one(|reader| reader.deserialize_option(visitor))
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        mut self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.take_tag()?;
        visitor.visit_unit()
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        mut self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        if self.is_tagged() {
            self.take_tag()?;
            return self.one(|reader| visitor.visit_newtype_struct(reader));
        }
        match (name, self.shape) {
            (VALUES, _) | (VALUE, Shape::Whole) => self.values(visitor),
            // Names and values of ours begin with '$'; no Rust type does.
            _ if name.starts_with('$') => self.one(|reader| reader.deserialize_newtype_struct(name, visitor)),
            _ => visitor.visit_newtype_struct(self),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match self.shape {
            Shape::Whole => self.values(visitor),
            _ => self.one(|reader| reader.deserialize_seq(visitor)),
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, DecodeError> {
        self.values(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        mut self,
        name: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        if self.is_tagged() {
            self.take_tag()?;
            return self.values(visitor);
        }
        self.one(|reader| reader.deserialize_tuple_struct(name, len, visitor))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        mut self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        if self.is_tagged() {
            self.take_tag()?;
            return self.values(visitor);
        }
        self.one(|reader| reader.deserialize_struct(name, fields, visitor))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        list: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        match self.shape {
            Shape::Tagged(variants) => self.variant(variants, visitor),
            Shape::Plain | Shape::Whole => self.one(|reader| reader.deserialize_enum(name, list, visitor)),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_unit()
    }
}

/// A variant and its fields: the values after the tag, or the whole message.
struct Fields<'a, 'de, 'v> {
    name: &'v str,
    message: MessageDeserializer<'a, 'de, 'v>,
}

impl<'a, 'de, 'v> EnumAccess<'de> for Fields<'a, 'de, 'v> {
    type Error = DecodeError;
    type Variant = MessageDeserializer<'a, 'de, 'v>;

    fn variant_seed<T: DeserializeSeed<'de>>(
        self,
        seed: T,
    ) -> Result<(T::Value, Self::Variant), DecodeError> {
        Ok((seed.deserialize(StrDeserializer::<DecodeError>::new(self.name))?, self.message))
    }
}

impl<'de> VariantAccess<'de> for MessageDeserializer<'_, 'de, '_> {
    type Error = DecodeError;

    fn unit_variant(self) -> Result<(), DecodeError> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, DecodeError> {
        match self.shape {
            Shape::Whole => seed.deserialize(self),
            _ => self.one(|reader| seed.deserialize(reader)),
        }
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, DecodeError> {
        self.values(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.values(visitor)
    }
}
