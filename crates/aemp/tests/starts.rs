//! What can never work is refused when a node is started, not later and not in silence.

#![allow(clippy::unwrap_used)] // a test may

mod support;

use std::time::Duration;

use aemp::{AuthMethod, Builder, Limits, Node, NodeEvent, StartError};
use support::{soon, up};

async fn refused(builder: Builder) -> StartError {
    match builder.start().await {
        Ok(_) => panic!("it started"),
        Err(error) => error,
    }
}

#[tokio::test]
async fn a_seed_that_cannot_be_dialled_is_refused() {
    for seed in [
        "",
        "host",
        "host:",
        "host:0",
        "host:65536",
        "host:x",
        ":4040",
        "a b:1",
        "::1:4040",
        "[::1]",
        "*:4040",
        "[host]:1",
    ] {
        let error = refused(Node::builder().seed("127.0.0.1:1").seed(seed)).await;
        assert!(matches!(&error, StartError::Seed(text) if text == seed), "{error:?}");
        assert!(error.to_string().contains("HOST:PORT"), "{error}");
    }
    for seed in ["localhost:1", "[::1]:1", "127.0.0.1:65535", "a-host.invalid:4040"] {
        Node::builder().seed(seed).start().await.unwrap().shutdown().await;
    }
}

#[tokio::test]
async fn a_timeout_that_cannot_be_kept_is_refused() {
    let (day, too_much) = (Duration::from_secs(86_400), Duration::from_millis(86_400_001));
    for wrong in [Duration::ZERO, Duration::from_millis(1999), too_much, Duration::MAX] {
        let error = refused(Node::builder().monitor_timeout(wrong)).await;
        assert!(matches!(error, StartError::Timeout { name: "monitor_timeout", .. }), "{error:?}");
    }
    for wrong in [Duration::ZERO, Duration::from_millis(99), too_much, Duration::MAX] {
        let error = refused(Node::builder().connect_interval(wrong)).await;
        assert!(matches!(error, StartError::Timeout { name: "connect_interval", .. }), "{error:?}");
        let error = refused(Node::builder().handshake_timeout(wrong)).await;
        assert!(matches!(error, StartError::Timeout { name: "handshake_limit", .. }), "{error:?}");
    }
    let longest = Node::builder().monitor_timeout(day).connect_interval(day).handshake_timeout(day);
    longest.start().await.unwrap().shutdown().await;
}

/// 65,536 s and more are beyond what the keep-alives of the system can count.
#[tokio::test]
async fn nodes_with_the_longest_timeouts_connect() {
    let day = Duration::from_secs(86_400);
    let builder = || Node::builder().secret("not a good one").monitor_timeout(day);
    let seed = builder().bind("127.0.0.1:0").start().await.unwrap();
    let node = builder().seed(seed.local_addrs()[0]).start().await.unwrap();
    let port = seed.port_async(async |mut port| {
        port.recv::<aemp::AnyMessage>().await;
        Ok(())
    });
    let death = node.exited(&port);
    node.send(&port, (1,)).unwrap();
    let reason = tokio::time::timeout(Duration::from_secs(20), death).await.unwrap();
    assert!(reason.is_normal(), "{reason}");
}

#[tokio::test]
async fn without_any_framing_or_method_a_node_is_refused() {
    assert!(matches!(refused(Node::builder().framings([])).await, StartError::NoFraming));
    let none = refused(Node::builder().authentication([], [AuthMethod::HmacSha3])).await;
    assert!(matches!(none, StartError::NoMethod("offered")), "{none:?}");
    let none = refused(Node::builder().authentication([AuthMethod::HmacSha3], [])).await;
    assert!(matches!(none, StartError::NoMethod("accepted")), "{none:?}");
}

#[tokio::test]
async fn no_more_nodes_are_connected_than_may_be_and_the_next_one_comes_in_when_one_has_gone() {
    let node = |id: &str| Node::builder().id(id).secret("s");
    let limits = Limits::default().connections(1);
    let seed = node("seed").bind("127.0.0.1:0").limits(limits).start().await.unwrap();
    let address = seed.local_addrs()[0];
    let first = node("first").seed(address).start().await.unwrap();
    up(&first, seed.id()).await;
    let second = node("second").seed(address).start().await.unwrap();
    let mut events = seed.node_events();
    soon("the refusal", async {
        while !second.unreached_seeds().contains_key(&address.to_string()) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(seed.connected_nodes(), [first.id().clone()]);
    first.shutdown().await;
    soon("the second one", async {
        while !matches!(events.next().await, Some(NodeEvent::Up(node)) if node == *second.id()) {}
    })
    .await;
}
