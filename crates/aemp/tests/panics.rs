//! User code that panics where nobody expects it: only its port dies, and what it owed to others is
//! done all the same.

#![allow(clippy::unwrap_used)] // a test may

mod support;

use aemp::{Context, Message, Node, PortId, Reason, ReplyTo};
use serde::{Deserialize, Serialize};
use support::{LIMIT, builder, in_both_modes, soon};

/// Panics when it is dropped, except while its thread panics already.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Grenade;

impl Drop for Grenade {
    fn drop(&mut self) {
        assert!(std::thread::panicking(), "dropped");
    }
}

#[derive(Debug, Serialize, Deserialize, Message)]
enum Work {
    Throw { grenade: Grenade },
    Panic,
    Become,
    Ping { reply: ReplyTo<u8> },
}

async fn node(mode: bool) -> Node {
    builder(mode).start().await.unwrap()
}

/// All runners of the node still do their work.
async fn works(node: &Node) {
    for _ in 0..20 {
        let port = node.port(|cx: &mut Context<'_>, (reply,): (ReplyTo<u8>,)| cx.reply(reply, 1u8));
        assert_eq!(node.call::<_, u8, _>(&port, LIMIT, |reply| (reply,)).await.unwrap(), 1);
        node.kill(&port, Reason::NORMAL);
    }
}

fn armed(node: &Node) -> PortId {
    let grenade = Grenade;
    node.handlers()
        .on("end", |cx: &mut Context<'_>, ()| cx.kill(&cx.me(), Reason::text("end", "asked")))
        .on("panic", |_: &mut Context<'_>, ()| panic!("asked"))
        .on("become", |cx: &mut Context<'_>, ()| cx.receive(|_: &mut Context<'_>, (): ()| {}))
        .state(grenade)
        .build()
}

#[test]
fn a_state_that_panics_when_it_is_dropped_kills_only_its_port() {
    in_both_modes(async |mode| {
        let node = node(mode).await;
        for (tag, reason) in [("end", "end"), ("panic", "die")] {
            let port = armed(&node);
            let death = node.exited(&port);
            node.send(&port, (tag,)).unwrap();
            assert_eq!(soon("the death", death).await.identifier().as_deref(), Some(reason));
            works(&node).await;
        }
        let port = armed(&node);
        let death = node.exited(&port);
        node.kill(&port, Reason::NORMAL);
        assert!(soon("the death", death).await.is_normal());
        works(&node).await;
        node.shutdown().await;
    });
}

#[test]
fn handlers_that_panic_when_they_are_replaced_or_dropped_kill_only_their_port() {
    in_both_modes(async |mode| {
        let node = node(mode).await;
        for tag in ["become", "off", "end", "panic"] {
            let grenade = Grenade;
            let port = node
                .handlers()
                .on("panic", |_: &mut Context<'_>, ()| panic!("asked"))
                .on("off", |cx: &mut Context<'_>, ()| cx.off("grenade"))
                .on("become", |cx: &mut Context<'_>, ()| cx.receive(|_: &mut Context<'_>, (): ()| {}))
                .on("end", |cx: &mut Context<'_>, ()| cx.end(Reason::NORMAL))
                .on("grenade", move |_: &mut Context<'_>, ()| {
                    let _ = &grenade;
                })
                .build();
            let death = node.exited(&port);
            node.send(&port, (tag,)).unwrap();
            soon("the death", death).await;
            works(&node).await;
        }
        node.shutdown().await;
    });
}

#[test]
fn messages_that_panic_when_they_are_dropped_kill_only_their_port() {
    in_both_modes(async |mode| {
        let node = node(mode).await;
        let port = node.port(move |cx: &mut Context<'_>, work: Work| match work {
            Work::Panic => panic!("asked"),
            Work::Throw { grenade } => std::mem::forget(grenade),
            Work::Become => cx.receive(|_: &mut Context<'_>, (): ()| {}),
            Work::Ping { reply } => cx.reply(reply, 1),
        });
        let death = node.exited(&port);
        let gate = port.clone();
        node.run_in(&gate, move |cx| {
            cx.send(&port, Work::Become);
            cx.send(&port, Work::Panic);
            for _ in 0..3 {
                if cx.node().send(&port, Work::Throw { grenade: Grenade }).is_err() {
                    return;
                }
            }
        });
        soon("the death", death).await;
        works(&node).await;
        node.shutdown().await;
    });
}

#[test]
fn a_monitor_that_panics_when_it_is_dropped_silences_no_other() {
    in_both_modes(async |mode| {
        let node = node(mode).await;
        let (dead, target) = (node.port(|_, (): ()| {}), node.port(|_, (): ()| {}));
        let grenade = Grenade;
        node.monitor_send(&target, dead.port(), move |_| {
            let _ = &grenade;
            ("never",)
        })
        .detach();
        let death = node.exited(&target);
        node.kill(&dead, Reason::NORMAL);
        soon("the first death", node.exited(&dead)).await;
        node.kill(&target, Reason::NORMAL);
        soon("the second death", death).await;
        works(&node).await;
        node.shutdown().await;
    });
}

#[test]
fn a_call_whose_message_panics_leaves_nothing_behind() {
    in_both_modes(async |mode| {
        let node = node(mode).await;
        let target = node.port(|_, (): ()| {});
        let (sender, reply) = std::sync::mpsc::channel();
        let calls = node.call(target.port(), LIMIT, move |to: ReplyTo<u8>| -> (u8,) {
            sender.send(to.port().clone()).unwrap();
            panic!("no message")
        });
        assert!(soon("the panic", tokio::spawn(calls)).await.unwrap_err().is_panic());
        let gone = soon("the end of the reply port", node.exited(&reply.recv().unwrap())).await;
        assert_eq!(gone.identifier().as_deref(), Some("no_such_port"));
        node.shutdown().await;
    });
}
