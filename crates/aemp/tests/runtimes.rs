//! Runtimes that end before their node, that lack what a node needs, or whose clock is a test's.

#![allow(clippy::unwrap_used)] // a test may

mod support;

use std::future::Future;
use std::time::Duration;

use aemp::{CallError, Context, Node, NodeId, PortId, Reason, ReplyTo, StartError, StreamError};
use support::{LIMIT, soon, up};
use tokio::runtime::{Builder, Runtime};

fn current_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

fn multi_thread() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// Runs a test that gets the runtime of a node and one that is left, for both kinds.
fn each(test: impl Fn(Runtime, Runtime)) {
    for make in [current_thread, multi_thread] {
        test(make(), current_thread());
    }
}

fn echo(node: &Node) -> PortId {
    node.port(|cx: &mut Context<'_>, (n, reply): (u64, ReplyTo<u64>)| cx.reply(reply, n)).into()
}

fn ask(node: &Node, port: &PortId) -> impl Future<Output = Result<u64, CallError>> + use<> {
    // Longer than the test waits: it has to end for another reason.
    node.call(port, LIMIT * 10, |reply: ReplyTo<u64>| (7_u64, reply))
}

/// Everything that can be waited for ends.
async fn everything_ends(node: &Node, ports: &[PortId]) {
    let far = NodeId::new("far").unwrap();
    let (opened, task) = (
        echo(node),
        node.port_async(|mut port| async move {
            port.recv::<aemp::AnyMessage>().await;
            Ok(())
        }),
    );
    let spawned = node.spawn(&far, "some::function", ()).unwrap();
    let new = [opened, task, spawned, far.named("port"), far.control_port(), node.id().control_port()];
    for port in ports.iter().chain(&new) {
        node.send(port, (1_u64,)).unwrap();
        soon("the room", node.ready(port)).await;
        soon("the death", node.exited(port)).await;
        assert!(matches!(soon("the call", ask(node, port)).await, Err(CallError::Died(_))), "{port}");
    }
    assert!(soon("the keys", node.db().keys("family")).await.is_err());
    assert!(soon("a member", node.db().any("family")).await.is_err());
    assert!(soon("the change", node.db().watch("family").next()).await.is_none());
    let stream = soon("the stream", node.connect_stream(&far, "f", (), LIMIT * 10)).await.map(drop);
    assert!(matches!(stream, Err(StreamError::Shutdown)), "{stream:?}");
    soon("the end", node.shutdown()).await;
}

#[test]
fn all_that_is_waited_for_ends_when_the_runtime_of_the_node_has_ended() {
    each(|first, second| {
        let (node, port, task) = first.block_on(async {
            let node = Node::builder().start().await.unwrap();
            let port = echo(&node);
            assert_eq!(soon("the answer", ask(&node, &port)).await.unwrap(), 7);
            let task = node.port_async(|mut port| async move {
                port.recv::<aemp::AnyMessage>().await;
                std::future::pending().await
            });
            (node, port, task)
        });
        let mute = node.port(|_: &mut Context<'_>, _: (u64, ReplyTo<u64>)| {});
        let before = (node.exited(&port), node.exited(&task), ask(&node, &mute), node.db().watch("family"));
        let waits = second.spawn({
            let (node, mute) = (node.clone(), mute.clone());
            async move { ask(&node, &mute).await }
        });
        second.block_on(tokio::task::yield_now());
        drop(first);
        second.block_on(async {
            let (port_died, task_died, call, mut watch) = before;
            soon("the death", port_died).await;
            soon("the death of the task", task_died).await;
            assert!(soon("the call", call).await.is_err());
            assert!(soon("the call under way", waits).await.unwrap().is_err());
            soon("the end of the watch", async { while watch.next().await.is_some() {} }).await;
            everything_ends(&node, &[port, task, mute.into()]).await;
        });
    });
}

#[test]
fn the_same_holds_for_a_connected_node_and_the_other_one_is_told() {
    each(|first, second| {
        let far = Node::builder().id("other").bind("127.0.0.1:0").secret("s");
        let other = multi_thread();
        let far = other.block_on(far.start()).unwrap();
        let there: PortId = echo(&far).to_string().parse().unwrap();
        let (node, port) = first.block_on(async {
            let node = Node::builder().secret("s").seed(far.local_addrs()[0]).start().await.unwrap();
            up(&node, far.id()).await;
            let port = echo(&node);
            (node, port)
        });
        let (fires, told) = (node.exited(&there), far.exited(&port.to_string().parse().unwrap()));
        drop(first);
        second.block_on(async {
            soon("the monitor of the node that is gone", fires).await;
            let reason = soon("the monitor of the other one", told).await;
            assert_eq!(reason.identifier().as_deref(), Some("transport_error"));
            everything_ends(&node, &[port, there]).await;
        });
        other.block_on(far.shutdown());
    });
}

#[test]
fn what_is_monitored_after_an_orderly_end_fires_also_without_the_runtime() {
    each(|first, second| {
        let node = first.block_on(async {
            let node = Node::builder().start().await.unwrap();
            node.shutdown().await;
            node
        });
        drop(first);
        second.block_on(everything_ends(&node, &[]));
    });
}

#[test]
fn a_runtime_that_lacks_something_is_refused_at_the_start() {
    let without_timers = Builder::new_current_thread().enable_io().build().unwrap();
    let without_sockets = Builder::new_current_thread().enable_time().build().unwrap();
    for (runtime, lacks) in [(without_timers, "timers"), (without_sockets, "sockets")] {
        let error = runtime.block_on(Node::builder().start()).unwrap_err();
        assert!(matches!(error, StartError::Runtime(_)), "{error:?}");
        let text = error.to_string();
        assert!(text.contains(lacks) && text.contains("enable_all"), "{text}");
    }
}

fn paused() -> Runtime {
    Builder::new_current_thread().enable_all().start_paused(true).build().unwrap()
}

/// Runs a test that must not spin, in a thread of its own, as its own clock is not that of the
/// wall.
fn in_time(test: impl Future<Output = ()> + Send + 'static) {
    let thread = std::thread::spawn(move || paused().block_on(test));
    // sleep: the limit is one of the wall, and reached only by a test that fails
    let since = std::time::Instant::now();
    while !thread.is_finished() {
        assert!(since.elapsed() < 3 * LIMIT, "the test spins or hangs under a paused clock");
        std::thread::park_timeout(Duration::from_millis(5));
    }
    thread.join().unwrap();
}

#[test]
fn hours_pass_at_once_for_a_node_without_connections() {
    in_time(async {
        let node = Node::builder().seed("127.0.0.1:9").start().await.unwrap();
        let mute = node.port(|_: &mut Context<'_>, _: (u64, ReplyTo<u64>)| {});
        let limit = Duration::from_secs(3600);
        let call = node.call(&mute, limit, |reply: ReplyTo<u64>| (7_u64, reply));
        let before = tokio::time::Instant::now();
        assert!(matches!(call.await, Err(CallError::TimedOut(_))));
        assert!(before.elapsed() >= limit);
        node.shutdown().await;
    });
}

#[test]
fn hours_pass_at_once_for_connected_nodes_which_stay_connected() {
    in_time(async {
        let far = Node::builder().id("far").bind("127.0.0.1:0").secret("s").start().await.unwrap();
        let seed = far.local_addrs()[0].to_string();
        let node = Node::builder().id("near").seed(seed).secret("s").start().await.unwrap();
        let port: PortId = echo(&far).to_string().parse().unwrap();
        assert_eq!(ask(&node, &port).await.unwrap(), 7);
        let mut death = Box::pin(node.exited(&port));
        let hours = tokio::time::sleep(Duration::from_secs(2 * 3600)); // sleep: the clock is a paused one
        tokio::select! {
            reason = &mut death => panic!("the connection was lost: {reason}"),
            () = hours => {}
        }
        assert_eq!(ask(&node, &port).await.unwrap(), 7);
        far.kill(&port.to_string().parse().unwrap(), Reason::text("enough", "of it"));
        assert_eq!(death.await.identifier().as_deref(), Some("enough"));
        node.shutdown().await;
        far.shutdown().await;
    });
}
