//! Calls, links, and tasks that wait for a death: monitors with somebody who waits behind them.

use std::time::Duration;

use aemp_proto::{PortId, Reason};

use super::Node;
use super::monitors::Fire;
use super::ports::Habit;
use super::verbs::Letter;
use crate::cx::{Cx, Happening};
use crate::history::{Event, Over};
use crate::options::Sabotage;

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

    /// A call is over, if this is the port of one: whoever waited knows, and what comes later goes nowhere.
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

    /// Why the port that is told dies too, if it has to.
    pub(super) fn linked(&self, fire: &Fire) -> Option<Reason> {
        let links = self.links_of.contains(&fire.monitor) && self.is_set(fire.monitor);
        (links && !fire.reason.is_normal()).then(|| fire.reason.clone())
    }
}
