//! The local workloads on aemp: typed callback ports.

use std::sync::Arc;
use std::time::{Duration, Instant};

use aemp::{Context, Message, Node, PortId, Reason, ReplyTo};
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, mpsc};

use crate::measure::{Measured, resident};

const PAIRS: u64 = 1000;
const BATCH: u64 = 10_000;
const FAN: u64 = 10_000;
const LIMIT: Duration = Duration::from_secs(60);

/// One of many: a tag and a number.
#[derive(Serialize, Deserialize, Message)]
enum Tick {
    Count(u64),
}

/// Thrown back and forth, with who threw it.
#[derive(Serialize, Deserialize, Message)]
enum Ball {
    Ping(PortId, u64),
}

/// A call.
#[derive(Serialize, Deserialize, Message)]
enum Ask {
    Next { value: u64, reply: ReplyTo<u64> },
}

/// Runs a workload; `None` if nothing has this name.
pub(super) async fn run(workload: &str, count: u64) -> Option<Measured> {
    let node = Node::builder().start().await.ok()?;
    Some(match workload {
        "l1" => one_direction(&node, 1, 1, count).await,
        "l1x4" => one_direction(&node, 4, 1, count).await,
        "l1pairs" => one_direction(&node, PAIRS, PAIRS, count).await,
        "l2" => ping_pong(&node, 1, count).await,
        "l2pairs" => ping_pong(&node, PAIRS, count).await,
        "l3" => create_and_kill(&node, count).await,
        "l3mem" => memory(&node, count),
        "l4" => calls(&node, count).await,
        "fan10k" => fan_out(&node, count).await,
        _ => return None,
    })
}

/// A port that says when it has had this many messages.
fn counter(node: &Node, expected: u64, done: Arc<Notify>) -> PortId {
    let mut seen = 0;
    node.port(move |_: &mut Context<'_>, Tick::Count(_)| {
        seen += 1;
        if seen == expected {
            done.notify_one();
        }
    })
    .into()
}

async fn one_direction(node: &Node, producers: u64, ports: u64, count: u64) -> Measured {
    let done: Vec<Arc<Notify>> = (0..ports).map(|_| Arc::new(Notify::new())).collect();
    let targets: Vec<PortId> = done.iter().map(|done| counter(node, count / ports, done.clone())).collect();
    let began = Instant::now();
    for producer in 0..producers {
        let (node, target) = (node.clone(), targets[(producer % ports) as usize].clone());
        tokio::spawn(async move {
            for n in 0..count / producers {
                node.send(&target, Tick::Count(n)).expect("it encodes");
                if n % 1024 == 1023 {
                    tokio::task::yield_now().await;
                }
            }
        });
    }
    for done in &done {
        done.notified().await;
    }
    Measured::since(began, count)
}

async fn ping_pong(node: &Node, pairs: u64, count: u64) -> Measured {
    let (sender, mut done) = mpsc::unbounded_channel();
    let began = Instant::now();
    for _ in 0..pairs {
        let sender = sender.clone();
        let pong = node.port(|cx: &mut Context<'_>, Ball::Ping(from, left)| {
            let me = cx.me();
            cx.send(&from, Ball::Ping(me, left));
        });
        let ping = node.port(move |cx: &mut Context<'_>, Ball::Ping(from, left)| {
            if left == 0 {
                sender.send(()).expect("the workload waits");
            } else {
                let me = cx.me();
                cx.send(&from, Ball::Ping(me, left - 1));
            }
        });
        node.send(&ping, Ball::Ping(pong.into(), count / pairs)).expect("it encodes");
    }
    for _ in 0..pairs {
        done.recv().await;
    }
    Measured::since(began, count)
}

async fn create_and_kill(node: &Node, count: u64) -> Measured {
    let rounds = (count / BATCH).max(1);
    let began = Instant::now();
    for _ in 0..rounds {
        let ports: Vec<PortId> =
            (0..BATCH).map(|_| node.port(|_: &mut Context<'_>, _: Tick| {}).into()).collect();
        let last = node.exited(&ports[ports.len() - 1]);
        for port in &ports {
            node.kill(port, Reason::NORMAL);
        }
        last.await;
    }
    Measured::since(began, rounds * BATCH)
}

async fn fan_out(node: &Node, count: u64) -> Measured {
    let rounds = (count / FAN).max(1);
    let done: Vec<Arc<Notify>> = (0..FAN).map(|_| Arc::new(Notify::new())).collect();
    let targets: Vec<PortId> = done.iter().map(|done| counter(node, rounds, done.clone())).collect();
    let began = Instant::now();
    for n in 0..rounds {
        for target in &targets {
            node.send(target, Tick::Count(n)).expect("it encodes");
        }
        tokio::task::yield_now().await;
    }
    for done in &done {
        done.notified().await;
    }
    Measured::since(began, rounds * FAN)
}

/// Bytes of an idle port with its ID and one handler.
fn memory(node: &Node, count: u64) -> Measured {
    let before = resident();
    let began = Instant::now();
    let ports: Vec<PortId> = (0..count)
        .map(|n| node.port(move |_: &mut Context<'_>, Tick::Count(other)| assert_ne!(n, other)).into())
        .collect();
    let grown = resident() - before;
    let measured = Measured::since(began, count);
    measured.with_figure(grown / ports.len() as f64)
}

async fn calls(node: &Node, count: u64) -> Measured {
    let port = node.port(|cx: &mut Context<'_>, Ask::Next { value, reply }| cx.reply(reply, value + 1));
    let began = Instant::now();
    for value in 0..count {
        let answer = node.call(&port, LIMIT, |reply| Ask::Next { value, reply }).await;
        assert_eq!(answer.ok(), Some(value + 1));
    }
    Measured::since(began, count)
}
