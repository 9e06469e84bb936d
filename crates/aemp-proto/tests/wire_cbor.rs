//! CBOR, to the letter: every form that a peer may choose, and what is not well formed.

mod support;

use aemp_proto::Value;
use aemp_proto::wire::{Body, Frame, Framing, Limits};
use bytes::Bytes;
use support::{message, read_all, read_in_pieces};

/// Bytes of hexadecimal digits; spaces are for the reader.
fn hex(digits: &str) -> Vec<u8> {
    let digits: String = digits.split_whitespace().collect();
    let pairs = (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16));
    pairs.collect::<Result<_, _>>().expect("hexadecimal digits")
}

/// The one value of a message to the port p, read from its bytes.
fn value(item: &str) -> Value {
    let frame = [hex("82 4170"), hex(item)].concat();
    let (port, mut values) = message(&read_all(Framing::Cbor, &frame)[0]);
    assert_eq!((&*port, values.len()), ("p", 1));
    values.remove(0)
}

fn error(frame: &str) -> String {
    let (frames, error) = read_in_pieces(Framing::Cbor, Limits::default(), &hex(frame), &[1]);
    assert_eq!(frames, [], "{frame}");
    error.unwrap_or_else(|| panic!("{frame} was accepted")).to_string()
}

fn bytes(bytes: &[u8]) -> Value {
    Value::Bytes(Bytes::copy_from_slice(bytes))
}

#[test]
fn integers_may_be_longer_than_needed() {
    for item in ["05", "1805", "190005", "1a00000005", "1b0000000000000005"] {
        assert_eq!(value(item), Value::Int(5));
    }
    for item in ["24", "3804", "390004", "3a00000004", "3b0000000000000004"] {
        assert_eq!(value(item), Value::Int(-5));
    }
    assert_eq!(value("1bffffffffffffffff"), Value::Int(i128::from(u64::MAX)));
    assert_eq!(value("3bffffffffffffffff"), Value::Int(-(1 << 64)));
}

#[test]
fn floats_have_three_widths() {
    for item in ["f93e00", "fa3fc00000", "fb3ff8000000000000"] {
        assert_eq!(value(item), Value::Float(1.5));
    }
    assert_eq!(value("f90001"), Value::Float(2f64.powi(-24)));
    assert_eq!(value("f97c00"), Value::Float(f64::INFINITY));
    assert_eq!(value("f97e00"), Value::Float(f64::NAN));
    assert_eq!(value("fb8000000000000000"), Value::Float(-0.0));
}

#[test]
fn strings_lists_and_maps_may_have_indefinite_length() {
    assert_eq!(value("5f 4161 40 4262ff ff"), bytes(b"ab\xff"));
    assert_eq!(value("7f 6161 60 62c3a9 ff"), Value::from("aé"));
    assert_eq!(value("5f ff"), bytes(b""));
    assert_eq!(value("9f 01 9f ff 80 ff"), vec![1.into(), Value::List(vec![]), Value::List(vec![])].into());
    assert_eq!(value("bf 6161 bf ff 02 a0 ff"), {
        Value::Map(vec![("a".into(), Value::Map(vec![])), (2.into(), Value::Map(vec![]))])
    });
}

#[test]
fn a_frame_may_have_indefinite_length_too() {
    let frames = read_all(Framing::Cbor, &hex("9f 5f4161 4162ff 01 8102 ff 9fff 9f40ff"));
    assert_eq!(message(&frames[0]), ("ab".to_string(), vec![1.into(), vec![2].into()]));
    assert_eq!(frames[1], Frame::KeepAlive);
    assert_eq!(message(&frames[2]), (String::new(), vec![]));
}

#[test]
fn tags_are_kept_and_bignums_are_tags() {
    assert_eq!(value("c1 00"), Value::Tag(1, Box::new(0.into())));
    let bignum = Value::Tag(2, Box::new(bytes(&[1, 0, 0, 0, 0, 0, 0, 0, 0])));
    assert_eq!(value("c2 49 010000000000000000"), bignum);
    assert_eq!(value("db ffffffffffffffff d95652 f6"), {
        Value::Tag(u64::MAX, Box::new(Value::Tag(22098, Box::new(Value::Null))))
    });
}

#[test]
fn simple_values_without_meaning_are_null() {
    for item in ["f6", "f7", "e0", "f3", "f8ff", "f820"] {
        assert_eq!(value(item), Value::Null);
    }
    assert_eq!((value("f4"), value("f5")), (false.into(), true.into()));
}

#[test]
fn a_port_name_may_be_text_null_or_a_number() {
    for (name, text) in [("62c3a9", "é"), ("41e9", "é"), ("f6", ""), ("f7", ""), ("05", "5"), ("24", "-5")]
    {
        let frame = [hex("82"), hex(name), hex("01")].concat();
        assert_eq!(message(&read_all(Framing::Cbor, &frame)[0]), (text.to_string(), vec![1.into()]));
    }
    for name in ["80", "a0", "f5", "f93e00", "c14170"] {
        let what = error(&format!("81 {name}"));
        assert_eq!(what, "a frame is malformed at byte 1: the port name is not a string");
    }
}

#[test]
fn what_is_not_well_formed_is_refused_where_it_is_wrong() {
    for (frame, at, what) in [
        ("82 40 61ff", 2, "text that is not UTF-8"),
        ("82 40 7f 61c3 61a9 ff", 3, "text that is not UTF-8"),
        ("82 40 7f 4161 ff", 3, "a string has a piece of another type"),
        ("82 40 5f 5f ff ff", 3, "a string has a piece of another type"),
        ("82 40 5f 01 ff", 3, "a string has a piece of another type"),
        ("82 40 ff", 2, "a break where nothing is open"),
        ("82 40 c1 ff", 3, "a break where nothing is open"),
        ("82 40 bf 01 ff", 4, "a map ends after a key"),
        ("82 40 1c", 2, "reserved length of a CBOR item"),
        ("82 40 1f", 2, "reserved length of a CBOR item"),
        ("82 40 df", 2, "reserved length of a CBOR item"),
        ("82 40 fc", 2, "reserved length of a CBOR item"),
        ("82 40 f81f", 2, "simple CBOR value in the wrong form"),
        ("a0", 0, "a message is not an array"),
        ("40", 0, "a message is not an array"),
        ("d9d9f7 80", 0, "a message is not an array"),
        ("ff", 0, "a message is not an array"),
    ] {
        assert_eq!(error(frame), format!("a frame is malformed at byte {at}: {what}"), "{frame}");
    }
}

#[test]
fn endless_pieces_of_a_string_stop_at_the_limit() {
    let limits = Limits::default().frame(1000);
    let stream = [hex("82 40 5f"), vec![0x40; 2000]].concat();
    let (frames, error) = read_in_pieces(Framing::Cbor, limits, &stream, &[64]);
    assert_eq!(frames, []);
    assert_eq!(error.expect("too long").to_string(), "a frame is longer than the 1000 bytes allowed");
}

#[test]
fn what_we_write_is_the_shortest() {
    let written = |value: Value| Body::encode(&[value]).unwrap().items().to_vec();
    let integers: [(i128, &str); 8] = [
        (23, "17"),
        (24, "1818"),
        (256, "190100"),
        (65536, "1a00010000"),
        (1 << 32, "1b0000000100000000"),
        (-24, "37"),
        (-25, "3818"),
        (-(1 << 64), "3bffffffffffffffff"),
    ];
    for (number, item) in integers {
        assert_eq!(written(Value::Int(number)), hex(item), "{number}");
    }
    for (number, item) in [(1.5, "fa3fc00000"), (0.1, "fb3fb999999999999a"), (-0.0, "fa80000000")] {
        assert_eq!(written(Value::Float(number)), hex(item), "{number}");
    }
    assert_eq!(written(Value::name("é")), hex("41e9"));
    assert_eq!(written(Value::name("€")), hex("63e282ac"));
}

#[test]
fn the_first_name_and_the_rest_need_no_decoding() {
    let body = |item: &str| Body::parse(hex(item).into(), Limits::default()).unwrap();
    assert_eq!(body("43 746167 01 02").first_name().as_deref(), Some("tag"));
    assert_eq!(body("41 e9").first_name().as_deref(), Some("é"));
    assert_eq!(body("7f 6161 6162 ff").first_name().as_deref(), Some("ab"));
    assert_eq!(body("05").first_name(), None);
    assert_eq!(body("").first_name(), None);
    let rest = body("43 746167 01 8202 03").rest();
    assert_eq!((rest.count(), rest.decode().unwrap()), (2, vec![1.into(), vec![2, 3].into()]));
    assert_eq!(body("").rest(), Body::default());
}

#[test]
fn a_body_from_elsewhere_is_checked() {
    for (items, what) in [
        ("82 01", "a frame is malformed at byte 2: the last value is not complete"),
        ("01 ff", "a frame is malformed at byte 1: a break where nothing is open"),
    ] {
        let error = Body::parse(hex(items).into(), Limits::default()).unwrap_err();
        assert_eq!(error.to_string(), what);
    }
    let unchecked = Body::new(1, hex("82 01").into());
    assert_eq!(unchecked.decode().unwrap_err().to_string(), "malformed at byte 2: not a CBOR item");
}

#[test]
fn a_byte_string_does_not_keep_the_buffer_it_came_in() {
    let large = bytes(&[7; 200_000]);
    let body = Body::encode(&[bytes(&[7; 20]), large.clone()]).unwrap();
    let items = body.items().as_ptr_range();
    let decoded = body.decode().unwrap();
    let inside = |value: &Value| matches!(value, Value::Bytes(bytes) if items.contains(&bytes.as_ptr()));
    assert_eq!(decoded.iter().map(inside).collect::<Vec<_>>(), [false, false]);
}
