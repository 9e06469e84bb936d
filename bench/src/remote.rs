//! The remote workloads on aemp: two processes, a shared secret, the native framing.

use std::sync::Arc;
use std::time::Instant;

use aemp::{Context, Message, Node, PortId};
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, mpsc};

use crate::measure::{Measured, Peer, ready};

const PAYLOAD: usize = 64 << 10;
/// Large messages: at most this many are on the way.
const WINDOW: u64 = 1024;
const ACK_EVERY: u64 = 256;

#[derive(Serialize, Deserialize, Message)]
enum Work {
    Count(u64),
    /// Answered when so many counts or payloads have come.
    Until(u64, PortId),
    Ping(PortId, u64),
    Payload(#[serde(with = "octets")] Vec<u8>),
    Seen(u64),
}

/// Octets as octets, not as a list of numbers.
mod octets {
    use serde::de::{Deserializer, Visitor};
    use serde::ser::Serializer;

    pub(super) fn serialize<S: Serializer>(octets: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(octets)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        struct Octets;
        impl Visitor<'_> for Octets {
            type Value = Vec<u8>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("octets")
            }

            fn visit_bytes<E>(self, octets: &[u8]) -> Result<Vec<u8>, E> {
                Ok(octets.to_vec())
            }
        }
        deserializer.deserialize_bytes(Octets)
    }
}

/// The peer: a node that listens, and a port that does what the workloads ask.
pub(crate) async fn peer() {
    let node =
        Node::builder().id("peer").bind("127.0.0.1:0").secret("bench").start().await.expect("it starts");
    let (mut seen, mut until) = (0, None);
    let port = node.port(move |cx: &mut Context<'_>, work: Work| {
        match work {
            Work::Count(_) => seen += 1,
            Work::Payload(_) => {
                seen += 1;
                if let (Some((_, port)), 0) = (&until, seen % ACK_EVERY) {
                    cx.send(port, Work::Seen(seen));
                }
            }
            Work::Until(count, port) => until = Some((count, port)),
            Work::Ping(from, n) => cx.send(&from, Work::Seen(n)),
            Work::Seen(_) => {}
        }
        if let Some((count, port)) = &until
            && seen == *count
        {
            cx.send(port, Work::Seen(seen));
            until = None;
            seen = 0;
        }
    });
    ready(&format!("{} {port}", node.listeners()[0])).await;
    node.shutdown().await;
}

/// Runs a workload; `None` if there is none of this name.
pub(crate) async fn run(workload: String, count: u64) -> Option<Measured> {
    let peer = Peer::start("aemp", &workload);
    let (address, port) = peer.line.split_once(' ')?;
    let node = Node::builder().id("bench").secret("bench").seed(address).start().await.ok()?;
    let port: PortId = port.parse().ok()?;
    let measured = match workload.as_str() {
        "r1" => one_way(&node, &port, count).await,
        "r2" => round_trips(&node, &port, count).await,
        "r3" => payloads(&node, &port, count).await,
        _ => return None,
    };
    Some(measured)
}

/// A port that hands the numbers it is sent to the workload.
fn listener(node: &Node) -> (PortId, mpsc::UnboundedReceiver<u64>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let port = node.port(move |_: &mut Context<'_>, work: Work| {
        if let Work::Seen(n) = work {
            sender.send(n).expect("the workload waits");
        }
    });
    (port, receiver)
}

/// One round trip, so that the connection is there.
async fn connect(node: &Node, port: &PortId) {
    let (me, mut answers) = listener(node);
    node.send(port, Work::Ping(me, 0)).expect("it encodes");
    answers.recv().await;
}

async fn one_way(node: &Node, port: &PortId, count: u64) -> Measured {
    connect(node, port).await;
    let (me, mut answers) = listener(node);
    let began = Instant::now();
    node.send(port, Work::Until(count, me)).expect("it encodes");
    for n in 0..count {
        node.send(port, Work::Count(n)).expect("it encodes");
        if n % 1024 == 1023 {
            node.ready(port).await;
            tokio::task::yield_now().await;
        }
    }
    answers.recv().await;
    Measured::since(began, count)
}

async fn round_trips(node: &Node, port: &PortId, count: u64) -> Measured {
    connect(node, port).await;
    let mut times = Vec::with_capacity(count as usize);
    let done = Arc::new(Notify::new());
    let (finished, target) = (done.clone(), port.clone());
    let (result, mut results) = mpsc::unbounded_channel();
    let mut sent = Instant::now();
    let pinger = node.port(move |cx: &mut Context<'_>, work: Work| {
        if let Work::Seen(n) = work {
            times.push(u32::try_from(sent.elapsed().as_nanos()).unwrap_or(u32::MAX));
            if n + 1 == count {
                result.send(std::mem::take(&mut times)).expect("the workload waits");
                finished.notify_one();
                return;
            }
            sent = Instant::now();
            let me = cx.me();
            cx.send(&target, Work::Ping(me, n + 1));
        }
    });
    let began = Instant::now();
    node.send(port, Work::Ping(pinger, 0)).expect("it encodes");
    done.notified().await;
    let measured = Measured::since(began, count);
    measured.with_round_trips(results.recv().await.unwrap_or_default())
}

async fn payloads(node: &Node, port: &PortId, count: u64) -> Measured {
    connect(node, port).await;
    let (me, mut answers) = listener(node);
    let payload = vec![7u8; PAYLOAD];
    let began = Instant::now();
    node.send(port, Work::Until(count, me)).expect("it encodes");
    let mut seen = 0;
    for n in 0..count {
        while n - seen >= WINDOW {
            seen = answers.recv().await.unwrap_or(count);
        }
        node.send(port, Work::Payload(payload.clone())).expect("it encodes");
    }
    while seen < count {
        seen = answers.recv().await.unwrap_or(count);
    }
    let measured = Measured::since(began, count);
    let rate = (count as usize * PAYLOAD) as f64 / 1e6 / measured.elapsed.as_secs_f64();
    measured.with_rate(rate)
}
