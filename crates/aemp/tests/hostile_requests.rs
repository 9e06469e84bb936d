//! Hostile requests of peers that know the secret: they cost the peer its own connection at most,
//! and others nothing.

#![allow(clippy::unwrap_used)] // a test may

mod support;

use std::time::Duration;

use aemp::{Node, NodeEvent, OutboxLimits};
use aemp_proto::wire::{Body, reframe, write_message};
use aemp_proto::{AnyMessage, Framing, Value};
use support::raw::{Raw, SECRET};
use support::{builder, soon};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::OwnedReadHalf;
use tokio::task::JoinHandle;

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(test);
}

async fn target(secure: bool) -> Node {
    builder(false).id("target").bind("127.0.0.1:0").secret(SECRET).secure(secure).start().await.unwrap()
}

/// A peer that writes in this framing and reads JSON.
async fn peer(node: &Node, name: &str, framing: Framing) -> Raw {
    let mut raw = Raw::connect(node).await;
    raw.authenticate(&format!("aemp;1;{name};hmac_sha3_512;json"), framing.as_str()).await;
    let line = soon("the node's line", raw.line()).await;
    assert!(line.starts_with(b"hmac_sha3_512;"));
    raw
}

/// A message to the node port as this framing has it; `seq` counts in the native one.
fn request(framing: Framing, seq: u64, values: &[Value]) -> Vec<u8> {
    let (mut native, mut out) = (Vec::new(), Vec::new());
    write_message(&mut native, seq, "", &Body::encode(values).unwrap()).unwrap();
    reframe(&native, framing, &mut out).unwrap();
    out
}

fn names(names: &[&str]) -> Vec<Value> {
    names.iter().map(|name| Value::name(name)).collect()
}

/// Waits until the node has answered a question of the peer, behind all that the peer has sent
/// before.
async fn answers(raw: &mut Raw, name: &str, framing: Framing, seq: u64) {
    raw.send(request(framing, seq, &names(&["snd", &format!("{name}#me"), "still here"]))).await;
    let expected = br#"["me","still here"]"#;
    let mut read = Vec::new();
    while !read.ends_with(expected) {
        read.push(soon("the answer", raw.reader.read_u8()).await.unwrap());
    }
}

#[test]
fn requests_inside_of_each_other_do_not_overflow_the_stack() {
    run(async {
        for secure in [false, true] {
            let node = target(secure).await;
            for framing in Framing::ALL {
                let mut raw = peer(&node, "deep", framing).await;
                let chains = [
                    &["snd", "target"][..],
                    &["time", "target"],
                    &["can", "x", "target"],
                    &["eval", "x", "target"],
                ];
                for (chain, seq) in chains.into_iter().zip(1..) {
                    let values: Vec<Value> = std::iter::repeat_n(names(chain), 12_000).flatten().collect();
                    raw.send(request(framing, seq, &values)).await;
                    // The node's own program may do the same.
                    node.send(&node.id().control_port(), AnyMessage(values)).unwrap();
                }
                answers(&mut raw, "deep", framing, 5).await;
            }
        }
    });
}

#[test]
fn a_request_is_passed_on_over_a_few_nodes() {
    run(async {
        let node = target(false).await;
        let mut raw = peer(&node, "near", Framing::Json).await;
        let link = names(&["snd", "target", "snd", "near"]);
        // By the node to itself, and then back.
        raw.send(request(Framing::Json, 0, &[link, names(&["over"])].concat())).await;
        let mut answer = [0; 11];
        soon("the answer", raw.reader.read_exact(&mut answer)).await.unwrap();
        assert_eq!(std::str::from_utf8(&answer).unwrap(), r#"["","over"]"#);
    });
}

/// A peer that has a large family here, and asks for it more often than anybody can answer.
async fn greedy(node: &Node, name: &str) -> (OwnedReadHalf, JoinHandle<()>) {
    let mut raw = peer(node, name, Framing::Json).await;
    let entries: Vec<String> = (0..20_000).map(|n| format!(r#""key number {n}":"{n:0100}""#)).collect();
    raw.send(r#"["","g_slave",{}]"#).await;
    raw.send(format!(r#"["","g_upd","large",{{{}}},[]]"#, entries.join(","))).await;
    answers(&mut raw, name, Framing::Json, 0).await;
    let mut writer = raw.writer;
    let flood = tokio::spawn(async move {
        let questions = r#"["","g_db_family","large","1"]"#.repeat(1_000_000);
        // It blocks when the node does not read any more.
        let _ = writer.write_all(questions.as_bytes()).await;
    });
    (raw.reader.into_inner(), flood)
}

/// A node in whose messages the large family does not fit.
async fn seed() -> Node {
    let limits = OutboxLimits::default().message(1 << 20);
    let node = builder(false).id("target").bind("127.0.0.1:0").secret(SECRET).outbox_limits(limits);
    node.monitor_timeout(Duration::from_secs(2)).start().await.unwrap()
}

/// Asks the node as its master, and waits for the answer.
async fn asks(raw: &mut Raw, id: u32) {
    raw.send(format!(r#"["","g_db_keys","small","{id}"]"#)).await;
    let expected = format!(r#"["","g_reply","{id}",[]]"#);
    let mut read = Vec::new();
    while !read.ends_with(expected.as_bytes()) {
        read.push(soon("the answer", raw.reader.read_u8()).await.unwrap());
    }
}

#[test]
fn a_peer_that_asks_for_too_much_makes_nobody_else_wait_and_goes_when_it_ends() {
    run(async {
        let node = seed().await;
        let mut events = node.node_events();
        let (reader, flood) = greedy(&node, "greedy").await;
        for n in 0..3 {
            let name = format!("modest{n}");
            asks(&mut peer(&node, &name, Framing::Json).await, n).await;
        }
        assert!(!flood.is_finished(), "the flood is not large enough for this test");
        flood.abort();
        drop((reader, flood.await));
        soon("the end of the peer", async {
            while !matches!(events.next().await.unwrap(), NodeEvent::Down(node, _) if node.as_str() == "greedy") {}
        })
        .await;
        asks(&mut peer(&node, "late", Framing::Json).await, 99).await;
    });
}

#[test]
fn a_node_ends_while_a_peer_asks_for_too_much() {
    run(async {
        let node = seed().await;
        let (_reader, flood) = greedy(&node, "greedy").await;
        soon("the end of the node", node.shutdown()).await;
        flood.abort();
    });
}
