//! The local workloads on tokio's unbounded channel: a task and a channel are an actor.

use std::time::Instant;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::measure::{Measured, resident};

const PAIRS: u64 = 1000;
const BATCH: u64 = 10_000;
const FAN: u64 = 10_000;

/// A tag and a number.
struct Count(u64);

/// Runs a workload; `None` if nothing has this name.
pub(super) async fn run(workload: &str, count: u64) -> Option<Measured> {
    Some(match workload {
        "l1" => one_direction(1, 1, count).await,
        "l1x4" => one_direction(4, 1, count).await,
        "l1pairs" => one_direction(PAIRS, PAIRS, count).await,
        "l2" => ping_pong(1, count).await,
        "l2pairs" => ping_pong(PAIRS, count).await,
        "l3" => create_and_end(count).await,
        "l3mem" => memory(count).await,
        "l4" => calls(count).await,
        "fan10k" => fan_out(count).await,
        _ => return None,
    })
}

/// A task that adds up what it is sent until there are no senders.
fn adder() -> (mpsc::UnboundedSender<Count>, JoinHandle<u64>) {
    let (sender, mut receiver) = mpsc::unbounded_channel();
    let task = tokio::spawn(async move {
        let mut sum = 0u64;
        while let Some(Count(n)) = receiver.recv().await {
            sum = sum.wrapping_add(n);
        }
        sum
    });
    (sender, task)
}

async fn one_direction(producers: u64, consumers: u64, count: u64) -> Measured {
    let began = Instant::now();
    let (senders, tasks): (Vec<_>, Vec<_>) = (0..consumers).map(|_| adder()).unzip();
    for producer in 0..producers {
        let sender = senders[(producer % consumers) as usize].clone();
        tokio::spawn(async move {
            for n in 0..count / producers {
                assert!(sender.send(Count(n)).is_ok());
                if n % 1024 == 1023 {
                    tokio::task::yield_now().await;
                }
            }
        });
    }
    drop(senders);
    for task in tasks {
        assert!(task.await.is_ok());
    }
    Measured::since(began, count)
}

async fn fan_out(count: u64) -> Measured {
    let (senders, tasks): (Vec<_>, Vec<_>) = (0..FAN).map(|_| adder()).unzip();
    let rounds = (count / FAN).max(1);
    let began = Instant::now();
    for n in 0..rounds {
        for sender in &senders {
            assert!(sender.send(Count(n)).is_ok());
        }
        tokio::task::yield_now().await;
    }
    drop(senders);
    for task in tasks {
        assert!(task.await.is_ok());
    }
    Measured::since(began, rounds * FAN)
}

async fn create_and_end(count: u64) -> Measured {
    let rounds = (count / BATCH).max(1);
    let began = Instant::now();
    for _ in 0..rounds {
        let (senders, tasks): (Vec<_>, Vec<_>) = (0..BATCH).map(|_| adder()).unzip();
        drop(senders);
        for task in tasks {
            assert!(task.await.is_ok());
        }
    }
    Measured::since(began, rounds * BATCH)
}

/// Bytes of an idle task that waits at its channel.
async fn memory(count: u64) -> Measured {
    let before = resident();
    let began = Instant::now();
    let (senders, tasks): (Vec<_>, Vec<_>) = (0..count).map(|_| adder()).unzip();
    // They have all begun to wait once each has added something up.
    for sender in &senders {
        assert!(sender.send(Count(1)).is_ok());
    }
    let grown = resident() - before;
    let measured = Measured::since(began, count);
    drop(senders);
    for task in tasks {
        assert!(task.await.is_ok());
    }
    measured.with_figure(grown / count as f64)
}

async fn ping_pong(pairs: u64, count: u64) -> Measured {
    let began = Instant::now();
    let mut tasks = Vec::new();
    for _ in 0..pairs {
        let (ping, mut pinged) = mpsc::unbounded_channel();
        let (pong, mut ponged) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Some(Count(n)) = pinged.recv().await {
                assert!(pong.send(Count(n)).is_ok());
            }
        });
        tasks.push(tokio::spawn(async move {
            for n in 0..count / pairs {
                assert!(ping.send(Count(n)).is_ok());
                ponged.recv().await;
            }
        }));
    }
    for task in tasks {
        assert!(task.await.is_ok());
    }
    Measured::since(began, count)
}

async fn calls(count: u64) -> Measured {
    let (sender, mut receiver) = mpsc::unbounded_channel::<(u64, oneshot::Sender<u64>)>();
    tokio::spawn(async move {
        while let Some((value, reply)) = receiver.recv().await {
            assert!(reply.send(value + 1).is_ok());
        }
    });
    let began = Instant::now();
    for value in 0..count {
        let (reply, answer) = oneshot::channel();
        assert!(sender.send((value, reply)).is_ok());
        assert_eq!(answer.await.ok(), Some(value + 1));
    }
    Measured::since(began, count)
}
