//! Monitors, which are the real ones, and what this node does with them: where they are set, what
//! their actions do, and when they fire.

use std::fmt::Display;
use std::sync::Arc;

use aemp_ports::exit::adopt;
use aemp_ports::extra::Child;
use aemp_ports::message::Envelope;
use aemp_ports::monitor::{Action, Gate, Monitor, PortAction, Telling};
use aemp_ports::{Host as _, PortNo};
use aemp_proto::outbox::{Loss, Queued};
use aemp_proto::{AnyMessage, NodeId, PortId, Reason, Value};
use parking_lot::Mutex;

use super::Node;
use super::host::{Code, Notice, PortHost, WhenDropped};
use super::verbs::{Letter, Place, reason_texts, sender};
use crate::cx::Cx;
use crate::history::Event;
use crate::options::Sabotage;

/// Why monitors fire when more was sent to a gated port than may be held.
const TOO_MUCH: &str = "more was sent to the port than may wait";

/// The tag of a message that tells a port of a death or loss.
const NEWS: &str = "news";

/// A monitor of this node.
pub(super) type SimMonitor = Arc<Monitor<PortHost>>;

/// Whether a monitor that fired with this reason on a port of the node is set again. Not on a port
/// that died because it had lost another one; and not because too much was held: that would go on
/// for ever, with what is sent each time.
fn is_loss(reason: &Reason, node: &NodeId) -> bool {
    let texts = reason_texts(reason);
    let [kind, lost, why] = &texts[..] else { return false };
    kind == "transport_error" && lost == node.as_str() && why != TOO_MUCH
}

/// What a monitor is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Tells a port, or a callback.
    Tell,
    /// Kills the port.
    Kill,
    /// Ends the call that waits in the port.
    EndCall,
    /// Tells a task that waits.
    Wait,
}

/// A monitor that is set.
pub(super) struct Watch {
    pub(super) monitor: SimMonitor,
    /// The port that is told; else a callback runs.
    to: Option<PortNo>,
    /// Who hears of a loss monitors the port again, and sends something at once.
    again: bool,
    /// Its news is on the way.
    off: bool,
    /// The news lies there for the task that waits.
    pub(super) lies_there: bool,
}

impl Watch {
    /// Whether it is set, where it watches.
    pub(super) fn is_armed(&self) -> bool {
        self.monitor.is_armed() && !self.off
    }
}

/// The message that brings the news to a port, and what it says.
fn news(m: u64, reason: &Reason) -> AnyMessage {
    AnyMessage(vec![Value::name(NEWS), m.into(), Value::List(reason.values().to_vec())])
}

pub(super) fn read_news(values: &[Value]) -> Option<(u64, Reason)> {
    let [tag, Value::Int(m), Value::List(reason)] = values else { return None };
    let is_news = tag.to_name().is_some_and(|tag| tag == NEWS);
    is_news.then(|| (u64::try_from(*m).unwrap_or_default(), Reason::new(reason.iter().cloned())))
}

impl Node {
    /// Sets a monitor.
    pub(crate) fn monitor(&mut self, sid: &PortId, port: &PortId, to: Option<&PortId>, cx: &mut Cx) -> u64 {
        self.set_monitor(sid, port, (to, Purpose::Tell), cx)
    }

    pub(super) fn set_monitor(
        &mut self,
        sid: &PortId,
        port: &PortId,
        (to, purpose): (Option<&PortId>, Purpose),
        cx: &mut Cx,
    ) -> u64 {
        let m = cx.id();
        let told = to.and_then(|to| self.here(to));
        let to = to.map(PortId::to_string);
        let waits = port.node() != &self.id && self.remote(port.node(), cx).outbox.is_gated(port);
        self.record(Event::Mon { sid: sid.to_string(), m, p: port.to_string(), to, waits }, cx);
        match purpose {
            Purpose::Kill => self.record(Event::Link { m }, cx),
            Purpose::Wait => self.record(Event::Wait { m }, cx),
            Purpose::Tell | Purpose::EndCall => {}
        }
        let share = cx.options.work.monitor_again;
        let again = purpose == Purpose::Tell && share > 0 && cx.random.percent(share);
        let action = self.action(m, told, purpose, cx);
        let monitor = Monitor::new(m, port.clone(), action);
        if let Some(victim) = told.filter(|_| purpose == Purpose::Kill) {
            self.link_to(victim, monitor.clone());
        }
        if purpose == Purpose::Wait {
            self.waits.insert(m, sid.clone());
        }
        let watch = Watch { monitor: monitor.clone(), to: told, again, off: false, lies_there: false };
        self.monitors.insert(m, watch);
        match self.place(port) {
            Place::Node => {}
            Place::Nowhere => self.fire(&monitor, self.ports.why_missing(port), cx),
            Place::Here(number) => {
                let set = self.ports.host.ports().table.get(number).map(|mut cell| {
                    cell.make_extra().watchers.local.insert(m, monitor.clone());
                });
                if set.is_none() {
                    self.fire(&monitor, self.ports.why_missing(port), cx);
                }
            }
            Place::There => {
                let owner = told.map_or_else(|| sender(sid), |number| sender(&self.ports.id(number)));
                let outbox = &mut self.remote(port.node(), cx).outbox;
                let queued = outbox.by(|| sender(sid)).monitor(port, m, owner, monitor.clone());
                self.queued(port.node(), queued, cx);
            }
        }
        if let Some(number) = told.filter(|_| purpose != Purpose::EndCall) {
            adopt(&self.ports.host, number, Child::Monitor(monitor));
            self.hear(cx);
        }
        m
    }

    /// What a monitor does when it fires.
    fn action(&self, m: u64, to: Option<PortNo>, purpose: Purpose, cx: &mut Cx) -> Action<PortHost> {
        let Some(number) = to else {
            if purpose == Purpose::Wait {
                let notices = self.ports.host.notices().clone();
                let tell = move |reason, gate| notices.add(Notice::News { m, reason, gate });
                return Action::Wait(Box::new(tell));
            }
            let callback = move |host: &PortHost, reason| host.with(|node, cx| node.fired(m, &reason, cx));
            return Action::Outside(Box::new(callback));
        };
        let action = match purpose {
            Purpose::EndCall => PortAction::EndCall,
            Purpose::Kill if !cx.sabotage(Sabotage::LoseLink, 1) => PortAction::Kill,
            // The code of an async port takes messages, and nothing else.
            _ if self.ports.is_task(number) || cx.random.percent(50) => {
                PortAction::Message(Box::new(move |reason| Ok(Envelope::moved(news(m, &reason)))))
            }
            _ => PortAction::Job(Box::new(move |code: &mut Code<'_>, reason| {
                code.on_node(|node, _, cx| node.fired(m, &reason, cx));
            })),
        };
        Action::Port(number, action)
    }

    /// Withdraws a monitor, if it has neither fired nor been withdrawn.
    pub(crate) fn unmonitor(&mut self, m: u64, cx: &mut Cx) {
        if !self.is_set(m) {
            return;
        }
        self.record(Event::Unmon { m }, cx);
        if cx.sabotage(Sabotage::FireWithdrawn, 1) {
            return;
        }
        let Some(watch) = self.monitors.remove(&m) else { return };
        self.linked.remove(&m);
        self.waits.remove(&m);
        self.forget_news(m);
        watch.monitor.withdraw(&self.ports.host);
        self.hear(cx);
        self.settle(cx);
    }

    /// Whether a monitor may still fire.
    pub(crate) fn is_set(&self, m: u64) -> bool {
        self.monitors.get(&m).is_some_and(|watch| watch.lies_there || watch.monitor.is_armed())
    }

    /// A monitor was withdrawn: it is taken away from where it is set.
    pub(super) fn forget_monitor(&mut self, monitor: &SimMonitor, cx: &mut Cx) {
        let (m, target) = (monitor.id, &monitor.target);
        // It belonged to a port that has ended.
        if self.monitors.remove(&m).is_some() {
            self.linked.remove(&m);
            self.record(Event::Unmon { m }, cx);
        }
        match self.place(target) {
            Place::Here(number) => {
                if let Some(mut cell) = self.ports.host.ports().table.get(number)
                    && let Some(extra) = cell.extra_mut()
                {
                    extra.watchers.local.remove(&m);
                }
            }
            Place::There => {
                let withdrawn = self.remote(target.node(), cx).outbox.unmonitor(target, m);
                if let Some((_, queued)) = withdrawn {
                    self.queued(target.node(), queued, cx);
                }
            }
            Place::Node | Place::Nowhere => {}
        }
    }

    /// Fires a monitor on a port of this node that is not there.
    fn fire(&mut self, monitor: &SimMonitor, reason: Reason, cx: &mut Cx) {
        self.news_comes(monitor.id, &reason, cx);
        monitor.clone().fire(&self.ports.host, reason);
        self.hear(cx);
    }

    /// Fires a monitor because of a loss, which keeps the port gated until its owner knows.
    fn fire_loss(
        &mut self,
        Loss { port, id: m, monitor }: Loss<SimMonitor>,
        reason: Reason,
        telling: &Telling,
        cx: &mut Cx,
    ) {
        self.news_comes(m, &reason, cx);
        if cx.sabotage(Sabotage::LoseFire, 5) {
            return self.open_gate(port, m, cx);
        }
        let told = monitor.port().map(|(number, _)| number);
        let dying = told.is_some_and(|number| self.ports.is_dying(number));
        let early = cx.sabotage(Sabotage::NoGate, 1) || dying && cx.sabotage(Sabotage::OpenForDying, 1);
        let gate: Gate = match early {
            true => {
                self.open_gate(port, m, cx);
                Box::new(())
            }
            false => Box::new(WhenDropped::new(self.ports.host.notices(), Notice::Told { port, m })),
        };
        monitor.fire_there(&self.ports.host, reason, Some(gate), telling);
        self.hear(cx);
    }

    /// News of a death or loss is on its way to the owner of a monitor.
    fn news_comes(&mut self, m: u64, reason: &Reason, cx: &mut Cx) {
        if let Some(watch) = self.monitors.get_mut(&m) {
            watch.off = true;
        }
        self.news_for_link(m, reason, cx);
    }

    /// A monitor has fired: its owner knows.
    pub(super) fn fired(&mut self, m: u64, reason: &Reason, cx: &mut Cx) {
        let watch = self.monitors.remove(&m);
        let mut texts = reason_texts(reason);
        if cx.sabotage(Sabotage::WrongReason, 5) {
            texts = vec!["wrong".into()];
        }
        if cx.sabotage(Sabotage::FireTwice, 5) {
            self.record(Event::Fire { m, reason: texts.clone() }, cx);
        }
        self.record(Event::Fire { m, reason: texts }, cx);
        // The gate has been opened before the code was run: what this sends passes.
        self.hear(cx);
        if let Some(Watch { monitor, to, again: true, .. }) = watch
            && is_loss(reason, monitor.target.node())
            && cx.options.work.monitor_again > 0
        {
            self.monitor_again(m, &monitor.target, to, cx);
        }
    }

    /// The owner of a monitor, a port or a callback, has been told of a loss.
    fn monitor_again(&mut self, m: u64, target: &PortId, to: Option<PortNo>, cx: &mut Cx) {
        let me = match to {
            Some(number) if self.ports.exists(number) => self.ports.id(number),
            Some(_) => return,
            None => self.id.named(&format!("callback{m}")),
        };
        let to = to.is_some().then_some(&me);
        self.monitor(&me, target, to, cx);
        if !target.is_node() {
            self.send(&me, target, Letter::NOTHING, cx);
        }
    }

    /// Whom a monitor tells of a loss, knows, or is gone.
    pub(super) fn told_owner(&mut self, port: PortId, m: u64, cx: &mut Cx) {
        self.link_has_fired(m, cx);
        if !cx.sabotage(Sabotage::KeepGate, 5) {
            self.open_gate(port, m, cx);
        }
    }

    /// A monitor keeps the gate of a port closed no longer.
    fn open_gate(&mut self, port: PortId, m: u64, cx: &mut Cx) {
        let outbox = &mut self.remote(port.node(), cx).outbox;
        let gated = outbox.is_gated(&port);
        let queued = outbox.fired(&port, m);
        // It may have been closed again at once, by a loss behind what was held.
        if gated && (!outbox.is_gated(&port) || queued == Queued::Refused) {
            self.record(Event::Opened { p: port.to_string() }, cx);
        }
        self.queued(port.node(), queued, cx);
    }

    /// More was sent to gated ports of a node than may be held: monitors fire.
    pub(super) fn fire_refused(&mut self, peer: &NodeId, cx: &mut Cx) {
        let (losses, _) = self.remote(peer, cx).outbox.refused();
        self.fire_losses(peer, losses, TOO_MUCH, cx);
    }

    /// Monitors on ports of a node fire, for something was lost.
    pub(super) fn fire_losses(
        &mut self,
        peer: &NodeId,
        losses: Vec<Loss<SimMonitor>>,
        reason: impl Display,
        cx: &mut Cx,
    ) {
        let (reason, telling) = (Reason::transport(peer, reason), self.telling_of(peer));
        for loss in losses {
            self.fire_loss(loss, reason.clone(), &telling, cx);
        }
        drop(telling);
        self.hear(cx);
    }

    /// A port of another node, which we monitor, is gone.
    pub(super) fn died_there(&mut self, peer: &NodeId, name: &str, reason: &Reason, cx: &mut Cx) {
        let port = peer.named(name);
        let (monitors, telling) = (self.remote(peer, cx).outbox.died(&port), self.telling_of(peer));
        for monitor in monitors {
            self.news_comes(monitor.id, reason, cx);
            if !cx.sabotage(Sabotage::LoseFire, 5) {
                monitor.fire_there(&self.ports.host, reason.clone(), None, &telling);
                self.hear(cx);
            }
        }
        drop(telling);
        self.hear(cx);
    }

    /// What lives until the callbacks have run that are going to be told of ports of a node.
    fn telling_of(&mut self, peer: &NodeId) -> Telling {
        let end = WhenDropped::new(self.ports.host.notices(), Notice::AllTold(peer.clone()));
        let telling: Telling = Arc::new(Mutex::new(end));
        self.telling.entry(peer.clone()).or_default().push(Arc::downgrade(&telling));
        telling
    }
}
