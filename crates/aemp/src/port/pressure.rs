//! Back-pressure: who is behind, and who waits until that has caught up.
//!
//! A port that has sent to receivers which are behind is parked until *none* of them is behind any
//! more, or one of them could die of what the port sends next. It registers with one of them at a
//! time, and looks at the others when that one has drained.

use std::collections::BTreeMap;
use std::sync::Arc;

use aemp_proto::PortId;

use super::port_no::PortNo;
use super::slot::State;
use crate::node::Node;
use crate::remote::{HIGH_WATER, Remote};

/// A receiver that is behind: ports that send to it wait.
#[derive(Clone)]
pub(crate) enum Pressure {
    /// The mailbox of this port.
    Port(PortNo),
    /// The outbox of this node.
    Remote(Arc<Remote>),
}

/// Which receiver it is, as long as something refers to it.
type Identity = (bool, u64);

impl Pressure {
    fn identity(&self) -> Identity {
        match self {
            Pressure::Port(number) => (false, number.get()),
            Pressure::Remote(remote) => (true, Arc::as_ptr(remote).addr() as u64),
        }
    }
}

/// The receivers that were behind when a handler sent to them, each once.
#[derive(Default)]
pub(crate) struct Crowded(BTreeMap<Identity, Pressure>);

impl Crowded {
    pub(crate) fn insert(&mut self, receiver: Pressure) {
        self.0.insert(receiver.identity(), receiver);
    }

    pub(crate) fn remove(&mut self, receiver: &Pressure) {
        self.0.remove(&receiver.identity());
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn first(&self) -> Option<&Pressure> {
        self.0.values().next()
    }

    pub(crate) fn into_iter(self) -> impl Iterator<Item = Pressure> + Send {
        self.0.into_values()
    }
}

impl Node {
    /// Ports that waited for a receiver, which has drained, go on, unless another receiver of
    /// theirs is still behind.
    pub(crate) fn unpark(&self, ports: Vec<PortNo>) {
        ports.into_iter().for_each(|number| self.go_on_if_drained(number));
    }

    /// A port in state `Parked` goes on when none of the receivers is behind that stand in its
    /// extra part.
    pub(crate) fn go_on_if_drained(&self, number: PortNo) {
        while let Some(receiver) = self.next_receiver(number) {
            if self.waits_for(number, &receiver) {
                return;
            }
            if let Some(mut cell) = self.table().get(number) {
                cell.make_extra().crowded.remove(&receiver);
            }
        }
    }

    /// A receiver that a parked port waits for. If none is left, the port goes on.
    fn next_receiver(&self, number: PortNo) -> Option<Pressure> {
        let mut cell = self.table().get(number)?;
        if cell.state() != State::Parked {
            return None;
        }
        let receiver = cell.make_extra().crowded.first().cloned();
        if receiver.is_none() {
            cell.queue();
            drop(cell);
            self.scheduler().schedule(number);
        }
        receiver
    }

    /// Registers a port with a receiver that is behind. False if the receiver has caught up.
    fn waits_for(&self, number: PortNo, receiver: &Pressure) -> bool {
        match receiver {
            Pressure::Port(target) => match self.table().get(*target) {
                Some(mut cell) => {
                    let behind = cell.waiting() > self.limits().mailbox_high;
                    if behind {
                        cell.make_extra().blocked.push(number);
                    }
                    behind
                }
                None => false,
            },
            Pressure::Remote(remote) => {
                remote.blocked.lock().push(number);
                // Looked at after the entry is there: anyone who drains looks at the entries
                // afterwards.
                remote.outbox.lock().backlog() > HIGH_WATER
            }
        }
    }

    /// Waits until none of these receivers is behind any more, or the async port itself is: of any
    /// ring of ports at least one goes on.
    pub(crate) async fn all_drained(&self, number: PortNo, crowded: Crowded) {
        for receiver in crowded.into_iter() {
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
        loop {
            let falls = {
                let Some(mut cell) = self.table().get(number) else { return };
                if cell.waiting() > self.limits().mailbox_high {
                    return;
                }
                // Under the lock, and so before something is added.
                cell.make_extra().falls_behind.get_or_insert_default().clone().notified_owned()
            };
            falls.await;
        }
    }

    async fn drained(&self, receiver: Pressure) {
        match receiver {
            Pressure::Port(number) => self.ready_here(number).await,
            Pressure::Remote(remote) => remote.ready_below(HIGH_WATER).await,
        }
    }

    /// Waits until a port here is not behind any more, or gone.
    pub(crate) async fn ready_here(&self, number: PortNo) {
        loop {
            let drained = {
                let Some(mut cell) = self.table().get(number) else { return };
                if cell.is_closing() || cell.waiting() <= self.limits().mailbox_high {
                    return;
                }
                // Under the lock, and so before the one who drains looks.
                cell.make_extra().drained.get_or_insert_default().clone().notified_owned()
            };
            drained.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use aemp_proto::Reason;
    use aemp_proto::kernel::LinkId;
    use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

    use super::*;
    use crate::message::ReplyTo;
    use crate::node::Limits;
    use crate::port::{Context, Mailbox};

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
