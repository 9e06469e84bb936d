//! One producer to one port again, with the kinds of messages that there are: moved where they can
//! be, or always encoded.
//!
//! `k-typed` is an enum with `derive(Message)`, `k-tagged` a tuple for a port with tagged handlers,
//! `k-untyped` a plain `AnyMessage`. What ends with `-encoded` runs on a node that encodes local
//! messages too.

use std::sync::Arc;
use std::time::Instant;

use aemp::{AnyMessage, Context, IntoMessage, Node, PortId, Value};
use tokio::sync::Notify;

use super::work::Work;
use crate::measure::Measured;

/// Runs a workload; `None` if nothing has this name.
pub(super) async fn run(workload: &str, count: u64) -> Option<Measured> {
    let (kind, encoded) = match workload.strip_suffix("-encoded") {
        Some(kind) => (kind, true),
        None => (workload, false),
    };
    if !matches!(kind, "k-typed" | "k-tagged" | "k-untyped") {
        return None;
    }
    let node = Node::builder().always_encode(encoded).start().await.ok()?;
    let done = Arc::new(Notify::new());
    let mut counter = Counter { left: count, done: done.clone() };
    let began = Instant::now();
    match kind {
        "k-typed" => {
            let port = node.port(move |_: &mut Context<'_>, _: Work| counter.one());
            produce(&node, &port, count, Work::Count).await;
        }
        "k-tagged" => {
            let port = node.handlers().on("count", move |_, (_,): (u64,)| counter.one()).build();
            produce(&node, &port, count, |n| ("count", n)).await;
        }
        _ => {
            let port = node.port(move |_: &mut Context<'_>, _: AnyMessage| counter.one());
            produce(&node, &port, count, |n| AnyMessage(vec![Value::from("count"), Value::from(n)])).await;
        }
    }
    done.notified().await;
    Some(Measured::since(began, count))
}

struct Counter {
    left: u64,
    done: Arc<Notify>,
}

impl Counter {
    fn one(&mut self) {
        self.left -= 1;
        if self.left == 0 {
            self.done.notify_one();
        }
    }
}

async fn produce<M: IntoMessage>(node: &Node, port: &PortId, count: u64, message: impl Fn(u64) -> M) {
    for n in 0..count {
        node.send(port, message(n)).expect("it encodes");
        if n % 1024 == 1023 {
            tokio::task::yield_now().await;
        }
    }
}
