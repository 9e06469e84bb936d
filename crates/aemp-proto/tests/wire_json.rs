//! JSON, to the letter: numbers, strings, and what is not JSON.

mod support;

use aemp_proto::Value;
use aemp_proto::wire::{Frame, FrameError, Framing, Limits};
use proptest::prelude::*;
use support::{message, read_all, read_in_pieces};

/// The values of a message to the node port.
fn values(json: &str) -> Vec<Value> {
    message(&read_all(Framing::Json, json.as_bytes())[0]).1
}

fn error(json: &[u8]) -> String {
    let (frames, error) = read_in_pieces(Framing::Json, Limits::default(), json, &[]);
    assert_eq!(frames, []);
    error.unwrap_or_else(|| panic!("{} was accepted", json.escape_ascii())).to_string()
}

#[test]
fn integers_of_64_bits_are_exact() {
    let read = values(r#"["",0,-0,-1,9223372036854775807,-9223372036854775808,18446744073709551615]"#);
    let exact = [0, 0, -1, i128::from(i64::MAX), i128::from(i64::MIN), i128::from(u64::MAX)];
    assert_eq!(read, exact.map(Value::Int));
}

#[test]
fn other_numbers_are_the_nearest_floats() {
    let read = values(
        r#"["",0.1,-0.0,1e-7,1E+2,18446744073709551616,-9223372036854775809,
        4.94065645841247e-324,1.7976931348623157e308,0.333333333333333,1e-400,9007199254740993.0]"#,
    );
    let nearest = [
        0.1,
        -0.0,
        1e-7,
        100.0,
        18446744073709551616.0,
        -9223372036854775808.0,
        5e-324,
        f64::MAX,
        0.333333333333333,
        0.0,
        9007199254740992.0,
    ];
    assert_eq!(read, nearest.map(Value::Float));
}

#[test]
fn strings_are_unescaped() {
    let read = values(r#"["","\"\\\/\b\f\n\r\t","\u00e9\u20AC\ud83d\ude00é","",{"\u006b":1}]"#);
    let key = Value::Map(vec![("k".into(), 1.into())]);
    assert_eq!(read, ["\"\\/\u{8}\u{c}\n\r\t".into(), "é€😀é".into(), "".into(), key]);
}

#[test]
fn white_space_is_allowed_everywhere() {
    let read =
        read_all(Framing::Json, b" \n[ \"p\" ,\t{ \"a\" : [ ] , \"b\" : null } , [ { } ] , true ]\r\n [ ]\n");
    let map = Value::Map(vec![("a".into(), Value::List(vec![])), ("b".into(), Value::Null)]);
    let list = Value::List(vec![Value::Map(vec![])]);
    assert_eq!(message(&read[0]), ("p".to_string(), vec![map, list, true.into()]));
    assert_eq!(read[1..], [Frame::KeepAlive]);
}

#[test]
fn a_port_name_may_be_null_or_a_number() {
    let read = read_all(Framing::Json, br#"[null,1][5,1][-5]["\u00e9"]"#);
    let ports: Vec<_> = read.iter().map(|frame| message(frame).0).collect();
    assert_eq!(ports, ["", "5", "-5", "é"]);
    for other in ["[true]", "[1.5]", "[[]]", "[{}]"] {
        assert_eq!(error(other.as_bytes()), "a frame is malformed at byte 1: the port name is not a string");
    }
}

#[test]
fn what_is_not_an_array_is_refused_at_once() {
    for text in ["{", "1", "1-2", "\"p\"", "n", "]", ",", "\u{feff}[]"] {
        assert_eq!(error(text.as_bytes()), "a frame is malformed at byte 0: a message is not an array");
    }
}

#[test]
fn what_is_not_json_is_refused() {
    let wrong = [
        r#"["",]"#,
        r#"["" 1]"#,
        r#"["",,1]"#,
        r#"[,]"#,
        r#"["",[}]"#,
        r#"["",{]"#,
        r#"["",{"a"}]"#,
        r#"["",{"a":}]"#,
        r#"["",{"a":1,}]"#,
        r#"["",{1:2}]"#,
        r#"["",{"a" 1}]"#,
        r#"["",nul]"#,
        r#"["",True]"#,
        r#"["",01]"#,
        r#"["",-]"#,
        r#"["",1.]"#,
        r#"["",.5]"#,
        r#"["",1e]"#,
        r#"["",+1]"#,
        r#"["",1-2]"#,
        r#"["",--1]"#,
        r#"["",0x1]"#,
        r#"["",NaN]"#,
        r#"["",'a']"#,
        r#"["","\x"]"#,
        r#"["","\u12"]"#,
        "[\"\",\"\n\"]",
        r#"["",1}"#,
    ];
    for text in wrong {
        assert!(error(text.as_bytes()).contains("malformed at byte"), "{text}");
    }
}

#[test]
fn what_has_no_value_is_refused() {
    let range = "a number beyond the range of floats";
    let unicode = "not a string of Unicode characters";
    for (text, what) in [
        (&br#"["",1e400]"#[..], range),
        (br#"["",-1e400]"#, range),
        (br#"["","\ud800"]"#, unicode),
        (br#"["","\udc00\ud800"]"#, unicode),
        (br#"["","\ud800x"]"#, unicode),
        (b"[\"\",\"\xff\"]", "text that is not UTF-8"),
        (b"[\"\",\"\xed\xa0\x80\"]", "text that is not UTF-8"),
    ] {
        assert!(error(text).ends_with(what), "{}", text.escape_ascii());
    }
    let digits = format!("[\"\",{}]", "9".repeat(400));
    assert!(error(digits.as_bytes()).ends_with(range));
}

#[test]
fn brackets_inside_of_strings_do_not_nest() {
    let text = format!("[\"\",\"{}\\\"]\",1]", "[{".repeat(600));
    assert_eq!(values(&text).len(), 2);
}

#[test]
fn a_frame_that_never_ends_stops_at_the_limit() {
    let limits = Limits::default().frame(1000);
    for endless in [&b"[\"aaaa"[..], b"[   ", b"[1111"] {
        let stream = [endless, &endless[1..].repeat(400)].concat();
        let (_, error) = read_in_pieces(Framing::Json, limits, &stream, &[100]);
        assert_eq!(error, Some(FrameError::TooLong { limit: 1000 }));
    }
    let space = b" ".repeat(5000);
    assert_eq!(read_in_pieces(Framing::Json, limits, &space, &[100]), (vec![], None), "no frame has begun");
}

proptest! {
    #[test]
    fn every_float_survives_its_digits(bits in any::<u64>()) {
        let float = f64::from_bits(bits);
        prop_assume!(float.is_finite());
        // The exponent makes it a float, even where the digits are those of an integer.
        prop_assert_eq!(values(&format!("[\"\",{float:e}]")), [Value::Float(float)]);
    }
}
