//! `derive(Message)`: which tags a type gets, and which types are refused.

// The macro names the crate `aemp`, which depends on this one; here the test plays its part.
extern crate self as aemp;

pub mod message {
    //! What the expansion refers to.

    pub use aemp_proto::typed::Variants;

    /// A type whose messages have tags.
    pub trait Message {
        /// The tags.
        const VARIANTS: Variants;
    }
}

use aemp_macros::Message;
use aemp_proto::typed::{from_body_tagged, to_body, to_body_tagged};
use message::Message as _;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

fn is_written_as<T, U>(message: &T, values: &U)
where
    T: message::Message + Serialize + DeserializeOwned + PartialEq + std::fmt::Debug,
    U: Serialize,
{
    let body = to_body_tagged(message, &T::VARIANTS).expect("the message can be encoded");
    assert_eq!(Ok(&body), to_body(values).as_ref());
    assert_eq!(from_body_tagged::<T>(&body, &T::VARIANTS).as_ref(), Ok(message));
}

#[derive(Debug, PartialEq, Serialize, Deserialize, Message)]
enum Work {
    Resize {
        path: String,
        width: u32,
    },
    AddAll(i64, i64),
    HTTPGet(String),
    #[message(tag = "halt!")]
    Stop,
    r#Move(u8),
}

#[test]
fn the_tag_is_the_name_in_snake_case_or_what_was_said() {
    assert_eq!(
        Work::VARIANTS.tags,
        [
            ("Resize", "resize"),
            ("AddAll", "add_all"),
            ("HTTPGet", "http_get"),
            ("Stop", "halt!"),
            ("Move", "move")
        ]
    );
    assert_eq!(Work::VARIANTS.other, None);
}

#[test]
fn variants_are_written_with_their_tags() {
    is_written_as(&Work::Resize { path: "x".into(), width: 7 }, &("resize", "x", 7));
    is_written_as(&Work::AddAll(1, 2), &("add_all", 1, 2));
    is_written_as(&Work::HTTPGet("x".into()), &("http_get", "x"));
    is_written_as(&Work::Stop, &("halt!",));
    is_written_as(&Work::Move(1), &("move", 1));
}

#[test]
fn structs_have_one_tag() {
    #[derive(Debug, PartialEq, Serialize, Deserialize, Message)]
    struct LogLine {
        level: u8,
        text: String,
    }
    #[derive(Debug, PartialEq, Serialize, Deserialize, Message)]
    #[message(tag = "p")]
    #[serde(rename = "pair")]
    struct Pair(u8, u8);
    #[derive(Debug, PartialEq, Serialize, Deserialize, Message)]
    struct Tick;

    is_written_as(&LogLine { level: 1, text: "x".into() }, &("log_line", 1, "x"));
    is_written_as(&Pair(1, 2), &("p", 1, 2));
    is_written_as(&Tick, &("tick",));
}

#[test]
fn one_variant_takes_all_other_tags() {
    #[derive(Debug, PartialEq, Serialize, Deserialize, Message)]
    enum Open {
        Known,
        #[message(other)]
        Unknown(aemp_proto::AnyMessage),
    }
    #[derive(Debug, PartialEq, Serialize, Deserialize, Message)]
    enum Careless {
        Known,
        #[message(other)]
        Unknown,
    }

    assert_eq!(Open::VARIANTS.other, Some("Unknown"));
    assert_eq!(Open::VARIANTS.tags, [("Known", "known")]);
    let message = aemp_proto::AnyMessage(vec![aemp_proto::Value::name("new"), 1.into()]);
    is_written_as(&Open::Unknown(message), &("new", 1));
    is_written_as(&Open::Known, &("known",));
    assert_eq!(Careless::VARIANTS.tags, [("Known", "known"), ("Unknown", "unknown")]);
    is_written_as(&Careless::Unknown, &("unknown",));
}

#[test]
fn serdes_names_are_followed() {
    #[derive(Debug, PartialEq, Serialize, Deserialize, Message)]
    #[serde(rename_all = "SCREAMING-KEBAB-CASE", deny_unknown_fields)]
    enum Renamed {
        FirstOne(#[serde(default)] u8),
        #[serde(rename = "2nd", alias = "second")]
        SecondOne,
        #[serde(rename(serialize = "3rd", deserialize = "3rd"))]
        ThirdOne {
            x: u8,
        },
        #[serde(skip)]
        #[allow(dead_code)]
        Never,
        Last,
    }

    is_written_as(&Renamed::FirstOne(1), &("first_one", 1));
    is_written_as(&Renamed::SecondOne, &("second_one",));
    is_written_as(&Renamed::ThirdOne { x: 1 }, &("third_one", 1));
    is_written_as(&Renamed::Last, &("last",));
}

#[test]
fn type_parameters_are_kept() {
    #[derive(Debug, PartialEq, Serialize, Deserialize, Message)]
    enum Wrapped<T: Clone, const N: usize>
    where
        T: PartialEq,
    {
        Item(T),
        None,
    }

    is_written_as(&Wrapped::<u8, 1>::Item(7), &("item", 7));
    is_written_as(&Wrapped::<u8, 1>::None, &("none",));
}

#[test]
fn types_that_cannot_be_messages_are_refused() {
    trybuild::TestCases::new().compile_fail("tests/refused/*.rs");
}
