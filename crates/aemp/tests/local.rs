//! Ports of one node: messages, order, death, monitors, calls, spawns.

#![allow(clippy::unwrap_used)] // a test may

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use aemp::{AnyMessage, CallError, Context, Message, Node, PortId, Reason, ReplyTo, Value, pick};
use serde::{Deserialize, Serialize};
use support::{LIMIT, builder, in_both_modes, soon};
use tokio::sync::mpsc;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Message)]
enum Work {
    Resize { path: String, width: u32 },
    Add { a: i64, b: i64, reply: ReplyTo<i64> },
    Count(u64),
    Stop,
}

async fn node(always_encode: bool) -> Node {
    builder(always_encode).start().await.unwrap()
}

/// A port that hands every `Count` to the test.
fn counting(node: &Node) -> (PortId, mpsc::UnboundedReceiver<u64>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let port = node.port(move |cx: &mut Context<'_>, work: Work| match work {
        Work::Count(n) => sender.send(n).unwrap(),
        Work::Add { a, b, reply } => cx.reply(reply, a + b),
        Work::Stop => cx.end(Reason::NORMAL),
        Work::Resize { path, .. } => panic!("no such file: {path}"),
    });
    (port.into(), receiver)
}

#[test]
fn messages_arrive_in_the_order_in_which_they_were_sent() {
    in_both_modes(async |mode| {
        let node = node(mode).await;
        let (port, mut received) = counting(&node);
        for n in 0..10_000 {
            node.send(&port, Work::Count(n)).unwrap();
        }
        for n in 0..10_000 {
            assert_eq!(soon("a message", received.recv()).await, Some(n));
        }
    });
}

#[test]
fn a_tuple_is_the_same_message_as_the_variant() {
    in_both_modes(async |mode| {
        let node = node(mode).await;
        let (port, mut received) = counting(&node);
        node.send(&port, ("count", 7)).unwrap();
        node.send(&port, AnyMessage(vec![Value::from("count"), Value::from("8")])).unwrap();
        assert_eq!(soon("a message", received.recv()).await, Some(7));
        assert_eq!(soon("a message", received.recv()).await, Some(8));
    });
}

#[test]
fn what_was_sent_before_a_kill_arrives_and_what_was_sent_after_it_does_not() {
    in_both_modes(async |mode| {
        let node = node(mode).await;
        let (port, mut received) = counting(&node);
        let death = node.exited(&port);
        for n in 0..100 {
            node.send(&port, Work::Count(n)).unwrap();
        }
        node.kill(&port, Reason::text("enough", "of this"));
        node.send(&port, Work::Count(100)).unwrap();
        assert_eq!(soon("the death", death).await, Reason::text("enough", "of this"));
        let mut count = 0;
        while let Some(n) = received.recv().await {
            assert_eq!(n, count);
            count += 1;
        }
        assert_eq!(count, 100);
    });
}

#[test]
fn a_panic_kills_only_its_port() {
    in_both_modes(async |mode| {
        let node = node(mode).await;
        let (port, _received) = counting(&node);
        let (other, mut alive) = counting(&node);
        let death = node.exited(&port);
        node.send(&port, Work::Resize { path: "x.png".into(), width: 1 }).unwrap();
        assert_eq!(soon("the death", death).await, Reason::died("no such file: x.png"));
        node.send(&other, Work::Count(1)).unwrap();
        assert_eq!(soon("a message", alive.recv()).await, Some(1));
    });
}

#[test]
fn a_message_that_fits_nothing_kills_the_port() {
    in_both_modes(async |mode| {
        let node = node(mode).await;
        let (port, _received) = counting(&node);
        let death = node.exited(&port);
        node.send(&port, ("unheard_of", 1)).unwrap();
        assert_eq!(soon("the death", death).await.identifier().as_deref(), Some("unhandled_message"));
        let (port, _received) = counting(&node);
        let death = node.exited(&port);
        node.send(&port, ("count", "many")).unwrap();
        assert_eq!(soon("the death", death).await.identifier().as_deref(), Some("bad_message"));
    });
}

#[test]
fn monitoring_a_dead_port_fires_at_once() {
    in_both_modes(async |mode| {
        let node = node(mode).await;
        let (port, _received) = counting(&node);
        node.kill(&port, Reason::NORMAL);
        let reason = soon("the fire", async {
            while !matches!(node.exited(&port).await.identifier().as_deref(), Some("no_such_port")) {}
            node.exited(&port).await
        })
        .await;
        assert_eq!(reason, Reason::no_such_port(&port));
    });
}

#[test]
fn a_dropped_guard_never_fires_and_others_do() {
    in_both_modes(async |mode| {
        let node = node(mode).await;
        let (port, _received) = counting(&node);
        let fired = Arc::new(AtomicU32::new(0));
        let count = |by| {
            let fired = fired.clone();
            node.monitor(&port, move |_| {
                fired.fetch_add(by, Ordering::SeqCst);
            })
        };
        let dropped = count(1);
        count(10).detach();
        count(100).detach();
        drop(dropped);
        let death = node.exited(&port);
        node.kill(&port, Reason::NORMAL);
        soon("the death", death).await;
        soon("all fires", async {
            while fired.load(Ordering::SeqCst) < 110 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        assert_eq!(fired.load(Ordering::SeqCst), 110);
    });
}

#[test]
fn a_monitor_can_send_a_message_or_kill() {
    in_both_modes(async |mode| {
        let node = node(mode).await;
        let (victim, _received) = counting(&node);
        let (boss, mut told) = counting(&node);
        let (partner, _received2) = counting(&node);
        let partner_dies = node.exited(&partner);
        node.monitor_send(&victim, &boss, |_| Work::Count(42)).detach();
        node.monitor_kill(&victim, &partner).detach();
        node.monitor_kill(&victim, &boss).detach();
        node.kill(&victim, Reason::text("oops", "a reason"));
        assert_eq!(soon("the partner's death", partner_dies).await, Reason::text("oops", "a reason"));
        assert_eq!(soon("the message", told.recv()).await, Some(42));
    });
}

#[test]
fn a_normal_death_kills_nobody() {
    in_both_modes(async |mode| {
        let node = node(mode).await;
        let (victim, _received) = counting(&node);
        let (partner, mut alive) = counting(&node);
        node.monitor_kill(&victim, &partner).detach();
        let death = node.exited(&victim);
        node.send(&victim, Work::Stop).unwrap();
        assert!(soon("the death", death).await.is_normal());
        node.send(&partner, Work::Count(1)).unwrap();
        assert_eq!(soon("a message", alive.recv()).await, Some(1));
    });
}

#[test]
fn calls_are_answered_or_fail() {
    in_both_modes(async |mode| {
        let node = node(mode).await;
        let (adder, _received) = counting(&node);
        let sum = node.call(&adder, LIMIT, |reply| Work::Add { a: 20, b: 22, reply }).await.unwrap();
        assert_eq!(sum, 42);
        let error = node.call::<_, i64, _>(&adder, LIMIT, |_| ("unheard_of",)).await.unwrap_err();
        assert!(
            matches!(&error, CallError::Died(reason) if reason.identifier().as_deref() == Some("unhandled_message"))
        );
        let error = node.call::<_, i64, _>(&adder, LIMIT, |_| Work::Stop).await.unwrap_err();
        assert!(matches!(error, CallError::Died(_)), "{error}");
        let silent = node.port(|_: &mut Context<'_>, _: AnyMessage| {});
        let error =
            node.call::<_, i64, _>(&silent, Duration::from_millis(10), |reply| (1, reply)).await.unwrap_err();
        assert!(matches!(error, CallError::TimedOut(_)));
    });
}

#[test]
fn tagged_handlers_can_be_added_replaced_and_removed() {
    in_both_modes(async |mode| {
        let node = node(mode).await;
        let (sender, mut said) = mpsc::unbounded_channel::<String>();
        let port = node
            .handlers()
            .state(sender)
            .on("say", |cx, (text,): (String,)| {
                cx.state::<mpsc::UnboundedSender<String>>().send(text).unwrap()
            })
            .on("louder", |cx, ()| {
                cx.on("say", |cx, text: String| {
                    cx.state::<mpsc::UnboundedSender<String>>().send(text.to_uppercase()).unwrap();
                });
            })
            .on("hush", |cx, ()| {
                cx.off("say");
                cx.fallback(|cx, message: AnyMessage| {
                    let text = format!("ignored {}", message.0.len());
                    cx.state::<mpsc::UnboundedSender<String>>().send(text).unwrap();
                });
            })
            .build();
        for message in [("say", "a"), ("louder", ""), ("say", "b"), ("hush", ""), ("say", "c")] {
            node.send(&port, message).unwrap();
        }
        for expected in ["a", "B", "ignored 2"] {
            assert_eq!(soon("a text", said.recv()).await.as_deref(), Some(expected));
        }
    });
}

#[test]
fn an_async_port_picks_and_the_rest_stays_in_order() {
    in_both_modes(async |mode| {
        let node = node(mode).await;
        let (sender, mut results) = mpsc::unbounded_channel();
        let port = node.port_async(async move |mut port| {
            let width = port.recv_match(pick!(Work::Resize { width, .. } => width)).await;
            sender.send(u64::from(width))?;
            let none = port.recv_tag_timeout::<()>(Duration::from_millis(10), "stop").await;
            assert!(none.is_none());
            for _ in 0..3 {
                let n = port.recv_match(pick!(Work::Count(n) if n < 3 => n)).await;
                sender.send(n)?;
            }
            let rest: Work = port.recv().await;
            sender.send(u64::from(rest == Work::Count(9)))?;
            assert_eq!(port.recv_timeout::<AnyMessage>(Duration::from_millis(10)).await, None);
            Ok(())
        });
        let death = node.exited(&port);
        for work in [Work::Count(0), Work::Count(9), Work::Count(1), Work::Count(2)] {
            node.send(&port, work).unwrap();
        }
        node.send(&port, Work::Resize { path: "p".into(), width: 99 }).unwrap();
        for expected in [99, 0, 1, 2, 1] {
            assert_eq!(soon("a result", results.recv()).await, Some(expected));
        }
        assert!(soon("the end", death).await.is_normal());
    });
}

#[test]
fn an_async_port_dies_with_its_error_its_panic_or_its_killer() {
    in_both_modes(async |mode| {
        let node = node(mode).await;
        let failing = node.port_async(async |_| Err(Reason::text("no", "thanks")));
        let reason = soon("a death", node.exited(&failing)).await;
        assert!(
            reason == Reason::text("no", "thanks") || reason.identifier().as_deref() == Some("no_such_port")
        );
        let panicking = node.port_async(async |mut port| {
            let () = port.recv_tag("go").await;
            panic!("with a text")
        });
        let death = node.exited(&panicking);
        node.send(&panicking, ("go",)).unwrap();
        assert_eq!(soon("a death", death).await, Reason::died("with a text"));
        let endless = node.port_async(async |_| std::future::pending().await);
        let death = node.exited(&endless);
        node.kill(&endless, Reason::text("enough", ""));
        assert_eq!(soon("a death", death).await, Reason::text("enough", ""));
    });
}

#[test]
fn a_spawn_on_the_own_node_runs_after_it_returned() {
    in_both_modes(async |mode| {
        let node = builder(mode)
            .function("test::adder", |cx: &mut Context<'_>, (offset,): (i64,)| -> Result<(), Reason> {
                cx.receive(move |cx, work: Work| {
                    if let Work::Add { a, b, reply } = work {
                        cx.reply(reply, a + b + offset);
                    }
                });
                Ok(())
            })
            .function("test::none", |_: &mut Context<'_>, ()| Ok::<(), Reason>(()))
            .function("test::fails", |_: &mut Context<'_>, ()| Err(Reason::died("on purpose")))
            .start()
            .await
            .unwrap();
        let adder = node.spawn(node.id(), "test::adder", (1000,)).unwrap();
        let sum = node.call(&adder, LIMIT, |reply| Work::Add { a: 1, b: 2, reply }).await.unwrap();
        assert_eq!(sum, 1003);
        for (function, identifier) in
            [("test::none", "no_such_port"), ("test::fails", "die"), ("test::unknown", "spawn_refused")]
        {
            let port = node.spawn(node.id(), function, ()).unwrap();
            let reason = soon("a death", node.exited(&port)).await;
            let identifier_now = reason.identifier();
            assert!(
                [Some(identifier), Some("no_such_port")].contains(&identifier_now.as_deref()),
                "{function}: {reason}"
            );
        }
    });
}

#[test]
fn tasks_and_timers_end_with_their_port_and_kill_it_when_they_panic() {
    in_both_modes(async |mode| {
        let node = node(mode).await;
        let (sender, mut done) = mpsc::unbounded_channel();
        let port = node.port(move |cx: &mut Context<'_>, (what,): (String,)| {
            let sender = sender.clone();
            match what.as_str() {
                "task" => cx.task(async { 5 }, move |_, five| sender.send(five).unwrap()),
                "timer" => cx.after(Duration::from_millis(1), move |_| sender.send(6).unwrap()),
                _ => cx.task(async { panic!("in a task") }, |_, ()| {}),
            }
        });
        let death = node.exited(&port);
        node.send(&port, ("task",)).unwrap();
        assert_eq!(soon("the task", done.recv()).await, Some(5));
        node.send(&port, ("timer",)).unwrap();
        assert_eq!(soon("the timer", done.recv()).await, Some(6));
        node.send(&port, ("panic",)).unwrap();
        assert_eq!(soon("the death", death).await, Reason::died("in a task"));
        assert_eq!(soon("everything to be dropped", done.recv()).await, None);
    });
}

#[test]
fn code_can_be_run_in_a_port_in_order_with_its_messages() {
    in_both_modes(async |mode| {
        let node = node(mode).await;
        let (port, mut received) = counting(&node);
        let (sender, mut ran) = mpsc::unbounded_channel();
        node.send(&port, Work::Count(1)).unwrap();
        let inner = port.clone();
        node.run_in(&port, move |cx| {
            assert_eq!(cx.me(), inner);
            sender.send(()).unwrap();
        });
        node.send(&port, Work::Count(2)).unwrap();
        soon("the code", ran.recv()).await.unwrap();
        assert_eq!(received.recv().await, Some(1));
        assert_eq!(received.recv().await, Some(2));
    });
}

#[test]
fn ports_that_are_always_busy_starve_nobody() {
    in_both_modes(async |mode| {
        let node = node(mode).await;
        for _ in 0..4 {
            let busy = node.port(|cx: &mut Context<'_>, (n,): (u64,)| {
                let me = cx.me();
                cx.send(&me, (n + 1,));
            });
            node.send(&busy, (0,)).unwrap();
        }
        for _ in 0..20 {
            let (port, _received) = counting(&node);
            let sum = node.call(&port, LIMIT, |reply| Work::Add { a: 1, b: 1, reply }).await.unwrap();
            assert_eq!(sum, 2);
        }
        node.shutdown().await;
    });
}

#[test]
fn several_nodes_live_in_one_process() {
    in_both_modes(async |mode| {
        let (one, two) = (node(mode).await, node(mode).await);
        assert_ne!(one.id(), two.id());
        let (port, mut received) = counting(&one);
        let relay = two.port({
            let one = one.clone();
            move |_: &mut Context<'_>, work: Work| one.send(&port, work).unwrap()
        });
        two.send(&relay, Work::Count(3)).unwrap();
        assert_eq!(soon("a message", received.recv()).await, Some(3));
    });
}

#[test]
fn a_port_that_sends_faster_than_its_receiver_works_waits_for_it() {
    const HIGH: usize = 64 << 10;
    const MESSAGES: u64 = 5_000;
    in_both_modes(async |mode| {
        let limits = aemp::Limits::default().mailbox_high(HIGH);
        let node = builder(mode).limits(limits).start().await.unwrap();
        let (sent, most) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
        let (finished, mut finish) = mpsc::unbounded_channel();
        let (sent_seen, most_seen) = (sent.clone(), most.clone());
        let mut received = 0;
        let slow = node.port(move |_: &mut Context<'_>, (_, text): (u64, String)| {
            assert_eq!(text.len(), 1000);
            // Work, so that the sender is faster.
            (0..2000u32).for_each(|n| {
                std::hint::black_box(n);
            });
            received += 1;
            most_seen.fetch_max(sent_seen.load(Ordering::SeqCst) - received, Ordering::SeqCst);
            if u64::from(received) == MESSAGES {
                finished.send(()).unwrap();
            }
        });
        let fast = node.port(move |cx: &mut Context<'_>, (n,): (u64,)| {
            sent.fetch_add(1, Ordering::SeqCst);
            cx.send(&slow, (n, "x".repeat(1000)));
            if n < MESSAGES {
                let me = cx.me();
                cx.send(&me, (n + 1,));
            }
        });
        node.send(&fast, (1,)).unwrap();
        soon("all messages", finish.recv()).await;
        // One mailbox up to its mark, one that the receiver has taken already, and what was under
        // way. All at once would be 5,000.
        let bound = 2 * (HIGH as u32 / 1000) + 50;
        let most = most.load(Ordering::SeqCst);
        assert!(most <= bound, "{most} messages waited, more than {bound}");
    });
}
