//! Kills of async ports and of linked ones: they take effect wherever the port waits, and the news
//! of a death comes behind what the port has sent.

#![allow(clippy::unwrap_used)] // a test may

mod support;

use std::future::pending;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use aemp::{Context, Limits, Mailbox, Node, PortId, Reason, ReplyTo};
use support::{builder, in_both_modes, soon, up};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

fn boom() -> Reason {
    Reason::text("boom", "asked")
}

fn idle(node: &Node) -> PortId {
    node.port(|_: &mut Context<'_>, (): ()| {}).into()
}

/// Two nodes, connected.
async fn pair(mode: bool) -> (Node, Node) {
    let far = builder(mode).id("far").bind("127.0.0.1:0").secret("s").start().await.unwrap();
    let near = builder(mode).id("near").secret("s").seed(far.local_addrs()[0]).start().await.unwrap();
    up(&near, far.id()).await;
    up(&far, near.id()).await;
    (near, far)
}

/// What an async port waits for that does not look at its mailbox.
const WAITS: [&str; 2] = ["for ever", "for an answer"];

/// An async port that waits for this when the function has returned. `begin` runs in it first.
async fn deaf(node: &Node, what: &'static str, begin: impl FnOnce(&Mailbox) + Send + 'static) -> PortId {
    let silent = idle(node);
    let (started, mut told) = unbounded_channel();
    let port = node.port_async(async move |port: Mailbox| {
        begin(&port);
        started.send(()).unwrap();
        if what == "for an answer" {
            let answer = port.call(&silent, Duration::MAX, |reply: ReplyTo<u8>| ("never", reply)).await;
            answer.map_err(Reason::died)?;
        }
        pending().await
    });
    soon("the start", told.recv()).await.unwrap();
    port
}

#[test]
fn a_linked_async_port_dies_wherever_it_waits() {
    in_both_modes(async |mode| {
        let node = builder(mode).start().await.unwrap();
        for what in WAITS {
            let target = idle(&node);
            let victim = deaf(&node, what, |_| {}).await;
            node.monitor_kill(&target, &victim).detach();
            let death = node.exited(&victim);
            node.kill(&target, boom());
            assert_eq!(soon(what, death).await, boom());
        }
        node.shutdown().await;
    });
}

#[test]
fn an_async_port_that_has_linked_itself_dies_wherever_it_waits() {
    in_both_modes(async |mode| {
        let node = builder(mode).start().await.unwrap();
        for what in WAITS {
            let target = idle(&node);
            let linked = target.clone();
            let victim = deaf(&node, what, move |port| port.monitor_kill(&linked).detach()).await;
            let death = node.exited(&victim);
            node.kill(&target, boom());
            assert_eq!(soon(what, death).await, boom());
        }
        node.shutdown().await;
    });
}

#[test]
fn an_async_port_that_another_node_has_linked_dies_wherever_it_waits() {
    in_both_modes(async |mode| {
        let (near, far) = pair(mode).await;
        for what in WAITS {
            let (here, there) = (idle(&near), idle(&far));
            for target in [here, there] {
                let victim = deaf(&far, what, |_| {}).await;
                near.monitor_kill(&target, &victim).detach();
                let death = near.exited(&victim);
                near.kill(&target, boom());
                assert_eq!(soon(what, death).await, boom());
            }
        }
        near.shutdown().await;
        far.shutdown().await;
    });
}

#[test]
fn a_normal_death_and_a_withdrawn_link_kill_no_async_port() {
    in_both_modes(async |mode| {
        let node = builder(mode).start().await.unwrap();
        let (normal, withdrawn) = (idle(&node), idle(&node));
        let port = node.port_async(async move |mut port: Mailbox| {
            loop {
                let (reply,): (ReplyTo<u8>,) = port.recv().await;
                port.reply(reply, 7)?;
            }
        });
        node.monitor_kill(&normal, &port).detach();
        drop(node.monitor_kill(&withdrawn, &port));
        node.kill(&normal, Reason::NORMAL);
        node.kill(&withdrawn, boom());
        soon("the first death", node.exited(&normal)).await;
        soon("the second death", node.exited(&withdrawn)).await;
        let answer = node.call::<_, u8, _>(&port, support::LIMIT, |reply| (reply,));
        assert_eq!(soon("the answer", answer).await.unwrap(), 7);
        node.shutdown().await;
    });
}

#[test]
fn a_link_that_an_async_port_withdraws_in_time_does_not_kill_it() {
    in_both_modes(async |mode| {
        let node = builder(mode).start().await.unwrap();
        let target = idle(&node);
        let (killer, linked) = (node.clone(), target.clone());
        let port = node.port_async(async move |mut port: Mailbox| {
            let link = port.monitor_kill(&linked);
            // It fires while this port runs, and is withdrawn before it takes effect.
            killer.kill(&linked, boom());
            drop(link);
            let (reply,): (ReplyTo<u8>,) = port.recv().await;
            port.reply(reply, 7).map_err(Reason::died)
        });
        let answer = node.call::<_, u8, _>(&port, support::LIMIT, |reply| (reply,));
        assert_eq!(soon("the answer", answer).await.unwrap(), 7);
        node.shutdown().await;
    });
}

#[test]
fn a_linked_port_that_waits_for_a_receiver_dies() {
    in_both_modes(async |mode| {
        let limits = Limits::default().mailbox_high(1000);
        let node = builder(mode).limits(limits).start().await.unwrap();
        let crowded = deaf(&node, "for ever", |_| {}).await;
        let (sent, mut told) = unbounded_channel();
        let target = idle(&node);
        let victim = node.port(move |cx: &mut Context<'_>, (): ()| {
            cx.send(&crowded, ("x".repeat(2000),));
            sent.send(()).unwrap();
        });
        node.monitor_kill(&target, &victim).detach();
        let death = node.exited(&victim);
        node.send(&victim, ()).unwrap();
        soon("the message", told.recv()).await.unwrap();
        // Behind this one stands the kill.
        node.send(&victim, ()).unwrap();
        node.kill(&target, boom());
        assert_eq!(soon("the death", death).await, boom());
        node.shutdown().await;
    });
}

/// What a watcher was told, in order.
#[derive(Debug, PartialEq)]
enum Told {
    Word(u8),
    Death(Reason),
}

/// A port that tells what it gets, and a monitor in it.
struct Watcher {
    port: PortId,
    told: UnboundedReceiver<Told>,
    tell: UnboundedSender<Told>,
}

impl Watcher {
    fn new(node: &Node) -> Watcher {
        let (tell, told) = unbounded_channel();
        let word = tell.clone();
        let port = node.port(move |_: &mut Context<'_>, (n,): (u8,)| word.send(Told::Word(n)).unwrap());
        Watcher { port: port.into(), told, tell }
    }

    fn watch(&self, node: &Node, talker: &PortId) {
        let tell = self.tell.clone();
        node.monitor_in(talker, &self.port, move |_, reason| tell.send(Told::Death(reason)).unwrap())
            .detach();
    }

    /// What it was told up to the death.
    async fn all(&mut self) -> Vec<Told> {
        let mut all = Vec::new();
        loop {
            all.push(soon("the death", self.told.recv()).await.unwrap());
            if let Some(Told::Death(_)) = all.last() {
                return all;
            }
        }
    }
}

/// An async port of `node` that is killed in the middle of its code, on another thread, says a word
/// before and a word afterwards.
fn talk_and_die(node: &Node, to: &PortId) -> (PortId, impl FnOnce(Node, PortId)) {
    let (middle, reached) = mpsc::channel();
    let (go, goes_on) = mpsc::channel();
    let to = to.clone();
    let talker = node.port_async(async move |mut port: Mailbox| {
        let (): () = port.recv().await;
        port.send(&to, (1u8,))?;
        middle.send(()).unwrap();
        goes_on.recv().unwrap();
        port.send(&to, (2u8,))?;
        pending().await
    });
    let kill = move |killer: Node, talker: PortId| {
        let end = thread::spawn(move || {
            reached.recv().unwrap();
            killer.kill(&talker, boom());
            go.send(()).unwrap();
        });
        drop(end);
    };
    (talker, kill)
}

#[test]
fn the_death_of_an_async_port_comes_behind_its_last_words() {
    in_both_modes(async |mode| {
        let node = builder(mode).start().await.unwrap();
        let mut watcher = Watcher::new(&node);
        let (talker, kill) = talk_and_die(&node, &watcher.port);
        watcher.watch(&node, &talker);
        kill(node.clone(), talker.clone());
        node.send(&talker, ()).unwrap();
        assert_eq!(watcher.all().await, [Told::Word(1), Told::Word(2), Told::Death(boom())]);
        node.shutdown().await;
    });
}

#[test]
fn the_death_of_an_async_port_comes_behind_its_last_words_over_the_wire() {
    in_both_modes(async |mode| {
        let (near, far) = pair(mode).await;
        let mut watcher = Watcher::new(&near);
        let (talker, kill) = talk_and_die(&far, &watcher.port);
        watcher.watch(&near, &talker);
        kill(far.clone(), talker.clone());
        near.send(&talker, ()).unwrap();
        assert_eq!(watcher.all().await, [Told::Word(1), Told::Word(2), Told::Death(boom())]);
        near.shutdown().await;
        far.shutdown().await;
    });
}

/// Sends a word when it is dropped.
struct LastWord(Node, PortId);

impl Drop for LastWord {
    fn drop(&mut self) {
        self.0.send(&self.1, (3u8,)).unwrap();
    }
}

#[test]
fn what_a_port_owns_speaks_before_its_death_is_told() {
    in_both_modes(async |mode| {
        let node = builder(mode).start().await.unwrap();
        let mut watcher = Watcher::new(&node);
        let word = LastWord(node.clone(), watcher.port.clone());
        let task = deaf(&node, "for ever", move |_| {}).await;
        node.kill(&task, boom());
        let holds = node.port_async(async move |_port: Mailbox| {
            let _word = word;
            pending().await
        });
        watcher.watch(&node, &holds);
        tokio::task::yield_now().await;
        node.kill(&holds, boom());
        assert_eq!(watcher.all().await, [Told::Word(3), Told::Death(boom())]);
        let mut watcher = Watcher::new(&node);
        let word = LastWord(node.clone(), watcher.port.clone());
        let holds = node.port(move |_: &mut Context<'_>, (): ()| {
            let _ = &word;
        });
        watcher.watch(&node, &holds);
        node.kill(&holds, boom());
        assert_eq!(watcher.all().await, [Told::Word(3), Told::Death(boom())]);
        node.shutdown().await;
    });
}

#[test]
fn a_port_that_kills_itself_sends_nothing_more_and_is_told_of_in_order() {
    in_both_modes(async |mode| {
        let node = builder(mode).start().await.unwrap();
        let mut watcher = Watcher::new(&node);
        let to = watcher.port.clone();
        let talker = node.port_async(async move |mut port: Mailbox| {
            let (): () = port.recv().await;
            port.send(&to, (1u8,))?;
            let me = port.id().clone();
            port.kill(&me, boom());
            port.send(&to, (2u8,))?;
            tokio::task::yield_now().await;
            port.send(&to, (3u8,)).map_err(Reason::died)
        });
        watcher.watch(&node, &talker);
        node.send(&talker, ()).unwrap();
        assert_eq!(watcher.all().await, [Told::Word(1), Told::Word(2), Told::Death(boom())]);
        node.shutdown().await;
    });
}
