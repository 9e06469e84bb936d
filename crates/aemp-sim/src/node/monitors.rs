//! Monitors: set, then either withdrawn or fired. A fire counts when its callback runs, or when it
//! has left the mailbox of the port that is told; until then the port that was lost stays gated.

use aemp_proto::outbox::{Loss, Queued};
use aemp_proto::{NodeId, PortId, Reason};

use super::Node;
use super::ports::{Item, Watcher};
use super::verbs::{Letter, Place, reason_texts, sender};
use crate::cx::{Cx, Happening};
use crate::history::Event;
use crate::options::Sabotage;

/// Why monitors fire when more was sent to a gated port than may be held.
const TOO_MUCH: &str = "more was sent to the port than may wait";

/// Whether a monitor that fired with this reason on a port of the node is set again. Not on a port
/// that died because it had lost another one; and not because too much was held: that would go on
/// for ever, with what is sent each time.
fn is_loss(reason: &Reason, node: &NodeId) -> bool {
    let texts = reason_texts(reason);
    let [kind, lost, why] = &texts[..] else { return false };
    kind == "transport_error" && lost == node.as_str() && why != TOO_MUCH
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Armed,
    Withdrawn,
    Fired,
}

/// One monitor.
pub(super) struct Monitor {
    pub(super) target: PortId,
    /// The port that is told; else a callback runs.
    to: Option<u64>,
    /// Who hears of a loss monitors the port again, and sends something at once.
    again: bool,
    state: State,
    /// Its fire is on the way.
    off: bool,
}

impl Monitor {
    /// Whether it is set, where it watches.
    pub(super) fn is_armed(&self) -> bool {
        self.state == State::Armed && !self.off
    }
}

/// A monitor on its way to its action.
pub(crate) struct Fire {
    pub(super) monitor: u64,
    pub(super) reason: Reason,
    /// The port that stays gated until then.
    pub(super) gate: Option<PortId>,
}

impl Node {
    /// Sets a monitor.
    pub(crate) fn monitor(&mut self, sid: &PortId, port: &PortId, to: Option<&PortId>, cx: &mut Cx) -> u64 {
        let m = cx.id();
        let told = to.and_then(|to| self.here(to));
        let to = to.map(PortId::to_string);
        let waits = port.node() != &self.id && self.remote(port.node(), cx).outbox.is_gated(port);
        self.record(Event::Mon { sid: sid.to_string(), m, p: port.to_string(), to, waits }, cx);
        let share = cx.options.work.monitor_again;
        let again = share > 0 && cx.random.percent(share);
        let monitor = Monitor { target: port.clone(), to: told, again, state: State::Armed, off: false };
        self.monitors.insert(m, monitor);
        match self.place(port) {
            Place::Node => {}
            Place::Nowhere => self.fire(m, self.ports.why_missing(port), None, cx),
            Place::Here(number) => match self.ports.port(number) {
                Some(port) => port.watchers.push(Watcher::Local(m)),
                None => self.fire(m, self.ports.why_missing(port), None, cx),
            },
            Place::There => {
                let owner = told.map_or_else(|| sender(sid), |number| sender(&self.ports.id(number)));
                let queued =
                    self.remote(port.node(), cx).outbox.by(|| sender(sid)).monitor(port, m, owner, m);
                self.queued(port.node(), queued, cx);
            }
        }
        m
    }

    /// Withdraws a monitor, if it has neither fired nor been withdrawn.
    pub(crate) fn unmonitor(&mut self, m: u64, cx: &mut Cx) {
        let Some(monitor) = self.monitors.get_mut(&m).filter(|monitor| monitor.state == State::Armed) else {
            return;
        };
        monitor.state = State::Withdrawn;
        let target = monitor.target.clone();
        self.record(Event::Unmon { m }, cx);
        match self.place(&target) {
            Place::Here(number) => {
                if let Some(port) = self.ports.port(number) {
                    port.watchers.retain(|watcher| !matches!(watcher, Watcher::Local(other) if *other == m));
                }
            }
            Place::There => {
                let withdrawn = self.remote(target.node(), cx).outbox.unmonitor(&target, m);
                if let Some((_, queued)) = withdrawn {
                    self.queued(target.node(), queued, cx);
                }
            }
            Place::Node | Place::Nowhere => {}
        }
        self.settle(cx);
    }

    /// Whether a monitor may still fire.
    pub(crate) fn is_set(&self, m: u64) -> bool {
        self.monitors.get(&m).is_some_and(|monitor| monitor.state == State::Armed)
    }

    /// Brings the news to where the action happens.
    pub(super) fn fire(&mut self, m: u64, reason: Reason, gate: Option<PortId>, cx: &mut Cx) {
        let Some(monitor) = self.monitors.get_mut(&m) else { return };
        monitor.off = true;
        let to = monitor.to;
        let mut fire = Fire { monitor: m, reason, gate };
        if cx.sabotage(Sabotage::LoseFire, 5) {
            return self.open_gate(fire.gate, m, cx);
        }
        match to {
            Some(number) => self.signal(number, Item::Fire(fire), cx),
            None => {
                let (longest, early) = self.task_waits(&mut fire, cx);
                if longest.is_zero() {
                    return self.open_fire(fire, cx);
                }
                self.open_gate(early, m, cx);
                let id = cx.id();
                self.fires.insert(id, fire);
                let wait = cx.random.up_to(longest);
                cx.after(wait, Happening::Callback(self.index, self.inc, id));
            }
        }
    }

    /// A callback has its turn.
    pub(crate) fn call_back(&mut self, id: u64, cx: &mut Cx) {
        if let Some(fire) = self.fires.remove(&id) {
            let (m, target) =
                (fire.monitor, self.monitors.get(&fire.monitor).map(|monitor| monitor.target.clone()));
            self.open_fire(fire, cx);
            if let Some(target) = target {
                self.task_knows(m, &target, cx);
            }
            self.tell_news(cx);
        }
        self.settle(cx);
    }

    /// The fire has arrived where it is heard.
    pub(super) fn open_fire(&mut self, fire: Fire, cx: &mut Cx) {
        let Some(monitor) = self.monitors.get_mut(&fire.monitor) else { return };
        let lost = is_loss(&fire.reason, monitor.target.node());
        let again = (monitor.again && lost).then(|| (monitor.target.clone(), monitor.to));
        let heard = monitor.state == State::Armed
            || monitor.state == State::Withdrawn && cx.sabotage(Sabotage::FireWithdrawn, 1);
        if heard {
            monitor.state = State::Fired;
            let mut reason = reason_texts(&fire.reason);
            if cx.sabotage(Sabotage::WrongReason, 5) {
                reason = vec!["wrong".into()];
            }
            let m = fire.monitor;
            if cx.sabotage(Sabotage::FireTwice, 5) {
                self.record(Event::Fire { m, reason: reason.clone() }, cx);
            }
            self.record(Event::Fire { m, reason }, cx);
        }
        self.open_gate(fire.gate, fire.monitor, cx);
        if heard
            && let Some((target, to)) = again
            && cx.options.work.monitor_again > 0
        {
            self.monitor_again(fire.monitor, &target, to, cx);
        }
    }

    /// The owner of a monitor, a port or a callback, has been told of a loss.
    fn monitor_again(&mut self, m: u64, target: &PortId, to: Option<u64>, cx: &mut Cx) {
        let me = match to {
            Some(number) if self.ports.port(number).is_some() => self.ports.id(number),
            Some(_) => return,
            None => self.id.named(&format!("callback{m}")),
        };
        let to = to.is_some().then_some(&me);
        self.monitor(&me, target, to, cx);
        if !target.is_node() {
            self.send(&me, target, Letter::NOTHING, cx);
        }
    }

    /// The monitor counts as told.
    pub(super) fn open_gate(&mut self, gate: Option<PortId>, m: u64, cx: &mut Cx) {
        if let Some(port) = gate {
            if cx.sabotage(Sabotage::KeepGate, 5) {
                return;
            }
            let outbox = &mut self.remote(port.node(), cx).outbox;
            let gated = outbox.is_gated(&port);
            let queued = outbox.fired(&port, m);
            // It may have been closed again at once, by a loss behind what was held.
            if gated && (!outbox.is_gated(&port) || queued == Queued::Refused) {
                self.record(Event::Opened { p: port.to_string() }, cx);
            }
            self.queued(port.node(), queued, cx);
        }
    }

    /// More was sent to gated ports of a node than may be held: monitors fire.
    pub(super) fn fire_refused(&mut self, peer: &NodeId, cx: &mut Cx) {
        let (losses, _) = self.remote(peer, cx).outbox.refused();
        let reason = Reason::transport(peer, TOO_MUCH);
        for Loss { port, monitor, .. } in losses {
            self.fire(monitor, reason.clone(), Some(port), cx);
        }
    }

    /// A port of another node, which we monitor, is gone.
    pub(super) fn died_there(&mut self, peer: &NodeId, name: &str, reason: &Reason, cx: &mut Cx) {
        let port = peer.named(name);
        for monitor in self.remote(peer, cx).outbox.died(&port) {
            self.fire(monitor, reason.clone(), None, cx);
        }
    }

    /// What another node monitors here is forgotten, for its connection is gone.
    pub(super) fn forget_watchers(&mut self, peer: &NodeId, cx: &mut Cx) {
        let watching = std::mem::take(&mut self.remote(peer, cx).watching);
        for number in watching.ports {
            if let Some(port) = self.ports.port(number) {
                port.watchers
                    .retain(|watcher| !matches!(watcher, Watcher::Remote(other, _) if other == peer));
            }
        }
    }
}
