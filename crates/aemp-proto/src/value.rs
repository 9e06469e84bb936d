//! What messages are made of: plain values, and the reason of a death.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use crate::db::size::memory;

/// One plain value, as the wire knows it.
///
/// Equality is strict: `Text("a")` is not `Bytes(b"a")`, although Perl sees one string in both.
/// Where the protocol asks for a *string* (names, tags), use [`Value::to_name`], which takes
/// either.
#[derive(Debug, Clone, Default)]
pub enum Value {
    /// Nothing: Perl's `undef`.
    #[default]
    Null,
    /// True or false.
    Bool(bool),
    /// An integer from -2⁶⁴ to 2⁶⁴-1, what CBOR can carry without a tag. Larger ones cannot be
    /// encoded.
    Int(i128),
    /// A floating-point number.
    Float(f64),
    /// A sequence of code points.
    Text(String),
    /// A sequence of bytes. In Perl the same as the code points 0–255.
    Bytes(Bytes),
    /// A list of values.
    List(Vec<Value>),
    /// Keys and values. Order and repeated keys survive a round trip, but equality looks at
    /// neither's order.
    Map(Vec<(Value, Value)>),
    /// A CBOR tag that we do not interpret, with its content; echoed as it came.
    Tag(u64, Box<Value>),
}

impl Value {
    /// The string in this value as code points: text as it is, bytes as U+0000–U+00FF (`protocol`
    /// §2.4). `None` for everything else.
    pub fn to_name(&self) -> Option<String> {
        match self {
            Value::Text(text) => Some(text.clone()),
            Value::Bytes(bytes) => Some(latin1(bytes)),
            _ => None,
        }
    }

    /// About how many bytes of memory the value takes.
    pub fn memory(&self) -> usize {
        memory(self)
    }

    /// The value of the last entry with this key, if this is a map; the key may be text or bytes.
    pub fn get(&self, key: &str) -> Option<&Value> {
        let Value::Map(entries) = self else { return None };
        entries.iter().rev().find(|(k, _)| k.to_name().as_deref() == Some(key)).map(|(_, v)| v)
    }

    /// A string in the way that names and tags are written: bytes where every code point is at most
    /// U+00FF, else text.
    pub fn name(text: &str) -> Value {
        match to_latin1(text) {
            Some(bytes) => Value::Bytes(bytes.into()),
            None => Value::Text(text.into()),
        }
    }
}

/// Bytes as the code points U+0000–U+00FF.
pub fn latin1(bytes: &[u8]) -> String {
    bytes.iter().map(|&b| char::from(b)).collect()
}

/// The bytes that stand for these code points; `None` if one is above U+00FF.
pub fn to_latin1(text: &str) -> Option<Vec<u8>> {
    text.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect()
}

impl PartialEq for Value {
    fn eq(&self, other: &Value) -> bool {
        match (self, other) {
            (Value::Null, Value::Null) => true,
            (Value::Bool(a), Value::Bool(b)) => a == b,
            (Value::Int(a), Value::Int(b)) => a == b,
            // By bits, so that NaN equals itself and a recorded value can be compared.
            (Value::Float(a), Value::Float(b)) => a.to_bits() == b.to_bits(),
            (Value::Text(a), Value::Text(b)) => a == b,
            (Value::Bytes(a), Value::Bytes(b)) => a == b,
            (Value::List(a), Value::List(b)) => a == b,
            (Value::Map(a), Value::Map(b)) => a.len() == b.len() && sorted(a) == sorted(b),
            (Value::Tag(s, a), Value::Tag(t, b)) => s == t && a == b,
            _ => false,
        }
    }
}

/// A value as it is compared inside of a map: every map sorted, so that comparing takes n log n
/// steps at any depth.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Sorted<'a> {
    Null,
    Bool(bool),
    Int(i128),
    Float(u64),
    Text(&'a str),
    Bytes(&'a [u8]),
    List(Vec<Sorted<'a>>),
    Map(Vec<(Sorted<'a>, Sorted<'a>)>),
    Tag(u64, Box<Sorted<'a>>),
}

impl<'a> From<&'a Value> for Sorted<'a> {
    fn from(value: &'a Value) -> Sorted<'a> {
        match value {
            Value::Null => Sorted::Null,
            Value::Bool(truth) => Sorted::Bool(*truth),
            Value::Int(number) => Sorted::Int(*number),
            Value::Float(number) => Sorted::Float(number.to_bits()),
            Value::Text(text) => Sorted::Text(text),
            Value::Bytes(bytes) => Sorted::Bytes(bytes),
            Value::List(values) => Sorted::List(values.iter().map(Sorted::from).collect()),
            Value::Map(entries) => Sorted::Map(sorted(entries)),
            Value::Tag(tag, content) => Sorted::Tag(*tag, Box::new(Sorted::from(&**content))),
        }
    }
}

fn sorted(entries: &[(Value, Value)]) -> Vec<(Sorted<'_>, Sorted<'_>)> {
    let mut entries: Vec<_> = entries.iter().map(|(k, v)| (Sorted::from(k), Sorted::from(v))).collect();
    entries.sort_unstable();
    entries
}

macro_rules! from_integers {
    ($($t:ty)*) => {$(
        impl From<$t> for Value {
            fn from(number: $t) -> Value {
                Value::Int(number as i128)
            }
        }
    )*};
}
from_integers!(i8 i16 i32 i64 isize u8 u16 u32 u64 usize);

impl From<bool> for Value {
    fn from(truth: bool) -> Value {
        Value::Bool(truth)
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Value {
        Value::Float(number)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::Text(text.into())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Value {
        Value::Text(text)
    }
}

impl From<Bytes> for Value {
    fn from(bytes: Bytes) -> Value {
        Value::Bytes(bytes)
    }
}

impl From<&crate::PortId> for Value {
    fn from(port: &crate::PortId) -> Value {
        Value::name(&port.to_string())
    }
}

impl<T: Into<Value>> From<Vec<T>> for Value {
    fn from(values: Vec<T>) -> Value {
        Value::List(values.into_iter().map(Into::into).collect())
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Value {
        value.map_or(Value::Null, Into::into)
    }
}

/// An untyped message: a list of values, by custom with a string, the tag, in front.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AnyMessage(pub Vec<Value>);

impl AnyMessage {
    /// The tag: the first value, if it is a string.
    pub fn tag(&self) -> Option<String> {
        self.0.first().and_then(Value::to_name)
    }
}

impl FromIterator<Value> for AnyMessage {
    fn from_iter<I: IntoIterator<Item = Value>>(values: I) -> AnyMessage {
        AnyMessage(values.into_iter().collect())
    }
}

/// Characters of the identifier that are left of a reason that was too large.
const IDENTIFIER_SHOWN: usize = 64;

/// Why a port died: a list of values. The empty list is a *normal* death, anything else an
/// *abnormal* one; by custom an identifier comes first and then a text for people. Cheap to clone.
#[derive(Clone, Default, PartialEq)]
pub struct Reason(Option<Arc<[Value]>>);

impl Reason {
    /// The normal reason: the empty list.
    pub const NORMAL: Reason = Reason(None);

    /// The reason with these values.
    pub fn new(values: impl IntoIterator<Item = Value>) -> Reason {
        let values: Arc<[Value]> = values.into_iter().collect();
        Reason(if values.is_empty() { None } else { Some(values) })
    }

    /// The customary form: an identifier and a text for people.
    pub fn text(identifier: &str, text: impl fmt::Display) -> Reason {
        Reason::new([Value::name(identifier), Value::Text(text.to_string())])
    }

    /// `die, TEXT`: code that ran in the port failed.
    pub fn died(text: impl fmt::Display) -> Reason {
        Reason::text("die", text)
    }

    /// `transport_error, NODE, TEXT`: the connection to the port's node was lost or could not be
    /// made.
    pub fn transport(node: &crate::NodeId, text: impl fmt::Display) -> Reason {
        Reason::new([
            Value::name("transport_error"),
            Value::name(node.as_str()),
            Value::Text(text.to_string()),
        ])
    }

    /// `no_such_port, TEXT, PORT`: the port does not exist (any more).
    pub fn no_such_port(port: &crate::PortId) -> Reason {
        Reason::new([
            Value::name("no_such_port"),
            Value::Text("cannot monitor nonexistent port".into()),
            Value::name(&port.to_string()),
        ])
    }

    /// Whether this is a normal death.
    pub fn is_normal(&self) -> bool {
        self.0.is_none()
    }

    /// The values.
    pub fn values(&self) -> &[Value] {
        self.0.as_deref().unwrap_or_default()
    }

    /// About how many bytes of memory the values take.
    pub fn memory(&self) -> usize {
        self.values().iter().map(memory).sum()
    }

    /// This reason, or a short one instead if it takes more than `limit` bytes of memory: with the
    /// same identifier, as far as that is short, and a text that says so.
    pub fn shortened(&self, limit: usize) -> Reason {
        let bytes = self.memory();
        if bytes <= limit {
            return self.clone();
        }
        let identifier = self.identifier().unwrap_or_default();
        let identifier: String = identifier.chars().take(IDENTIFIER_SHOWN).collect();
        let text = format!("the reason takes {bytes} bytes of memory, and the limit is {limit}");
        Reason::text(if identifier.is_empty() { "reason_too_large" } else { &identifier }, text)
    }

    /// The identifier: the first value, if it is a string.
    pub fn identifier(&self) -> Option<String> {
        self.values().first().and_then(Value::to_name)
    }
}

/// Any error of a port's code is `die, TEXT`.
impl<E: std::error::Error> From<E> for Reason {
    fn from(error: E) -> Reason {
        Reason::died(error)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_normal() {
            return f.write_str("normal");
        }
        for (at, value) in self.values().iter().enumerate() {
            if at > 0 {
                f.write_str(if at == 1 { ": " } else { ", " })?;
            }
            match value.to_name() {
                Some(text) => f.write_str(&text)?,
                None => write!(f, "{value:?}")?,
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reason({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_bytes_exactly_up_to_latin1() {
        assert_eq!(Value::name("é"), Value::Bytes(Bytes::from_static(b"\xe9")));
        assert_eq!(Value::name("€"), Value::Text("€".into()));
        assert_eq!(Value::name("é").to_name().as_deref(), Some("é"));
    }

    #[test]
    fn maps_are_equal_in_any_order() {
        let map = |keys: &[i32]| Value::Map(keys.iter().map(|&k| (k.into(), Value::Null)).collect());
        assert_eq!(map(&[1, 2]), map(&[2, 1]));
        assert_ne!(map(&[1, 1]), map(&[2, 1]));
    }

    #[test]
    fn large_and_deep_maps_are_compared_without_trying_every_pair() {
        let large = |keys: &mut dyn Iterator<Item = i32>| {
            Value::Map(keys.map(|key| (key.into(), Value::Null)).collect())
        };
        assert_eq!(large(&mut (0..100_000)), large(&mut (0..100_000).rev()));
        let deep = |last: i32| {
            (0..12).fold(Value::from(last), |inner, _| {
                Value::Map(vec![(Value::Null, inner.clone()), (Value::Null, inner)])
            })
        };
        assert_eq!(deep(1), deep(1));
        assert_ne!(deep(1), deep(2));
    }

    #[test]
    fn the_empty_reason_is_normal() {
        assert!(Reason::new([]).is_normal());
        assert_eq!(Reason::new([]), Reason::NORMAL);
        assert!(!Reason::died("x").is_normal());
        assert_eq!(Reason::died("x").to_string(), "die: x");
    }
}
