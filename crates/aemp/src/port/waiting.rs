//! Tasks that wait until a receiver is not behind any more.

use std::future::poll_fn;

use aemp_proto::PortId;

use crate::node::Node;
use crate::remote::HIGH_WATER;
use aemp_ports::PortNo;
use aemp_ports::pressure::{Crowded, Pressure, poll_falls_behind, poll_ready};

impl Node {
    /// Waits until none of these receivers is behind any more, or the async port itself is: of any
    /// ring of ports at least one goes on.
    pub(crate) async fn all_drained(&self, number: PortNo, crowded: Crowded<Node>) {
        for receiver in crowded.into_receivers() {
            tokio::select! {
                () = self.drained(receiver) => {}
                () = self.falls_behind(number) => return,
            }
        }
    }

    /// As [`Node::ready`], for the code of an async port; returns, too, when that port is behind
    /// itself.
    pub(crate) async fn ready_in(&self, number: PortNo, to: &PortId) {
        tokio::select! {
            () = self.ready(to) => {}
            () = self.falls_behind(number) => {}
        }
    }

    /// Waits until an async port is behind, or gone.
    async fn falls_behind(&self, number: PortNo) {
        poll_fn(|task| poll_falls_behind(self, number, task)).await;
    }

    async fn drained(&self, receiver: Pressure<Node>) {
        match receiver {
            Pressure::Port(number) => self.ready_here(number).await,
            Pressure::Peer(remote) => remote.ready_below(HIGH_WATER).await,
        }
    }

    /// Waits until a port here is not behind any more, or gone.
    pub(crate) async fn ready_here(&self, number: PortNo) {
        poll_fn(|task| poll_ready(self, number, task)).await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use aemp_proto::Reason;
    use aemp_proto::kernel::LinkId;
    use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

    use super::*;
    use crate::message::ReplyTo;
    use crate::node::Limits;
    use crate::port::{Context, Mailbox};
    use crate::remote::Remote;
    use aemp_ports::slot::State;

    const HIGH: usize = 1000;

    async fn node() -> Node {
        let limits = Limits { mailbox_high: HIGH, ..Limits::default() };
        // Messages count with their bytes.
        Node::builder().limits(limits).always_encode(true).start().await.expect("it starts")
    }

    /// A port of a node that is connected, and takes nothing.
    fn far(node: &Node) -> (PortId, Arc<Remote>) {
        let far = PortId::parse("far#port").expect("a port ID");
        let remote = node.remotes().get_or_create(far.node());
        node.attach_remote(&remote, LinkId::accepted(99), aemp_proto::Framing::Native);
        (far, remote)
    }

    fn state(node: &Node, port: &PortId) -> Option<State> {
        node.table().get(node.own_number(port)?).map(|cell| cell.state())
    }

    fn waiting(node: &Node, port: &PortId) -> usize {
        node.own_number(port).and_then(|number| node.table().get(number)).map_or(0, |cell| cell.waiting())
    }

    /// These runtimes have one thread: all others run in between.
    async fn until(condition: impl Fn() -> bool) {
        while !condition() {
            tokio::task::yield_now().await;
        }
    }

    /// What can run now does.
    async fn settle() {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }

    /// A port that takes what waits in its mailbox each time it is told to.
    fn receiver(node: &Node) -> (PortId, UnboundedSender<()>) {
        let (take, mut takes) = unbounded_channel();
        let port = node.port_async(async move |mut port: Mailbox| {
            while takes.recv().await.is_some() {
                port.recv::<aemp_proto::AnyMessage>().await;
            }
            std::future::pending().await
        });
        (port, take)
    }

    fn large() -> (String,) {
        ("x".repeat(2 * HIGH),)
    }

    type Sends = fn(&mut Context<'_>, &PortId, &PortId);

    const ROUTES: [(&str, Sends); 4] = [
        ("send", |cx, one, other| {
            cx.send(one, large());
            cx.send(other, large());
            cx.send(other, large());
        }),
        ("send_all", |cx, one, other| cx.send_all([one, other], large())),
        ("call", |cx, one, other| {
            for port in [one, other] {
                cx.call(port, Duration::MAX, |reply: ReplyTo<u8>| (reply, large().0), |_, _| {});
            }
        }),
        ("reply", |cx, one, other| {
            for port in [one, other] {
                cx.reply(ReplyTo::new(port.clone()), large());
            }
        }),
    ];

    #[tokio::test]
    async fn a_port_waits_for_every_receiver_that_is_behind() {
        for (name, sends) in ROUTES {
            for first_drains_first in [true, false] {
                let node = node().await;
                let (one, take_one) = receiver(&node);
                let (other, take_other) = receiver(&node);
                let runs = Arc::new(AtomicUsize::new(0));
                let (counted, targets) = (runs.clone(), (one.clone(), other.clone()));
                let sender = node.port(move |cx: &mut Context<'_>, (): ()| {
                    if counted.fetch_add(1, Ordering::SeqCst) == 0 {
                        sends(cx, &targets.0, &targets.1);
                    }
                });
                node.send(&sender, ()).expect("it encodes");
                node.send(&sender, ()).expect("it encodes");
                until(|| state(&node, &sender) == Some(State::Parked)).await;
                let mut both = [(one, take_one), (other, take_other)];
                if !first_drains_first {
                    both.reverse();
                }
                let [(one, take_one), (other, take_other)] = both;
                take_one.send(()).expect("it lives");
                until(|| waiting(&node, &one) == 0).await;
                settle().await;
                assert_eq!(runs.load(Ordering::SeqCst), 1, "{name}");
                assert_eq!(state(&node, &sender), Some(State::Parked), "{name}");
                take_other.send(()).expect("it lives");
                until(|| waiting(&node, &other) == 0).await;
                until(|| state(&node, &sender) == Some(State::Idle)).await;
                assert_eq!(runs.load(Ordering::SeqCst), 2, "{name}");
                node.shutdown().await;
            }
        }
    }

    #[tokio::test]
    async fn a_port_waits_for_a_node_and_for_a_port() {
        for node_drains_first in [true, false] {
            let node = node().await;
            let (far, remote) = far(&node);
            let (near, take) = receiver(&node);
            let targets = (far.clone(), near.clone());
            let sender = node.port(move |cx: &mut Context<'_>, (): ()| {
                cx.send(&targets.1, large());
                for _ in 0..HIGH_WATER >> 22 {
                    cx.send(&targets.0, ("x".repeat(4 << 20),));
                }
                cx.send(&targets.1, large());
            });
            node.send(&sender, ()).expect("it encodes");
            until(|| state(&node, &sender) == Some(State::Parked)).await;
            assert!(remote.outbox.lock().backlog() > HIGH_WATER);
            let drain_near = async || {
                take.send(()).expect("it lives");
                until(|| waiting(&node, &near) == 0).await;
            };
            if node_drains_first {
                node.break_remote(&remote, "asked");
            } else {
                drain_near().await;
            }
            settle().await;
            assert_eq!(state(&node, &sender), Some(State::Parked));
            if node_drains_first {
                drain_near().await;
            } else {
                node.break_remote(&remote, "asked");
            }
            until(|| state(&node, &sender) == Some(State::Idle)).await;
            node.shutdown().await;
        }
    }

    #[tokio::test]
    async fn spawns_and_kills_on_a_node_that_is_behind_count() {
        let routes: [Sends; 2] = [
            |cx, far, _| {
                cx.spawn(far.node(), "f", "x".repeat(4 << 20));
            },
            |cx, far, _| cx.kill(far, Reason::text("boom", "x".repeat(4 << 20))),
        ];
        for sends in routes {
            let node = node().await;
            let (target, remote) = far(&node);
            let sender = node.port(move |cx: &mut Context<'_>, (): ()| {
                for _ in 0..=HIGH_WATER >> 22 {
                    sends(cx, &target, &target);
                }
            });
            node.send(&sender, ()).expect("it encodes");
            until(|| state(&node, &sender) == Some(State::Parked)).await;
            node.break_remote(&remote, "asked");
            until(|| state(&node, &sender) == Some(State::Idle)).await;
            node.shutdown().await;
        }
    }

    #[tokio::test]
    async fn code_that_runs_in_an_async_port_waits_too() {
        let node = node().await;
        let (crowded, take) = receiver(&node);
        let runs = Arc::new(AtomicUsize::new(0));
        let sender = node.port_async(async move |mut port: Mailbox| {
            port.recv::<aemp_proto::AnyMessage>().await;
            Ok(())
        });
        for _ in 0..2 {
            let (counted, target) = (runs.clone(), crowded.clone());
            node.run_in(&sender, move |cx| {
                counted.fetch_add(1, Ordering::SeqCst);
                cx.send(&target, large());
            });
        }
        until(|| runs.load(Ordering::SeqCst) == 1).await;
        settle().await;
        assert_eq!(runs.load(Ordering::SeqCst), 1);
        take.send(()).expect("it lives");
        until(|| runs.load(Ordering::SeqCst) == 2).await;
        node.shutdown().await;
    }

    #[tokio::test]
    async fn async_ports_that_wait_for_each_other_do_not_stand_still() {
        let node = node().await;
        let (done, mut told) = unbounded_channel();
        let open = |done: UnboundedSender<()>| {
            node.port_async(async move |mut port: Mailbox| {
                let (other,) = port.recv_tag::<(PortId,)>("other").await;
                for _ in 0..10 {
                    port.send(&other, ("more", large().0))?;
                }
                for _ in 0..10 {
                    port.ready(&other).await;
                    port.send(&other, ("more", large().0))?;
                    port.recv_tag::<(String,)>("more").await;
                }
                done.send(()).map_err(Reason::died)?;
                std::future::pending().await
            })
        };
        let (one, other) = (open(done.clone()), open(done));
        node.send(&one, ("other", &other)).expect("it encodes");
        node.send(&other, ("other", &one)).expect("it encodes");
        for _ in 0..2 {
            let end = tokio::time::timeout(Duration::from_secs(20), told.recv()).await;
            assert_eq!(end.expect("they go on"), Some(()));
        }
        node.shutdown().await;
    }

    #[tokio::test]
    async fn a_parked_port_that_is_killed_or_falls_behind_itself_does_not_wait() {
        let node = node().await;
        let (one, _take) = receiver(&node);
        let (other, _take) = receiver(&node);
        let sender = node.port(move |cx: &mut Context<'_>, (_,): (String,)| {
            cx.send(&one, large());
            cx.send(&other, large());
        });
        node.send(&sender, (String::new(),)).expect("it encodes");
        until(|| state(&node, &sender) == Some(State::Parked)).await;
        node.send(&sender, large()).expect("it encodes");
        // It takes its message, and waits again.
        until(|| waiting(&node, &sender) == 0 && state(&node, &sender) == Some(State::Parked)).await;
        node.kill(&sender, Reason::NORMAL);
        until(|| state(&node, &sender).is_none()).await;
        node.shutdown().await;
    }
}
