//! What happens to ports that are in a certain state, which only the table knows.

#![allow(clippy::unwrap_used)] // a test may

use std::cell::RefCell;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use aemp_proto::wire::{self, FrameReader, Span};
use aemp_proto::{Body, Framing, PortId, Reason};
use bytes::Bytes;

use super::{Context, Mailbox};
use crate::message::ReplyTo;
use crate::node::{Limits, Node};
use aemp_ports::deliver::deliver_spans;
use aemp_ports::port_no::PortNo;
use aemp_ports::slot::State;

const LIMIT: Duration = Duration::from_secs(20);

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, future).await.unwrap()
}

async fn node(limits: Limits) -> Node {
    // Messages count with their bytes.
    Node::builder().limits(limits).always_encode(true).start().await.unwrap()
}

/// Waits until the port is in this state. These runtimes have one thread: the others run in
/// between.
async fn until(node: &Node, port: &PortId, state: State) {
    while node.table().get(node.own_number(port).unwrap()).unwrap().state() != state {
        tokio::task::yield_now().await;
    }
}

/// A port that takes nothing out of its mailbox.
fn idler(node: &Node) -> PortId {
    node.port_async(|_port: Mailbox| std::future::pending())
}

#[tokio::test]
async fn a_parked_port_that_passes_its_limit_dies_at_once() {
    let node = node(Limits { mailbox_high: 1000, mailbox: 4000, ..Limits::default() }).await;
    let crowded = idler(&node);
    let target = crowded.clone();
    let port = node.port(move |cx: &mut Context<'_>, (_,): (String,)| {
        cx.send(&target, ("x".repeat(1500),));
    });
    node.send(&port, ("",)).unwrap();
    until(&node, &port, State::Parked).await;
    let death = node.exited(&port);
    node.send(&port, ("x".repeat(5000),)).unwrap();
    assert_eq!(soon(death).await.identifier().as_deref(), Some("mailbox_full"));
    assert!(node.table().get(node.own_number(&crowded).unwrap()).is_some());
    node.shutdown().await;
}

#[tokio::test]
async fn an_async_port_that_always_finds_something_lets_others_run() {
    const MOST: u32 = 1_000_000;
    let node = Node::builder().start().await.unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let (sender, count) = tokio::sync::oneshot::channel();
    let stopped = stop.clone();
    let port = node.port_async(async move |mut port: Mailbox| {
        for n in 0..=MOST {
            let message = port.recv::<aemp_proto::AnyMessage>().await;
            port.send(port.id(), message)?;
            if n == MOST || stopped.load(Ordering::Relaxed) {
                let _ = sender.send(n);
                break;
            }
        }
        Ok(())
    });
    node.send(&port, ("again",)).unwrap();
    // This runtime has one thread: the test goes on only if the port lets it.
    tokio::task::yield_now().await;
    tokio::task::yield_now().await;
    stop.store(true, Ordering::Relaxed);
    assert!(soon(count).await.unwrap() < MOST);
    node.shutdown().await;
}

#[tokio::test]
async fn very_many_messages_that_are_not_picked_stay_in_order() {
    // Such a number that moving them about for each one that is looked at would take minutes.
    const MANY: u64 = 200_000;
    let node = Node::builder().start().await.unwrap();
    let (sender, told) = tokio::sync::oneshot::channel();
    let port = node.port_async(async move |mut port: Mailbox| {
        let last = port.recv_match(|(n,): (u64,)| if n == MANY - 1 { Ok(n) } else { Err((n,)) }).await;
        let mut rest = vec![last];
        for _ in 1..MANY {
            rest.push(port.recv::<(u64,)>().await.0);
        }
        let _ = sender.send(rest);
        Ok(())
    });
    for n in 0..MANY {
        node.send(&port, (n,)).unwrap();
    }
    let picked = told.await.unwrap();
    assert_eq!(picked[0], MANY - 1);
    assert!(picked[1..].iter().copied().eq(0..MANY - 1));
    node.shutdown().await;
}

/// Says, when it is encoded, whether its port was locked.
#[derive(Clone, serde::Deserialize)]
struct Witness(u64);

thread_local! {
    static SEEN: RefCell<Option<(Node, PortNo, bool)>> = const { RefCell::new(None) };
}

impl serde::Serialize for Witness {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        SEEN.with_borrow_mut(|seen| {
            if let Some((node, number, locked)) = seen {
                *locked |= node.table().is_locked(*number);
            }
        });
        serializer.serialize_u64(self.0)
    }
}

#[tokio::test]
async fn a_port_that_becomes_another_is_not_locked_while_messages_are_encoded() {
    let node = Node::builder().start().await.unwrap();
    let (sender, mut told) = tokio::sync::mpsc::unbounded_channel();
    let port = node.port(move |cx: &mut Context<'_>, (Witness(n),): (Witness,)| {
        // These wait in the mailbox when the port has become another; what it was sent at once is
        // left of its batch.
        let me = cx.me();
        for n in n + 10..n + 13 {
            cx.send(&me, (Witness(n),));
        }
        let sender = sender.clone();
        cx.receive(move |_: &mut Context<'_>, (n,): (u64,)| sender.send(n).unwrap());
    });
    SEEN.set(Some((node.clone(), node.own_number(&port).unwrap(), false)));
    for n in 0..3 {
        node.send(&port, (Witness(n),)).unwrap();
    }
    let mut received = Vec::new();
    for _ in 0..5 {
        received.push(soon(told.recv()).await.unwrap());
    }
    assert_eq!(received, [1, 2, 10, 11, 12]);
    assert!(SEEN.take().is_some_and(|(_, _, locked)| !locked));
    node.shutdown().await;
}

/// A batch with one small message, as the reader of a link has it.
fn batch(n: u64) -> (Bytes, Vec<Span>) {
    let (mut reader, mut frames) = (FrameReader::new(Framing::Native, wire::Limits::DEFAULT), Vec::new());
    wire::write_message(&mut frames, 1, "port", &Body::encode(&[n.into()]).unwrap()).unwrap();
    reader.buffer().extend_from_slice(&frames);
    assert!(reader.fill().unwrap());
    let span = reader.find().unwrap().unwrap().span;
    (reader.batch().clone(), vec![span])
}

#[tokio::test]
async fn few_messages_for_a_slow_port_do_not_keep_all_that_was_read_with_them() {
    let node = Node::builder().start().await.unwrap();
    let port = node.port(|_: &mut Context<'_>, (_,): (u64,)| {});
    // This runtime has one thread: nothing takes them out meanwhile. Who keeps up need not be cared
    // for.
    for (port, shared) in [(port.into(), [true, false, false]), (idler(&node), [false; 3])] {
        for (n, shared) in shared.into_iter().enumerate() {
            let (batch, mut spans) = batch(n as u64 + 1);
            assert!(batch.is_unique());
            deliver_spans(&node, node.own_number(&port).unwrap(), &batch, &mut spans);
            assert!(spans.is_empty());
            assert_eq!(batch.is_unique(), !shared, "{port} {n}");
        }
    }
    node.shutdown().await;
}

#[tokio::test]
async fn what_is_no_port_waits_for_a_local_port_that_is_behind() {
    let node = node(Limits { mailbox_high: 1000, ..Limits::default() }).await;
    let (sender, mut told) = tokio::sync::mpsc::unbounded_channel();
    let go = Arc::new(tokio::sync::Notify::new());
    let goes = go.clone();
    let behind = node.port_async(async move |mut port: Mailbox| {
        goes.notified().await;
        loop {
            let (n,) = port.recv_tag::<(u64,)>("n").await;
            let _ = sender.send(n);
        }
    });
    let target = behind.clone();
    let (steps, mut done) = tokio::sync::mpsc::unbounded_channel();
    node.port_async(async move |port: Mailbox| {
        port.ready(&target).await;
        steps.send("first").unwrap();
        for n in 0..100u64 {
            port.send(&target, ("n", n))?;
        }
        port.ready(&target).await;
        steps.send("second").unwrap();
        Ok(())
    });
    assert_eq!(soon(done.recv()).await, Some("first"));
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert!(done.try_recv().is_err());
    go.notify_one();
    assert_eq!(soon(done.recv()).await, Some("second"));
    assert_eq!(soon(told.recv()).await, Some(0));
    // Nobody waits for a port that has died.
    let crowded = idler(&node);
    for n in 0..100u64 {
        node.send(&crowded, ("n", n)).unwrap();
    }
    let ready = node.ready(&crowded);
    tokio::pin!(ready);
    assert!(std::future::poll_fn(|task| Poll::Ready(ready.as_mut().poll(task).is_pending())).await);
    node.kill(&crowded, Reason::NORMAL);
    soon(ready).await;
    node.shutdown().await;
}

#[tokio::test]
async fn a_port_that_calls_one_that_is_behind_waits_for_it() {
    let node = node(Limits { mailbox_high: 1000, ..Limits::default() }).await;
    let crowded = idler(&node);
    let target = crowded.clone();
    let port = node.port(move |cx: &mut Context<'_>, (): ()| {
        cx.call(&target, LIMIT, |reply: ReplyTo<u64>| (reply, "x".repeat(2000)), |_, _| {});
    });
    node.send(&port, ()).unwrap();
    until(&node, &port, State::Parked).await;
    node.kill(&crowded, Reason::NORMAL);
    node.shutdown().await;
}
