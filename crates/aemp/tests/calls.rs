//! Calls on one node: who answers them, who waits for them, and what is left of them.

#![allow(clippy::unwrap_used)] // a test may

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use aemp::{Addr, CallError, Context, Message, Node, PortId, Reason, ReplyTo, SendError};
use serde::{Deserialize, Serialize};
use support::{LIMIT, builder, in_both_modes, soon, up};

#[derive(Serialize, Deserialize, Message)]
enum Ask {
    /// Answered at once.
    Double { n: u64, reply: ReplyTo<u64> },
    /// Answered by the port that is named.
    Forward { n: u64, to: Addr<Ask>, reply: ReplyTo<u64> },
    /// Never answered.
    Keep { reply: ReplyTo<u64> },
    /// The end.
    Die,
}

fn doubler(node: &Node) -> Addr<Ask> {
    let mut kept = Vec::new();
    node.port(move |cx: &mut Context<'_>, ask: Ask| match ask {
        Ask::Double { n, reply } => cx.reply(reply, 2 * n),
        Ask::Forward { n, to, reply } => cx.send(&to, Ask::Double { n, reply }),
        Ask::Keep { reply } => kept.push(reply),
        Ask::Die => cx.end(Reason::text("enough", "of this")),
    })
}

async fn double(node: &Node, port: &PortId, n: u64) -> Result<u64, CallError> {
    node.call(port, LIMIT, |reply| Ask::Double { n, reply }).await
}

#[test]
fn a_call_answers_no_matter_who_the_request_went_through() {
    in_both_modes(async |mode| {
        let node = builder(mode).start().await.unwrap();
        let (first, second) = (doubler(&node), doubler(&node));
        // As a task, for these run where the ports run.
        let asked = tokio::spawn(async move {
            for n in 0..100 {
                assert_eq!(double(&node, &first, n).await.unwrap(), 2 * n);
                let to = second.clone();
                let forwarded = node.call(&first, LIMIT, move |reply| Ask::Forward { n, to, reply });
                assert_eq!(forwarded.await.unwrap(), 2 * n);
            }
        });
        soon("all answers", asked).await.unwrap();
    });
}

#[test]
fn a_death_ends_all_calls_that_wait_and_those_that_come_later() {
    in_both_modes(async |mode| {
        let node = builder(mode).start().await.unwrap();
        let port = doubler(&node);
        // More than are kept without looking for answered ones, among answered ones.
        let mut waiting = tokio::task::JoinSet::new();
        for n in 0..100 {
            assert_eq!(double(&node, &port, n).await.unwrap(), 2 * n);
            let call = node.call(&port, LIMIT, |reply: ReplyTo<u64>| Ask::Keep { reply });
            waiting.spawn(call);
        }
        // Behind all of them, whenever their tasks run.
        let (killer, target) = (node.clone(), port.clone());
        waiting.spawn(async move {
            let kept = |reply: ReplyTo<u64>| Ask::Keep { reply };
            killer.send(&target, Ask::Die).unwrap();
            killer.call(&target, LIMIT, kept).await
        });
        while let Some(answer) = soon("an answer", waiting.join_next()).await {
            let reason = match answer.unwrap() {
                Err(CallError::Died(reason)) => reason,
                other => panic!("{other:?} instead of the death"),
            };
            let known = ["enough", "no_such_port"];
            assert!(known.contains(&reason.identifier().unwrap().as_str()), "{reason}");
        }
        assert!(matches!(double(&node, &port, 1).await, Err(CallError::Died(_))));
    });
}

#[test]
fn a_port_that_never_answers_is_waited_for_as_long_as_allowed() {
    in_both_modes(async |mode| {
        let node = builder(mode).start().await.unwrap();
        let port = doubler(&node);
        let limit = Duration::from_millis(20);
        let began = std::time::Instant::now();
        let answer = node.call(&port, limit, |reply: ReplyTo<u64>| Ask::Keep { reply }).await;
        assert!(matches!(answer, Err(CallError::TimedOut(passed)) if passed == limit));
        assert!(began.elapsed() >= limit);
        assert_eq!(double(&node, &port, 4).await.unwrap(), 8);
    });
}

#[test]
fn a_caller_that_always_finds_its_answer_lets_others_run() {
    in_both_modes(async |mode| {
        let node = builder(mode).start().await.unwrap();
        let port = doubler(&node);
        let ran = Arc::new(AtomicBool::new(false));
        let other = ran.clone();
        let asked = tokio::spawn(async move {
            // It stands in the queue of the thread on which the calls are made.
            tokio::spawn(async move { other.store(true, Ordering::SeqCst) });
            let mut calls = 0;
            while !ran.load(Ordering::SeqCst) && calls < 1_000_000 {
                double(&node, &port, calls).await.unwrap();
                calls += 1;
            }
            calls
        });
        assert!(soon("the calls", asked).await.unwrap() < 1_000_000, "the other task never ran");
    });
}

#[test]
fn a_call_is_sent_when_it_is_waited_for_and_a_dropped_one_leaves_nothing() {
    in_both_modes(async |mode| {
        let node = builder(mode).start().await.unwrap();
        let seen = Arc::new(AtomicU32::new(0));
        let count = seen.clone();
        let port = node.port(move |cx: &mut Context<'_>, (reply,): (ReplyTo<u32>,)| {
            let before = count.fetch_add(1, Ordering::SeqCst);
            cx.reply(reply, before);
        });
        let mut made = false;
        drop(node.call(&port, LIMIT, |reply: ReplyTo<u32>| {
            made = true;
            (reply,)
        }));
        assert!(!made);
        let first: u32 = node.call(&port, LIMIT, |reply| (reply,)).await.unwrap();
        assert_eq!(first, 0, "the dropped call was sent");
        assert_eq!(seen.load(Ordering::SeqCst), 1);
        let (mut reply_port, silent) = (None, node.port(|_: &mut Context<'_>, _: (ReplyTo<u32>,)| {}));
        let waits = node.call(&silent, LIMIT, |reply: ReplyTo<u32>| {
            reply_port = Some(reply.port().clone());
            (reply,)
        });
        // It is looked at once, and dropped.
        assert!(tokio::time::timeout(Duration::ZERO, waits).await.is_err());
        let gone = soon("the end of the port for the answer", node.exited(&reply_port.unwrap())).await;
        assert_eq!(gone.identifier().as_deref(), Some("no_such_port"));
    });
}

/// Sends when it is dropped.
struct Last(Node, PortId);

impl Drop for Last {
    fn drop(&mut self) {
        self.0.send(&self.1, (99u64,)).unwrap();
    }
}

#[test]
fn what_comes_to_the_port_for_an_answer_and_is_not_wanted_is_dropped_where_it_may_send() {
    in_both_modes(async |mode| {
        let node = builder(mode).start().await.unwrap();
        let answers = node.port(|cx: &mut Context<'_>, (reply,): (ReplyTo<u64>,)| {
            let (node, me) = (cx.node().clone(), reply.port().clone());
            let last = Last(node, me);
            cx.node().run_in(reply.port(), move |_| drop(last));
            cx.reply(reply, 1);
        });
        let dies = node.port(|cx: &mut Context<'_>, (reply,): (ReplyTo<u64>,)| {
            let worker = cx.node().port(|_: &mut Context<'_>, (): ()| {});
            let last = Last(cx.node().clone(), reply.port().clone());
            let watched = cx.node().monitor_in(&worker, reply.port(), move |_, _| drop(last));
            watched.detach();
            cx.node().kill(&worker, Reason::text("enough", ""));
        });
        let asked = tokio::spawn(async move {
            let answer: u64 = node.call(&answers, LIMIT, |reply| (reply,)).await.unwrap();
            assert_eq!(answer, 1);
            let died: Result<u64, CallError> = node.call(&dies, LIMIT, |reply| (reply,)).await;
            assert!(
                matches!(&died, Err(CallError::Died(reason)) if reason.identifier().as_deref() == Some("enough")),
                "{died:?}"
            );
        });
        soon("both calls", asked).await.unwrap();
    });
}

#[test]
fn the_port_of_an_earlier_call_is_another_one_though_it_has_the_same_place() {
    in_both_modes(async |mode| {
        let node = builder(mode).start().await.unwrap();
        let (sender, mut replies) = tokio::sync::mpsc::unbounded_channel();
        let mut earlier: Vec<PortId> = Vec::new();
        let port = node.port(move |cx: &mut Context<'_>, (n, reply): (u64, ReplyTo<u64>)| {
            // Answers to earlier calls are nobody's any more.
            for before in &earlier {
                cx.send(before, (n + 1000,));
            }
            earlier.push(reply.port().clone());
            sender.send(reply.port().to_string()).unwrap();
            cx.reply(reply, n);
        });
        let asked = tokio::spawn(async move {
            for n in 0..50 {
                let answer: u64 = node.call(&port, LIMIT, |reply| (n, reply)).await.unwrap();
                assert_eq!(answer, n);
                // Another type in the same place.
                let text = node.call(port.port(), LIMIT, |reply: ReplyTo<Vec<u8>>| (n, reply)).await;
                assert!(matches!(text, Err(CallError::BadReply(_))), "{text:?}");
            }
        });
        soon("all answers", asked).await.unwrap();
        let mut seen = std::collections::HashSet::new();
        while let Ok(name) = replies.try_recv() {
            assert!(seen.insert(name));
        }
        assert_eq!(seen.len(), 100);
    });
}

#[test]
fn answers_of_another_type_are_decoded_and_later_ones_go_nowhere() {
    in_both_modes(async |mode| {
        let node = builder(mode).start().await.unwrap();
        let port = node.port(|cx: &mut Context<'_>, (reply,): (PortId,)| {
            cx.send(&reply, ("17",)); // as a Perl node may
            cx.send(&reply, (18,));
        });
        let answer: u64 = node.call(&port, LIMIT, |reply: ReplyTo<u64>| (reply,)).await.unwrap();
        assert_eq!(answer, 17);
        let error = node.call(port.port(), LIMIT, |reply: ReplyTo<Vec<u8>>| (reply, 0)).await;
        let again: u64 = node.call(&port, LIMIT, |reply: ReplyTo<u64>| (reply,)).await.unwrap();
        assert_eq!(again, 17);
        assert_eq!(error.unwrap(), b"17");
    });
}

#[test]
fn a_port_may_call_from_its_handler() {
    in_both_modes(async |mode| {
        let node = builder(mode).start().await.unwrap();
        let helper = doubler(&node);
        let port = node.port(move |cx: &mut Context<'_>, ask: Ask| {
            if let Ask::Double { n, reply } = ask {
                cx.call(
                    &helper,
                    LIMIT,
                    |reply| Ask::Double { n, reply },
                    move |cx, answer| match answer {
                        Ok(doubled) => cx.reply(reply, 2 * doubled),
                        Err(error) => cx.fail(error),
                    },
                );
            }
        });
        assert_eq!(soon("the answer", double(&node, &port, 10)).await.unwrap(), 40);
    });
}

#[test]
fn an_async_port_calls_answers_monitors_and_dies_of_its_tasks() {
    in_both_modes(async |mode| {
        let node = builder(mode).start().await.unwrap();
        let helper = doubler(&node);
        let port = node.port_async(async move |mut port| {
            let Ask::Double { n, reply } = port.recv().await else {
                return Err(Reason::text("not", "this"));
            };
            let doubled: u64 = port.call(&helper, LIMIT, |reply| Ask::Double { n, reply }).await?;
            port.reply(reply, doubled + 1)?;
            port.monitor(&helper, |reason| ("helper_died", reason)).detach();
            port.send(&helper, Ask::Die)?;
            let (reason,): (Reason,) = port.recv_tag("helper_died").await;
            assert_eq!(reason.identifier().as_deref(), Some("enough"));
            port.task(async { Err(Reason::text("task", "failed")) });
            loop {
                port.recv::<aemp::AnyMessage>().await;
            }
        });
        let death = node.exited(&port);
        assert_eq!(soon("the answer", double(&node, &port, 5)).await.unwrap(), 11);
        assert_eq!(soon("the death", death).await, Reason::text("task", "failed"));
    });
}

#[test]
fn a_reply_is_sent_from_any_task_or_thread_without_a_node_at_hand() {
    in_both_modes(async |mode| {
        let far = builder(mode).id("far").bind("127.0.0.1:0").secret("s").start().await.unwrap();
        let near = builder(mode).seed(far.local_addrs()[0]).secret("s").start().await.unwrap();
        up(&near, far.id()).await;
        // A callback port, one with tags, and an async one, whose mailbox is given to another task.
        let typed = far.port(|_: &mut Context<'_>, (n, reply): (u64, ReplyTo<u64>)| {
            tokio::spawn(async move { reply.send(n) });
        });
        let tagged = far.handlers().on("ask", |_, (n, reply): (u64, ReplyTo<u64>)| {
            std::thread::spawn(move || reply.send(n).unwrap());
        });
        let tagged = tagged.build();
        let code = far.port_async(|mut port| async move {
            let answers = tokio::spawn(async move {
                loop {
                    let (n, reply): (u64, ReplyTo<u64>) = port.recv().await;
                    reply.clone().send(n).unwrap();
                    reply.send(n + 1).unwrap(); // to a port that is gone
                }
            });
            answers.await?
        });
        for node in [&far, &near] {
            for port in [typed.port(), &code] {
                assert_eq!(
                    soon("an answer", node.call(port, LIMIT, |reply: ReplyTo<u64>| (7, reply)))
                        .await
                        .unwrap(),
                    7
                );
            }
            let answer = node.call(&tagged, LIMIT, |reply: ReplyTo<u64>| ("ask", 8, reply));
            assert_eq!(soon("an answer", answer).await.unwrap(), 8);
        }
        near.shutdown().await;
        far.shutdown().await;
    });
}

#[test]
fn a_reply_that_no_port_has_decoded_says_so_and_one_of_a_node_that_is_gone_goes_nowhere() {
    in_both_modes(async |mode| {
        let node = builder(mode).start().await.unwrap();
        let (heard, mut hears) = tokio::sync::mpsc::unbounded_channel();
        let port = node.port(move |_: &mut Context<'_>, (n,): (u8,)| heard.send(n).unwrap());
        let read: ReplyTo<u8> = serde_json::from_str(&format!("{:?}", port.to_string())).unwrap();
        assert!(matches!(read.clone().send(1), Err(SendError::NoNode)));
        node.reply(read, 2).unwrap();
        assert_eq!(soon("the answer", hears.recv()).await, Some(2));

        let (sender, mut kept) = tokio::sync::mpsc::unbounded_channel();
        let keeps = node.port(move |_: &mut Context<'_>, (reply,): (ReplyTo<u8>,)| {
            sender.send(reply).unwrap();
        });
        let asked = tokio::spawn(node.call(&keeps, LIMIT, |reply: ReplyTo<u8>| (reply,)));
        let reply = soon("the question", kept.recv()).await.unwrap();
        node.shutdown().await;
        reply.send(1).unwrap();
        assert!(matches!(soon("the end", asked).await.unwrap(), Err(CallError::Died(_))));
    });
}
