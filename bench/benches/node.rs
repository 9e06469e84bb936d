//! The parts of a node, through its public verbs: mailboxes, the table of ports, monitors, calls;
//! and the outbox.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use aemp::{Context, IntoMessage, Message, Node, PortId, Reason, ReplyTo};
use aemp_proto::NodeId;
use aemp_proto::kernel::LinkId;
use aemp_proto::outbox::{Outbox, OutboxLimits};
use aemp_proto::wire::Records;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use serde::{Deserialize, Serialize};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Notify;

/// Messages that are sent before the receiver has its turn.
const BATCH: u64 = 1024;
const LIMIT: Duration = Duration::from_secs(60);

#[derive(Serialize, Deserialize, Message)]
enum Work {
    Count(u64),
    Call { value: u64, reply: ReplyTo<u64> },
}

/// One thread: what is measured is work, not wake-ups.
fn node() -> (Runtime, Node) {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime can be made");
    let node = runtime.block_on(Node::builder().start()).expect("it starts");
    (runtime, node)
}

/// A port that says when it has had a whole batch.
fn counter(node: &Node) -> (PortId, Arc<Notify>) {
    let done = Arc::new(Notify::new());
    let told = done.clone();
    let port = node.port(move |cx: &mut Context<'_>, work: Work| match work {
        Work::Count(n) => {
            if n == 0 {
                told.notify_one();
            }
        }
        Work::Call { value, reply } => cx.reply(reply, value + 1),
    });
    (port.into(), done)
}

fn mailbox(c: &mut Criterion) {
    let (runtime, node) = node();
    let mut group = c.benchmark_group("mailbox");
    group.throughput(Throughput::Elements(BATCH));
    let (port, done) = counter(&node);
    group.bench_function("send and handle", |b| {
        b.iter(|| {
            runtime.block_on(async {
                for n in (0..BATCH).rev() {
                    node.send(&port, Work::Count(n)).expect("it encodes");
                }
                done.notified().await;
            });
        });
    });
    let spread: Vec<_> = (0..BATCH).map(|_| counter(&node)).collect();
    group.bench_function("send to many ports", |b| {
        b.iter(|| {
            runtime.block_on(async {
                for (port, _) in &spread {
                    node.send(port, Work::Count(0)).expect("it encodes");
                }
                for (_, done) in &spread {
                    done.notified().await;
                }
            });
        });
    });
    group.finish();
}

fn table(c: &mut Criterion) {
    let (runtime, node) = node();
    let mut group = c.benchmark_group("table");
    group.throughput(Throughput::Elements(BATCH));
    group.bench_function("open and kill", |b| {
        b.iter(|| {
            runtime.block_on(async {
                let ports: Vec<PortId> = (0..BATCH).map(|_| counter(&node).0).collect();
                let last = ports.last().map(|port| node.exited(port));
                for port in &ports {
                    node.kill(port, Reason::NORMAL);
                }
                if let Some(last) = last {
                    last.await;
                }
            });
        });
    });
    let (port, _) = counter(&node);
    group.throughput(Throughput::Elements(1));
    group.bench_function("set and withdraw a monitor", |b| {
        b.iter(|| drop(black_box(node.monitor(&port, |_| {}))));
    });
    group.bench_function("call", |b| {
        b.iter(|| {
            let call = node.call(&port, LIMIT, |reply| Work::Call { value: 1, reply });
            runtime.block_on(call).expect("it is answered")
        });
    });
    group.finish();
}

fn outbox(c: &mut Criterion) {
    let link = LinkId::accepted(1);
    let port: PortId = "shop/1#abcdefgh1".parse().expect("a port ID");
    let body = Work::Count(1).encode().expect("it encodes");
    let attached = || {
        let node = NodeId::new("shop/1").expect("a node ID");
        let mut outbox: Outbox<()> = Outbox::new(node, OutboxLimits::default());
        outbox.attach(link, aemp_proto::Framing::Native);
        outbox
    };
    let mut group = c.benchmark_group("outbox");
    group.throughput(Throughput::Elements(BATCH));
    group.bench_function("append and take", |b| {
        let (mut outbox, mut taken) = (attached(), Records::default());
        b.iter(|| {
            for _ in 0..BATCH {
                black_box(outbox.send(&port, &body));
            }
            taken.clear(usize::MAX);
            outbox.take(link, &mut taken);
            outbox.written(link, 0);
        });
    });
    group.bench_function("break with monitors", |b| {
        let full = || {
            let mut outbox = attached();
            for id in 0..BATCH {
                black_box(outbox.monitor(&port, id, id, ()));
            }
            outbox
        };
        b.iter_batched(full, |mut outbox| black_box(outbox.break_now()), BatchSize::SmallInput);
    });
    group.finish();
}

criterion_group!(parts, mailbox, table, outbox);
criterion_main!(parts);
