//! What goes onto the wire, byte by byte.

use std::collections::BTreeMap;

use aemp_proto::typed::{DEPTH_MAX, EncodeError, Variants, encode_into, to_body};
use aemp_proto::{AnyMessage, NodeId, PortId, Reason, Value};
use bytes::Bytes;
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};

use crate::common::{body, encoded};

#[test]
fn a_tuple_is_one_value_each() {
    assert_eq!(encoded(&(1, -1, "x")), body(3, "01 20 6178"));
    assert_eq!(encoded(&[1, 2]), body(2, "01 02"));
}

#[test]
fn a_unit_is_no_value() {
    #[derive(Serialize)]
    struct Nothing;

    assert_eq!(encoded(&()), body(0, ""));
    assert_eq!(encoded(&Nothing), body(0, ""));
}

#[test]
fn everything_else_is_one_value() {
    #[derive(Serialize)]
    struct Size {
        width: u8,
    }
    #[derive(Serialize)]
    struct Pair(u8, u8);

    assert_eq!(encoded(&vec![1, 2]), body(1, "82 01 02"));
    assert_eq!(encoded(&Some((1, 2))), body(1, "82 01 02"));
    assert_eq!(encoded(&None::<u8>), body(1, "f6"));
    assert_eq!(encoded(&Size { width: 3 }), body(1, "a1 457769647468 03"));
    assert_eq!(encoded(&Pair(1, 2)), body(1, "82 01 02"));
    assert_eq!(encoded(&true), body(1, "f5"));
}

#[test]
fn a_newtype_struct_is_what_it_holds() {
    #[derive(Serialize)]
    struct Arguments((u8, u8));

    assert_eq!(encoded(&Arguments((1, 2))), body(2, "01 02"));
}

#[test]
fn the_values_of_a_message_and_of_a_reason_are_the_message() {
    let values = || [Value::from(1), Value::Text("x".into())];
    assert_eq!(encoded(&AnyMessage(values().into())), body(2, "01 6178"));
    assert_eq!(encoded(&Reason::new(values())), body(2, "01 6178"));
    assert_eq!(encoded(&(0, AnyMessage(values().into()))), body(2, "00 82 01 6178"));
    assert_eq!(encoded(&(0, Reason::NORMAL)), body(2, "00 80"));
}

#[test]
fn integers_have_their_shortest_form() {
    assert_eq!(encoded(&(23u64, 24u64, 256u64)), body(3, "17 1818 190100"));
    assert_eq!(encoded(&(-24i64, -25i64, -257i64)), body(3, "37 3818 390100"));
    assert_eq!(encoded(&(u64::MAX, i64::MIN)), body(2, "1bffffffffffffffff 3b7fffffffffffffff"));
    assert_eq!(encoded(&-(1i128 << 64)), body(1, "3bffffffffffffffff"));
}

#[test]
fn integers_that_cbor_has_no_form_for_are_refused() {
    for refused in [1i128 << 64, -(1i128 << 64) - 1, i128::MAX] {
        assert_eq!(to_body(&refused), Err(EncodeError::Integer(refused.to_string())));
        assert_eq!(to_body(&Value::Int(refused)), Err(EncodeError::Integer(refused.to_string())));
    }
    assert!(matches!(to_body(&u128::MAX), Err(EncodeError::Integer(_))));
}

#[test]
fn floats_are_narrow_where_that_loses_nothing() {
    assert_eq!(encoded(&(0.5f64, 0.1f64, 0.1f32)), body(3, "fa3f000000 fb3fb999999999999a fa3dcccccd"));
    assert_eq!(encoded(&-0.0f64), body(1, "fa80000000"));
    assert_eq!(encoded(&f64::INFINITY), body(1, "fa7f800000"));
}

#[test]
fn strings_are_text_and_byte_buffers_bytes() {
    #[derive(Serialize)]
    struct Bytes(#[serde(serialize_with = "as_bytes")] &'static [u8]);

    fn as_bytes<S: Serializer>(bytes: &&[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(bytes)
    }

    assert_eq!(encoded(&(0, "é", 'é')), body(3, "00 62c3a9 62c3a9"));
    assert_eq!(encoded(&Bytes(b"\xe9")), body(1, "41e9"));
}

#[test]
fn a_string_in_front_is_a_tag_and_so_bytes_where_it_can_be() {
    assert_eq!(encoded(&("ping", "ping")), body(2, "4470696e67 6470696e67"));
    assert_eq!(encoded("ping"), body(1, "4470696e67"));
    assert_eq!(encoded(&("é",)), body(1, "41e9"));
    assert_eq!(encoded(&("€",)), body(1, "63e282ac"));
    // As bytes it would be read as "é".
    assert_eq!(encoded(&("Ã©",)), body(1, "64c383c2a9"));
}

#[test]
fn names_are_bytes_up_to_latin1_and_text_above() {
    let port = |name: &str| (0, NodeId::new("n").unwrap().named(name));
    assert_eq!(encoded(&(0, NodeId::new("n").unwrap())), body(2, "00 416e"));
    assert_eq!(encoded(&port("p")), body(2, "00 436e2370"));
    assert_eq!(encoded(&port("é")), body(2, "00 436e23e9"));
    assert_eq!(encoded(&port("€")), body(2, "00 656e23e282ac"));
    assert_eq!(encoded(&port("Ã©")), body(2, "00 446e23c3a9"));
}

#[test]
fn map_keys_are_bytes_where_they_can_be() {
    let map: BTreeMap<&str, &str> = [("a", "b"), ("é", ""), ("€", "")].into();
    assert_eq!(encoded(&map), body(1, "a3 4161 6162 41e9 60 63e282ac 60"));
    let numbers: BTreeMap<i8, u8> = [(-1, 1), (2, 2)].into();
    assert_eq!(encoded(&numbers), body(1, "a2 20 01 02 02"));
}

#[test]
fn nested_variants_are_externally_tagged() {
    #[derive(Serialize)]
    enum Shape {
        Dot,
        Circle(u8),
        Line(u8, u8),
        Box { w: u8 },
    }

    let all = vec![Shape::Dot, Shape::Circle(1), Shape::Line(1, 2), Shape::Box { w: 3 }];
    assert_eq!(
        encoded(&all),
        body(1, "84 43446f74 a1 46436972636c65 01 a1 444c696e65 82 01 02 a1 43426f78 a1 4177 03")
    );
    // Not derived as a message type, a variant is one value like everything else.
    assert_eq!(encoded(&Shape::Dot), body(1, "43446f74"));
}

#[test]
fn values_are_written_exactly_as_they_are() {
    let value = Value::List(vec![
        Value::Text("a".into()),
        Value::Bytes(Bytes::from_static(b"a")),
        Value::Map(vec![(Value::Text("k".into()), Value::Null), (Value::Int(1), Value::Bool(false))]),
        Value::Tag(22098, Box::new(Value::Int(1))),
        Value::Tag(0, Box::new(Value::Text("now".into()))),
        Value::Float(1.5),
    ]);
    let items = "86 6161 4161 a2 616b f6 01 f4 d95652 01 c0 636e6f77 fa3fc00000";
    assert_eq!(encoded(&value), body(1, items));
    assert_eq!(encoded(&Value::Text("a".into())), body(1, "6161"));
}

#[test]
fn lists_and_maps_of_unknown_length_are_indefinite() {
    struct Unknown;

    impl Serialize for Unknown {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let mut map = serializer.serialize_map(None)?;
            map.serialize_entry("k", &(0..0).collect::<Vec<u8>>())?;
            map.end()
        }
    }

    assert_eq!(encoded(&Unknown), body(1, "bf 416b 80 ff"));
}

#[test]
fn fields_left_out_of_a_struct_are_left_out_of_the_map() {
    #[derive(Serialize)]
    struct Sparse {
        #[serde(skip_serializing_if = "Option::is_none")]
        a: Option<u8>,
        b: u8,
    }

    assert_eq!(encoded(&Sparse { a: None, b: 1 }), body(1, "a1 4162 01"));
}

#[test]
fn the_depth_is_limited() {
    fn nested(levels: usize) -> Value {
        (0..levels).fold(Value::Null, |inner, _| Value::List(vec![inner]))
    }

    assert!(to_body(&nested(DEPTH_MAX)).is_ok());
    assert_eq!(to_body(&nested(DEPTH_MAX + 1)), Err(EncodeError::Depth));
    let tags = (0..=DEPTH_MAX).fold(Value::Null, |inner, _| Value::Tag(1, Box::new(inner)));
    assert_eq!(to_body(&tags), Err(EncodeError::Depth));
}

#[test]
fn a_failed_encoding_leaves_the_buffer_as_it_was() {
    let mut out = vec![1, 2, 3];
    encode_into(&(1, i128::MAX), &Variants::NONE, &mut out).unwrap_err();
    assert_eq!(out, [1, 2, 3]);
    assert_eq!(encode_into(&("x", 1), &Variants::NONE, &mut out), Ok(2));
    assert_eq!(out, [1, 2, 3, 0x41, b'x', 1]);
}

/// Writes elements, some of which fail, and takes no notice.
struct Careless {
    announced: usize,
    elements: Vec<i128>,
}

impl Serialize for Careless {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut seq = serializer.serialize_seq(Some(self.announced))?;
        for element in &self.elements {
            let _ = seq.serialize_element(&(1, element));
        }
        seq.end()
    }
}

#[test]
fn half_an_element_never_stays() {
    let careless = Careless { announced: 2, elements: vec![2, i128::MAX, 3] };
    assert_eq!(encoded(&careless), body(1, "82 82 01 02 82 01 03"));
}

#[test]
fn an_implementation_that_lies_about_its_length_is_refused() {
    let careless = Careless { announced: 3, elements: vec![2] };
    assert_eq!(to_body(&careless), Err(EncodeError::Length { announced: 3, written: 1 }));
}

#[test]
fn an_implementation_that_leaves_out_a_value_is_refused() {
    struct Keys;

    impl Serialize for Keys {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let mut map = serializer.serialize_map(Some(1))?;
            map.serialize_key("k")?;
            map.end()
        }
    }

    assert_eq!(to_body(&Keys), Err(EncodeError::Pairing));
}

#[test]
fn other_formats_see_plain_strings_and_lists() {
    let port = PortId::parse("n#p").unwrap();
    assert_eq!(serde_json::to_string(&(&port, Reason::died("x"))).unwrap(), r#"["n#p",[[100,105,101],"x"]]"#);
    assert_eq!(serde_json::from_str::<PortId>(r#""n#p""#).unwrap(), port);
    let value: Value = serde_json::from_str(r#"{"a":[1,2.5,null,true,"x"]}"#).unwrap();
    let list = Value::List(vec![1.into(), 2.5.into(), Value::Null, true.into(), "x".into()]);
    assert_eq!(value, Value::Map(vec![("a".into(), list)]));
}
