//! What is taken for what: the table of the crate's documentation, row by row.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;

use aemp_proto::typed::{from_body, from_body_skip};
use aemp_proto::{AnyMessage, NodeId, PortId, Reason, Value};
use bytes::Bytes;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::common::{body, encoded, one, perl};

/// A byte buffer, as `serde_bytes` has it.
#[derive(Debug, PartialEq)]
struct RawBytes(Vec<u8>);

impl<'de> Deserialize<'de> for RawBytes {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<RawBytes, D::Error> {
        struct Visitor;

        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = RawBytes;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("bytes")
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<RawBytes, E> {
                Ok(RawBytes(bytes.into()))
            }

            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<RawBytes, A::Error> {
                let mut bytes = Vec::new();
                while let Some(byte) = seq.next_element()? {
                    bytes.push(byte);
                }
                Ok(RawBytes(bytes))
            }
        }

        deserializer.deserialize_byte_buf(Visitor)
    }
}

fn takes<T: DeserializeOwned + PartialEq + Debug>(item: &str, expected: T) {
    assert_eq!(one::<T>(item).as_ref(), Ok(&expected), "{item}");
}

fn refuses<T: DeserializeOwned + Debug>(item: &str) {
    let result = one::<T>(item);
    assert!(result.is_err(), "{item} gave {result:?}");
}

#[test]
fn integers_are_taken_from_numbers_and_numeric_strings() {
    takes("182a", 42u8);
    takes("fa42280000", 42u8);
    takes(&perl("42"), 42u8);
    takes("623432", 42i64);
    takes(&perl("-7"), -7i32);
    takes(&perl("+7"), 7i32);
    takes(&perl(" 42\n"), 42u8);
    takes(&perl("3.0"), 3u8);
    takes(&perl("1e3"), 1000u16);
    takes(&perl("18446744073709551615"), u64::MAX);
    takes("1bffffffffffffffff", u64::MAX);
    takes("3bffffffffffffffff", -(1i128 << 64));
    takes("c249010000000000000000", 1i128 << 64);
    takes("c340", -1i8);
}

#[test]
fn integers_that_would_lose_something_are_refused() {
    refuses::<u8>("190100");
    refuses::<u8>("20");
    refuses::<i64>("1bffffffffffffffff");
    refuses::<u8>("fa3fc00000");
    refuses::<i64>("fb7ff8000000000000");
    refuses::<u8>(&perl("1.5"));
    refuses::<u8>(&perl(""));
    refuses::<u8>(&perl("12x"));
    refuses::<u8>(&perl("inf"));
    refuses::<i64>(&perl("1e300"));
    refuses::<u8>("f5");
    refuses::<u8>("f6");
    refuses::<u8>("8101");
    refuses::<i128>(&format!("c2 51 ff{}", "00".repeat(16)));
}

#[test]
fn floats_are_taken_from_numbers_and_numeric_strings() {
    takes("fa3fc00000", 1.5f64);
    takes("f93e00", 1.5f64);
    takes("03", 3.0f64);
    takes("03", 3.0f32);
    takes(&perl("1.5"), 1.5f64);
    takes(&perl("inf"), f64::INFINITY);
    takes("fb3fb999999999999a", 0.1f32);
    assert!(one::<f64>(&perl("NaN")).unwrap().is_nan());
}

#[test]
fn integers_that_are_no_floats_are_refused_as_floats() {
    refuses::<f64>("1b0020000000000001");
    refuses::<f32>("1a01000001");
    takes("1b0020000000000000", 9_007_199_254_740_992.0f64);
    refuses::<f64>(&perl("x"));
    refuses::<f64>("f6");
}

#[test]
fn bools_are_taken_from_perls_forms_of_them() {
    for yes in ["f5", "01", "4131", "6131", "fa3f800000"] {
        takes(yes, true);
    }
    for no in ["f4", "00", "40", "60", "4130", "6130", "f6", "f7", "fa00000000"] {
        takes(no, false);
    }
    for neither in ["02", "20", "423030", "4178", "80", "a0"] {
        refuses::<bool>(neither);
    }
}

#[test]
fn references_to_0_and_1_are_perls_bools_too() {
    takes("d9565201", true);
    takes("d9565200", false);
}

#[test]
fn strings_are_taken_from_text_bytes_and_numbers() {
    takes("62c3a9", "é".to_string());
    takes("42c3a9", "é".to_string());
    takes("41e9", "é".to_string());
    takes("43e282ac", "€".to_string());
    takes("42fffe", "\u{ff}\u{fe}".to_string());
    takes("182a", "42".to_string());
    takes("fa3fc00000", "1.5".to_string());
    takes("41e9", 'é');
    takes("c0 4178", "x".to_string());
    refuses::<String>("f6");
    refuses::<String>("f5");
    refuses::<String>("80");
    refuses::<char>("426161");
}

#[test]
fn strings_are_borrowed_where_they_can_be() {
    let text = body(2, "42c3a9 6178");
    let (first, second): (&str, &str) = from_body(&text).unwrap();
    assert_eq!((first, second), ("é", "x"));
    assert!(from_body::<&str>(&body(1, "41e9")).is_err());
}

#[test]
fn bytes_are_taken_from_bytes_and_text_up_to_latin1() {
    takes("42fffe", RawBytes(vec![0xff, 0xfe]));
    takes("6178", RawBytes(b"x".to_vec()));
    takes("62c3a9", RawBytes(vec![0xe9]));
    takes("182a", RawBytes(b"42".to_vec()));
    takes("82 01 02", RawBytes(vec![1, 2]));
    refuses::<RawBytes>("63e282ac");
    refuses::<RawBytes>("f6");
}

#[test]
fn a_vector_of_bytes_is_taken_from_a_string_but_no_other_vector_is() {
    takes("42fffe", vec![0xffu8, 0xfe]);
    takes("62c3a9", vec![0xe9u8]);
    takes("42fffe", [0xffu8, 0xfe]);
    takes("82 01 02", vec![1u8, 2]);
    refuses::<Vec<u64>>("423132");
    refuses::<Vec<String>>("423132");
    refuses::<Vec<Option<u8>>>("423132");
}

#[test]
fn options_are_none_for_null_and_undefined() {
    takes("f6", None::<u8>);
    takes("f7", None::<u8>);
    takes("01", Some(1u8));
    takes(&perl("1"), Some(1u8));
    takes("82 f6 01", vec![None, Some(1u8)]);
}

#[test]
fn a_unit_within_something_is_null() {
    takes("81f6", vec![()]);
    refuses::<Vec<()>>("8101");
}

#[test]
fn maps_take_strings_as_integer_keys_and_numbers_as_string_keys() {
    takes("a2 4131 01 423130 02", BTreeMap::from([(1u8, 1u8), (10, 2)]));
    takes("a1 01 01", BTreeMap::from([("1".to_string(), 1u8)]));
    takes("a1 41e9 01", HashMap::from([("é".to_string(), 1u8)]));
    takes("a1 4131 01", BTreeMap::from([(true, 1u8)]));
    takes("a0", BTreeMap::<u8, u8>::new());
    refuses::<BTreeMap<u8, u8>>("80");
}

#[derive(Debug, PartialEq, Deserialize)]
struct Size {
    width: u32,
    #[serde(default)]
    größe: u32,
}

#[test]
fn structs_are_taken_from_maps_with_any_kind_of_key() {
    takes("a1 457769647468 03", Size { width: 3, größe: 0 });
    takes("a1 657769647468 4133", Size { width: 3, größe: 0 });
    takes("a2 457769647468 03 676772c3b6c39f65 01", Size { width: 3, größe: 1 });
    takes("a2 457769647468 03 456772f6df65 01", Size { width: 3, größe: 1 });
    takes("a2 417a a1 4178 80 457769647468 03", Size { width: 3, größe: 0 });
    takes("82 03 01", Size { width: 3, größe: 1 });
    takes("83 03 01 02", Size { width: 3, größe: 1 });
    refuses::<Size>("a0");
}

#[derive(Debug, PartialEq, Deserialize)]
enum Shape {
    Dot,
    Circle(u8),
    Line(u8, u8),
    Box { w: u8 },
}

#[test]
fn nested_variants_are_strings_or_maps_with_one_entry() {
    takes("43446f74", Shape::Dot);
    takes("63446f74", Shape::Dot);
    takes("a1 43446f74 f6", Shape::Dot);
    takes("a1 46436972636c65 4137", Shape::Circle(7));
    takes("bf 46436972636c65 07 ff", Shape::Circle(7));
    takes("a1 444c696e65 83 01 02 03", Shape::Line(1, 2));
    takes("a1 43426f78 a1 4177 07", Shape::Box { w: 7 });
    refuses::<Shape>("43446f75");
    refuses::<Shape>("a2 46436972636c65 07 4178 07");
    refuses::<Shape>("a0");
    refuses::<Shape>("46436972636c65");
}

#[test]
fn indefinite_lengths_and_chunks_are_taken() {
    takes("9f 01 02 ff", vec![1u8, 2]);
    takes("9f 01 02 03 ff", (1u8, 2u8, 3u8));
    takes("bf 4161 01 ff", BTreeMap::from([("a".to_string(), 1u8)]));
    takes("5f 41c3 41a9 ff", "é".to_string());
    takes("7f 6161 6162 ff", "ab".to_string());
    takes("9f 9f 01 02 03 ff 9f 04 ff ff", vec![vec![1u8, 2, 3], vec![4]]);
}

#[test]
fn what_a_nested_tuple_does_not_ask_for_is_ignored() {
    let extra = body(2, "83 01 02 82 03 04 05");
    assert_eq!(from_body::<((u8, u8), u8)>(&extra), Ok(((1, 2), 5)));
    let extra = body(2, "9f 01 9f 02 ff bf 03 04 ff ff 05");
    assert_eq!(from_body::<((u8,), u8)>(&extra), Ok(((1,), 5)));
}

#[test]
fn a_tuple_takes_the_values_it_needs() {
    assert_eq!(from_body(&body(3, "01 02 03")), Ok((1u8, 2u8)));
    assert!(from_body::<(u8, u8)>(&body(1, "01")).is_err());
    assert_eq!(from_body(&body(2, "01 02")), Ok([1u8, 2]));
}

#[test]
fn a_unit_takes_any_message() {
    assert_eq!(from_body(&body(0, "")), Ok(()));
    assert_eq!(from_body(&body(1, "01")), Ok(()));
}

#[test]
fn a_single_value_is_the_first_one() {
    assert_eq!(from_body(&body(2, "01 02")), Ok(1u8));
    assert_eq!(from_body(&body(1, "82 01 02")), Ok(vec![1u8, 2]));
    assert_eq!(from_body(&body(0, "")), Ok(None::<u8>));
    assert_eq!(from_body::<u8>(&body(0, "")).unwrap_err().to_string(), "value 0: missing");
}

#[test]
fn arguments_come_after_the_tag() {
    let message = body(3, "4470696e67 4137 436e2370");
    let (n, from): (u64, PortId) = from_body_skip(&message, 1).unwrap();
    assert_eq!((n, from), (7, PortId::parse("n#p").unwrap()));
    assert_eq!(from_body_skip(&message, 1), Ok(7u8));
    assert_eq!(from_body_skip(&message, 1), Ok(()));
    assert_eq!(from_body_skip(&message, 3), Ok(()));
    assert_eq!(from_body_skip::<AnyMessage>(&message, 2).unwrap().0.len(), 1);
    assert_eq!(from_body_skip::<u8>(&message, 9).unwrap_err().to_string(), "value 3: missing");
}

#[test]
fn names_are_code_points_however_they_are_written() {
    takes("436e23e9", PortId::parse("n#é").unwrap());
    takes("446e23c3a9", PortId::parse("n#Ã©").unwrap());
    takes("646e23c3a9", PortId::parse("n#é").unwrap());
    takes("416e", PortId::parse("n").unwrap());
    takes("416e", NodeId::new("n").unwrap());
    refuses::<NodeId>("40");
    refuses::<NodeId>("436e2370");
    refuses::<PortId>("f6");
}

#[test]
fn values_are_read_exactly_as_they_are() {
    let items = "87 6161 4161 a2 616b f6 01 f4 d95652 01 c249010000000000000000 f93e00 5f 41ff ff";
    let values = vec![
        Value::Text("a".into()),
        Value::Bytes(Bytes::from_static(b"a")),
        Value::Map(vec![(Value::Text("k".into()), Value::Null), (Value::Int(1), Value::Bool(false))]),
        Value::Tag(22098, Box::new(Value::Int(1))),
        Value::Tag(2, Box::new(Value::Bytes(Bytes::from_static(b"\x01\0\0\0\0\0\0\0\0")))),
        Value::Float(1.5),
        Value::Bytes(Bytes::from_static(b"\xff")),
    ];
    takes(items, Value::List(values.clone()));
    takes(items, Reason::new(values));
}

#[test]
fn what_looks_at_the_data_gets_a_string_where_bytes_are_utf8() {
    use serde_json::json;
    takes(
        "a3 4161 86 01 20 fa3fc00000 f5 f6 d95652 42c3a9 6162 4178 63e282ac 1bffffffffffffffff",
        json!({"a": [1, -1, 1.5, true, null, "é"], "b": "x", "€": u64::MAX}),
    );
    refuses::<serde_json::Value>("41ff");
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(untagged)]
enum Any {
    Number(i64),
    Text(String),
    List(Vec<Any>),
    RawBytes(RawBytes),
    Record { id: u8 },
}

#[test]
fn untagged_enums_choose_by_what_is_there() {
    let list = vec![
        Any::Number(-1),
        Any::Text("x".into()),
        Any::RawBytes(RawBytes(vec![0xff])),
        Any::List(vec![]),
        Any::Record { id: 7 },
    ];
    takes("85 20 4178 41ff 80 a1 426964 07", list);
}

#[test]
fn internally_tagged_enums_and_flattened_structs_work() {
    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(tag = "type")]
    enum Event {
        Up { node: String },
    }
    #[derive(Debug, PartialEq, Deserialize)]
    struct Record {
        id: u8,
        #[serde(flatten)]
        rest: BTreeMap<String, u8>,
    }

    takes("a2 446e6f6465 416e 4474797065 425570", Event::Up { node: "n".into() });
    takes("a2 426964 4137 4178 02", Record { id: 7, rest: BTreeMap::from([("x".into(), 2)]) });
}

#[test]
fn types_with_two_forms_use_the_readable_one() {
    use std::net::IpAddr;
    let address: IpAddr = "127.0.0.1".parse().unwrap();
    takes(&perl("127.0.0.1"), address);
    assert_eq!(encoded(&(0, address)), body(2, "00 69 3132372e302e302e31"));
}
