//! Calls, links, and tasks that wait for a death: monitors with somebody who waits behind them.

use std::collections::VecDeque;
use std::time::Duration;

use aemp_proto::{NodeId, PortId, Reason};

use super::Node;
use super::monitors::Fire;
use super::ports::Habit;
use super::verbs::Letter;
use crate::cx::{Cx, Happening};
use crate::history::{Event, Over};
use crate::options::Sabotage;

/// How long a task may take until it runs.
const WAKE: Duration = Duration::from_millis(5);

/// A call that is not over. It has a port of its own, which gets the answer.
pub(super) struct Call {
    id: u64,
    monitor: u64,
}

impl Node {
    /// Calls a port: monitors it, sends to it, and waits for so long.
    pub(crate) fn call(&mut self, me: &PortId, port: &PortId, limit: Duration, cx: &mut Cx) {
        let id = cx.id();
        let number = self.open(None, Habit::default(), cx);
        let answers = self.ports.id(number);
        let (sid, p, r) = (me.to_string(), port.to_string(), answers.to_string());
        let micros = u64::try_from(limit.as_micros()).unwrap_or(u64::MAX);
        self.record(Event::Call { id, sid, p, r, limit: micros }, cx);
        let monitor = self.monitor(&answers, port, Some(&answers), cx);
        self.calls.insert(number, Call { id, monitor });
        self.send(&answers, port, Letter::ECHO, cx);
        if !cx.sabotage(Sabotage::EndlessCall, 4) {
            cx.after(limit, Happening::CallOver(self.index, self.inc, number));
        }
    }

    /// The time of a call is up.
    pub(crate) fn call_over(&mut self, number: u64, cx: &mut Cx) {
        self.end_call(number, Over::TimedOut, cx);
        self.settle(cx);
    }

    /// A call is over, if this is the port of one: anyone who waited knows, and what comes later
    /// goes nowhere.
    pub(super) fn end_call(&mut self, number: u64, how: Over, cx: &mut Cx) {
        let Some(call) = self.calls.remove(&number) else { return };
        self.record(Event::CallOver { id: call.id, how }, cx);
        if cx.sabotage(Sabotage::LateAnswer, 2) {
            self.record(Event::CallOver { id: call.id, how: Over::Answer }, cx);
        }
        self.unmonitor(call.monitor, cx);
        self.end_port(number, &Reason::NORMAL, cx);
    }

    /// Lets a port of this node die with another one, if that dies abnormally.
    pub(crate) fn link(&mut self, me: &PortId, port: &PortId, cx: &mut Cx) -> u64 {
        let m = self.monitor(me, port, Some(me), cx);
        self.record(Event::Link { m }, cx);
        self.links_of.insert(m);
        m
    }

    /// Lets a task wait for the death of a port; it then sends to it in the name of this one.
    pub(crate) fn wait_for(&mut self, me: &PortId, port: &PortId, cx: &mut Cx) -> u64 {
        let m = self.monitor(me, port, None, cx);
        self.record(Event::Wait { m }, cx);
        if self.is_set(m) {
            self.waits.insert(m, me.clone());
        }
        m
    }

    /// The news of a monitor lies there for a task, if one waits. The time until the task knows.
    pub(super) fn task_waits(&self, fire: &mut Fire, cx: &mut Cx) -> (Duration, Option<PortId>) {
        let longest = cx.options.callback_delay;
        if !self.waits.contains_key(&fire.monitor) {
            return (longest, None);
        }
        let early = fire.gate.is_some() && cx.sabotage(Sabotage::WaitWithoutGate, 1);
        (longest.max(WAKE), if early { fire.gate.take() } else { None })
    }

    /// A task knows: it tries again.
    pub(super) fn task_knows(&mut self, m: u64, port: &PortId, cx: &mut Cx) {
        let Some(me) = self.waits.remove(&m).filter(|me| self.has(me)) else { return };
        for _ in 0..2 {
            self.send(&me, port, Letter::NOTHING, cx);
        }
    }

    /// Something about a node is to be told: not before the callbacks of its monitors have run, and
    /// in order.
    pub(super) fn tell_of(&mut self, peer: &NodeId, event: Event, cx: &mut Cx) {
        let down = matches!(event, Event::Down { .. });
        let waits = down && self.rings(peer) || self.news.iter().any(|(of, _)| of == peer);
        if waits && !cx.sabotage(Sabotage::DownFirst, 1) {
            return self.news.push_back((peer.clone(), event));
        }
        self.record(event, cx);
    }

    /// Tells what has waited for callbacks.
    pub(super) fn tell_news(&mut self, cx: &mut Cx) {
        let mut later: VecDeque<(NodeId, Event)> = VecDeque::new();
        for (peer, event) in std::mem::take(&mut self.news) {
            let stays = later.iter().any(|(of, _)| *of == peer) || self.rings(&peer);
            if stays {
                later.push_back((peer, event));
            } else {
                self.record(event, cx);
            }
        }
        self.news = later;
    }

    /// Whether a callback for a loss of this node has not had its turn yet.
    fn rings(&self, peer: &NodeId) -> bool {
        self.fires.values().any(|fire| {
            let of = self.monitors.get(&fire.monitor).is_some_and(|monitor| monitor.target.node() == peer);
            of && !self.waits.contains_key(&fire.monitor)
        })
    }

    /// Why the port that is told dies too, if it has to.
    pub(super) fn linked(&self, fire: &Fire) -> Option<Reason> {
        let links = self.links_of.contains(&fire.monitor) && self.is_set(fire.monitor);
        (links && !fire.reason.is_normal()).then(|| fire.reason.clone())
    }
}
