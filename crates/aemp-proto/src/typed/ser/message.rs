//! The outermost level: what becomes the values of a message.

use serde::{Serialize, Serializer};

use super::compound::Compound;
use super::{ItemSerializer, write};
use crate::typed::impls::VALUES;
use crate::typed::{EncodeError, Variants};

/// What the outermost type is.
#[derive(Clone, Copy)]
enum Shape<'v> {
    /// A type without tags.
    Plain,
    /// A type with tags.
    Tagged(&'v Variants),
    /// Something that holds a whole message: a list in it is the list of values.
    Whole,
}

/// Writes the values of one message and returns how many they are.
pub(in crate::typed) struct MessageSerializer<'a, 'v> {
    out: &'a mut Vec<u8>,
    shape: Shape<'v>,
}

/// Where a variant goes.
enum Target<'a> {
    /// Into the message; true if a tag is in front.
    Values(&'a mut Vec<u8>, bool),
    /// Into one value.
    Item(ItemSerializer<'a>),
}

impl<'a, 'v> MessageSerializer<'a, 'v> {
    pub(in crate::typed) fn new(out: &'a mut Vec<u8>, variants: &'v Variants) -> MessageSerializer<'a, 'v> {
        let shape = if variants.is_none() { Shape::Plain } else { Shape::Tagged(variants) };
        MessageSerializer { out, shape }
    }

    /// For everything that is one value.
    fn item(self, what: &'static str) -> Result<ItemSerializer<'a>, EncodeError> {
        match self.shape {
            Shape::Tagged(_) => Err(EncodeError::NoTag(what)),
            Shape::Plain | Shape::Whole => Ok(ItemSerializer::outermost(self.out)),
        }
    }

    fn values(self) -> Compound<'a> {
        Compound::values(self.out, false)
    }

    /// For variants and structs: writes the tag, if there is one.
    fn target(self, index: u32, name: &'static str) -> Result<Target<'a>, EncodeError> {
        let Shape::Tagged(variants) = self.shape else {
            return Ok(Target::Item(ItemSerializer::outermost(self.out)));
        };
        if let Some(tag) = variants.tag(index, name) {
            write::name(self.out, tag);
            Ok(Target::Values(self.out, true))
        } else if variants.other == Some(name) {
            Ok(Target::Values(self.out, false))
        } else {
            Err(EncodeError::NoTag(name))
        }
    }

    /// As [`target`](Self::target) for a struct, which is the only one in its list of tags no
    /// matter what its name.
    fn struct_target(self) -> Result<Target<'a>, EncodeError> {
        match self.shape {
            Shape::Tagged(Variants { tags: [(name, _)], other: None, .. }) => self.target(0, name),
            Shape::Tagged(_) => Err(EncodeError::NoTag("a struct")),
            Shape::Plain | Shape::Whole => self.target(0, ""),
        }
    }
}

macro_rules! single {
    ($($method:ident $t:ty;)*) => {$(
        fn $method(self, value: $t) -> Result<u32, EncodeError> {
            self.item(stringify!($t))?.$method(value)
        }
    )*};
}

impl<'a> Serializer for MessageSerializer<'a, '_> {
    type Ok = u32;
    type Error = EncodeError;
    type SerializeSeq = Compound<'a>;
    type SerializeTuple = Compound<'a>;
    type SerializeTupleStruct = Compound<'a>;
    type SerializeTupleVariant = Compound<'a>;
    type SerializeMap = Compound<'a>;
    type SerializeStruct = Compound<'a>;
    type SerializeStructVariant = Compound<'a>;

    single! {
        serialize_bool bool;
        serialize_i8 i8;
        serialize_i16 i16;
        serialize_i32 i32;
        serialize_i64 i64;
        serialize_i128 i128;
        serialize_u8 u8;
        serialize_u16 u16;
        serialize_u32 u32;
        serialize_u64 u64;
        serialize_u128 u128;
        serialize_f32 f32;
        serialize_f64 f64;
        serialize_char char;
        serialize_str &str;
        serialize_bytes &[u8];
    }

    fn serialize_none(self) -> Result<u32, EncodeError> {
        self.item("None")?.serialize_none()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<u32, EncodeError> {
        self.item("Some")?.serialize_some(value)
    }

    fn serialize_unit(self) -> Result<u32, EncodeError> {
        match self.shape {
            Shape::Tagged(_) => Err(EncodeError::NoTag("()")),
            Shape::Plain | Shape::Whole => Ok(0),
        }
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<u32, EncodeError> {
        match self.struct_target()? {
            Target::Values(_, tagged) => Ok(u32::from(tagged)),
            Target::Item(_) => Ok(0),
        }
    }

    fn serialize_unit_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
    ) -> Result<u32, EncodeError> {
        match self.target(index, variant)? {
            Target::Values(_, tagged) => Ok(u32::from(tagged)),
            Target::Item(item) => item.serialize_unit_variant(name, index, variant),
        }
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        value: &T,
    ) -> Result<u32, EncodeError> {
        match self.shape {
            Shape::Tagged(_) => match self.struct_target()? {
                Target::Values(out, _) => Ok(1 + value.serialize(ItemSerializer::after_tag(out))?),
                Target::Item(item) => value.serialize(item),
            },
            _ if name == VALUES => value.serialize(MessageSerializer { shape: Shape::Whole, ..self }),
            // Names, texts and tags of ours begin with '$'; no Rust type does.
            _ if name.starts_with('$') => self.item(name)?.serialize_newtype_struct(name, value),
            _ => value.serialize(self),
        }
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<u32, EncodeError> {
        match self.target(index, variant)? {
            Target::Values(out, true) => Ok(1 + value.serialize(ItemSerializer::after_tag(out))?),
            Target::Values(out, false) => value.serialize(MessageSerializer { out, shape: Shape::Whole }),
            Target::Item(item) => item.serialize_newtype_variant(name, index, variant, value),
        }
    }

    fn serialize_seq(self, len: Option<usize>) -> Result<Compound<'a>, EncodeError> {
        match self.shape {
            Shape::Whole => Ok(self.values()),
            Shape::Plain | Shape::Tagged(_) => self.item("a list")?.serialize_seq(len),
        }
    }

    fn serialize_tuple(self, _: usize) -> Result<Compound<'a>, EncodeError> {
        match self.shape {
            Shape::Tagged(_) => Err(EncodeError::NoTag("a tuple")),
            Shape::Plain | Shape::Whole => Ok(self.values()),
        }
    }

    fn serialize_tuple_struct(self, name: &'static str, len: usize) -> Result<Compound<'a>, EncodeError> {
        match self.struct_target()? {
            Target::Values(out, tagged) => Ok(Compound::values(out, tagged)),
            Target::Item(item) => item.serialize_tuple_struct(name, len),
        }
    }

    fn serialize_tuple_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Compound<'a>, EncodeError> {
        match self.target(index, variant)? {
            Target::Values(out, tagged) => Ok(Compound::values(out, tagged)),
            Target::Item(item) => item.serialize_tuple_variant(name, index, variant, len),
        }
    }

    fn serialize_map(self, len: Option<usize>) -> Result<Compound<'a>, EncodeError> {
        self.item("a map")?.serialize_map(len)
    }

    fn serialize_struct(self, name: &'static str, len: usize) -> Result<Compound<'a>, EncodeError> {
        match self.struct_target()? {
            Target::Values(out, tagged) => Ok(Compound::values(out, tagged)),
            Target::Item(item) => item.serialize_struct(name, len),
        }
    }

    fn serialize_struct_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Compound<'a>, EncodeError> {
        match self.target(index, variant)? {
            Target::Values(out, tagged) => Ok(Compound::values(out, tagged)),
            Target::Item(item) => item.serialize_struct_variant(name, index, variant, len),
        }
    }
}
