//! Lists, maps, and the values of a message while they are being written.

use serde::Serialize;
use serde::ser::{
    SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant,
};

use super::{ItemSerializer, Strings, write};
use crate::typed::{DEPTH_MAX, EncodeError};

/// What is being written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    List,
    Map,
    /// The number of a CBOR tag, then its content.
    Tag,
    /// The values of a message, without anything around them.
    Values,
}

/// Something with parts that was begun. Its `end` returns how many values of the message it is.
pub(in crate::typed) struct Compound<'a> {
    out: &'a mut Vec<u8>,
    /// Levels that may be opened in it.
    levels: usize,
    kind: Kind,
    /// Elements or entries as announced.
    announced: Option<usize>,
    /// Items written, keys and values each.
    written: usize,
    /// Fields left out since the last one: nulls, if another one follows.
    skipped: usize,
}

impl<'a> Compound<'a> {
    pub(super) fn new(
        out: &'a mut Vec<u8>,
        levels: usize,
        kind: Kind,
        announced: Option<usize>,
    ) -> Compound<'a> {
        Compound { out, levels, kind, announced, written: 0, skipped: 0 }
    }

    /// The values of a message, whose tag may be there already.
    pub(super) fn values(out: &'a mut Vec<u8>, tagged: bool) -> Compound<'a> {
        let written = usize::from(tagged);
        Compound { out, levels: DEPTH_MAX, kind: Kind::Values, announced: None, written, skipped: 0 }
    }

    fn item<T: Serialize + ?Sized>(&mut self, value: &T, strings: Strings) -> Result<(), EncodeError> {
        let start = self.out.len();
        let written =
            value.serialize(ItemSerializer { out: self.out, levels: self.levels, strings, in_some: false });
        match written {
            Ok(_) => self.written += 1,
            // An implementation may go on after an error; half an item must not stay.
            Err(_) => self.out.truncate(start),
        }
        written.map(drop)
    }

    fn element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), EncodeError> {
        for _ in 0..std::mem::take(&mut self.skipped) {
            self.item(&(), Strings::Text)?;
        }
        match (self.kind, self.written) {
            (Kind::Values, 0) => self.item(value, Strings::Key),
            (Kind::Tag, 0) => self.tag_number(value),
            _ => self.item(value, Strings::Text),
        }
    }

    /// The head of a tag is the head of an unsigned integer with another major type.
    fn tag_number<T: Serialize + ?Sized>(&mut self, number: &T) -> Result<(), EncodeError> {
        let start = self.out.len();
        self.item(number, Strings::Text)?;
        match self.out.get_mut(start) {
            Some(head) if *head < 0x20 => *head |= 0xc0,
            _ => return Err(EncodeError::Custom("the number of a tag must be an unsigned integer".into())),
        }
        Ok(())
    }

    fn key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), EncodeError> {
        if !self.written.is_multiple_of(2) {
            return Err(EncodeError::Pairing);
        }
        self.item(key, Strings::Key)
    }

    fn value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), EncodeError> {
        if self.written.is_multiple_of(2) {
            return Err(EncodeError::Pairing);
        }
        self.item(value, Strings::Text)
    }

    fn field<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) -> Result<(), EncodeError> {
        if self.kind != Kind::Map {
            return self.element(value);
        }
        let start = self.out.len();
        write::key(self.out, name);
        self.written += 1;
        self.value(value).inspect_err(|_| {
            self.out.truncate(start);
            self.written -= 1;
        })
    }

    /// In a message the place of a field is its name, so a field left out before others needs
    /// something in its place.
    fn skip(&mut self) {
        if self.kind == Kind::Values {
            self.skipped += 1;
        }
    }

    fn finish(self) -> Result<u32, EncodeError> {
        if self.kind == Kind::Values {
            return u32::try_from(self.written).map_err(|_| EncodeError::Count(self.written));
        }
        let written = match self.kind {
            Kind::Map if !self.written.is_multiple_of(2) => return Err(EncodeError::Pairing),
            Kind::Map => self.written / 2,
            _ => self.written,
        };
        match self.announced {
            Some(announced) if announced != written => Err(EncodeError::Length { announced, written }),
            Some(_) => Ok(1),
            None => {
                write::end(self.out);
                Ok(1)
            }
        }
    }
}

macro_rules! sequences {
    ($($t:ident :: $method:ident;)*) => {$(
        impl $t for Compound<'_> {
            type Ok = u32;
            type Error = EncodeError;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), EncodeError> {
                self.element(value)
            }

            fn end(self) -> Result<u32, EncodeError> {
                self.finish()
            }
        }
    )*};
}

sequences! {
    SerializeSeq::serialize_element;
    SerializeTuple::serialize_element;
    SerializeTupleStruct::serialize_field;
    SerializeTupleVariant::serialize_field;
}

macro_rules! structs {
    ($($t:ident)*) => {$(
        impl $t for Compound<'_> {
            type Ok = u32;
            type Error = EncodeError;

            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                name: &'static str,
                value: &T,
            ) -> Result<(), EncodeError> {
                self.field(name, value)
            }

            fn skip_field(&mut self, _: &'static str) -> Result<(), EncodeError> {
                self.skip();
                Ok(())
            }

            fn end(self) -> Result<u32, EncodeError> {
                self.finish()
            }
        }
    )*};
}

structs! { SerializeStruct SerializeStructVariant }

impl SerializeMap for Compound<'_> {
    type Ok = u32;
    type Error = EncodeError;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), EncodeError> {
        self.key(key)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), EncodeError> {
        self.value(value)
    }

    fn end(self) -> Result<u32, EncodeError> {
        self.finish()
    }
}
