//! Types with tags: what `derive(Message)` makes of enums and structs.

use aemp_proto::typed::{
    DecodeError, EncodeError, Variants, from_body, from_body_tagged, to_body, to_body_tagged,
};
use aemp_proto::{AnyMessage, Body, Value};
use serde::{Deserialize, Serialize};

use crate::common::body;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Work {
    Resize {
        path: String,
        width: u32,
    },
    Add(i64, i64),
    Load(Vec<u8>),
    Größe(Option<u8>),
    Stop,
    Tuned {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        first: Option<u8>,
        #[serde(default)]
        second: u8,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        third: Option<u8>,
    },
}

const WORK: Variants = Variants {
    tags: &[
        ("Resize", "resize"),
        ("Add", "add"),
        ("Load", "load"),
        ("Größe", "größe"),
        ("Stop", "stop"),
        ("Tuned", "tuned"),
    ],
    other: None,
    optional: &[],
};

fn decode(count: u32, items: &str) -> Result<Work, DecodeError> {
    from_body_tagged(&body(count, items), &WORK)
}

fn both_directions<T>(variants: &Variants, value: &T, expected: &Body)
where
    T: Serialize + for<'de> Deserialize<'de> + PartialEq + std::fmt::Debug,
{
    assert_eq!(to_body_tagged(value, variants).as_ref(), Ok(expected));
    assert_eq!(from_body_tagged::<T>(expected, variants).as_ref(), Ok(value));
}

#[test]
fn a_variant_is_its_tag_and_its_fields_in_order() {
    let resize = Work::Resize { path: "x".into(), width: 7 };
    both_directions(&WORK, &resize, &body(3, "46726573697a65 6178 07"));
    both_directions(&WORK, &Work::Add(1, -1), &body(3, "43616464 01 20"));
    both_directions(&WORK, &Work::Load(vec![1, 2]), &body(2, "446c6f6164 82 01 02"));
    both_directions(&WORK, &Work::Stop, &body(1, "4473746f70"));
    both_directions(&WORK, &Work::Größe(None), &body(2, "456772f6df65 f6"));
}

#[test]
fn tags_are_code_points_however_they_are_written() {
    assert_eq!(decode(1, "6473746f70"), Ok(Work::Stop));
    assert_eq!(decode(1, "5f 427374 426f70 ff"), Ok(Work::Stop));
    assert_eq!(decode(2, "676772c3b6c39f65 f6"), Ok(Work::Größe(None)));
    // The bytes of the UTF-8 form are another string.
    assert_eq!(decode(2, "476772c3b6c39f65 f6"), Err(DecodeError::UnknownTag("grÃ¶Ã\u{9f}e".into())));
}

#[test]
fn perls_data_fits_the_fields() {
    assert_eq!(decode(3, "43616464 423430 4132"), Ok(Work::Add(40, 2)));
    assert_eq!(decode(3, "46726573697a65 41e9 4137"), Ok(Work::Resize { path: "é".into(), width: 7 }));
}

#[test]
fn extra_values_are_ignored_and_missing_ones_need_a_default() {
    assert_eq!(decode(4, "43616464 01 02 80"), Ok(Work::Add(1, 2)));
    assert_eq!(decode(2, "4473746f70 01"), Ok(Work::Stop));
    assert_eq!(decode(1, "4574756e6564"), Ok(Work::Tuned { first: None, second: 0, third: None }));
    let missing = decode(2, "43616464 01").unwrap_err();
    assert_eq!(missing.to_string(), "invalid length 1, expected tuple variant Work::Add with 2 elements");
    assert_eq!(decode(1, "446c6f6164").unwrap_err().to_string(), "value 1: missing");
}

#[test]
fn fields_left_out_keep_the_places_of_the_others() {
    let tuned = |first, third| Work::Tuned { first, second: 5, third };
    both_directions(&WORK, &tuned(None, None), &body(3, "4574756e6564 f6 05"));
    both_directions(&WORK, &tuned(Some(1), None), &body(3, "4574756e6564 01 05"));
    both_directions(&WORK, &tuned(None, Some(1)), &body(4, "4574756e6564 f6 05 01"));
}

#[test]
fn unknown_tags_are_told_from_everything_else() {
    assert_eq!(decode(1, "4178"), Err(DecodeError::UnknownTag("x".into())));
    assert_eq!(decode(1, "07"), Err(DecodeError::UnknownTag("7".into())));
    assert_eq!(decode(0, "").unwrap_err().to_string(), "the message is empty");
    assert_eq!(decode(1, "80").unwrap_err().to_string(), "value 0: invalid type: a list, expected a tag");
    let misfit = decode(3, "43616464 01 80").unwrap_err();
    assert_eq!(misfit.to_string(), "value 2: invalid type: a list, expected i64");
}

#[test]
fn structs_are_tagged_too() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Ping {
        n: u8,
        text: String,
    }
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Pair(u8, u8);
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Wrapper((u8, u8));
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Nothing;

    const PING: Variants = Variants { tags: &[("Ping", "p")], other: None, optional: &[] };
    both_directions(&PING, &Ping { n: 1, text: "x".into() }, &body(3, "4170 01 6178"));
    both_directions(&PING, &Pair(1, 2), &body(3, "4170 01 02"));
    both_directions(&PING, &Wrapper((1, 2)), &body(2, "4170 82 01 02"));
    both_directions(&PING, &Nothing, &body(1, "4170"));
    let unknown = from_body_tagged::<Nothing>(&body(1, "4171"), &PING);
    assert_eq!(unknown, Err(DecodeError::UnknownTag("q".into())));
    let empty = from_body_tagged::<Pair>(&body(0, ""), &PING);
    assert_eq!(empty.unwrap_err().to_string(), "the message is empty");
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Open<T> {
    Known(u8),
    Other(T),
}

const OPEN: Variants = Variants { tags: &[("Known", "known")], other: Some("Other"), optional: &[] };

#[test]
fn other_takes_the_whole_message() {
    let message = AnyMessage(vec![Value::name("x"), Value::Int(1)]);
    both_directions(&OPEN, &Open::Other(message), &body(2, "4178 01"));
    both_directions(&OPEN, &Open::Other(vec![Value::name("x")]), &body(1, "4178"));
    both_directions(&OPEN, &Open::Other(Value::List(vec![Value::name("x")])), &body(1, "4178"));
    both_directions(&OPEN, &Open::Other(("x".to_string(), 1u8)), &body(2, "4178 01"));
    both_directions(&OPEN, &Open::Other("x".to_string()), &body(1, "4178"));
    both_directions(&OPEN, &Open::<String>::Known(1), &body(2, "456b6e6f776e 01"));
}

#[test]
fn other_takes_messages_without_a_tag() {
    let none: Open<AnyMessage> = from_body_tagged(&body(0, ""), &OPEN).unwrap();
    assert_eq!(none, Open::Other(AnyMessage(vec![])));
    let list: Open<AnyMessage> = from_body_tagged(&body(2, "80 01"), &OPEN).unwrap();
    assert_eq!(list, Open::Other(AnyMessage(vec![Value::List(vec![]), Value::Int(1)])));
}

#[test]
fn other_does_not_take_what_does_not_fit_a_known_tag() {
    let misfit = from_body_tagged::<Open<AnyMessage>>(&body(2, "456b6e6f776e 80"), &OPEN);
    assert!(matches!(misfit, Err(DecodeError::Misfit(_))));
}

#[test]
fn other_can_name_the_parts_or_drop_them() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    enum Parts {
        Other(String, #[serde(default)] u8),
    }
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    enum Dropped {
        Other,
    }

    const PARTS: Variants = Variants { tags: &[], other: Some("Other"), optional: &[] };
    const DROPPED: Variants = Variants { tags: &[("Other", "other")], other: Some("Other"), optional: &[] };
    both_directions(&PARTS, &Parts::Other("x".into(), 1), &body(2, "4178 01"));
    both_directions(&DROPPED, &Dropped::Other, &body(1, "456f74686572"));
    assert_eq!(from_body_tagged(&body(2, "4178 01"), &DROPPED), Ok(Dropped::Other));
}

#[test]
fn without_tags_it_is_the_plain_form() {
    assert_eq!(to_body_tagged(&(1, 2), &Variants::NONE), to_body(&(1, 2)));
    assert_eq!(from_body_tagged(&body(2, "01 02"), &Variants::NONE), Ok((1u8, 2u8)));
    let nested = to_body(&Work::Add(1, 2)).unwrap();
    assert_eq!(nested, body(1, "a1 43416464 82 01 02"));
    assert_eq!(from_body(&nested), Ok(Work::Add(1, 2)));
}

#[test]
fn types_that_do_not_belong_to_the_tags_are_refused() {
    assert_eq!(to_body_tagged(&1, &WORK), Err(EncodeError::NoTag("i32")));
    assert_eq!(to_body_tagged(&(1, 2), &WORK), Err(EncodeError::NoTag("a tuple")));
    assert_eq!(to_body_tagged(&Open::Other(1), &WORK), Err(EncodeError::NoTag("Other")));
    assert!(from_body_tagged::<u8>(&body(1, "01"), &WORK).is_err());
}

#[test]
fn lists_of_tags_need_not_be_in_the_order_of_the_variants() {
    const REVERSED: Variants = Variants { tags: &[("Stop", "s"), ("Add", "a")], other: None, optional: &[] };
    both_directions(&REVERSED, &Work::Stop, &body(1, "4173"));
    both_directions(&REVERSED, &Work::Add(1, 2), &body(3, "4161 01 02"));
}
