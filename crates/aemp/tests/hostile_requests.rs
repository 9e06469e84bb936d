//! Hostile requests of peers that know the secret: they cost the peer its own connection at most, and others nothing.

#![allow(clippy::unwrap_used)] // a test may

mod support;

use aemp::Node;
use aemp_proto::wire::{Body, reframe, write_message};
use aemp_proto::{Framing, Message, Value};
use support::raw::{Raw, SECRET};
use support::{builder, soon};
use tokio::io::AsyncReadExt as _;

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

/// Waits until the node has answered a question of the peer, behind all that the peer has sent before.
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
                    node.send(&node.id().port(), Message(values)).unwrap();
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
