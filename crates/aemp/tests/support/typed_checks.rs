//! What must hold when typed ports get any values. A fuzz target and the test that replays its
//! corpus call this.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::Duration;

use aemp::{
    AnyMessage, Body, Context, FromMessage, IntoMessage, Message, Node, NodeId, PortId, Reason, ReplyTo,
    Value,
};
use aemp_proto::wire::Limits;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

const LIMITS: Limits = Limits::DEFAULT.frame(1 << 16).depth(64);

/// Longer than a port takes to handle a message on a busy machine.
const SOON: Duration = Duration::from_secs(20);

#[derive(Debug, Clone, Serialize, Deserialize, Message)]
enum Tagged {
    Nothing,
    One(i64),
    Two(String, Option<u8>),
    Named { text: String, list: Vec<Inner>, map: BTreeMap<String, Value> },
    Whole(Inner),
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Inner {
    number: u64,
    float: f32,
    truth: bool,
    letter: char,
    wide: i128,
    rest: Vec<Choice>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
enum Choice {
    Unit,
    New(Box<Choice>),
    Tuple(u8, i8),
    Struct { bytes: Vec<u8> },
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged)]
enum Untagged {
    Number(i32),
    Text(String),
    List(Vec<Untagged>),
    Map(BTreeMap<String, Untagged>),
}

type Ids = (NodeId, PortId, Option<ReplyTo<u8>>);
type Floats = (f64, [u16; 3], (char, ()));

/// Bytes read as the values of a message, which ports of many types get: each handles it or dies of
/// what does not fit. What was taken is sent on, and is the same where it arrives.
pub(crate) fn deliver(bytes: &[u8]) {
    let Ok(body) = aemp_proto::Body::parse(Bytes::copy_from_slice(bytes), LIMITS) else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let node = Node::builder().always_encode(true).start().await.expect("it starts");
        to::<Tagged>(&node, &body).await;
        to::<AnyMessage>(&node, &body).await;
        to::<(Value,)>(&node, &body).await;
        to::<(String, Untagged)>(&node, &body).await;
        to::<(Inner,)>(&node, &body).await;
        to::<Ids>(&node, &body).await;
        to::<Floats>(&node, &body).await;
        to::<(serde_json::Value, Choice)>(&node, &body).await;
        node.shutdown().await;
    });
}

async fn to<M: FromMessage + IntoMessage + Debug + Sync>(node: &Node, body: &Body) {
    let (sender, mut shown) = tokio::sync::mpsc::unbounded_channel();
    let last = sender.clone();
    let second = node.port(move |cx: &mut Context<'_>, message: M| {
        last.send(format!("{message:?}")).expect("the test listens");
        cx.end(Reason::NORMAL);
    });
    let arrives = node.exited(&second);
    let first = node.port(move |cx: &mut Context<'_>, message: M| {
        sender.send(format!("{message:?}")).expect("the test listens");
        cx.send(&second, message);
        cx.end(Reason::NORMAL);
    });
    let taken = node.exited(&first);
    node.send(first.port(), body.clone()).expect("it is encoded");
    let taken = tokio::time::timeout(SOON, taken).await.expect("it ends in any case");
    if !taken.is_normal() {
        let known = ["bad_message", "unhandled_message", "die"];
        let identifier = taken.identifier().unwrap_or_default();
        assert!(known.contains(&&*identifier) && shown.try_recv().is_err() || identifier == "die", "{taken}");
        return;
    }
    let arrived = tokio::time::timeout(SOON, arrives).await.expect("what was taken can be taken again");
    assert!(arrived.is_normal(), "{arrived}");
    assert_eq!(shown.try_recv().expect("the first"), shown.try_recv().expect("the second"));
}
