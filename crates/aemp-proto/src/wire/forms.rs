//! Whether a message has a form in a framing that every reader of it takes, and how long that is.
//!
//! `json` has no form for some values. `cbor` has one for all, but CBOR::XS, which reads it at the
//! other end, takes a meaning from some tags and ends the connection if it can make nothing of the
//! content; a few values it reads as others, without a word.

use minicbor::Decoder;

use super::error::EncodeError;
use super::framing::Framing;
use super::json;
use super::limits::Limits;
use super::scan::{self, BYTES, Head, NEGATIVE, SIMPLE, TAG, TEXT};

/// Bytes that the message takes: in `json` those of the whole array, otherwise those of the values.
///
/// # Errors
///
/// One of the values has no form there.
pub(crate) fn len_in(framing: Framing, port: &str, items: &[u8]) -> Result<usize, EncodeError> {
    match framing {
        Framing::Native => Ok(items.len()),
        Framing::Cbor => check_cbor(items).map(|()| items.len()),
        Framing::Json => json::frame_len(port, items),
    }
}

const fn no_form(what: &'static str) -> EncodeError {
    EncodeError::NoForm { what, framing: Framing::Cbor }
}

const MALFORMED: EncodeError = no_form("a message that is not well formed");

/// A date; CBOR::XS takes only what RFC 3339 says.
const DATE: u64 = 0;
/// References to strings and values that came before, and the scope of the former: an index means
/// another thing behind another value, and what it leads to may not be there.
const REFERENCES: [u64; 4] = [25, 28, 29, 256];
/// A Perl object, whose class has to be loaded there.
const PERL_OBJECT: u64 = 26;
/// An address, for which CBOR::XS loads a module that may not be installed.
const URI: u64 = 32;

fn check_cbor(items: &[u8]) -> Result<(), EncodeError> {
    let depth = Limits::DEFAULT.depth - 1;
    scan::count_items(items, Limits { frame: 0, depth })
        .map_err(|_| EncodeError::TooDeep { limit: Limits::DEFAULT.depth })?;
    let mut at = 0;
    while at < items.len() {
        let head = scan::head(&items[at..]).ok().flatten().ok_or(MALFORMED)?;
        at += head.len;
        match head.major {
            BYTES | TEXT if !head.is_indefinite() => {
                at = at.saturating_add(usize::try_from(head.argument).map_err(|_| MALFORMED)?);
            }
            NEGATIVE if head.argument > i64::MAX as u64 => {
                return Err(no_form("an integer below -2^63"));
            }
            TAG => check_tag(&head, &items[at..])?,
            SIMPLE if !matches!(head.info, 20..=23 | 25..=27 | 31) => {
                return Err(no_form("a simple value without a meaning"));
            }
            _ => {}
        }
    }
    Ok(())
}

fn check_tag(head: &Head, content: &[u8]) -> Result<(), EncodeError> {
    match head.argument {
        DATE if !is_date(content) => Err(no_form("a value that is tagged as a date and is not a date")),
        PERL_OBJECT => Err(no_form("a value tagged as an object")),
        URI => Err(no_form("a value tagged as a URI")),
        tag if REFERENCES.contains(&tag) => Err(no_form("a value tagged as a reference")),
        _ => Ok(()),
    }
}

/// Whether the content of a tag is the text of a date and time, as RFC 3339 has it, that Perl's
/// `strptime` takes: it knows no leap seconds, and no year before 1900.
fn is_date(content: &[u8]) -> bool {
    // Perl writes it as a byte string.
    let text = Decoder::new(content).str().or_else(|_| {
        let bytes = Decoder::new(content).bytes()?;
        std::str::from_utf8(bytes).map_err(|_| minicbor::decode::Error::message("not ASCII"))
    });
    let Ok(text) = text else { return false };
    let pattern =
        |text: &str| -> String { text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect() };
    let Some((time, rest)) = text.split_at_checked(19) else { return false };
    let zone = match rest.strip_prefix('.') {
        Some(fraction) => fraction.trim_start_matches(|c: char| c.is_ascii_digit()),
        None => rest,
    };
    let empty_fraction = rest.starts_with('.') && zone.len() + 1 == rest.len();
    let two = |range: std::ops::Range<usize>| time[range].parse::<u8>().unwrap_or(u8::MAX);
    pattern(time) == "0000-00-00T00:00:00"
        && matches!(two(5..7), 1..=12)
        && matches!(two(8..10), 1..=31)
        && two(11..13) < 24
        && two(14..16) < 60
        && two(17..19) < 60
        && time[..4] >= *"1900"
        && !empty_fraction
        && (zone == "Z" || matches!(pattern(zone).as_str(), "+00:00" | "-00:00"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Body, Value};

    fn in_cbor(value: Value) -> Result<usize, EncodeError> {
        Body::encode(&[value]).expect("it has a wire form").len_in(Framing::Cbor, "port")
    }

    fn tag(number: u64, content: impl Into<Value>) -> Value {
        Value::Tag(number, Box::new(content.into()))
    }

    /// What CBOR::XS 1.86 refuses to decode, and what it decodes as something else (the lowest
    /// integers).
    #[test]
    fn what_a_perl_decoder_cannot_read_has_no_form_in_cbor() {
        let list = || Value::List(vec![1.into()]);
        for value in [
            tag(0, "z"),
            tag(0, 1),
            tag(0, "2024-13-01T00:00:00Z"),
            tag(0, "2024-01-31T23:59:60Z"),
            tag(0, "1899-12-31T23:59:59Z"),
            tag(0, "2024-01-01T00:00:00.Z"),
            tag(0, "2024-01-01 00:00:00Z"),
            tag(25, 0),
            tag(26, list()),
            tag(28, list()),
            tag(29, 5),
            tag(32, "http://localhost/"),
            tag(256, list()),
            Value::List(vec![tag(29, 0)]),
            Value::Map(vec![(tag(29, 0), Value::Null)]),
            Value::Int(-(1 << 63) - 1),
            Value::Int(-(1 << 64)),
        ] {
            assert!(matches!(in_cbor(value.clone()), Err(EncodeError::NoForm { .. })), "{value:?}");
        }
        // Values without a meaning, as a decoded message never has them.
        for simple in [&[0xe5][..], &[0xf8, 0xff]] {
            assert!(check_cbor(simple).is_err(), "{simple:x?}");
        }
        let nested = |levels| [vec![0x81; levels], vec![1]].concat();
        assert!(check_cbor(&nested(511)).is_ok());
        assert!(matches!(check_cbor(&nested(512)), Err(EncodeError::TooDeep { .. })));
    }

    /// What CBOR::XS 1.86 decodes.
    #[test]
    fn all_else_has_a_form_in_cbor() {
        let pair = || Value::List(vec![1.into(), 2.into()]);
        for value in [
            tag(0, "2024-01-31T23:59:59Z"),
            tag(0, "2024-01-31T23:59:00.25+01:00"),
            tag(0, Value::Bytes((&b"2013-03-21T20:04:00Z"[..]).into())),
            tag(2, Value::Bytes(vec![1].into())),
            tag(4, pair()),
            tag(5, pair()),
            tag(24, "A"),
            tag(30, pair()),
            tag(55799, 1),
            tag(12288, Value::Null),
            Value::Float(f64::NAN),
            Value::Map(vec![(pair(), 1.into()), (Value::Null, 2.into())]),
            Value::Int(-(1 << 63)),
            Value::Int((1 << 64) - 1),
            Value::Null,
            Value::Bool(true),
            Value::Text("\u{1f600}".into()),
            Value::Bytes(vec![0xff; 300].into()),
        ] {
            assert!(in_cbor(value.clone()).is_ok(), "{value:?}");
        }
        // As another implementation writes: indefinite lengths, undefined, a half float.
        assert!(
            check_cbor(&[0x9f, 0xbf, 0x01, 0x7f, 0x61, 0x61, 0xff, 0xff, 0xf7, 0xf9, 0x7e, 0, 0xff]).is_ok()
        );
    }
}
