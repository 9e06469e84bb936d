//! Several nodes in this process, connected over loopback.

use aemp::{Context, Node};
use tokio::sync::mpsc;

use super::work::Work;

/// A node that others can connect to.
pub(crate) async fn hub() -> Node {
    Node::builder().id("hub").bind("127.0.0.1:0").secret("bench").start().await.expect("it starts")
}

/// A node that is connected to the hub, in both directions.
pub(crate) async fn spoke(hub: &Node, id: &str) -> Node {
    let seed = hub.local_addrs()[0].to_string();
    let spoke = Node::builder().id(id).seed(seed).secret("bench").start().await.expect("it starts");
    let (sender, mut answers) = mpsc::unbounded_channel();
    let echo = hub.port(|cx: &mut Context<'_>, work: Work| {
        if let Work::Ping(from, n) = work {
            cx.send(&from, Work::Seen(n));
        }
    });
    let asker = spoke.port(move |_: &mut Context<'_>, _: Work| sender.send(()).expect("it is waited for"));
    spoke.send(&echo, Work::Ping(asker.into(), 0)).expect("it encodes");
    answers.recv().await;
    spoke
}

/// Two nodes that are connected.
pub(crate) async fn connected() -> (Node, Node) {
    let hub = hub().await;
    let spoke = spoke(&hub, "spoke").await;
    (spoke, hub)
}
