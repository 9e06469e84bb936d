//! What errors say, and what a hostile message cannot do.

use std::collections::BTreeMap;

use aemp_proto::typed::{DEPTH_MAX, from_body, from_body_skip};
use aemp_proto::{AnyMessage, Body, Value};
use serde::Deserialize;

use crate::common::{body, perl, unhex};

#[derive(Debug, Deserialize)]
#[serde(untagged)]
#[allow(dead_code)]
enum Nested {
    Nothing(Option<u8>),
    List(Vec<Nested>),
}

#[test]
fn errors_say_where() {
    let place = |count, items: &str| match from_body::<(u8, BTreeMap<String, Vec<u8>>)>(&body(count, items)) {
        Ok(_) => panic!("{items} fits"),
        Err(error) => error.to_string(),
    };
    assert_eq!(
        place(2, "01 a1 4178 82 01 4179"),
        r#"value 1, key "x", item 1: invalid type: string "y", expected u8"#
    );
    assert_eq!(place(2, "190100 a0"), "value 0: invalid value: integer `256`, expected u8");
    assert_eq!(place(1, "01"), "invalid length 1, expected a tuple of size 2");
    let after_tag = from_body_skip::<(u8, u8)>(&body(3, "4178 01 80"), 1).unwrap_err();
    assert_eq!(after_tag.to_string(), "value 2: invalid type: a list, expected u8");
}

#[test]
fn errors_repeat_only_the_beginning_of_long_strings() {
    let long = unhex(&perl(&"x".repeat(100_000)));
    let error = from_body::<u8>(&aemp_proto::Body::new(1, long.into())).unwrap_err();
    assert!(error.to_string().len() < 500);
}

#[test]
fn the_depth_is_limited_before_the_stack_is() {
    let nested = |levels: usize| body(1, &format!("{}f6", "81".repeat(levels)));
    assert!(from_body::<Value>(&nested(DEPTH_MAX)).is_ok());
    assert!(from_body::<serde_json::Value>(&nested(DEPTH_MAX)).is_ok());
    assert!(from_body::<Value>(&nested(DEPTH_MAX + 2)).is_err());
    assert!(from_body::<Value>(&nested(1_000_000)).is_err());
    assert!(from_body::<serde_json::Value>(&nested(1_000_000)).is_err());
    assert!(from_body::<Nested>(&nested(1_000_000)).is_err());
    assert_eq!(from_body::<()>(&nested(1_000_000)), Ok(()));
    let tags = body(1, &format!("{}f6", "c1".repeat(1_000_000)));
    assert!(from_body::<Value>(&tags).is_err());
    let big_numbers = body(1, &format!("{}40", "c2".repeat(1_000_000)));
    assert!(from_body::<u64>(&big_numbers).is_err());
    assert!(from_body::<Value>(&big_numbers).is_err());
}

#[test]
fn a_length_field_makes_no_room() {
    for huge in ["9b7fffffffffffffff", "bb7fffffffffffffff", "5b7fffffffffffffff", "7b7fffffffffffffff"] {
        let huge = body(1, huge);
        assert!(from_body::<Value>(&huge).is_err());
        assert!(from_body::<Vec<Vec<u8>>>(&huge).is_err());
        assert!(from_body::<BTreeMap<u8, u8>>(&huge).is_err());
        assert!(from_body::<String>(&huge).is_err());
    }
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
#[allow(dead_code)] // it is only read
enum Untagged {
    Numbers(Vec<u8>),
    Text(String),
}

/// One value: a list of as many items as these bytes, one byte each.
fn list_of(items: usize, item: u8) -> Body {
    let mut bytes = vec![0x9a];
    bytes.extend_from_slice(&u32::try_from(items).unwrap().to_be_bytes());
    bytes.resize(bytes.len() + items, item);
    Body::new(1, bytes.into())
}

#[test]
fn untyped_values_that_take_far_more_memory_than_bytes_are_refused_and_typed_ones_are_not() {
    let many = (256 << 20) / size_of::<Value>() + 1;
    let body = list_of(many, 0x01);
    let refused = [
        from_body::<AnyMessage>(&body).map(drop),
        from_body::<(Value,)>(&body).map(drop),
        from_body::<Vec<Value>>(&body).map(drop),
        from_body::<(serde_json::Value,)>(&body).map(drop),
        from_body::<(Untagged,)>(&body).map(drop),
    ];
    for (number, refused) in refused.into_iter().enumerate() {
        let error = refused.unwrap_err().to_string();
        assert!(error.contains("bytes of memory"), "{number}: {error}");
    }
    assert!(body.decode().unwrap_err().to_string().contains("memory"));
    // A tag is a value too, with memory of its own.
    let tagged = [0xc6, 0x01].repeat(many / 2);
    let body = Body::new(u32::try_from(many / 2).unwrap(), tagged.into());
    assert!(from_body::<AnyMessage>(&body).unwrap_err().to_string().contains("bytes of memory"));
    let typed: (Vec<u8>,) = from_body(&list_of(many, 0x01)).unwrap();
    assert_eq!(typed.0.len(), many);
    let (few,): (Value,) = from_body(&list_of(1000, 0x01)).unwrap();
    assert!(matches!(few, Value::List(items) if items.len() == 1000));
}
