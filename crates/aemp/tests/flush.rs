//! Flush: what was sent before has arrived, or there is an error.

#![allow(clippy::unwrap_used)] // a test may

mod support;

use std::time::Duration;

use aemp::{CallError, Mailbox, Node, NodeId, PortId, Reason};
use support::proxy::{Cut, proxy};
use support::{LIMIT, builder, in_both_modes, soon, up};
use tokio::sync::{oneshot, watch};

/// Two nodes, the second of which knows the first, and what cuts the connection between them.
async fn pair(mode: bool) -> (Node, Node, watch::Sender<(u64, Cut)>) {
    let base = |id: &str| builder(mode).id(id).secret("s");
    let far = base("far").bind("127.0.0.1:0").start().await.unwrap();
    let (cut, cuts) = watch::channel((0, Cut::No));
    let address = proxy(far.local_addrs()[0].to_string(), cuts).await;
    let near = base("near").seed(address).start().await.unwrap();
    (near, far, cut)
}

/// A port that never takes anything out of its mailbox: what is in there has arrived and no more.
fn sleeper(node: &Node) -> PortId {
    node.port_async(|_: Mailbox| std::future::pending())
}

/// How many bytes wait for a port.
fn waiting(node: &Node, port: &PortId) -> u64 {
    node.port_stats(100).into_iter().find(|stats| stats.port == port.to_string()).unwrap().bytes
}

#[test]
fn what_was_sent_before_a_flush_has_arrived_after_it() {
    const MESSAGES: u64 = 2000;
    in_both_modes(|mode| async move {
        let (near, far, _cut) = pair(mode).await;
        let (port, local) = (sleeper(&far), sleeper(&near));
        // The connection is still to be made. Some are large and go in parts.
        let large = "x".repeat(3 << 20);
        for n in 0..MESSAGES {
            near.send(&port, (n, if n % 500 == 0 { &large } else { "" })).unwrap();
            near.send(&local, (n,)).unwrap();
        }
        near.flush(&port, LIMIT).await.unwrap();
        // Nothing more comes: the same is there when the other node is asked in turn.
        let arrived = waiting(&far, &port);
        assert!(arrived > 4 * (3 << 20) + MESSAGES, "{arrived}");
        near.flush(&far.id().control_port(), LIMIT).await.unwrap();
        assert_eq!(waiting(&far, &port), arrived);
        near.flush(&local, LIMIT).await.unwrap();
        assert!(waiting(&near, &local) > MESSAGES);
        near.shutdown().await;
        far.shutdown().await;
    });
}

#[test]
fn a_port_that_is_not_there_or_a_connection_that_breaks_is_an_error() {
    in_both_modes(|mode| async move {
        let (near, far, cut) = pair(mode).await;
        up(&near, far.id()).await;
        let gone = sleeper(&far);
        far.kill(&gone, Reason::NORMAL);
        soon("its end", far.exited(&gone)).await;
        let flushed = near.flush(&gone, LIMIT).await;
        assert!(matches!(&flushed, Err(CallError::Died(_))), "{flushed:?}");

        let port = sleeper(&far);
        let mut errors = 0;
        for round in 0..20 {
            let (before, mut death) = (waiting(&far, &port), near.exited(&port));
            near.send(&port, (round,)).unwrap();
            if round % 2 == 0 {
                cut.send_modify(|(number, how)| (*number, *how) = (*number + 1, Cut::Close));
            }
            match near.flush(&port, LIMIT).await {
                // Nothing was lost, or the monitor has told of it.
                Ok(()) => {
                    let lost = tokio::time::timeout(Duration::ZERO, &mut death).await.is_ok();
                    assert!(lost || waiting(&far, &port) > before, "round {round}");
                }
                Err(error) => {
                    assert!(matches!(error, CallError::Died(_)), "{error:?}");
                    soon("the monitor", death).await;
                    errors += 1;
                }
            }
        }
        assert!(errors <= 10, "{errors} errors by 10 cuts");
        near.shutdown().await;
        far.shutdown().await;
    });
}

#[test]
fn a_node_that_nobody_has_is_an_error_in_time() {
    in_both_modes(|mode| async move {
        let node = builder(mode).id("alone").start().await.unwrap();
        let nobody = NodeId::new("nobody").unwrap();
        let flushed = node.flush(&nobody.control_port(), Duration::from_millis(20)).await;
        let expected = matches!(&flushed, Err(CallError::TimedOut(_) | CallError::Died(_)));
        assert!(expected, "{flushed:?}");
        node.shutdown().await;
    });
}

#[test]
fn what_a_gate_holds_is_flushed_too() {
    in_both_modes(|mode| async move {
        let (near, far, cut) = pair(mode).await;
        up(&near, far.id()).await;
        let port = sleeper(&far);
        near.flush(&port, LIMIT).await.unwrap();
        // It has not heard of the loss until it is told to look: the gate stays closed.
        let (go, wait) = oneshot::channel::<()>();
        let (set, is_set) = oneshot::channel();
        let target = port.clone();
        near.port_async(move |mut me: Mailbox| async move {
            let _guard = me.monitor(&target, |_| ("down",));
            set.send(()).unwrap();
            wait.await.unwrap();
            let () = me.recv_tag("down").await;
            std::future::pending().await
        });
        soon("the monitor of the slow one", is_set).await.unwrap();
        let first = near.exited(&port);
        cut.send_modify(|(number, how)| (*number, *how) = (*number + 1, Cut::Close));
        soon("the loss", first).await;
        // A new monitor, and what is sent behind it is held.
        let again = near.exited(&port);
        near.send(&port, (7,)).unwrap();
        let flush = near.flush(&port, LIMIT);
        let told = async {
            up(&near, far.id()).await;
            assert_eq!(waiting(&far, &port), 0);
            go.send(()).unwrap();
        };
        let (flushed, ()) = tokio::join!(flush, told);
        flushed.unwrap();
        assert!(waiting(&far, &port) > 0);
        drop(again);
        near.shutdown().await;
        far.shutdown().await;
    });
}

#[test]
fn what_a_gate_holds_of_others_holds_up_no_flush() {
    in_both_modes(|mode| async move {
        let (near, far, cut) = pair(mode).await;
        up(&near, far.id()).await;
        let (port, other) = (sleeper(&far), sleeper(&far));
        near.flush(&port, LIMIT).await.unwrap();
        // Who has this one does not hear of the loss: the gate stays closed.
        let late = near.exited(&port);
        let first = near.exited(&port);
        cut.send_modify(|(number, how)| (*number, *how) = (*number + 1, Cut::Close));
        soon("the loss", first).await;
        // Behind a new monitor what another task sends is held.
        let (node, target) = (near.clone(), port.clone());
        let (sent, is_sent) = oneshot::channel();
        let task = tokio::spawn(async move {
            let _again = node.exited(&target);
            node.send(&target, (7,)).unwrap();
            sent.send(()).unwrap();
            std::future::pending::<()>().await;
        });
        soon("the message that is held", is_sent).await.unwrap();
        near.send(&other, (8,)).unwrap();
        near.flush(&other, LIMIT).await.unwrap();
        assert!(waiting(&far, &other) > 0 && waiting(&far, &port) == 0);
        task.abort();
        drop(late);
        near.shutdown().await;
        far.shutdown().await;
    });
}
