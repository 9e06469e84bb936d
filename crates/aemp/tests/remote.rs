//! Two nodes and a connection: everything that works on one node works across it, and a loss is
//! noticed.

#![allow(clippy::unwrap_used)] // a test may

mod support;

use aemp::{
    AnyMessage, CallError, Context, Framing, Message, Node, NodeEvent, PortId, Reason, ReplyTo, SendError,
    Value,
};
use serde::{Deserialize, Serialize};
use support::{LIMIT, builder, in_both_modes, soon, up};
use tokio::sync::mpsc;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Message)]
enum Work {
    Count(u64),
    Add { a: i64, b: i64, reply: ReplyTo<i64> },
}

/// A seed that listens, and a second node that knows it.
async fn pair(mode: bool, framing: Framing) -> (Node, Node) {
    let seed =
        builder(mode).id("seed").bind("127.0.0.1:0").secret("s").framings([framing]).start().await.unwrap();
    let other = builder(mode)
        .id("other")
        .bind("127.0.0.1:0")
        .secret("s")
        .seed(seed.local_addrs()[0])
        .framings([framing])
        .function("test::counter", |cx: &mut Context<'_>, (to,): (PortId,)| {
            cx.receive(move |cx, (n,): (u64,)| cx.send(&to, ("count", n)));
            Ok::<(), Reason>(())
        })
        .start()
        .await
        .unwrap();
    up(&other, seed.id()).await;
    up(&seed, other.id()).await;
    (seed, other)
}

fn counting(node: &Node) -> (PortId, mpsc::UnboundedReceiver<u64>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let port = node.port(move |cx: &mut Context<'_>, work: Work| match work {
        Work::Count(n) => sender.send(n).unwrap(),
        Work::Add { a, b, reply } => cx.reply(reply, a + b),
    });
    (port.into(), receiver)
}

/// Runs a test with a seed and another node in both modes, over every framing.
fn over_every_framing(test: impl AsyncFn(Framing, &Node, &Node)) {
    for framing in Framing::ALL {
        in_both_modes(async |mode| {
            let (seed, other) = pair(mode, framing).await;
            test(framing, &seed, &other).await;
            seed.shutdown().await;
            other.shutdown().await;
        });
    }
}

#[test]
fn large_and_small_messages_arrive_whole_and_in_order() {
    over_every_framing(async |_, seed, other| {
        let (sender, mut received) = mpsc::unbounded_channel();
        let port = other.port(move |_: &mut Context<'_>, (n, text): (u64, String)| {
            sender.send((n, text)).unwrap();
        });
        let sizes = [0, 20_000, 1, 100_000, 16_383, 16_384, 600_000, 2, 70_000];
        let message = |n: usize| {
            (n as u64, char::from(b'a' + (n % 26) as u8).to_string().repeat(sizes[n % sizes.len()]))
        };
        for n in 0..27 {
            seed.send(&port, message(n)).unwrap();
        }
        for n in 0..27 {
            assert!(soon("a message", received.recv()).await == Some(message(n)), "{n}");
        }
    });
}

#[test]
fn messages_arrive_in_order_over_every_framing() {
    over_every_framing(async |_, seed, other| {
        let (port, mut received) = counting(other);
        for n in 0..20_000 {
            seed.send(&port, Work::Count(n)).unwrap();
        }
        for n in 0..20_000 {
            assert_eq!(soon("a message", received.recv()).await, Some(n));
        }
    });
}

#[test]
fn messages_for_many_ports_arrive_in_order_each_before_the_kill_behind_it() {
    over_every_framing(async |_, seed, other| {
        let (ports, received): (Vec<_>, Vec<_>) = (0..20).map(|_| counting(other)).unzip();
        for n in 0..400 {
            for (last, port) in (0..).step_by(20).zip(&ports) {
                seed.send(port, Work::Count(n)).unwrap();
                if n == last {
                    seed.kill(port, Reason::NORMAL);
                }
            }
        }
        for (last, mut received) in (0..).step_by(20).zip(received) {
            for n in 0..=last {
                assert_eq!(soon("a message", received.recv()).await, Some(n));
            }
            // The handler is gone, and its end of the channel with it.
            assert_eq!(soon("the end", received.recv()).await, None);
        }
    });
}

/// What one port sends to two others lies there in that order: a port that the second one asks has
/// had what was sent before.
#[test]
fn what_one_port_sends_to_several_takes_effect_in_that_order() {
    over_every_framing(async |_, seed, other| {
        let (done, mut told) = mpsc::unbounded_channel();
        let mut stored = 0;
        let store = other.port(move |_: &mut Context<'_>, (kind, n): (String, u64)| match &*kind {
            "store" => stored = n,
            _ => done.send((stored, n)).unwrap(),
        });
        let to = store.clone();
        let asker = other.port(move |cx: &mut Context<'_>, (n,): (u64,)| {
            if n > 0 {
                cx.send(&to, ("ask", n));
            }
        });
        for turn in 1..=200 {
            // All of it in one batch, most likely, which begins and ends with the asker.
            seed.send(&asker, (0,)).unwrap();
            for n in 0..250 {
                seed.send(&store, ("store", 250 * turn + n)).unwrap();
            }
            seed.send(&asker, (250 * turn + 249,)).unwrap();
            let (stored, asked) = soon("the answer", told.recv()).await.unwrap();
            assert_eq!(stored, asked);
        }
    });
}

/// A port that hands on the first value of what it is sent.
fn numbered(node: &Node) -> (PortId, mpsc::UnboundedReceiver<u64>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let port = node.port(move |_: &mut Context<'_>, (n,): (u64,)| sender.send(n).unwrap());
    (port.into(), receiver)
}

#[test]
fn one_message_reaches_many_ports_in_order_with_others_or_none() {
    over_every_framing(async |framing, seed, other| {
        let nodes = [seed, other, seed, other, seed, other];
        let (ports, mut received): (Vec<_>, Vec<_>) = nodes.into_iter().map(numbered).unzip();
        // One here and one there are dead, and others follow.
        for n in [4, 1] {
            nodes[n].kill(&ports[n], Reason::NORMAL);
            soon("the death", other.exited(&ports[n])).await;
            received.remove(n);
        }
        for n in 0..60 {
            // Small ones are copied, large ones are shared.
            let bytes = Value::Bytes(vec![7; [3, 40_000][n % 2]].into());
            let message = AnyMessage(vec![Value::from(n as u64), bytes]);
            match n % 3 {
                0 => ports.iter().for_each(|port| other.send(port, &message).unwrap()),
                _ => other.send_all(&ports, &message).unwrap(),
            }
        }
        // What cannot be sent to all is sent to none.
        let error = other.send_all(&ports, (u64::MAX, i128::MAX)).unwrap_err();
        assert!(matches!(error, SendError::Encode(_)), "{error}");
        if framing == Framing::Native {
            let huge = AnyMessage(vec![Value::from(0), Value::Bytes(vec![7; 64 << 20].into())]);
            let error = other.send_all(&ports, huge).unwrap_err();
            assert!(matches!(error, SendError::TooLarge { .. }), "{error}");
        }
        // From a port, which dies of what cannot be sent.
        let all = ports.clone();
        let from = other.port(move |cx: &mut Context<'_>, (n,): (u64,)| match n {
            60 => cx.send_all(&all, (n,)),
            _ => cx.send_all(&all, (n, i128::MAX)),
        });
        let death = other.exited(&from);
        for n in [60u64, 61] {
            other.send(&from, (n,)).unwrap();
        }
        assert!(!soon("the death", death).await.is_normal());
        let from = other.port_async(async move |port| {
            port.send_all(&ports, (61u64,)).unwrap();
            Ok(())
        });
        soon("the end", other.exited(&from)).await;
        for received in &mut received {
            for n in 0..62 {
                assert_eq!(soon("a message", received.recv()).await, Some(n));
            }
        }
    });
}

#[test]
fn calls_monitors_and_kills_cross_the_connection() {
    over_every_framing(async |_, seed, other| {
        let (port, _received) = counting(other);
        let sum = seed.call(&port, LIMIT, |reply| Work::Add { a: 1, b: 2, reply }).await.unwrap();
        assert_eq!(sum, 3);
        let death = seed.exited(&port);
        let reason = Reason::new([Value::from("why"), Value::from(7), Value::from("é€")]);
        seed.kill(&port, reason.clone());
        let told = soon("the death", death).await;
        assert_eq!(told.identifier().as_deref(), Some("why"));
        assert_eq!(told.values()[1..], reason.values()[1..]);
        let again = soon("no such port", seed.exited(&port)).await;
        assert_eq!(again.identifier().as_deref(), Some("no_such_port"));
        let error =
            seed.call::<_, i64, _>(&port, LIMIT, |reply| Work::Add { a: 1, b: 2, reply }).await.unwrap_err();
        assert!(matches!(error, CallError::Died(_)), "{error}");
    });
}

#[test]
fn a_spawned_port_gets_what_was_sent_at_once() {
    over_every_framing(async |_, seed, other| {
        let (port, mut received) = counting(seed);
        let spawned = seed.spawn(other.id(), "test::counter", (&port,)).unwrap();
        let death = seed.exited(&spawned);
        for n in 0..100 {
            seed.send(&spawned, (n,)).unwrap();
        }
        for n in 0..100 {
            assert_eq!(soon("a message", received.recv()).await, Some(n));
        }
        seed.kill(&spawned, Reason::NORMAL);
        assert!(soon("the death", death).await.is_normal());
        let unknown = seed.spawn(other.id(), "test::unknown", ()).unwrap();
        let reason = soon("the refusal", seed.exited(&unknown)).await;
        assert_eq!(reason.identifier().as_deref(), Some("spawn_refused"), "{reason}");
    });
}

#[test]
fn a_lost_node_fires_monitors_and_a_new_one_can_be_reached() {
    in_both_modes(async |mode| {
        let (seed, other) = pair(mode, Framing::Native).await;
        let (port, _received) = counting(&other);
        let (death, node_death) = (seed.exited(&port), seed.exited(&other.id().control_port()));
        let mut events = seed.node_events();
        other.shutdown().await;
        let reason = soon("the fire", death).await;
        assert_eq!(reason.identifier().as_deref(), Some("transport_error"), "{reason}");
        assert_eq!(reason.values()[1].to_name().as_deref(), Some("other"));
        soon("the node's fire", node_death).await;
        assert!(
            matches!(soon("the event", events.next()).await, Some(NodeEvent::Down(node, _)) if node == *other.id())
        );
    });
}

#[test]
fn an_unknown_node_fires_monitors_and_calls() {
    in_both_modes(async |mode| {
        let (_seed, other) = pair(mode, Framing::Native).await;
        let nowhere = PortId::parse("nowhere#port").unwrap();
        let reason = soon("the fire", other.exited(&nowhere)).await;
        assert_eq!(reason.identifier().as_deref(), Some("transport_error"), "{reason}");
        let error = other.call::<_, (), _>(&nowhere, LIMIT, |reply| ("ping", reply)).await.unwrap_err();
        assert!(matches!(error, CallError::Died(_)), "{error}");
    });
}

#[test]
fn the_database_is_shared() {
    in_both_modes(async |mode| {
        let (seed, other) = pair(mode, Framing::Native).await;
        let (port, mut received) = counting(&other);
        other.db().register("workers", &port).unwrap();
        let found = soon("the port", seed.db().any("workers")).await.unwrap();
        assert_eq!(found, port);
        seed.send(&found, Work::Count(5)).unwrap();
        assert_eq!(soon("a message", received.recv()).await, Some(5));
        let mut watch = seed.db().watch("workers");
        let first = soon("the content", watch.next()).await.unwrap();
        assert_eq!(first.added, [port.to_string()]);
        let guard = other.db().set("workers", "x", 1).unwrap();
        assert_eq!(soon("a change", watch.next()).await.unwrap().added, ["x"]);
        drop(guard);
        assert_eq!(soon("a change", watch.next()).await.unwrap().deleted, ["x"]);
        other.kill(&port, Reason::NORMAL);
        let last = soon("a change", watch.next()).await.unwrap();
        assert_eq!(last.deleted, [port.to_string()]);
        assert!(last.content.is_empty());
        assert_eq!(soon("the keys", other.db().keys("workers")).await.unwrap(), Vec::<String>::new());
    });
}

#[test]
fn nodes_find_each_other_through_a_seed() {
    in_both_modes(async |mode| {
        let (seed, other) = pair(mode, Framing::Native).await;
        let third = builder(mode).id("third").secret("s").seed(seed.local_addrs()[0]).start().await.unwrap();
        let (port, mut received) = counting(&other);
        other.db().register("workers", &port).unwrap();
        let found = soon("the port", third.db().any("workers")).await.unwrap();
        third.send(&found, Work::Count(1)).unwrap();
        assert_eq!(soon("a message", received.recv()).await, Some(1));
        up(&third, other.id()).await;
    });
}

#[test]
fn a_wrong_secret_lets_nobody_in() {
    in_both_modes(async |mode| {
        let seed = builder(mode).id("seed").bind("127.0.0.1:0").secret("right").start().await.unwrap();
        let limit = std::time::Duration::from_secs(1);
        let other = builder(mode)
            .connect_interval(limit)
            .secret("wrong")
            .seed(seed.local_addrs()[0])
            .start()
            .await
            .unwrap();
        let reason = soon("the fire", other.exited(&seed.id().named("port"))).await;
        assert_eq!(reason.identifier().as_deref(), Some("transport_error"));
        assert!(seed.connected_nodes().is_empty() && other.connected_nodes().is_empty());
    });
}

#[test]
fn the_same_id_after_a_restart_replaces_the_old_one() {
    in_both_modes(async |mode| {
        let (seed, other) = pair(mode, Framing::Native).await;
        let (port, _received) = counting(&other);
        let death = seed.exited(&port);
        other.shutdown().await;
        let other = builder(mode).id("other").secret("s").seed(seed.local_addrs()[0]).start().await.unwrap();
        soon("the fire", death).await;
        up(&other, seed.id()).await;
        let reason = soon("the old port's fire", seed.exited(&port)).await;
        assert_ne!(reason, Reason::NORMAL);
        let (port, mut received) = counting(&other);
        seed.send(&port, Work::Count(1)).unwrap();
        assert_eq!(soon("a message", received.recv()).await, Some(1));
    });
}

#[test]
fn a_message_that_is_too_large_is_refused_before_anything_is_queued() {
    in_both_modes(async |mode| {
        let (seed, other) = pair(mode, Framing::Native).await;
        let (port, mut received) = counting(&other);
        let error = seed.send(&port, ("x", "y".repeat(65 << 20))).unwrap_err();
        assert!(error.to_string().contains("bytes"), "{error}");
        seed.send(&port, Work::Count(1)).unwrap();
        assert_eq!(soon("a message", received.recv()).await, Some(1));
    });
}

#[test]
fn requests_to_the_node_port_are_answered() {
    in_both_modes(async |mode| {
        let (seed, other) = pair(mode, Framing::Cbor).await;
        let time: (String, f64) = seed
            .call(&other.id().control_port(), LIMIT, |reply: ReplyTo<(String, f64)>| {
                ("time", reply.port().clone(), "tail")
            })
            .await
            .unwrap();
        assert!(time.0 == "tail" && time.1 > 1.7e9);
        for request in ["g_find", "g_found", "g_reply", "aemp"] {
            let known: (String, bool) = seed
                .call(&other.id().control_port(), LIMIT, |reply: ReplyTo<(String, bool)>| {
                    ("can", request, reply.port().clone(), "tail")
                })
                .await
                .unwrap();
            assert_eq!(known, ("tail".into(), true), "{request}");
        }
        let unknown: (String, bool) = seed
            .call(&other.id().control_port(), LIMIT, |reply: ReplyTo<(String, bool)>| {
                ("can", "nothing", reply.port().clone(), "tail")
            })
            .await
            .unwrap();
        assert_eq!(unknown, ("tail".into(), false));
        let echo: (u8, String) = seed
            .call(&other.id().control_port(), LIMIT, |reply: ReplyTo<(u8, String)>| {
                ("snd", reply.port().clone(), 1, "x")
            })
            .await
            .unwrap();
        assert_eq!(echo, (1, "x".into()));
        let refused: String = seed
            .call(&other.id().control_port(), LIMIT, |reply: ReplyTo<String>| {
                ("eval", "1+1", reply.port().clone())
            })
            .await
            .unwrap();
        assert!(refused.contains("refused"));
        let neighbours: (u8, String, String) = seed
            .call(&other.id().control_port(), LIMIT, |reply: ReplyTo<(u8, String, String)>| {
                ("eval", aemp::trace::UP_NODES, reply.port().clone(), 7)
            })
            .await
            .unwrap();
        assert_eq!(neighbours, (7, String::new(), "seed".into()));
    });
}
