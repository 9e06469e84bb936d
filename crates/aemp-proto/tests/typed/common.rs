//! Items written by hand, to compare with and to decode from.

use aemp_proto::Body;
use aemp_proto::typed::{DecodeError, from_body};
use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The bytes of a hexadecimal string; blanks are for the reader.
pub(crate) fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// A body of that many items, given in hexadecimal.
pub(crate) fn body(count: u32, items: &str) -> Body {
    Body::new(count, Bytes::from(unhex(items)))
}

/// What a message of this value looks like.
pub(crate) fn encoded<T: Serialize + ?Sized>(value: &T) -> Body {
    aemp_proto::typed::to_body(value).unwrap()
}

/// An item within a message as a Rust type.
pub(crate) fn one<T: DeserializeOwned>(item: &str) -> Result<T, DecodeError> {
    from_body(&body(1, item)).map(|(value,)| value)
}

/// Bytes as an item, as Perl writes nearly all strings.
pub(crate) fn perl(text: &str) -> String {
    let mut encoder = minicbor::Encoder::new(Vec::new());
    encoder.bytes(text.as_bytes()).unwrap();
    encoder.into_writer().iter().map(|b| format!("{b:02x}")).collect()
}
