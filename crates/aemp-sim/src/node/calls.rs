//! Calls, and tasks that wait for a death. The port for the answer to a call, and what comes into
//! it, are the real ones; the future that waits is modelled.

use std::collections::VecDeque;
use std::task::Waker;
use std::time::Duration;

use aemp_ports::answer::{AnswerBox, Given, Lost};
use aemp_ports::deliver::{Called, NotCalled, answered, call};
use aemp_ports::known::Known;
use aemp_ports::message::EncodeError;
use aemp_ports::monitor::{Delivered, Gate};
use aemp_ports::slot::State;
use aemp_ports::{Host as _, PortNo};
use aemp_proto::{AnyMessage, NodeId, PortId, Reason};

use super::Node;
use super::host::{Outside, PortHost};
use super::monitors::Purpose;
use super::verbs::{Letter, Place, reason_texts};
use crate::cx::{Cx, Happening};
use crate::history::{Event, Over};
use crate::options::Sabotage;

/// How long a task may take until it runs.
const WAKE: Duration = Duration::from_millis(5);

/// The mailbox of the port for an answer.
type Answers = AnswerBox<PortHost, AnyMessage>;

/// A call that is not over.
pub(super) struct Call {
    id: u64,
    /// Tells of the death of the called port; on the own node no monitor does, but what comes is
    /// written down as the news of one.
    monitor: u64,
    local: bool,
    waker: Waker,
}

/// Something that is going to run outside of any port.
pub(super) enum Later {
    /// Code that ports have given to be run.
    Code(Outside),
    /// A task learns of a death or loss.
    Task { m: u64, reason: Reason, gate: Option<Gate> },
}

impl Node {
    /// Calls a port: monitors it, sends to it, and waits for so long.
    pub(crate) fn call(&mut self, me: &PortId, port: &PortId, limit: Duration, cx: &mut Cx) {
        let id = cx.id();
        let host = &self.ports.host;
        let number = host.ports().table.insert(State::Unscheduled, Known::boxed(Answers::new()), None, None);
        let (waker, answers) = (host.waker(number), host.own_port(number));
        let (sid, p, r) = (me.to_string(), port.to_string(), answers.to_string());
        self.record(Event::PortNew { p: r.clone(), task: false }, cx);
        let micros = u64::try_from(limit.as_micros()).unwrap_or(u64::MAX);
        self.record(Event::Call { id, sid, p: p.clone(), r: r.clone(), limit: micros }, cx);
        if !cx.sabotage(Sabotage::EndlessCall, 4) {
            cx.after(limit, Happening::CallOver(self.index, self.inc, number));
        }
        match self.place(port) {
            Place::Here(called) => {
                let monitor = cx.id();
                self.record(Event::Mon { sid: r.clone(), m: monitor, p, to: Some(r), waits: false }, cx);
                self.ports.calls.insert(number, Call { id, monitor, local: true, waker });
                self.call_here((&answers, number), (port, called), cx);
            }
            _ => {
                let monitor = self.set_monitor(&answers, port, (Some(&answers), Purpose::EndCall), cx);
                self.ports.calls.insert(number, Call { id, monitor, local: false, waker });
                self.send(&answers, port, Letter::ECHO, cx);
            }
        }
        self.look_for_answer(number, cx);
    }

    /// Sends what a call asks to a port of this node.
    fn call_here(&mut self, (me, number): (&PortId, PortNo), (to, called): (&PortId, PortNo), cx: &mut Cx) {
        let Some(letter) = self.letter(me, Letter::ECHO, cx) else { return };
        let (k, hash) = (letter.k, letter.hash());
        let (sid, p) = (me.to_string(), to.to_string());
        self.record(Event::Snd { sid, p, k, hash, epoch: None, held: false }, cx);
        match call(&self.ports.host, called, number, letter.message(), false) {
            Ok(Called::Queued(_)) => {}
            Ok(Called::Run(_)) => unreachable!("no port runs inside of a call that does not help"),
            Err(NotCalled::Encode(error)) => never_encoded(&error),
            Err(NotCalled::Missing) => {
                let reason = self.ports.why_missing(to);
                self.call_died(number, &reason, None, cx);
            }
        }
        self.hear(cx);
    }

    /// An answer of this node is moved to the one who waits for just this type, or is sent as any
    /// other message. Gives back what is to be sent.
    pub(super) fn post_answer(
        &mut self,
        number: PortNo,
        message: AnyMessage,
        cx: &mut Cx,
    ) -> Option<AnyMessage> {
        if !self.ports.calls.contains_key(&number) || cx.random.percent(50) {
            return Some(message);
        }
        let host = &self.ports.host;
        let Some(mut cell) = host.ports().table.get(number).filter(|cell| !cell.is_closing()) else {
            return Some(message);
        };
        let waits = cell.mailbox().and_then(|mailbox| mailbox.downcast_mut::<Answers>());
        let Some(waits) = waits else { return Some(message) };
        let waker = waits.answer(Ok(Given::Moved(message)));
        answered(host, number, cell, waker);
        self.hear(cx);
        None
    }

    /// Who waits in a call, or the task of an async port, is to run soon.
    pub(super) fn woken(&mut self, number: PortNo, cx: &mut Cx) {
        if self.ports.calls.contains_key(&number) {
            let wait = cx.random.up_to(WAKE);
            cx.after(wait, Happening::Port(self.index, self.inc, number));
        } else {
            self.wake_task(number, cx);
        }
    }

    /// Who waits in a call looks whether there is an answer. False if nobody does.
    pub(super) fn look_for_answer(&mut self, number: PortNo, cx: &mut Cx) -> bool {
        let Some(waker) = self.ports.calls.get(&number).map(|call| call.waker.clone()) else { return false };
        let answer = self
            .ports
            .host
            .ports()
            .table
            .get(number)
            .and_then(|mut cell| cell.mailbox()?.downcast_mut::<Answers>()?.slot.take_or_wait(&waker));
        match answer {
            None => {}
            Some(Ok(Given::Moved(message))) => self.call_answered(number, message, cx),
            Some(Ok(Given::Other(message))) => {
                self.call_answered(number, message.open().unwrap_or_default(), cx);
            }
            Some(Err(Lost::Killed(reason))) => self.call_died(number, &reason, None, cx),
            Some(Err(Lost::Fired(notification))) => {
                let Delivered { reason, gate, .. } = notification.deliver();
                self.call_died(number, &reason, gate, cx);
            }
        }
        self.settle(cx);
        true
    }

    fn call_answered(&mut self, number: PortNo, message: AnyMessage, cx: &mut Cx) {
        self.handle(number, &message.0, cx);
        self.end_call(number, Over::Answer, cx);
    }

    fn call_died(&mut self, number: PortNo, reason: &Reason, gate: Option<Gate>, cx: &mut Cx) {
        let Some(m) = self.ports.calls.get(&number).map(|call| call.monitor) else { return };
        self.monitors.remove(&m);
        self.record(Event::Fire { m, reason: reason_texts(reason) }, cx);
        drop(gate);
        self.hear(cx);
        self.end_call(number, Over::Died, cx);
    }

    /// The time of a call is up.
    pub(crate) fn call_over(&mut self, number: PortNo, cx: &mut Cx) {
        self.end_call(number, Over::TimedOut, cx);
        self.settle(cx);
    }

    /// A call is over: anyone who waited knows, and what comes later goes nowhere.
    fn end_call(&mut self, number: PortNo, how: Over, cx: &mut Cx) {
        let Some(call) = self.ports.calls.remove(&number) else { return };
        self.record(Event::CallOver { id: call.id, how }, cx);
        if cx.sabotage(Sabotage::LateAnswer, 2) {
            self.record(Event::CallOver { id: call.id, how: Over::Answer }, cx);
        }
        match call.local {
            true if how != Over::Died => self.record(Event::Unmon { m: call.monitor }, cx),
            true => {}
            false => self.unmonitor(call.monitor, cx),
        }
        let p = self.ports.id(number).to_string();
        self.record(Event::PortDied { p, reason: Vec::new() }, cx);
        self.end_here(number, Reason::NORMAL, cx);
    }

    /// Lets a task wait for the death of a port; it then sends to it in the name of this one.
    pub(crate) fn wait_for(&mut self, me: &PortId, port: &PortId, cx: &mut Cx) -> u64 {
        self.set_monitor(me, port, (None, Purpose::Wait), cx)
    }

    /// Code is to be run outside of any port.
    pub(super) fn call_later(&mut self, code: Outside, cx: &mut Cx) {
        let longest = cx.options.callback_delay;
        self.run_later(Later::Code(code), longest, cx);
    }

    fn run_later(&mut self, later: Later, longest: Duration, cx: &mut Cx) {
        let (id, wait) = (cx.id(), cx.random.up_to(longest));
        self.later.insert(id, later);
        cx.after(wait, Happening::Callback(self.index, self.inc, id));
    }

    /// The news of a monitor lies there for a task, which learns of it when it runs.
    pub(super) fn news_for_task(&mut self, m: u64, reason: Reason, mut gate: Option<Gate>, cx: &mut Cx) {
        let Some(watch) = self.monitors.get_mut(&m) else { return };
        watch.lies_there = true;
        if gate.is_some() && cx.sabotage(Sabotage::WaitWithoutGate, 1) {
            gate = None;
        }
        let longest = cx.options.callback_delay.max(WAKE);
        self.run_later(Later::Task { m, reason, gate }, longest, cx);
    }

    /// Nobody waits any more for the news of this monitor.
    pub(super) fn forget_news(&mut self, m: u64) {
        self.later.retain(|_, later| !matches!(later, Later::Task { m: other, .. } if *other == m));
    }

    /// Something that was to run has its turn: code of ports is given back, for it runs where the
    /// node is lent to them.
    pub(crate) fn take_later(&mut self, id: u64, cx: &mut Cx) -> Option<Outside> {
        match self.later.remove(&id)? {
            Later::Code(code) => Some(code),
            Later::Task { m, reason, gate } => {
                let target = self.monitors.get(&m).map(|watch| watch.monitor.target.clone());
                // It knows now: from here on what it sends passes.
                drop(gate);
                self.fired(m, &reason, cx);
                if let Some(target) = target {
                    self.task_knows(m, &target, cx);
                }
                self.settle(cx);
                None
            }
        }
    }

    /// A task knows: it tries again.
    fn task_knows(&mut self, m: u64, port: &PortId, cx: &mut Cx) {
        let Some(me) = self.waits.remove(&m).filter(|me| self.has(me)) else { return };
        for _ in 0..2 {
            self.send(&me, port, Letter::NOTHING, cx);
        }
    }

    /// Something about a node is to be told: not before the callbacks of its monitors have run, and
    /// in order.
    pub(super) fn tell_of(&mut self, peer: &NodeId, event: Event, cx: &mut Cx) {
        let down = matches!(event, Event::Down { .. });
        let waits = down && self.is_telling(peer) || self.news.iter().any(|(of, _)| of == peer);
        if waits && !cx.sabotage(Sabotage::DownFirst, 1) {
            return self.news.push_back((peer.clone(), event));
        }
        self.record(event, cx);
    }

    /// Tells what has waited for callbacks.
    pub(super) fn tell_news(&mut self, lost: &NodeId, cx: &mut Cx) {
        let telling = self.telling.get_mut(lost);
        telling.into_iter().for_each(|all| all.retain(|telling| telling.strong_count() > 0));
        if self.is_telling(lost) {
            return;
        }
        self.telling.remove(lost);
        let mut later: VecDeque<(NodeId, Event)> = VecDeque::new();
        for (peer, event) in std::mem::take(&mut self.news) {
            if peer == *lost {
                self.record(event, cx);
            } else {
                later.push_back((peer, event));
            }
        }
        self.news = later;
    }

    /// Whether a callback for a loss of this node has not had its turn yet.
    fn is_telling(&self, peer: &NodeId) -> bool {
        let told = self.telling.get(peer);
        told.is_some_and(|all| all.iter().any(|telling| telling.strong_count() > 0))
    }
}

fn never_encoded(error: &EncodeError) -> ! {
    unreachable!("a letter has a wire form: {error}")
}
