//! What happens to ports that are in a certain state, which only the table knows.

#![allow(clippy::unwrap_used)] // a test may

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aemp_proto::PortId;

use super::table::State;
use super::{Context, Port};
use crate::node::{Limits, Node};

const LIMIT: Duration = Duration::from_secs(20);

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, future).await.unwrap()
}

async fn node(limits: Limits) -> Node {
    // Messages count with their octets.
    Node::builder().limits(limits).always_encode(true).start().await.unwrap()
}

/// Waits until the port is in this state. These runtimes have one thread: the others run in between.
async fn until(node: &Node, port: &PortId, state: State) {
    while node.table().get(port.parts().1).unwrap().state != state {
        tokio::task::yield_now().await;
    }
}

/// A port that takes nothing out of its mailbox.
fn idler(node: &Node) -> PortId {
    node.port_async(|_port: Port| std::future::pending())
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
    let death = node.died(&port);
    node.send(&port, ("x".repeat(5000),)).unwrap();
    assert_eq!(soon(death).await.identifier().as_deref(), Some("mailbox_full"));
    assert!(node.table().get(crowded.parts().1).is_some());
    node.shutdown().await;
}

#[tokio::test]
async fn an_async_port_that_always_finds_something_lets_others_run() {
    const MOST: u32 = 1_000_000;
    let node = Node::builder().start().await.unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let (sender, count) = tokio::sync::oneshot::channel();
    let stopped = stop.clone();
    let port = node.port_async(async move |mut port: Port| {
        for n in 0..=MOST {
            let message = port.next().await;
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
    // So many that moving them about for each one that is looked at would take minutes.
    const MANY: u64 = 200_000;
    let node = Node::builder().start().await.unwrap();
    let (sender, told) = tokio::sync::oneshot::channel();
    let port = node.port_async(async move |mut port: Port| {
        let last = port.get(|(n,): (u64,)| if n == MANY - 1 { Ok(n) } else { Err((n,)) }).await;
        let mut rest = vec![last];
        for _ in 1..MANY {
            rest.push(port.receive::<(u64,)>().await.0);
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
