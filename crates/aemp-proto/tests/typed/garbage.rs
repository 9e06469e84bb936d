//! Bytes that are no message: an error or a value, but never a panic.

use std::collections::BTreeMap;

use aemp_proto::typed::{Variants, from_body, from_body_skip, from_body_tagged, to_body};
use aemp_proto::{AnyMessage, Body, PortId, Reason, Value};
use proptest::collection::vec;
use proptest::prelude::*;
use serde::Deserialize;

#[derive(Debug, Deserialize)]
#[allow(dead_code)]
enum Work {
    Add(i64, u8),
    Load { name: String, more: BTreeMap<u16, Option<f32>> },
    Stop,
    Other(AnyMessage),
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
#[allow(dead_code)]
enum Any {
    Number(f64),
    Text(String),
    List(Vec<Any>),
}

const WORK: Variants =
    Variants { tags: &[("Add", "a"), ("Load", "l"), ("Stop", "s")], other: Some("Other"), optional: &[] };

fn read_as_everything(body: &Body) {
    let _ = from_body::<Value>(body);
    let _ = from_body::<AnyMessage>(body);
    let _ = from_body::<Reason>(body);
    let _ = from_body::<serde_json::Value>(body);
    let _ = from_body::<Any>(body);
    let _ = from_body::<Vec<Any>>(body);
    let _ = from_body::<Work>(body);
    let _ = from_body::<(PortId, u64, String, bool)>(body);
    let _ = from_body::<(f32, char, Option<i8>, ())>(body);
    let _ = from_body::<Vec<u8>>(body);
    let _ = from_body::<BTreeMap<String, Vec<i32>>>(body);
    let _ = from_body_skip::<(i128, u128)>(body, 1);
    let _ = from_body_tagged::<Work>(body, &WORK);
    let _ = from_body_tagged::<Work>(body, &Variants { other: None, ..WORK });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn random_bytes_never_panic(count in prop_oneof![0u32..5, any::<u32>()], items in vec(any::<u8>(), 0..40)) {
        read_as_everything(&Body::new(count, items.into()));
    }

    #[test]
    fn nested_heads_never_panic(
        count in 0u32..5,
        items in vec(prop_oneof![
            Just(0x81), Just(0x9f), Just(0xa1), Just(0xbf), Just(0xff), Just(0xc2), Just(0xd9), Just(0x41),
            Just(0x61), Just(0x5f), Just(0x7f), Just(0x9b), Just(0xf6), Just(b'a'), Just(b'l'), any::<u8>(),
        ], 0..60),
    ) {
        read_as_everything(&Body::new(count, items.into()));
    }

    #[test]
    fn damaged_messages_never_panic(at in 0usize..64, flip in any::<u8>(), cut in 0usize..80) {
        let message = ("l", "name", BTreeMap::from([(1u16, Some(1.5f32)), (2, None)]), vec![Some(1), None], 'x');
        let body = to_body(&message).unwrap();
        let mut items = body.items().to_vec();
        let at = at % items.len();
        items[at] ^= flip;
        items.truncate(cut);
        read_as_everything(&Body::new(body.count(), items.into()));
    }
}
