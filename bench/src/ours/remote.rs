//! The workloads to a port of another process: a shared secret, and the native framing where
//! nothing else is said.

use std::sync::Arc;
use std::time::Instant;

use aemp::{Context, Node, PortId};
use tokio::sync::{Notify, mpsc};

use super::transport;
use super::work::Work;
use crate::catalogue::{Payload, payload};
use crate::measure::{Measured, Times};
use crate::process::Peer;

const SENDERS: u64 = 1000;

/// Runs a workload; `None` if nothing has this name.
pub(super) async fn run(system: &str, workload: &str, count: u64) -> Option<Measured> {
    let far = Far::start(system, workload).await?;
    Some(match workload {
        "r1" | "f-json" | "f-cbor" | "f-tls" => far.one_direction(count).await,
        "r1k" => far.with_a_thousand(count).await,
        "r2" | "f-tls-trips" => far.round_trips(count).await,
        _ => far.payloads(payload(workload)?, count).await,
    })
}

/// A node that is connected to the far end.
pub(super) struct Far {
    pub(super) node: Node,
    /// The port of the far end.
    pub(super) port: PortId,
    pub(super) peer: Peer,
}

impl Far {
    /// Starts the far end and connects to it.
    pub(super) async fn start(system: &str, workload: &str) -> Option<Far> {
        let bundle = transport::environment(workload);
        let environment: Vec<(&str, &str)> = bundle.iter().map(|(key, pem)| (*key, pem.as_str())).collect();
        let peer = Peer::start_with(system, workload, &environment);
        let (address, port) = peer.line.split_once(' ')?;
        let builder = transport::builder(workload, environment.first().map(|(_, pem)| *pem));
        let node = builder.id("bench").seed(address).start().await.ok()?;
        let port: PortId = port.parse().ok()?;
        let far = Far { node, port, peer };
        let (me, mut answers) = far.listener();
        far.send(Work::Ping(me, 0));
        answers.recv().await;
        Some(far)
    }

    pub(super) fn send(&self, work: Work) {
        self.node.send(&self.port, work).expect("it encodes");
    }

    /// A port that hands the numbers it is sent to the workload.
    pub(super) fn listener(&self) -> (PortId, mpsc::UnboundedReceiver<u64>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let port = self.node.port(move |_: &mut Context<'_>, work: Work| {
            if let Work::Seen(n) = work {
                // At the end of a workload nobody may wait any more.
                let _ = sender.send(n);
            }
        });
        (port.into(), receiver)
    }

    async fn one_direction(&self, count: u64) -> Measured {
        let (port, mut answers) = self.listener();
        let began = Instant::now();
        self.send(Work::Until { count, every: u64::MAX, port });
        send_counts(&self.node, &self.port, count).await;
        answers.recv().await;
        Measured::since(began, count)
    }

    /// Each of a thousand tasks sends to a port of its own.
    async fn with_a_thousand(&self, count: u64) -> Measured {
        let (sender, mut ports) = mpsc::unbounded_channel();
        let asker = self.node.port(move |_: &mut Context<'_>, work: Work| {
            if let Work::Ports(ports) = work {
                sender.send(ports).expect("the workload waits");
            }
        });
        self.send(Work::More(SENDERS, asker.into()));
        let ports = ports.recv().await.unwrap_or_default();
        let each = (count / SENDERS).max(1);
        let (me, mut answers) = self.listener();
        let began = Instant::now();
        for target in ports {
            let (node, me) = (self.node.clone(), me.clone());
            tokio::spawn(async move {
                let until = Work::Until { count: each, every: u64::MAX, port: me };
                node.send(&target, until).expect("it encodes");
                send_counts(&node, &target, each).await;
            });
        }
        for _ in 0..SENDERS {
            answers.recv().await;
        }
        Measured::since(began, each * SENDERS)
    }

    async fn round_trips(&self, count: u64) -> Measured {
        let mut times = Some(Times::new());
        let (done, target) = (Arc::new(Notify::new()), self.port.clone());
        let finished = done.clone();
        let (result, mut results) = mpsc::unbounded_channel();
        let mut sent = Instant::now();
        let pinger = self.node.port(move |cx: &mut Context<'_>, work: Work| {
            let Work::Seen(n) = work else { return };
            if let Some(times) = &mut times {
                times.add(sent.elapsed());
            }
            if n + 1 == count {
                result.send(times.take()).expect("the workload waits");
                finished.notify_one();
                return;
            }
            sent = Instant::now();
            let me = cx.me();
            cx.send(&target, Work::Ping(me, n + 1));
        });
        let began = Instant::now();
        self.send(Work::Ping(pinger.into(), 0));
        done.notified().await;
        let measured = Measured::since(began, count);
        let times = results.recv().await.flatten().unwrap_or_else(Times::new);
        measured.with_times(&times)
    }

    async fn payloads(&self, payload: Payload, count: u64) -> Measured {
        let (port, mut answers) = self.listener();
        let bytes = vec![7u8; payload.bytes];
        let began = Instant::now();
        self.send(Work::Until { count, every: payload.every, port });
        let mut seen = 0;
        for n in 0..count {
            while n - seen >= payload.window {
                seen = answers.recv().await.unwrap_or(count);
            }
            self.send(Work::Payload(bytes.clone()));
        }
        while seen < count {
            seen = answers.recv().await.unwrap_or(count);
        }
        Measured::since(began, count).megabytes(count * payload.bytes as u64)
    }
}

/// Sends counts, and waits now and then until the way is free.
pub(super) async fn send_counts(node: &Node, port: &PortId, count: u64) {
    for n in 0..count {
        node.send(port, Work::Count(n)).expect("it encodes");
        if n % 1024 == 1023 {
            node.ready(port).await;
            tokio::task::yield_now().await;
        }
    }
}
