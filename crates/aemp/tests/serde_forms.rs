//! The attributes and shapes of serde: what a message, an argument or an answer is comes out the
//! same in all four places, moved or encoded on one node, and over each framing. What cannot is
//! refused by the compiler (`aemp-macros`, `tests/refused`) or, where only the value shows it, by
//! an error.

#![allow(clippy::unwrap_used)] // a test may

mod support;

use std::collections::BTreeMap;
use std::fmt::Debug;

use aemp::{Context, Framing, FromMessage, IntoMessage, Message, Node, PortId, ReplyTo, Value};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::json;
use support::{LIMIT, builder, soon, up};
use tokio::sync::mpsc;

/// A node, and the places that messages of it go to: itself, moved; itself, encoded; and a node for
/// each framing.
struct Places {
    node: Node,
    places: Vec<(String, Node)>,
}

impl Places {
    async fn new() -> Places {
        let node = builder(false).id("node").bind("127.0.0.1:0").secret("s").start().await.unwrap();
        let encoding = builder(true).start().await.unwrap();
        let mut places = vec![("moved".into(), node.clone()), ("encoded".into(), encoding)];
        for framing in Framing::ALL {
            let far = builder(false).id(framing.as_str()).seed(node.local_addrs()[0]).secret("s");
            let far = far.framings([framing]).function("echo", echo).start().await.unwrap();
            up(&node, far.id()).await;
            places.push((framing.to_string(), far));
        }
        Places { node, places }
    }

    /// Who sends to a place.
    fn sender<'a>(&'a self, place: &'a Node) -> &'a Node {
        if self.node.connected_nodes().contains(place.id()) { &self.node } else { place }
    }

    /// A message of a type arrives as it was sent.
    async fn message<M: FromMessage + Clone + PartialEq + Debug>(&self, message: M) {
        for (name, place) in &self.places {
            let (sender, mut got) = mpsc::unbounded_channel();
            let port = place.port(move |_: &mut Context<'_>, message: M| sender.send(message).unwrap());
            let died = place.exited(&port);
            self.sender(place).send(&far(&port), message.clone()).unwrap();
            tokio::select! {
                got = soon("the message", got.recv()) => {
                    assert_eq!(got.as_ref(), Some(&message), "{name}");
                }
                reason = died => panic!("{name}: {message:?}: {reason}"),
            }
            place.kill(&port, aemp::Reason::NORMAL);
        }
    }

    /// A value is the same as an element of a message, as an answer, and as the argument of a
    /// spawn.
    async fn value<T>(&self, value: T)
    where
        T: Serialize + DeserializeOwned + Clone + PartialEq + Debug + Send + Sync + 'static,
    {
        // Between two others, which would show a shift.
        self.message((1u8, value.clone(), 3u8)).await;
        for (name, place) in &self.places {
            let answer = value.clone();
            let service = place.port(move |cx: &mut Context<'_>, (reply,): (ReplyTo<T>,)| {
                cx.reply(reply, answer.clone());
            });
            let answer: Result<T, _> =
                self.sender(place).call(&far(&service), LIMIT, |reply: ReplyTo<T>| (reply,)).await;
            assert_eq!(answer.as_ref().ok(), Some(&value), "the answer, {name}: {answer:?}");
            place.kill(&service, aemp::Reason::NORMAL);
        }
        let body = aemp_proto::typed::to_body(&value).unwrap();
        assert_eq!(aemp_proto::typed::from_body::<T>(&body).as_ref(), Ok(&value));
    }

    async fn end(self) {
        for (_, place) in self.places {
            place.shutdown().await;
        }
    }
}

/// A port ID as it comes from elsewhere.
fn far(port: &PortId) -> PortId {
    port.to_string().parse().unwrap()
}

fn echo(cx: &mut Context<'_>, (reply, arguments): (PortId, serde_json::Value)) -> Result<(), aemp::Reason> {
    cx.send(&reply, (arguments,));
    Ok(())
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

fn is_true(truth: &bool) -> bool {
    *truth
}

fn yes() -> bool {
    true
}

mod halved {
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(number: &u32, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u32(number / 2)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
        u32::deserialize(deserializer).map(|number| number * 2)
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Inner {
    a: u8,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    note: String,
    #[serde(flatten)]
    more: BTreeMap<String, u8>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Message)]
enum M {
    Text {
        #[serde(default, skip_serializing_if = "String::is_empty")]
        note: String,
        n: u8,
    },
    List {
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        tags: Vec<u8>,
        n: u8,
    },
    Zero {
        #[serde(default, skip_serializing_if = "is_zero")]
        retries: u32,
        n: u8,
    },
    Truth {
        #[serde(default = "yes", skip_serializing_if = "is_true")]
        truth: bool,
        n: u8,
    },
    Option {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        a: Option<u8>,
        n: u8,
    },
    Last {
        n: u8,
        #[serde(default, skip_serializing_if = "String::is_empty")]
        note: String,
    },
    Two {
        #[serde(default, skip_serializing_if = "is_zero")]
        a: u32,
        #[serde(default, skip_serializing_if = "is_zero")]
        b: u32,
        c: u8,
        #[serde(default, skip_serializing_if = "is_zero")]
        d: u32,
    },
    Cache {
        a: u8,
        #[serde(skip)]
        cache: u8,
        c: u8,
    },
    CacheAndOptional {
        #[serde(skip)]
        cache: u8,
        a: u8,
        #[serde(default, skip_serializing_if = "is_zero")]
        b: u32,
        c: u8,
    },
    BothSkips {
        a: u8,
        #[serde(skip_serializing, skip_deserializing)]
        cache: u8,
        c: u8,
    },
    #[serde(rename = "Elsewhere")]
    Renamed {
        #[serde(rename = "type", default, skip_serializing_if = "is_zero")]
        kind: u32,
        n: u8,
    },
    With {
        #[serde(with = "halved")]
        n: u32,
        m: u8,
    },
    Tuple(u8, #[serde(skip)] u8, u8),
    NoneOfIt(#[serde(skip)] u8),
    New(Inner),
    NewOption(Option<u8>),
    NewTuple((u8, u8)),
    Nested {
        inner: Inner,
        unit: (),
        empty: Vec<()>,
        option: Option<Inner>,
        any: serde_json::Value,
        n: u8,
    },
    Unit,
    #[serde(skip)]
    #[allow(dead_code)]
    Never(#[serde(skip_serializing)] u8),
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, Message)]
#[serde(default)]
struct Settings {
    #[serde(skip_serializing_if = "String::is_empty")]
    name: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    port: Option<u16>,
    n: u8,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Message)]
struct Pair(u8, #[serde(skip)] u8, u8);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Message)]
struct Single(Option<u8>);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Message)]
struct Hidden(#[serde(skip)] u8);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Message)]
struct Nothing;

#[tokio::test]
async fn every_attribute_of_a_field_leaves_the_values_in_their_places() {
    let places = Places::new().await;
    let inner = || Inner { a: 1, note: String::new(), more: BTreeMap::from([("x".into(), 2)]) };
    for message in [
        M::Text { note: String::new(), n: 2 },
        M::Text { note: "x".into(), n: 2 },
        M::List { tags: vec![], n: 2 },
        M::List { tags: vec![1, 2], n: 2 },
        M::Zero { retries: 0, n: 2 },
        M::Zero { retries: 1, n: 2 },
        M::Truth { truth: true, n: 2 },
        M::Truth { truth: false, n: 2 },
        M::Option { a: None, n: 2 },
        M::Option { a: Some(1), n: 2 },
        M::Last { n: 1, note: String::new() },
        M::Last { n: 1, note: "x".into() },
        M::Two { a: 0, b: 0, c: 3, d: 0 },
        M::Two { a: 0, b: 2, c: 3, d: 0 },
        M::Two { a: 1, b: 0, c: 3, d: 4 },
        M::Cache { a: 1, cache: 0, c: 3 },
        M::CacheAndOptional { cache: 0, a: 1, b: 0, c: 3 },
        M::CacheAndOptional { cache: 0, a: 1, b: 2, c: 3 },
        M::BothSkips { a: 1, cache: 0, c: 3 },
        M::Renamed { kind: 0, n: 2 },
        M::Renamed { kind: 1, n: 2 },
        M::With { n: 8, m: 2 },
        M::Tuple(1, 0, 3),
        M::NoneOfIt(0),
        M::New(inner()),
        M::NewOption(None),
        M::NewOption(Some(1)),
        M::NewTuple((1, 2)),
        M::Nested { inner: inner(), unit: (), empty: vec![(), ()], option: None, any: json!(null), n: 7 },
        M::Nested { inner: inner(), unit: (), empty: vec![], option: Some(inner()), any: json!([1]), n: 7 },
        M::Unit,
    ] {
        places.message(message).await;
    }
    for name in ["", "x"] {
        for port in [None, Some(1)] {
            places.message(Settings { name: name.into(), port, n: 3 }).await;
        }
    }
    places.message(Pair(1, 0, 3)).await;
    places.message(Single(None)).await;
    places.message(Single(Some(1))).await;
    places.message(Hidden(0)).await;
    places.message(Nothing).await;
    places.end().await;
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum External {
    Unit,
    New(u8),
    Tuple(u8, u8),
    Struct { a: u8, b: Option<u8> },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "t")]
enum Internal {
    Unit,
    New(Inner),
    Struct { a: u8 },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "t", content = "c")]
enum Adjacent {
    Unit,
    New(u8),
    Tuple(u8, u8),
    Struct { a: u8 },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Untagged {
    // A number alone must not be taken for the first of two.
    Number(u8),
    Pair(u8, u8),
    Struct { a: u8 },
    Text(String),
    List(Vec<String>),
    Unit,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct UnitStruct;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct NewType<T>(T);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct TupleStruct(u8, u8);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
struct Transparent {
    inner: Vec<u8>,
}

#[tokio::test]
async fn every_shape_is_the_same_value_as_an_argument_and_as_an_answer() {
    let places = Places::new().await;
    for value in [
        json!(null),
        json!(true),
        json!(1),
        json!("x"),
        json!([]),
        json!([null]),
        json!([1, 2]),
        json!({}),
        json!({"a": null}),
    ] {
        places.value(value.clone()).await;
        places.value(vec![value]).await;
    }
    places.value(()).await;
    places.value(((),)).await;
    places.value((1u8,)).await;
    places.value((1u8, "x".to_string())).await;
    places.value([1u8, 2, 3]).await;
    places.value(UnitStruct).await;
    places.value(NewType(())).await;
    places.value(NewType(UnitStruct)).await;
    places.value(NewType((1u8, 2u8))).await;
    places.value(NewType(json!(null))).await;
    places.value(TupleStruct(1, 2)).await;
    places.value(Transparent { inner: vec![1, 2] }).await;
    places.value(None::<u8>).await;
    places.value(Some(1u8)).await;
    places.value(Some((1u8, 2u8))).await;
    places.value(Some(vec![None::<u8>])).await;
    places.value(Ok::<(), String>(())).await;
    places.value(Err::<(), String>("no".into())).await;
    places.value(Ok::<Option<u8>, String>(None)).await;
    places.value(Inner::default()).await;
    places.value(vec![Some(1u8), None]).await;
    places.value(BTreeMap::from([("a".to_string(), None::<u8>)])).await;
    places.value(Value::Null).await;
    places.value(Value::List(vec![Value::Null])).await;
    for value in [External::Unit, External::New(1), External::Tuple(1, 2), External::Struct { a: 1, b: None }]
    {
        places.value(value).await;
    }
    for value in [Internal::Unit, Internal::New(Inner::default()), Internal::Struct { a: 1 }] {
        places.value(value).await;
    }
    for value in [Adjacent::Unit, Adjacent::New(1), Adjacent::Tuple(1, 2), Adjacent::Struct { a: 1 }] {
        places.value(value).await;
    }
    for value in [
        Untagged::Number(1),
        Untagged::Pair(1, 2),
        Untagged::Struct { a: 1 },
        Untagged::Text("x".into()),
        Untagged::List(vec!["x".into()]),
        Untagged::Unit,
    ] {
        places.value(value).await;
    }
    places.end().await;
}

#[tokio::test]
async fn the_argument_of_a_spawn_may_be_null() {
    let places = Places::new().await;
    for (_, place) in places.places.iter().skip(2) {
        for value in [json!(null), json!([null]), json!({"a": null})] {
            let (sender, mut got) = mpsc::unbounded_channel();
            let port = places.node.port(move |_: &mut Context<'_>, (value,): (serde_json::Value,)| {
                sender.send(value).unwrap();
            });
            places.node.spawn(place.id(), "echo", (&port, &value)).unwrap();
            assert_eq!(soon("the argument", got.recv()).await, Some(value));
        }
    }
    places.end().await;
}

#[test]
fn some_of_nothing_is_an_error_and_not_none() {
    fn refused(value: impl Serialize) {
        let error = (1u8, &value, 2u8).encode().unwrap_err();
        assert!(error.to_string().contains("null"), "{error}");
        assert!(aemp_proto::typed::to_body(&value).is_err());
    }
    refused(Some(None::<u8>));
    refused(Some(()));
    refused(Some(UnitStruct));
    refused(Some(NewType(None::<u8>)));
    refused(Some(Some(None::<u8>)));
    refused(Some(json!(null)));
    refused(Some(Value::Null));
    assert!((Some(vec![None::<u8>]), Some(Inner::default()), None::<Option<u8>>).encode().is_ok());
}
