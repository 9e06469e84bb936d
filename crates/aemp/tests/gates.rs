//! What follows a loss: monitors that are set again, what is sent behind them, and who is told in
//! which order.

#![allow(clippy::unwrap_used)] // a test may

mod support;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aemp::{Context, Node, NodeEvent, PortId, Reason, ReplyTo};
use support::proxy::{Cut, proxy};
use support::{LIMIT, builder, in_both_modes, soon, up};
use tokio::sync::{oneshot, watch};

/// Two nodes, and what cuts the connection between them.
struct Pair {
    near: Node,
    far: Node,
    cut: watch::Sender<(u64, Cut)>,
}

impl Pair {
    async fn start(mode: bool) -> Pair {
        let base = |id: &str| builder(mode).id(id).secret("s");
        let far = base("far").bind("127.0.0.1:0").start().await.unwrap();
        let (cut, cuts) = watch::channel((0, Cut::No));
        let address = proxy(far.local_addrs()[0].to_string(), cuts).await;
        let near = base("near").seed(address).start().await.unwrap();
        up(&near, far.id()).await;
        Pair { near, far, cut }
    }

    fn cut(&self) {
        self.cut.send_modify(|(number, how)| (*number, *how) = (*number + 1, Cut::Close));
    }

    async fn end(self) {
        self.near.shutdown().await;
        self.far.shutdown().await;
    }
}

/// A port that keeps what arrives: who sent it, and which of his it was.
fn collector(node: &Node) -> (PortId, watch::Receiver<Vec<(u64, u64)>>) {
    let (all, seen) = watch::channel(Vec::new());
    let port = node.port(move |_: &mut Context<'_>, message: (u64, u64)| {
        all.send_modify(|all| all.push(message));
    });
    (port.into(), seen)
}

#[test]
fn what_a_gate_still_holds_when_a_node_ends_is_reported() {
    in_both_modes(|mode| async move {
        let pair = Pair::start(mode).await;
        let (port, seen) = collector(&pair.far);
        // Who waits for this does not hear of the loss before the node has ended.
        let late = pair.near.exited(&port);
        let mut events = pair.near.node_events();
        pair.cut();
        soon("the connection after the loss", async {
            while !matches!(events.next().await, Some(NodeEvent::Down(..))) {}
            while !matches!(events.next().await, Some(NodeEvent::Up(..))) {}
        })
        .await;
        let (sent, is_sent) = oneshot::channel();
        let speaker = pair.near.port(|_: &mut Context<'_>, (): ()| {});
        let target = port.clone();
        let lost_again = Arc::new(AtomicU64::new(0));
        let lost = lost_again.clone();
        pair.near.run_in(speaker.as_ref(), move |cx| {
            let count = move |_: &mut Context<'_>, _| {
                lost.fetch_add(1, Ordering::SeqCst);
            };
            cx.monitor(&target, count).detach();
            cx.send(&target, (1u64, 1u64));
            sent.send(()).unwrap();
        });
        soon("the message", is_sent).await.unwrap();
        let told = lost_again.load(Ordering::SeqCst);
        let report = pair.near.shutdown().await;
        let nodes: Vec<_> = report.undelivered.iter().map(|lost| lost.node.clone()).collect();
        // If the connection broke once more, the monitor has told of the loss.
        assert!(told > 0 || nodes == [pair.far.id().clone()], "{report:?}");
        assert_eq!(*seen.borrow(), []);
        late.await;
        pair.far.shutdown().await;
    });
}

/// Waits until something that was sent once more and once more arrives.
async fn gets_through(node: &Node, port: &PortId, seen: &watch::Receiver<Vec<(u64, u64)>>) {
    const PROBE: u64 = u64::MAX;
    let mut seen = seen.clone();
    let arrives = async {
        loop {
            node.send(port, (PROBE, 0u64)).unwrap();
            let wait = seen.wait_for(|all| all.iter().any(|(who, _)| *who == PROBE));
            if tokio::time::timeout(Duration::from_millis(50), wait).await.is_ok() {
                return;
            }
        }
    };
    soon("a message after the loss", arrives).await;
}

/// Who monitors a port again whenever its monitor fires, and then says so to the port.
#[derive(Debug, Clone, Copy)]
enum Watcher {
    Port,
    Callback,
    AsyncPort,
    Task,
}

fn watch_in(cx: &mut Context<'_>, who: u64, port: PortId, fires: Arc<AtomicU64>) {
    let target = port.clone();
    cx.monitor(&port, move |cx, _| {
        let round = fires.fetch_add(1, Ordering::Relaxed);
        watch_in(cx, who, target.clone(), fires);
        cx.send(&target, (who, round));
    })
    .detach();
}

fn watch_outside(node: &Node, who: u64, port: PortId, fires: Arc<AtomicU64>) {
    let (target, again) = (port.clone(), node.clone());
    node.monitor(&port, move |_| {
        let round = fires.fetch_add(1, Ordering::Relaxed);
        watch_outside(&again, who, target.clone(), fires);
        again.send(&target, (who, round)).unwrap();
    })
    .detach();
}

impl Watcher {
    /// Starts it; the future ends when its first monitor is set.
    async fn start(self, node: &Node, who: u64, port: &PortId, fires: &Arc<AtomicU64>) {
        let (node, port, fires) = (node.clone(), port.clone(), fires.clone());
        let (set, is_set) = oneshot::channel();
        match self {
            Watcher::Port => {
                let watcher = node.port(|_: &mut Context<'_>, (): ()| {});
                node.run_in(&watcher, move |cx| {
                    watch_in(cx, who, port, fires);
                    set.send(()).unwrap();
                });
            }
            Watcher::Callback => {
                watch_outside(&node, who, port, fires);
                set.send(()).unwrap();
            }
            Watcher::AsyncPort => {
                node.port_async(move |mut me| async move {
                    let mut guard = me.monitor(&port, |_| ("down",));
                    set.send(()).unwrap();
                    loop {
                        let () = me.recv_tag("down").await;
                        drop(guard);
                        guard = me.monitor(&port, |_| ("down",));
                        let round = fires.fetch_add(1, Ordering::Relaxed);
                        me.send(&port, (who, round)).unwrap();
                    }
                });
            }
            Watcher::Task => {
                tokio::spawn(async move {
                    let mut death = node.exited(&port);
                    set.send(()).unwrap();
                    loop {
                        (&mut death).await;
                        if node.connected_nodes().is_empty() && node.node_events().is_closed() {
                            return;
                        }
                        death = node.exited(&port);
                        let round = fires.fetch_add(1, Ordering::Relaxed);
                        node.send(&port, (who, round)).unwrap();
                    }
                });
            }
        }
        soon("the first monitor", is_set).await.unwrap();
    }
}

#[test]
fn however_many_monitor_again_at_once_the_port_opens_and_what_they_send_arrives() {
    const WATCHERS: u64 = 3;
    in_both_modes(async |mode| {
        for kind in [Watcher::Port, Watcher::Callback, Watcher::AsyncPort, Watcher::Task] {
            let pair = Pair::start(mode).await;
            let (port, seen) = collector(&pair.far);
            let fires = Arc::new(AtomicU64::new(0));
            for who in 0..WATCHERS {
                kind.start(&pair.near, who, &port, &fires).await;
            }
            gets_through(&pair.near, &port, &seen).await;
            pair.cut();
            let mut all = seen.clone();
            let again =
                |all: &Vec<(u64, u64)>| (0..WATCHERS).all(|who| all.iter().any(|(from, _)| *from == who));
            let arrived = tokio::time::timeout(LIMIT, all.wait_for(again)).await.is_ok();
            assert!(arrived, "{kind:?}: {:?}", seen.borrow());
            // The first attempt to connect anew may meet the old proxy's end. It is a handful of
            // fires, not millions.
            assert!(fires.load(Ordering::Relaxed) < 10 * WATCHERS, "{kind:?}: {fires:?} fires");
            pair.end().await;
        }
    });
}

#[test]
fn what_is_sent_behind_a_new_monitor_waits_for_those_who_have_not_been_told() {
    in_both_modes(async |mode| {
        let pair = Pair::start(mode).await;
        let (port, seen) = collector(&pair.far);
        let echo = pair.far.port(|cx: &mut Context<'_>, (reply,): (ReplyTo<()>,)| cx.reply(reply, ()));
        // It takes its news when it is told to, and until then it has not been told.
        let (go, wait) = oneshot::channel::<()>();
        let (set, is_set) = oneshot::channel();
        let target = port.clone();
        pair.near.port_async(move |mut me| async move {
            let _guard = me.monitor(&target, |_| ("down",));
            set.send(()).unwrap();
            wait.await.unwrap();
            me.send(&target, (7u64, 0u64)).unwrap();
            let () = me.recv_tag("down").await;
            me.send(&target, (7u64, 1u64)).unwrap();
            let () = me.recv_tag("end").await;
            Ok(())
        });
        soon("the monitor of the slow one", is_set).await.unwrap();
        let death = pair.near.exited(&port);
        pair.near.send(&port, (1, 0u64)).unwrap();
        soon("the first message", seen.clone().wait_for(|all| !all.is_empty())).await.unwrap();
        pair.cut();
        soon("the loss", death).await;
        let _again = pair.near.exited(&port);
        for number in 1..=100u64 {
            pair.near.send(&port, (1u64, number)).unwrap();
        }
        // Over the new connection: what was sent before would have arrived first.
        let call = pair.near.call(&echo, LIMIT, |reply: ReplyTo<()>| (reply,));
        soon("an answer", call).await.unwrap();
        assert_eq!(seen.borrow().len(), 1, "something passed the one that has not been told");
        go.send(()).unwrap();
        let mut all = seen.clone();
        let whole = all.wait_for(|all| all.len() > 101);
        soon("what was held", whole).await.unwrap();
        // What the slow one sent before its news is lost, as what it sent before the loss may be.
        let expected: Vec<(u64, u64)> = (0..=100).map(|number| (1, number)).chain([(7, 1)]).collect();
        assert_eq!(*seen.borrow(), expected);
        pair.end().await;
    });
}

#[test]
fn a_task_that_waits_for_a_death_sends_nothing_into_a_hole() {
    const TASKS: u64 = 8;
    in_both_modes(async |mode| {
        let pair = Pair::start(mode).await;
        let (count, counted) = watch::channel(0u64);
        let (holes, mut next) = (Arc::new(Mutex::new(Vec::new())), BTreeMap::new());
        let found = holes.clone();
        let port = pair.far.port(move |_: &mut Context<'_>, (who, epoch, number): (u64, u64, u64)| {
            let expected = next.entry((who, epoch)).or_insert(0);
            if *expected != number {
                found.lock().unwrap().push((who, epoch, number, *expected));
            }
            *expected = number + 1;
            count.send_modify(|count| *count += 1);
        });
        let epochs = Arc::new(AtomicU64::new(0));
        let tasks: Vec<_> = (0..TASKS)
            .map(|who| {
                let (near, port, epochs) = (pair.near.clone(), port.clone(), epochs.clone());
                tokio::spawn(async move {
                    let (mut epoch, mut number) = (0u64, 0u64);
                    let mut death = near.exited(&port);
                    let mut tick = tokio::time::interval(Duration::from_millis(1));
                    loop {
                        tokio::select! {
                            _ = &mut death => {
                                (epoch, number) = (epoch + 1, 0);
                                epochs.fetch_add(1, Ordering::Relaxed);
                                death = near.exited(&port);
                            }
                            _ = tick.tick() => {
                                for _ in 0..3 {
                                    near.send(&port, (who, epoch, number)).unwrap();
                                    number += 1;
                                    tokio::task::yield_now().await;
                                }
                            }
                        }
                    }
                })
            })
            .collect();
        for round in 1..=5 {
            let (mut counted, before) = (counted.clone(), *counted.borrow());
            let more = counted.wait_for(|count| *count > before + 500);
            soon("messages", more).await.unwrap();
            // What arrived may have waited in a mailbox, and then a cut can meet no connection.
            while epochs.load(Ordering::Relaxed) < round * TASKS {
                pair.cut();
                let all = async {
                    while epochs.load(Ordering::Relaxed) < round * TASKS {
                        tokio::task::yield_now().await;
                    }
                };
                let _ = tokio::time::timeout(Duration::from_secs(1), all).await;
            }
        }
        tasks.iter().for_each(tokio::task::JoinHandle::abort);
        assert!(holes.lock().unwrap().is_empty(), "{:?}", holes.lock().unwrap());
        pair.end().await;
    });
}

/// Gives the runners of a node something else to do.
fn keep_busy(node: &Node) {
    for _ in 0..4 {
        let busy = node.port(|cx: &mut Context<'_>, (): ()| {
            std::hint::black_box((0..20_000u64).map(std::hint::black_box).sum::<u64>());
            let me = cx.me();
            cx.send(&me, ());
        });
        node.send(&busy, ()).unwrap();
    }
}

#[test]
fn callbacks_of_monitors_have_run_when_a_node_is_said_to_be_down() {
    const MONITORS: usize = 50;
    in_both_modes(async |mode| {
        let pair = Pair::start(mode).await;
        let (port, seen) = collector(&pair.far);
        keep_busy(&pair.near);
        for _ in 0..5 {
            up(&pair.near, pair.far.id()).await;
            let told = Arc::new(AtomicU64::new(0));
            for _ in 0..MONITORS {
                let told = told.clone();
                let callback = move |_| {
                    told.fetch_add(1, Ordering::Relaxed);
                };
                pair.near.monitor(&port, callback).detach();
            }
            gets_through(&pair.near, &port, &seen).await;
            let mut events = pair.near.node_events();
            pair.cut();
            let event = soon("the loss", events.next()).await.unwrap();
            assert!(matches!(event, NodeEvent::Down(..)), "{event:?}");
            assert_eq!(told.load(Ordering::Relaxed), MONITORS as u64);
            let event = soon("the next connection", events.next()).await.unwrap();
            assert!(matches!(event, NodeEvent::Up(_)), "{event:?}");
        }
        pair.end().await;
    });
}

#[test]
fn callbacks_for_earlier_deaths_have_run_too_when_a_node_is_said_to_be_down() {
    const PORTS: usize = 200;
    in_both_modes(async |mode| {
        let pair = Pair::start(mode).await;
        let told = Arc::new(AtomicU64::new(0));
        let ports: Vec<PortId> = (0..PORTS).map(|_| collector(&pair.far).0).collect();
        for port in &ports {
            let told = told.clone();
            let callback = move |_| {
                told.fetch_add(1, Ordering::Relaxed);
            };
            pair.near.monitor(port, callback).detach();
        }
        let last = collector(&pair.far).0;
        let news = pair.near.exited(&last);
        let mut events = pair.near.node_events();
        keep_busy(&pair.near);
        for port in ports.iter().chain([&last]) {
            pair.near.kill(port, Reason::NORMAL);
        }
        soon("the last death", news).await;
        pair.cut();
        let event = soon("the loss", events.next()).await.unwrap();
        assert!(matches!(event, NodeEvent::Down(..)), "{event:?}");
        assert_eq!(told.load(Ordering::Relaxed), PORTS as u64);
        pair.end().await;
    });
}

#[test]
fn a_loss_is_told_before_the_node_is_down_at_shutdown_too() {
    in_both_modes(async |mode| {
        let pair = Pair::start(mode).await;
        let (port, _seen) = collector(&pair.far);
        let (said, told) = oneshot::channel::<Reason>();
        pair.near.monitor(&port, move |reason| said.send(reason).unwrap()).detach();
        let mut events = pair.near.node_events();
        pair.near.shutdown().await;
        let event = events.next().await.unwrap();
        assert!(matches!(event, NodeEvent::Down(..)), "{event:?}");
        assert!(events.next().await.is_none(), "nothing follows");
        assert_eq!(told.await.unwrap().identifier().as_deref(), Some("transport_error"));
        pair.far.shutdown().await;
    });
}
