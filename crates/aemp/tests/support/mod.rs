//! What the integration tests share: nodes in both modes, and waiting with a limit.

#![allow(dead_code)] // each test uses a part

pub(crate) mod judge;
pub(crate) mod proxy;
pub(crate) mod raw;
pub(crate) mod reserved;

use std::future::Future;
use std::time::Duration;

use aemp::{Builder, Node, NodeId};

/// Long enough for any machine; reached only by a test that fails.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// Waits for something that must happen.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(LIMIT, future).await {
        Ok(value) => value,
        Err(_) => panic!("{what} did not happen within {LIMIT:?}"),
    }
}

/// The modes that every test runs in: messages moved, and always encoded.
pub(crate) const MODES: [bool; 2] = [false, true];

/// A node in this mode.
pub(crate) fn builder(always_encode: bool) -> Builder {
    Node::builder().always_encode(always_encode)
}

/// Waits until a node has a connection to another one.
pub(crate) async fn up(node: &Node, other: &NodeId) {
    let mut events = node.node_events();
    soon("the connection", async {
        while !node.connected_nodes().contains(other) {
            events.next().await.unwrap();
        }
    })
    .await;
}

/// Runs a test in both modes, each on a runtime of its own with two workers and on one with one
/// thread.
pub(crate) fn in_both_modes<F: Future<Output = ()>>(test: impl Fn(bool) -> F) {
    for always_encode in MODES {
        let mut many = tokio::runtime::Builder::new_multi_thread();
        let mut single = tokio::runtime::Builder::new_current_thread();
        for runtime in [many.worker_threads(2), &mut single] {
            runtime.enable_all().build().expect("a runtime").block_on(test(always_encode));
        }
    }
}
