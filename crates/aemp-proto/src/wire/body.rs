//! The encoded form of a message, the one that every framing carries and that ports decode from.

use bytes::Bytes;

/// A message in encoded form: how many values it has, and the values as CBOR items one after the other.
///
/// The items are well formed: whoever makes a `Body` has encoded or checked them. A frame in CBOR is an array head, the
/// port name and `items`, so a body is sliced out of a frame and put into one without being touched.
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

    /// How many values the message has.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// The values, as CBOR items one after the other.
    pub fn items(&self) -> &Bytes {
        &self.items
    }
}
