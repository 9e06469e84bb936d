//! A node that leaves: what it finishes first, what it says of the rest, and what others see.

#![allow(clippy::unwrap_used)] // a test may

mod support;

use std::time::Duration;

use aemp::supervise::{Child, Request, Strategy, Supervisor};
use aemp::{Context, DrainReport, Node, Reason, ReplyTo};
use support::{LIMIT, builder, in_both_modes, soon, up};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// A caller, which is the seed, and a worker that is connected to it.
async fn two(mode: bool) -> (Node, Node) {
    let caller = builder(mode).id("caller").secret("s").bind("127.0.0.1:0").start().await.unwrap();
    let seed = caller.local_addrs()[0];
    let worker = builder(mode).id("worker").secret("s").bind("127.0.0.1:0").seed(seed);
    let worker = worker.function("keeper", |cx: &mut Context<'_>, _: ()| {
        cx.receive(|_, (): ()| {});
        Ok::<(), Reason>(())
    });
    let worker = worker.start().await.unwrap();
    up(&worker, caller.id()).await;
    up(&caller, worker.id()).await;
    (caller, worker)
}

fn drain(node: &Node, limit: Duration) -> JoinHandle<DrainReport> {
    let node = node.clone();
    tokio::spawn(async move { node.drain(limit).await })
}

/// Waits until a family has, or has not, an entry for the caller.
async fn family(caller: &Node, name: &str, filled: bool) {
    let mut watch = caller.db().watch(name);
    soon("the change of the family", async {
        while watch.next().await.unwrap().content.is_empty() == filled {}
    })
    .await;
}

/// Waits until a port of the node is monitored.
async fn monitored(node: &Node) {
    soon("the monitor", async {
        while node.port_stats(10).iter().all(|port| port.monitors == 0) {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[test]
fn calls_that_wait_and_those_that_still_come_are_answered() {
    in_both_modes(|mode| async move {
        let (caller, worker) = two(mode).await;
        let (asked, mut questions) = mpsc::unbounded_channel();
        let port = worker.port(move |_: &mut Context<'_>, (n, reply): (u8, ReplyTo<u8>)| {
            let _ = asked.send((n, reply));
        });
        worker.db().register("service", &port).unwrap();
        family(&caller, "service", true).await;
        let call = |n: u8| {
            let (caller, port) = (caller.clone(), aemp::PortId::from(port.clone()));
            tokio::spawn(async move { caller.call(&port, LIMIT, |reply: ReplyTo<u8>| (n, reply)).await })
        };
        let first = call(1);
        let (_, answer_first) = soon("the first call", questions.recv()).await.unwrap();
        let left = drain(&worker, LIMIT);
        // Nobody finds it any more; who has not heard of it is answered all the same.
        family(&caller, "service", false).await;
        assert!(worker.is_draining());
        let second = call(2);
        let (n, answer_second) = soon("the second call", questions.recv()).await.unwrap();
        worker.reply(answer_second, n).unwrap();
        assert_eq!(second.await.unwrap().unwrap(), 2);
        assert!(!left.is_finished(), "a call waits for its answer");
        worker.reply(answer_first, 1).unwrap();
        assert_eq!(first.await.unwrap().unwrap(), 1);
        let report = soon("the end", left).await.unwrap();
        assert!(report.is_complete(), "{report:?}");
        caller.shutdown().await;
    });
}

#[test]
fn what_is_not_finished_within_the_limit_is_reported() {
    in_both_modes(|mode| async move {
        let (caller, worker) = two(mode).await;
        let port = worker.port(|_: &mut Context<'_>, (_,): (ReplyTo<()>,)| {});
        let call = caller.call::<_, (), _>(&port, LIMIT, |reply| (reply,));
        let work = worker.busy();
        let (failed, report) = tokio::join!(call, worker.drain(Duration::from_millis(100)));
        failed.unwrap_err();
        drop(work);
        // The call may come while the node leaves already; the work is there from the beginning.
        assert_eq!(report.unfinished.busy, 1);
        assert!(!report.is_complete() && report.unfinished.to_string().contains("1 pieces of work"));
        caller.shutdown().await;

        let (caller, worker) = two(mode).await;
        let port = worker.port(|_: &mut Context<'_>, (): ()| {});
        let guard = caller.monitor(&port, |_| {});
        monitored(&worker).await;
        let report = worker.drain(Duration::from_millis(100)).await;
        assert_eq!(report.unfinished.monitored, [aemp::PortId::from(port)], "{report:?}");
        drop(guard);
        caller.shutdown().await;
    });
}

#[test]
fn no_new_work_is_taken() {
    in_both_modes(|mode| async move {
        let (caller, worker) = two(mode).await;
        let work = worker.busy();
        let set_before = worker.db().set("service", "before", 1).unwrap();
        family(&caller, "service", true).await;
        let left = drain(&worker, LIMIT);
        family(&caller, "service", false).await;
        worker.db().set("service", "after", 1).unwrap().detach();
        let refused = caller.exited(&caller.spawn(worker.id(), "keeper", ()).unwrap());
        let reason = soon("the refusal", refused).await;
        assert!(reason.to_string().contains("about to leave"), "{reason}");
        assert!(caller.db().family("service").await.unwrap().is_empty());
        drop((work, set_before));
        assert!(soon("the end", left).await.unwrap().is_complete());
        caller.shutdown().await;
    });
}

#[test]
fn supervised_ports_are_stopped_in_order_and_those_of_others_move() {
    in_both_modes(|mode| async move {
        let (caller, worker) = two(mode).await;
        // One of another node's supervisor, on this node first, and then where it can be.
        let mut nodes = [worker.id().clone(), caller.id().clone()].into_iter().cycle();
        let (started, mut starts) = mpsc::unbounded_channel();
        let moving = Child::new("moving", move |node| {
            let on = nodes.next().unwrap();
            let _ = started.send(on.clone());
            match on == *node.id() {
                true => Ok(node.port(|_: &mut Context<'_>, (): ()| {}).into()),
                false => Ok(node.spawn(&on, "keeper", ())?),
            }
        });
        let outer = Supervisor::new(Strategy::OneForOne).child(moving).start(&caller);
        assert_eq!(soon("the start", starts.recv()).await.as_ref(), Some(worker.id()));
        monitored(&worker).await;

        let (ended, mut ends) = mpsc::unbounded_channel();
        let child = move |name: &'static str| {
            let ended = ended.clone();
            Child::new(name, move |node| {
                let ended = ended.clone();
                Ok(node.port_async(async move |mut port| {
                    // Asked to stop it finishes first.
                    let () = port.recv_tag("stop").await;
                    let _ = ended.send(name);
                    Ok(())
                }))
            })
            .stop_by(|node, port| node.send(port, ("stop",)))
        };
        let inner = move || Supervisor::new(Strategy::OneForOne).child(child("a")).child(child("b"));
        let inner = Child::new("inner", move |node| Ok(inner().start(node)));
        let inner = inner.stop_by(|node, port| node.send(port, Request::Stop));
        let top = Supervisor::new(Strategy::OneForOne).child(inner).start(&worker);
        let gone = worker.exited(&top);
        // The one from elsewhere is monitored from there, which looks like a call.
        let report = soon("the end", drain(&worker, Duration::from_millis(200))).await.unwrap();
        assert_eq!(report.unfinished.monitored.len(), 1, "{report:?}");
        assert!(report.unfinished.supervisors.is_empty() && report.shutdown.is_complete(), "{report:?}");
        assert!(gone.await.is_normal());
        assert_eq!([ends.recv().await, ends.recv().await], [Some("b"), Some("a")]);
        assert_eq!(soon("the move", starts.recv()).await.as_ref(), Some(caller.id()));
        caller.send(&outer, Request::Stop).unwrap();
        caller.shutdown().await;
    });
}

#[tokio::test]
async fn a_node_without_a_network_leaves_at_once() {
    let node = Node::builder().start().await.unwrap();
    node.db().set("f", "k", 1).unwrap().detach();
    assert!(soon("the end", drain(&node, Duration::from_secs(24 * 3600))).await.unwrap().is_complete());
    assert!(node.drain(LIMIT).await.is_complete(), "the second time there is nothing to do");
}
