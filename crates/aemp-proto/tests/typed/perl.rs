//! Values that Perl nodes sent, read as the types that a user would expect to hold them.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;

use aemp_proto::typed::{from_body_skip, to_body};
use aemp_proto::{AnyMessage, Body, PortId, Value};
use serde::de::DeserializeOwned;

use crate::common::unhex;

/// The recorded messages `["sink", KIND, VALUE]` by their kind, as sent and as echoed.
struct Recorded(HashMap<String, Vec<Body>>);

impl Recorded {
    fn new(fixture: &str) -> Recorded {
        let session: serde_json::Value = serde_json::from_str(fixture).unwrap();
        let mut kinds: HashMap<String, Vec<Body>> = HashMap::new();
        for message in session["messages"].as_array().unwrap() {
            let frame = unhex(message["hex"].as_str().unwrap());
            let (mut values, items) = (message["value"].as_array().unwrap().iter(), &frame[1..]);
            if frame[0] >> 5 != 4 || values.next().unwrap()["ascii"] != "sink" {
                continue;
            }
            let body = Body::new(u32::from(frame[0] & 0x1f), items.to_vec().into());
            let (skip, kind) = match from_body_skip::<String>(&body, 1).unwrap() {
                echo if echo == "echo" => (3, from_body_skip(&body, 2).unwrap()),
                kind => (2, kind),
            };
            kinds.entry(kind).or_default().push(after(&body, skip));
        }
        Recorded(kinds)
    }

    /// Both recorded forms of this kind are this value.
    fn is<T: DeserializeOwned + PartialEq + Debug>(&self, kind: &str, expected: T) {
        let bodies = self.0.get(kind).unwrap_or_else(|| panic!("no {kind} was recorded"));
        assert_eq!(bodies.len(), 2, "{kind} and its echo");
        for body in bodies {
            let (value,) = from_body_skip::<(T,)>(body, 0).unwrap();
            assert_eq!(value, expected, "{kind}");
        }
    }
}

fn after(body: &Body, skip: u32) -> Body {
    let mut decoder = minicbor::Decoder::new(body.items());
    (0..skip).for_each(|_| decoder.skip().unwrap());
    Body::new(body.count() - skip, body.items().slice(decoder.position()..))
}

#[test]
fn numbers_are_numbers() {
    let recorded = Recorded::new(include_str!("../fixtures/aemp-2.02/values_cbor_numbers.json"));
    recorded.is("int_0", 0u8);
    recorded.is("int_255", 255u8);
    recorded.is("int_65535", u16::MAX);
    recorded.is("int_2p32m1", u32::MAX);
    recorded.is("int_max63", i64::MAX);
    recorded.is("int_max64", u64::MAX);
    recorded.is("int_min63", i64::MIN);
    recorded.is("int_m257", -257i16);
    recorded.is("int_2p53", 9_007_199_254_740_992.0f64);
    recorded.is("float_half", 0.5f32);
    recorded.is("float_tenth", 0.1f64);
    recorded.is("float_5e_324", 5e-324f64);
    recorded.is("float_inf", f64::INFINITY);
    recorded.is("float_minf", f64::NEG_INFINITY);
    recorded.is("epoch", 1_600_000_000.25f64);
}

#[test]
fn floats_that_perl_sends_as_integers_are_floats_and_the_reverse() {
    let recorded = Recorded::new(include_str!("../fixtures/aemp-2.02/values_cbor_numbers.json"));
    recorded.is("float_100000_0", 100_000.0f64);
    recorded.is("float_2p24p1", 16_777_217.0f64);
    recorded.is("float_m0", 0.0f64);
    recorded.is("float_1e10", 10_000_000_000u64);
    recorded.is("float_1e15", 1_000_000_000_000_000i64);
    recorded.is("float_2p64", 1u128 << 64);
    recorded.is("float_m1_0", -1i8);
}

#[test]
fn what_perl_uses_as_both_is_either() {
    let recorded = Recorded::new(include_str!("../fixtures/aemp-2.02/values_cbor_numbers.json"));
    for kind in ["num_used_as_str", "str_used_as_num", "str_plus_0"] {
        recorded.is(kind, 42u8);
        recorded.is(kind, 42.0f64);
        recorded.is(kind, "42".to_string());
    }
    recorded.is("float_used_as_str", "1.5".to_string());
}

#[test]
fn strings_are_strings() {
    let recorded = Recorded::new(include_str!("../fixtures/aemp-2.02/values_cbor_other.json"));
    let text = |kind: &str, expected: &str| recorded.is(kind, expected.to_string());
    text("str_empty", "");
    text("str_IETF", "IETF");
    text("str_256", &"y".repeat(256));
    text("str_ctrl", "\0\u{1}\t\n\r\u{1f}\u{7f}");
    text("latin1_e_acute", "é");
    text("utf8_e_acute_upgraded", "é");
    text("ascii_upgraded", "abc");
    text("utf8_euro", "€uro");
    text("utf8_astral", "\u{1f600}");
    text("utf8_encoded_euro", "€");
    text("bytes_ff", "ÿ");
    text("ref_string", "str");
}

#[test]
fn times_are_what_is_within_the_tag() {
    let recorded = Recorded::new(include_str!("../fixtures/aemp-2.02/values_cbor_other.json"));
    let [sent, echo] = recorded.0["tagged"].as_slice() else { panic!("recorded twice") };
    assert_eq!(from_body_skip(sent, 0), Ok("2013-03-21T20:04:00Z".to_string()));
    assert_eq!(from_body_skip(echo, 0), Ok(1_363_896_240u64));
}

#[test]
fn bytes_are_bytes() {
    let recorded = Recorded::new(include_str!("../fixtures/aemp-2.02/values_cbor_other.json"));
    recorded.is("bytes_all_high", b"\x80\xff\xfe\0\xc3\xa9".to_vec());
    recorded.is("utf8_e_acute_upgraded", vec![0xe9u8]);
    recorded.is("utf8_encoded_euro", "€".as_bytes().to_vec());
}

#[test]
fn numeric_strings_are_numbers() {
    let recorded = Recorded::new(include_str!("../fixtures/aemp-2.02/values_cbor_other.json"));
    recorded.is("str_num", 42i32);
    recorded.is("str_float", 1.5f64);
}

#[test]
fn perls_truth_is_a_bool() {
    let recorded = Recorded::new(include_str!("../fixtures/aemp-2.02/values_cbor_other.json"));
    for kind in ["bool_true_perl", "not_false", "json_true", "ref_1"] {
        recorded.is(kind, true);
    }
    for kind in ["bool_false_perl", "not_true", "json_false", "ref_0", "undef", "str_empty"] {
        recorded.is(kind, false);
    }
}

#[test]
fn undef_is_none() {
    let recorded = Recorded::new(include_str!("../fixtures/aemp-2.02/values_cbor_other.json"));
    recorded.is("undef", None::<String>);
    recorded.is("ser_error", None::<u8>);
    recorded.is("undef", Value::Null);
}

#[test]
fn arrays_and_hashes_are_lists_and_maps() {
    let recorded = Recorded::new(include_str!("../fixtures/aemp-2.02/values_cbor_other.json"));
    recorded.is("arr_empty", Vec::<u8>::new());
    recorded.is("arr_24", (1..=24u8).collect::<Vec<u8>>());
    recorded.is("arr_nested", (1u8, (2u8, (3u8, Vec::<u8>::new())), None::<u8>, "x".to_string()));
    recorded.is("hash_empty", BTreeMap::<String, u8>::new());
    recorded.is("hash_one", BTreeMap::from([("key".to_string(), "value".to_string())]));
    recorded.is("hash_key_utf8", BTreeMap::from([("€".to_string(), 1u8)]));
    recorded.is("hash_key_bytes", BTreeMap::from([("ÿ".to_string(), 1u8)]));
    recorded.is("hash_key_empty", BTreeMap::from([(String::new(), 0u8)]));
    recorded.is("hash_key_latin1_up", BTreeMap::from([("é".to_string(), 1u8)]));
    recorded.is("hash_key_num", BTreeMap::from([(42u32, true)]));
    recorded.is("shared", vec![[1u8], [1]]);
}

#[test]
fn hashes_are_structs() {
    #[derive(Debug, PartialEq, serde::Deserialize)]
    struct Outer {
        o: Inner,
    }
    #[derive(Debug, PartialEq, serde::Deserialize)]
    struct Inner {
        i: BTreeMap<char, (u8, BTreeMap<String, Option<u8>>)>,
    }

    let recorded = Recorded::new(include_str!("../fixtures/aemp-2.02/values_cbor_other.json"));
    let innermost = (1, BTreeMap::from([("z".to_string(), None)]));
    recorded.is("hash_nested", Outer { o: Inner { i: BTreeMap::from([('d', innermost)]) } });
}

#[test]
fn port_ids_are_port_ids() {
    let recorded = Recorded::new(include_str!("../fixtures/aemp-2.02/values_cbor_other.json"));
    recorded.is("port_id", PortId::parse("b#sink").unwrap());
}

#[test]
fn everything_that_perl_sent_is_written_again_as_it_came() {
    for fixture in [
        include_str!("../fixtures/aemp-2.02/values_cbor_numbers.json"),
        include_str!("../fixtures/aemp-2.02/values_cbor_other.json"),
    ] {
        let mut recorded = Recorded::new(fixture);
        // Undefined and null are the same value here.
        recorded.0.remove("ser_error");
        for body in recorded.0.into_values().flatten() {
            let message: AnyMessage = from_body_skip(&body, 0).unwrap();
            assert_eq!(to_body(&message), Ok(body));
        }
    }
}

#[test]
fn json_values_are_the_same_types() {
    // With json framing every string is text, and integers of more than 64 bits are strings.
    let sent = |kind: &str, fixture: &str| -> Body {
        let session: serde_json::Value = serde_json::from_str(fixture).unwrap();
        let mut messages = session["messages"].as_array().unwrap().iter().map(|message| &message["value"]);
        let message = messages.find(|value| value[0] == "sink" && value[1] == kind).unwrap();
        to_body(&message[2]).unwrap()
    };
    let numbers = include_str!("../fixtures/aemp-2.02/values_json_numbers.json");
    let other = include_str!("../fixtures/aemp-2.02/values_json_other.json");
    assert_eq!(from_body_skip(&sent("int_min63", numbers), 0), Ok(i64::MIN));
    assert_eq!(from_body_skip(&sent("int_max64", numbers), 0), Ok(u64::MAX));
    assert_eq!(from_body_skip(&sent("float_1e20", numbers), 0), Ok(1e20f64));
    assert_eq!(from_body_skip(&sent("num_used_as_str", numbers), 0), Ok(42u8));
    assert_eq!(from_body_skip(&sent("bytes_all_high", other), 0), Ok(b"\x80\xff\xfe\0\xc3\xa9".to_vec()));
    assert_eq!(from_body_skip(&sent("bool_false_perl", other), 0), Ok(false));
    assert_eq!(from_body_skip(&sent("ref_1", other), 0), Ok(true));
    assert_eq!(from_body_skip(&sent("hash_key_num", other), 0), Ok(BTreeMap::from([(42u8, 1u8)])));
}
