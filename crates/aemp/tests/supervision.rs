//! Supervision: who is started again, who is not, when it is too much, and how children are
//! stopped; here and on other nodes.

#![allow(clippy::unwrap_used)] // a test may

mod support;

use std::time::Duration;

use aemp::supervise::{Child, Request, Restart, Strategy, Supervisor};
use aemp::{Builder, Context, Node, PortId, Reason};
use support::{LIMIT, builder, in_both_modes, soon, up};
use tokio::sync::mpsc;

/// What the children do, in order: `+a` is the start of the child `a`, `-a` its end.
type Log = mpsc::UnboundedReceiver<String>;

type Note = mpsc::UnboundedSender<String>;

/// Notes the end of a child when its port is gone.
struct Ends(&'static str, Note);

impl Drop for Ends {
    fn drop(&mut self) {
        // The test may have finished.
        let _ = self.1.send(format!("-{}", self.0));
    }
}

/// A child that ends as it is told: a reason's identifier, or nothing for a normal end.
fn child(name: &'static str, note: &Note) -> Child {
    let note = note.clone();
    Child::new(name, move |node| {
        note.send(format!("+{name}"))?;
        let ends = Ends(name, note.clone());
        Ok(node.port(move |cx: &mut Context<'_>, (how,): (String,)| {
            let _ = &ends;
            cx.end(if how.is_empty() { Reason::NORMAL } else { Reason::text(&how, "as told") });
        }))
    })
}

async fn expect(log: &mut Log, what: &[&str]) {
    for entry in what {
        assert_eq!(soon(entry, log.recv()).await.as_deref(), Some(*entry));
    }
}

/// The living children. The answer comes after everything that the supervisor has heard of before.
async fn living(node: &Node, supervisor: &PortId) -> Vec<(String, PortId)> {
    node.call(supervisor, LIMIT, |reply| Request::Children { reply }).await.unwrap()
}

async fn names(node: &Node, supervisor: &PortId) -> Vec<String> {
    living(node, supervisor).await.into_iter().map(|(name, _)| name).collect()
}

async fn end(node: &Node, supervisor: &PortId, name: &str, how: &str) {
    let children = living(node, supervisor).await;
    let port = &children.iter().find(|(other, _)| other == name).unwrap().1;
    let death = node.exited(port);
    node.send(port, (how,)).unwrap();
    soon("the death of a child", death).await;
}

fn three(strategy: Strategy, note: &Note) -> Supervisor {
    Supervisor::new(strategy).child(child("a", note)).child(child("b", note)).child(child("c", note))
}

#[test]
fn each_strategy_starts_again_whom_it_says() {
    let cases: [(Strategy, &[&str]); 3] = [
        (Strategy::OneForOne, &["-b", "+b"]),
        (Strategy::RestForOne, &["-b", "-c", "+b", "+c"]),
        (Strategy::AllForOne, &["-b", "-c", "-a", "+a", "+b", "+c"]),
    ];
    for (strategy, restart) in cases {
        in_both_modes(async |mode| {
            let node = builder(mode).start().await.unwrap();
            let (note, mut log) = mpsc::unbounded_channel();
            let supervisor = three(strategy, &note).start(&node);
            expect(&mut log, &["+a", "+b", "+c"]).await;
            for _ in 0..2 {
                end(&node, &supervisor, "b", "oops").await;
                expect(&mut log, restart).await;
            }
            assert_eq!(names(&node, &supervisor).await, ["a", "b", "c"]);
        });
    }
}

#[test]
fn a_child_is_started_again_after_the_deaths_that_it_names() {
    in_both_modes(async |mode| {
        let node = builder(mode).start().await.unwrap();
        let (note, mut log) = mpsc::unbounded_channel();
        let supervisor = Supervisor::new(Strategy::OneForOne)
            .child(child("always", &note))
            .child(child("abnormal", &note).restart(Restart::Abnormal))
            .child(child("never", &note).restart(Restart::Never))
            .start(&node);
        expect(&mut log, &["+always", "+abnormal", "+never"]).await;
        end(&node, &supervisor, "always", "").await;
        expect(&mut log, &["-always", "+always"]).await;
        end(&node, &supervisor, "abnormal", "oops").await;
        expect(&mut log, &["-abnormal", "+abnormal"]).await;
        end(&node, &supervisor, "abnormal", "").await;
        expect(&mut log, &["-abnormal"]).await;
        end(&node, &supervisor, "never", "oops").await;
        expect(&mut log, &["-never"]).await;
        soon("the news", async { while names(&node, &supervisor).await != ["always"] {} }).await;
        assert!(log.is_empty());
    });
}

#[test]
fn a_child_that_is_never_started_again_stays_stopped() {
    in_both_modes(async |mode| {
        let node = builder(mode).start().await.unwrap();
        let (note, mut log) = mpsc::unbounded_channel();
        let supervisor = Supervisor::new(Strategy::AllForOne)
            .child(child("a", &note).restart(Restart::Never))
            .child(child("b", &note))
            .start(&node);
        expect(&mut log, &["+a", "+b"]).await;
        end(&node, &supervisor, "b", "oops").await;
        expect(&mut log, &["-b", "-a", "+b"]).await;
        assert_eq!(names(&node, &supervisor).await, ["b"]);
    });
}

#[test]
fn too_many_restarts_end_the_supervisor_and_all_children() {
    in_both_modes(async |mode| {
        let node = builder(mode).start().await.unwrap();
        let (note, mut log) = mpsc::unbounded_channel();
        let supervisor = three(Strategy::OneForOne, &note).limit(2, LIMIT * 10).start(&node);
        let death = node.exited(&supervisor);
        expect(&mut log, &["+a", "+b", "+c"]).await;
        for _ in 0..2 {
            end(&node, &supervisor, "b", "oops").await;
            expect(&mut log, &["-b", "+b"]).await;
        }
        end(&node, &supervisor, "b", "oops").await;
        expect(&mut log, &["-b", "-c", "-a"]).await;
        let reason = soon("the death of the supervisor", death).await;
        assert_eq!(reason.identifier().as_deref(), Some("restart_limit"));
        assert!(reason.to_string().contains("\"b\" died: oops"), "{reason}");
    });
}

#[test]
fn old_restarts_do_not_count() {
    in_both_modes(async |mode| {
        let node = builder(mode).start().await.unwrap();
        let (note, mut log) = mpsc::unbounded_channel();
        let supervisor = Supervisor::new(Strategy::OneForOne)
            .limit(1, Duration::ZERO)
            .child(child("a", &note))
            .start(&node);
        expect(&mut log, &["+a"]).await;
        for _ in 0..10 {
            end(&node, &supervisor, "a", "oops").await;
            expect(&mut log, &["-a", "+a"]).await;
        }
    });
}

#[test]
fn children_are_stopped_in_reverse_order_however_the_supervisor_ends() {
    in_both_modes(async |mode| {
        let node = builder(mode).start().await.unwrap();
        for killed in [true, false] {
            let (note, mut log) = mpsc::unbounded_channel();
            let supervisor = three(Strategy::OneForOne, &note).start(&node);
            let death = node.exited(&supervisor);
            expect(&mut log, &["+a", "+b", "+c"]).await;
            if killed {
                node.kill(&supervisor, Reason::text("enough", "of this"));
                expect(&mut log, &["-c", "-b", "-a"]).await;
                assert_eq!(soon("the death", death).await, Reason::text("enough", "of this"));
            } else {
                node.send(&supervisor, Request::Stop).unwrap();
                assert!(soon("the death", death).await.is_normal());
                // They were dead before it was.
                assert_eq!([(); 3].map(|()| log.try_recv().unwrap()), ["-c", "-b", "-a"]);
            }
        }
    });
}

#[test]
fn a_child_that_cannot_be_started_ends_the_supervisor() {
    in_both_modes(async |mode| {
        let node = builder(mode).start().await.unwrap();
        let (note, mut log) = mpsc::unbounded_channel();
        let fails = Child::new("fails", |_| Err::<PortId, _>(Reason::text("no_disk", "left")));
        let panics = Child::new("panics", |_| -> Result<PortId, Reason> { panic!("no memory") });
        for (bad, reason) in [(fails, Reason::text("no_disk", "left")), (panics, Reason::died("no memory"))] {
            let (go, gone) = tokio::sync::oneshot::channel::<()>();
            let supervisor = Supervisor::new(Strategy::OneForOne).child(child("a", &note)).child(bad);
            let port = node.port_async(async move |port| {
                gone.await?; // the test monitors it now
                supervisor.run(port).await
            });
            let death = node.exited(&port);
            go.send(()).unwrap();
            assert_eq!(soon("the death", death).await, reason);
            expect(&mut log, &["+a", "-a"]).await;
        }
    });
}

#[test]
fn a_child_may_be_asked_to_stop_and_is_killed_if_it_does_not() {
    in_both_modes(async |mode| {
        let node = builder(mode).start().await.unwrap();
        let (note, mut log) = mpsc::unbounded_channel();
        let (inner_note, ends_late) = (note.clone(), note.clone());
        let inner = Child::new("inner", move |node| Ok(three(Strategy::OneForOne, &inner_note).start(node)))
            .stop_by(|node, port| node.send(port, Request::Stop));
        let deaf = Child::new("deaf", move |node| {
            let ends = Ends("deaf", ends_late.clone());
            Ok(node.port(move |_: &mut Context<'_>, _: (String,)| {
                let _ = &ends;
            }))
        })
        .stop_by(|node, port| node.send(port, ("please",)))
        .stop_within(Duration::from_millis(20));
        let supervisor = Supervisor::new(Strategy::OneForOne).child(inner).child(deaf).start(&node);
        expect(&mut log, &["+a", "+b", "+c"]).await;
        let death = node.exited(&supervisor);
        node.send(&supervisor, Request::Stop).unwrap();
        assert!(soon("the death", death).await.is_normal());
        assert_eq!([(); 4].map(|()| log.try_recv().unwrap()), ["-deaf", "-c", "-b", "-a"]);
    });
}

/// A node on which a child can be spawned: it answers with the name of its node, and notes when it
/// is gone.
fn worker(mode: bool, id: &'static str, note: &Note) -> Builder {
    let note = note.clone();
    builder(mode).id(id).bind("127.0.0.1:0").secret("s").function(
        "test::child",
        move |cx: &mut Context<'_>, ()| {
            note.send(format!("+{id}"))?;
            let ends = Ends(id, note.clone());
            cx.receive(move |cx: &mut Context<'_>, (how,): (String,)| {
                let _ = &ends;
                cx.end(Reason::text(&how, "as told"));
            });
            Ok::<(), Reason>(())
        },
    )
}

#[test]
fn children_live_on_other_nodes_and_move_when_these_end() {
    in_both_modes(async |mode| {
        let (note, mut log) = mpsc::unbounded_channel();
        let one = worker(mode, "one", &note).start().await.unwrap();
        let seed = one.local_addrs()[0].to_string();
        let two = worker(mode, "two", &note).seed(&seed).start().await.unwrap();
        let boss = builder(mode)
            .id("boss")
            .secret("s")
            .seed(&seed)
            .seed(two.local_addrs()[0])
            .start()
            .await
            .unwrap();
        up(&boss, one.id()).await;
        up(&boss, two.id()).await;
        let mut nodes = [one.id().clone(), two.id().clone()].into_iter().cycle();
        let moves = Child::new("moves", move |node| {
            let next = nodes.next().ok_or_else(|| Reason::text("no_node", "left"))?;
            Ok(node.spawn(&next, "test::child", ())?)
        });
        let supervisor = Supervisor::new(Strategy::OneForOne).child(moves).start(&boss);
        expect(&mut log, &["+one"]).await;
        end(&boss, &supervisor, "moves", "oops").await;
        expect(&mut log, &["-one", "+two"]).await;
        end(&boss, &supervisor, "moves", "oops").await;
        expect(&mut log, &["-two", "+one"]).await;
        soon("the end of a node", one.shutdown()).await;
        let mut next = [soon("both", log.recv()).await.unwrap(), soon("both", log.recv()).await.unwrap()];
        next.sort();
        assert_eq!(next, ["+two", "-one"]);
        // What stops the supervisor stops the child on the other node, too.
        let death = boss.exited(&supervisor);
        boss.send(&supervisor, Request::Stop).unwrap();
        assert!(soon("the death", death).await.is_normal());
        expect(&mut log, &["-two"]).await;
    });
}
