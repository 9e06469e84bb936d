//! The types of this crate in `serde`.
//!
//! Their particular forms on the wire are asked for by struct names that no Rust type can have.
//! Other formats ignore the names and see what is inside: strings, lists, maps.

use std::fmt;

use bytes::Bytes;
use serde::de::{EnumAccess, Error as _, MapAccess, SeqAccess, VariantAccess, Visitor};
use serde::ser::{SerializeMap, SerializeSeq, SerializeTupleStruct};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{AnyMessage, NodeId, PortId, Reason, Value};

/// Newtype around a string that is a name.
pub(super) const NAME: &str = "$aemp::name";
/// Newtype around a string that is text wherever it stands.
pub(super) const TEXT: &str = "$aemp::text";
/// Newtype around what is to be read exactly as it is.
pub(super) const VALUE: &str = "$aemp::value";
/// Newtype around a list that is the values of a message, if it is the outermost one.
pub(super) const VALUES: &str = "$aemp::values";
/// Tuple struct of the number and the content of a CBOR tag; an enum when it is read.
pub(super) const TAG: &str = "$aemp::tag";

/// Room is made for no more values than this before they are there, no matter what another format
/// says.
const ROOM_MAX: usize = 1024;

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            // Not as a unit: that is no value, where it is a whole message.
            Value::Null => serializer.serialize_none(),
            Value::Bool(truth) => serializer.serialize_bool(*truth),
            Value::Int(number) => serialize_int(*number, serializer),
            Value::Float(number) => serializer.serialize_f64(*number),
            Value::Text(text) => serializer.serialize_newtype_struct(TEXT, text),
            Value::Bytes(bytes) => serializer.serialize_bytes(bytes),
            Value::List(values) => serialize_list(values, serializer),
            Value::Map(entries) => serialize_map(entries, serializer),
            Value::Tag(number, content) => serialize_tag(*number, content, serializer),
        }
    }
}

// Functions of their own, so that a level of nesting takes little of the stack.

fn serialize_list<S: Serializer>(values: &[Value], serializer: S) -> Result<S::Ok, S::Error> {
    let mut list = serializer.serialize_seq(Some(values.len()))?;
    for value in values {
        list.serialize_element(value)?;
    }
    list.end()
}

fn serialize_map<S: Serializer>(entries: &[(Value, Value)], serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(entries.len()))?;
    for (key, value) in entries {
        map.serialize_entry(key, value)?;
    }
    map.end()
}

fn serialize_tag<S: Serializer>(number: u64, content: &Value, serializer: S) -> Result<S::Ok, S::Error> {
    let mut tag = serializer.serialize_tuple_struct(TAG, 2)?;
    tag.serialize_field(&number)?;
    tag.serialize_field(content)?;
    tag.end()
}

/// Not every format takes 128 bits, so they are the last resort.
fn serialize_int<S: Serializer>(number: i128, serializer: S) -> Result<S::Ok, S::Error> {
    if let Ok(number) = i64::try_from(number) {
        serializer.serialize_i64(number)
    } else if let Ok(number) = u64::try_from(number) {
        serializer.serialize_u64(number)
    } else {
        serializer.serialize_i128(number)
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_newtype_struct(VALUE, ValueVisitor)
    }
}

struct ValueVisitor;

macro_rules! integers {
    ($($method:ident $t:ty;)*) => {$(
        fn $method<E: serde::de::Error>(self, number: $t) -> Result<Value, E> {
            Ok(Value::Int(number.into()))
        }
    )*};
}

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        Value::deserialize(deserializer)
    }

    fn visit_bool<E>(self, truth: bool) -> Result<Value, E> {
        Ok(Value::Bool(truth))
    }

    integers! {
        visit_i64 i64;
        visit_u64 u64;
        visit_i128 i128;
    }

    fn visit_u128<E: serde::de::Error>(self, number: u128) -> Result<Value, E> {
        i128::try_from(number).map(Value::Int).map_err(|_| E::custom("an integer above 2^127"))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(Value::Float(number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.into()))
    }

    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(Value::Text(text))
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Value, E> {
        Ok(Value::Bytes(Bytes::copy_from_slice(bytes)))
    }

    fn visit_byte_buf<E>(self, bytes: Vec<u8>) -> Result<Value, E> {
        Ok(Value::Bytes(bytes.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Value, A::Error> {
        ValuesVisitor.visit_seq(seq).map(Value::List)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut entries = Vec::with_capacity(map.size_hint().unwrap_or(0).min(ROOM_MAX));
        while let Some(key) = map.next_key()? {
            let value = map.next_value()?;
            entries.push((key, value));
        }
        Ok(Value::Map(entries))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, data: A) -> Result<Value, A::Error> {
        let (number, content) = data.variant::<u64>()?;
        Ok(Value::Tag(number, Box::new(content.newtype_variant()?)))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

/// A list of values.
struct ValuesVisitor;

impl<'de> Visitor<'de> for ValuesVisitor {
    type Value = Vec<Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of values")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<Value>, A::Error> {
        let mut values = Vec::with_capacity(seq.size_hint().unwrap_or(0).min(ROOM_MAX));
        while let Some(value) = seq.next_element()? {
            values.push(value);
        }
        Ok(values)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Vec<Value>, D::Error> {
        deserializer.deserialize_seq(ValuesVisitor)
    }
}

impl Serialize for AnyMessage {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_newtype_struct(VALUES, &self.0)
    }
}

impl<'de> Deserialize<'de> for AnyMessage {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<AnyMessage, D::Error> {
        deserializer.deserialize_newtype_struct(VALUES, ValuesVisitor).map(AnyMessage)
    }
}

impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_newtype_struct(VALUES, self.values())
    }
}

impl<'de> Deserialize<'de> for Reason {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Reason, D::Error> {
        deserializer.deserialize_newtype_struct(VALUES, ValuesVisitor).map(Reason::new)
    }
}

impl Serialize for NodeId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_newtype_struct(NAME, self.as_str())
    }
}

impl<'de> Deserialize<'de> for NodeId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<NodeId, D::Error> {
        deserializer.deserialize_newtype_struct(NAME, NameVisitor { what: "a node ID", parse: NodeId::new })
    }
}

impl Serialize for PortId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_newtype_struct(NAME, &port_text(self))
    }
}

/// As `Display`, but several times faster: nearly every message names a port.
fn port_text(port: &PortId) -> String {
    let node = port.node().as_str();
    let mut text = String::with_capacity(node.len() + 32);
    text.push_str(node);
    if !port.is_node() {
        text.push('#');
        port.name().write_to(&mut text);
    }
    text
}

impl<'de> Deserialize<'de> for PortId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<PortId, D::Error> {
        deserializer.deserialize_newtype_struct(NAME, NameVisitor { what: "a port ID", parse: PortId::parse })
    }
}

/// A string that is parsed.
struct NameVisitor<T> {
    what: &'static str,
    parse: fn(&str) -> Result<T, crate::NameError>,
}

impl<'de, T> Visitor<'de> for NameVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.what)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        (self.parse)(text).map_err(E::custom)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
        let text = String::deserialize(deserializer)?;
        (self.parse)(&text).map_err(D::Error::custom)
    }
}
