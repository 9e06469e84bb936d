//! The encoded form of a message, the one that every framing carries and that ports decode from.

use std::borrow::Cow;

use bytes::Bytes;
use minicbor::Decoder;

use super::error::{EncodeError, FrameError, Malformed};
use super::framing::Framing;
use super::limits::Limits;
use super::scan::{self, ARRAY, BYTES, MAP, TAG, TEXT};
use super::{cbor, forms, memory};
use crate::{Value, value};

/// A message in encoded form: how many values it has, and the values as CBOR items one after the
/// other.
///
/// The items are well formed: anyone who makes a `Body` has encoded or checked them. A frame in
/// CBOR is an array head, the port name and `items`, so a body is sliced out of a frame and put
/// into one without being touched.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Body {
    count: u32,
    items: Bytes,
}

impl Body {
    /// A body of `count` well-formed CBOR items, joined in `items`.
    pub fn new(count: u32, items: Bytes) -> Body {
        Body { count, items }
    }

    /// Encodes values.
    ///
    /// # Errors
    ///
    /// An integer is out of range, or a value nests too deep.
    pub fn encode(values: &[Value]) -> Result<Body, EncodeError> {
        // Most values are short: one allocation, where growing would take several.
        let mut builder = BodyBuilder { count: 0, items: Vec::with_capacity(32 + 16 * values.len()) };
        values.iter().try_for_each(|value| builder.value(value))?;
        Ok(builder.finish())
    }

    /// Checks bytes from elsewhere: CBOR items one after the other.
    ///
    /// # Errors
    ///
    /// They are not well formed, or pass a limit.
    pub fn parse(items: Bytes, limits: Limits) -> Result<Body, FrameError> {
        let inner = Limits { depth: limits.depth.saturating_sub(1), ..limits };
        let count = scan::count_items(&items, inner)?;
        let count = u32::try_from(count).map_err(|_| Malformed { at: 0, what: "more than 2^32 values" })?;
        Ok(Body { count, items })
    }

    /// Decodes all values.
    ///
    /// # Errors
    ///
    /// The body was made of items that are not well formed, or the values would take more than 256
    /// MiB of memory.
    pub fn decode(&self) -> Result<Vec<Value>, Malformed> {
        if !memory::fits(&self.items, memory::VALUES_MAX) {
            return Err(Malformed { at: 0, what: "too large: the values take more than 256 MiB of memory" });
        }
        cbor::read_values(&self.items, self.count)
    }

    /// How many values the message has.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Whether the message has no values.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The values, as CBOR items one after the other.
    pub fn items(&self) -> &Bytes {
        &self.items
    }

    /// The first value if it is a string, by custom the tag; nothing else is decoded.
    pub fn first_name(&self) -> Option<Cow<'_, str>> {
        let head = scan::head(&self.items).ok()??;
        if head.is_indefinite() {
            return self.first().and_then(|value| value.to_name()).map(Cow::Owned);
        }
        let end = head.len.checked_add(usize::try_from(head.argument).ok()?)?;
        let string = || self.items.get(head.len..end);
        match head.major {
            TEXT => std::str::from_utf8(string()?).ok().map(Cow::Borrowed),
            BYTES => match string()? {
                bytes if bytes.is_ascii() => std::str::from_utf8(bytes).ok().map(Cow::Borrowed),
                bytes => Some(Cow::Owned(value::latin1(bytes))),
            },
            _ => None,
        }
    }

    /// The first value, decoded.
    pub fn first(&self) -> Option<Value> {
        cbor::read_value(&mut Decoder::new(&self.items)).ok()
    }

    /// The first value, decoded, unless it is a list, a map or tagged: these can take many times
    /// the memory of their bytes.
    pub fn first_scalar(&self) -> Option<Value> {
        let head = scan::head(&self.items).ok()??;
        if matches!(head.major, ARRAY | MAP | TAG) { None } else { self.first() }
    }

    /// The message without its first value; nothing is copied. Empty if nothing is there.
    pub fn rest(&self) -> Body {
        match scan::item_end(&self.items) {
            Some(end) => Body { count: self.count.saturating_sub(1), items: self.items.slice(end..) },
            None => Body::default(),
        }
    }

    /// Bytes that the message for this port takes in a framing: in `json` those of the whole array,
    /// otherwise those of the values.
    ///
    /// # Errors
    ///
    /// A value has no form in the framing that all its readers take: JSON knows neither tags nor
    /// numbers that are not finite, and a CBOR decoder that gives tags a meaning refuses some of
    /// them.
    pub fn len_in(&self, framing: Framing, port: &str) -> Result<usize, EncodeError> {
        forms::len_in(framing, port, &self.items)
    }
}

/// Puts a message together out of values and of what is encoded already.
#[derive(Debug, Clone, Default)]
pub struct BodyBuilder {
    count: u32,
    items: Vec<u8>,
}

impl BodyBuilder {
    /// Appends a value.
    ///
    /// # Errors
    ///
    /// It cannot be encoded; the builder is as before.
    pub fn value(&mut self, value: &Value) -> Result<(), EncodeError> {
        self.item(|out| cbor::write_value(out, value, 0))
    }

    /// Appends a value that will be inside of this many lists or maps.
    pub(crate) fn nested(&mut self, value: &Value, outer: usize) -> Result<(), EncodeError> {
        self.item(|out| cbor::write_value(out, value, outer))
    }

    /// Appends the one item that `write` writes; nothing if that fails.
    pub(crate) fn item(
        &mut self,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        let before = self.items.len();
        write(&mut self.items).inspect_err(|_| self.items.truncate(before))?;
        self.count += 1;
        Ok(())
    }

    /// Appends a string in the way that names and tags are written.
    pub fn name(&mut self, name: &str) -> &mut BodyBuilder {
        cbor::write_name(&mut self.items, name);
        self.count += 1;
        self
    }

    /// Appends the values of a message.
    pub fn body(&mut self, body: &Body) -> &mut BodyBuilder {
        self.items.extend_from_slice(&body.items);
        self.count = self.count.saturating_add(body.count);
        self
    }

    /// The message.
    pub fn finish(self) -> Body {
        Body { count: self.count, items: self.items.into() }
    }
}
