//! The hot paths, each repeated a number of times on one thread, with nothing random in it that
//! could be left out.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aemp::{Body, Context, FromMessage, IntoMessage, Node, NodeId, PortId, Reason};
use aemp_proto::kernel::LinkId;
use aemp_proto::outbox::{Outbox, OutboxLimits};
use aemp_proto::wire::{Frame, FrameReader, Framing, Limits, Records, reframe, write_message};
use tokio::sync::Notify;

use crate::ours::{Work, connected};

/// All of them, and the turns of the shorter run: enough for what differs between two starts to
/// vanish, and a second or two under valgrind.
pub(super) const PATHS: [(&str, u64); 12] = [
    ("send", 65_536),
    ("ping-pong", 16_384),
    ("call", 8192),
    ("port", 16_384),
    ("monitor", 16_384),
    ("encode", 8192),
    ("decode", 8192),
    ("frame-native", 16_384),
    ("frame-json", 8192),
    ("outbox", 65_536),
    ("remote", 16_384),
    ("remote-round-trip", 4096),
];

/// Messages that are sent before the receiver has its turn.
const BATCH: u64 = 64;
const LIMIT: Duration = Duration::from_secs(600);

/// Takes a path this many times; `false` if nothing has this name.
pub(crate) async fn run(path: String, turns: u64) -> bool {
    match path.as_str() {
        "encode" => encode(turns),
        "decode" => decode(turns),
        "frame-native" => frames(Framing::Native, turns),
        "frame-json" => frames(Framing::Json, turns),
        "outbox" => outbox(turns),
        "remote" | "remote-round-trip" => {
            let (here, there) = connected().await;
            match path.as_str() {
                "remote" => send(&here, &there, turns).await,
                _ => ping_pong(&here, &there, turns).await,
            }
        }
        _ => {
            let Ok(node) = Node::builder().id("hot").start().await else { return false };
            match path.as_str() {
                "send" => send(&node, &node, turns).await,
                "ping-pong" => ping_pong(&node, &node, turns).await,
                "call" => call(&node, turns).await,
                "port" => ports(&node, turns).await,
                "monitor" => monitors(&node, turns),
                _ => return false,
            }
        }
    }
    true
}

/// From a task to a port, which may be on another node.
async fn send(from: &Node, to: &Node, turns: u64) {
    let seen = Arc::new(AtomicU64::new(0));
    let (done, counted) = (Arc::new(Notify::new()), seen.clone());
    let finished = done.clone();
    let port = to.port(move |_: &mut Context<'_>, work: Work| {
        if let Work::Count(n) = work {
            counted.fetch_add(1, Ordering::Relaxed);
            if n == 0 {
                finished.notify_one();
            }
        }
    });
    for n in (0..turns).rev() {
        from.send(&port, Work::Count(n)).expect("it encodes");
        if n % BATCH == 0 {
            tokio::task::yield_now().await;
        }
    }
    done.notified().await;
    assert_eq!(seen.load(Ordering::Relaxed), turns);
}

async fn ping_pong(here: &Node, there: &Node, turns: u64) {
    let done = Arc::new(Notify::new());
    let finished = done.clone();
    let pong = there.port(|cx: &mut Context<'_>, work: Work| {
        if let Work::Ping(from, n) = work {
            cx.send(&from, Work::Seen(n));
        }
    });
    let target = pong.clone();
    let ping = here.port(move |cx: &mut Context<'_>, work: Work| {
        if let Work::Seen(n) = work {
            if n == 0 {
                finished.notify_one();
            } else {
                let me = cx.me();
                cx.send(&target, Work::Ping(me, n - 1));
            }
        }
    });
    here.send(&pong, Work::Ping(ping.into(), turns)).expect("it encodes");
    done.notified().await;
}

async fn call(node: &Node, turns: u64) {
    let port = node.port(|cx: &mut Context<'_>, work: Work| {
        if let Work::Call { value, reply } = work {
            cx.reply(reply, value + 1);
        }
    });
    for value in 0..turns {
        let answer = node.call(&port, LIMIT, |reply| Work::Call { value, reply }).await;
        assert_eq!(answer.ok(), Some(value + 1));
    }
}

/// Opens a port, sends to it, kills it, and lets it handle that.
async fn ports(node: &Node, turns: u64) {
    for n in 0..turns {
        let port = node.port(|_: &mut Context<'_>, work: Work| drop(black_box(work)));
        node.send(&port, Work::Count(n)).expect("it encodes");
        node.kill(&port, Reason::NORMAL);
        tokio::task::yield_now().await;
    }
}

/// Sets a monitor and withdraws it.
fn monitors(node: &Node, turns: u64) {
    let port = node.port(|_: &mut Context<'_>, _: Work| {});
    for _ in 0..turns {
        drop(black_box(node.monitor(&port, |_| {})));
    }
}

fn message(n: u64) -> Work {
    Work::Call { value: n, reply: aemp::ReplyTo::new(port_id()) }
}

fn port_id() -> PortId {
    "far/away#abcdefgh1".parse().expect("a port ID")
}

fn encode(turns: u64) {
    let message = message(1);
    for _ in 0..turns {
        black_box(black_box(&message).encode().expect("it encodes"));
    }
}

fn decode(turns: u64) {
    let body = message(1).encode().expect("it encodes");
    for _ in 0..turns {
        black_box(Work::decode(black_box(&body)).expect("it decodes"));
    }
}

/// Frames as a socket gives them: a batch at a time.
fn frames(framing: Framing, turns: u64) {
    let body = message(1).encode().expect("it encodes");
    let mut records = Vec::new();
    for n in 0..BATCH {
        write_message(&mut records, n, "abcdefgh1", &body).expect("it fits a frame");
    }
    let mut bytes = Vec::new();
    reframe(&records, framing, &mut bytes).expect("its own frames");
    let mut reader = FrameReader::new(framing, Limits::DEFAULT);
    for _ in 0..turns / BATCH {
        reader.expect(0);
        reader.buffer().extend_from_slice(&bytes);
        while let Some(frame) = reader.next().expect("a good frame") {
            assert!(matches!(black_box(&frame), Frame::Message { .. }));
        }
    }
}

/// Appends a batch, and takes it as a writer does.
fn outbox(turns: u64) {
    let link = LinkId::accepted(1);
    let node = NodeId::new("far/away").expect("a node ID");
    let mut outbox: Outbox<()> = Outbox::new(node, OutboxLimits::default());
    outbox.attach(link, aemp_proto::Framing::Native);
    let (port, body): (PortId, Body) = (port_id(), message(1).encode().expect("it encodes"));
    let mut taken = Records::default();
    for _ in 0..turns / BATCH {
        for _ in 0..BATCH {
            black_box(outbox.send(&port, &body));
        }
        taken.clear(usize::MAX);
        outbox.take(link, &mut taken);
        black_box(&taken);
        outbox.written(link, 0);
    }
}

/// The names in the order of the budget.
#[cfg(test)]
pub(super) fn sorted() -> Vec<&'static str> {
    let mut paths = PATHS.map(|(path, _)| path).to_vec();
    paths.sort_unstable();
    paths
}
