//! What depends on a listener that is announced and cannot be reached.

#![allow(clippy::unwrap_used)] // a test may

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{Stream, StreamError};
use crate::builder::Builder;
use crate::node::Node;

const LIMIT: Duration = Duration::from_secs(20);

fn builder(id: &str) -> Builder {
    Node::builder().id(id).secret("s").stream_function("greet", |_, mut stream: Stream, (): ()| async move {
        stream.write_all(b"hello").await?;
        Ok::<_, io::Error>(())
    })
}

/// A node that says where it listens, and does not any more; connected to this one.
async fn walled(seed: &Node) -> Node {
    let node = builder("walled").bind("127.0.0.1:0").seed(seed.local_addrs()[0]).start().await.unwrap();
    let mut events = seed.node_events();
    while !seed.connected_nodes().contains(node.id()) {
        events.next().await.unwrap();
    }
    wall_in(&node).await;
    node
}

/// Ends the listeners of a node, and waits until they are gone.
async fn wall_in(node: &Node) {
    node.inner().shared.listening.close();
    while tokio::net::TcpStream::connect(&node.local_addrs()[0]).await.is_ok() {
        tokio::task::yield_now().await;
    }
}

async fn text(stream: Result<Stream, StreamError>) -> String {
    let mut text = String::new();
    stream.unwrap().read_to_string(&mut text).await.unwrap();
    text
}

#[tokio::test]
async fn who_cannot_dial_is_dialled() {
    let seed = builder("seed").bind("127.0.0.1:0").start().await.unwrap();
    let walled = walled(&seed).await;
    assert_eq!(text(seed.connect_stream(walled.id(), "greet", (), LIMIT).await).await, "hello");
    assert_eq!(text(walled.connect_stream(seed.id(), "greet", (), LIMIT).await).await, "hello");
}

#[tokio::test]
async fn two_that_cannot_be_dialled_are_told_what_was_tried() {
    let seed = builder("seed").bind("127.0.0.1:0").start().await.unwrap();
    let walled = walled(&seed).await;
    wall_in(&seed).await;
    let addresses = [&seed, &walled].map(|node| node.local_addrs()[0].to_string());
    for (from, to, address) in [(&seed, &walled, &addresses[0]), (&walled, &seed, &addresses[1])] {
        // The other side has tried this one's address in vain, too.
        let error = from.connect_stream(to.id(), "greet", (), LIMIT).await.unwrap_err();
        assert!(matches!(error, StreamError::Refused { .. }), "{error:?}");
        assert!(error.to_string().contains(address.as_str()), "{error}");
    }
}

#[tokio::test]
async fn who_listens_nowhere_and_reaches_nobody_is_told_at_once() {
    let seed = builder("seed").bind("127.0.0.1:0").start().await.unwrap();
    let hides = builder("hides").seed(seed.local_addrs()[0]).start().await.unwrap();
    let mut events = hides.node_events();
    while hides.connected_nodes().is_empty() {
        events.next().await.unwrap();
    }
    wall_in(&seed).await;
    let error = hides.connect_stream(seed.id(), "greet", (), LIMIT).await.unwrap_err();
    assert!(matches!(error, StreamError::Unreachable { .. }), "{error:?}");
    assert!(error.to_string().contains(&seed.local_addrs()[0].to_string()), "{error}");
}
