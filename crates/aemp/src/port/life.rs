//! How ports come to be, are signalled, wait, and end.

use std::collections::BTreeSet;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use aemp_proto::outbox::Monitored;
use aemp_proto::wire::{Request, Span};
use aemp_proto::{Body, PortId, Reason};
use bytes::{Bytes, BytesMut};
use parking_lot::MutexGuard;

use super::Context;
use super::actor::Actor;
use super::extra::{Child, Extra};
use super::known::{AnyMailbox, BoxedMailbox};
use super::mailbox::{After, Mailbox, Signal};
use super::run::{Taken, caught, panic_text};
use super::table::{Cell, State};
use crate::call::CallError;
use crate::message::{Aside, Envelope, IntoMessage};
use crate::monitor::{Action, Monitor, MonitorGuard};
use crate::node::{Node, Place, Pressure};
use crate::remote::{Gate, HIGH_WATER, Remote};

/// So many messages for one port that came together, and at most so many octets of them, are copied. More of them make up a good
/// part of what was read.
const FEW: usize = 64;
const COPIED: usize = 16 << 10;

/// What became of the message of a call.
pub(crate) enum Called {
    /// The caller has to run the called port now.
    Run(Taken),
    /// Somebody else sees to it. Whether the port is behind.
    Queued(Option<Pressure>),
}

impl Node {
    /// Opens a port of any kind. After the end of the node it ends at once.
    pub(crate) fn open(&self, state: State, mailbox: BoxedMailbox, actor: Option<Box<dyn Actor>>) -> PortId {
        let number = self.table().insert(state, mailbox, actor, None);
        self.end_if_over(number);
        self.own_port(number)
    }

    /// Ends a new port if the node has ended, and nobody will run it.
    #[inline]
    pub(crate) fn end_if_over(&self, number: u64) {
        if self.is_over() {
            self.end_port(number, Reason::NORMAL);
        }
    }

    /// Puts a message into a mailbox. Says whether the port is behind.
    pub(crate) fn deliver_envelope(&self, number: u64, message: Envelope) -> Option<Pressure> {
        let mut cell = self.table().get(number)?;
        if cell.closing {
            return None;
        }
        let mailbox = cell.mailbox.as_mut()?;
        if matches!(message, Envelope::Moved(_)) && mailbox.wants_encoded() {
            // The port has become a typed one just now. Encoding runs code of the message's type, so no lock is held.
            drop(cell);
            match message.encode() {
                Ok(body) => return self.deliver_envelope(number, Envelope::Encoded(body)),
                Err(error) => self.signal(number, Signal::Kill(Reason::text("bad_message", error))),
            }
            return None;
        }
        let octets = mailbox.push(message);
        self.delivered(number, cell, octets)
    }

    /// Puts messages of another node, which lie in `batch`, into a mailbox, and leaves `spans` empty.
    pub(crate) fn deliver_spans(&self, number: u64, batch: &Bytes, spans: &mut Vec<Span>) {
        let cell = self.table().get(number).filter(|cell| !cell.closing);
        let Some(mut cell) = cell else { return spans.clear() };
        let busy = cell.waiting > 0 || cell.state == State::Unscheduled;
        let Some(mailbox) = &mut cell.mailbox else { return spans.clear() };
        let octets = if busy && spans.len() < FEW {
            push_few(&mut ***mailbox, batch, spans)
        } else {
            mailbox.push_spans(batch, spans)
        };
        self.delivered(number, cell, octets);
    }

    /// Something was added to a mailbox: sees to it that somebody takes it out. Says whether the port is behind.
    #[inline]
    pub(crate) fn delivered(
        &self,
        number: u64,
        mut cell: MutexGuard<'_, Cell>,
        octets: usize,
    ) -> Option<Pressure> {
        cell.waiting += octets;
        let crowded = cell.waiting > self.limits().crowd();
        match cell.state {
            State::Running | State::Queued if !crowded => {}
            State::Idle if !crowded => {
                cell.state = State::Queued;
                drop(cell);
                self.scheduler().schedule(number);
            }
            _ => return self.delivered_otherwise(number, cell),
        }
        None
    }

    /// As `delivered`, for a port that is crowded, or parked, or no runner's business.
    #[cold]
    fn delivered_otherwise(&self, number: u64, mut cell: MutexGuard<'_, Cell>) -> Option<Pressure> {
        let mailbox = cell.mailbox.as_mut()?;
        let (kept, after) = (mailbox.kept(), mailbox.after());
        // One that is to die already is only seen to: a parked one has to run for it.
        if cell.waiting + kept > self.limits().mailbox && !cell.closing {
            drop(cell);
            let text = format_args!("more than {} octets waited for this port", self.limits().mailbox);
            self.kill_from_afar(number, Reason::text("mailbox_full", text));
            return None;
        }
        let behind = cell.waiting > self.limits().mailbox_high;
        match (cell.state, after) {
            // A parked port is woken if it falls behind itself, and if it is to die: nobody it sends to can keep it alive.
            (State::Idle, _) => {}
            (State::Parked, _) if behind || cell.closing => {}
            (State::Unscheduled, After::Wake(waker)) => {
                drop(cell);
                if let Some(waker) = waker {
                    waker.wake();
                }
                return behind.then_some(Pressure::Port(number));
            }
            (State::Unscheduled, After::Finish(waker)) => {
                self.answered(number, cell, waker);
                return None;
            }
            (State::Free | State::Queued | State::Running | State::Parked, _) => {
                return behind.then_some(Pressure::Port(number));
            }
        }
        cell.state = State::Queued;
        drop(cell);
        self.scheduler().schedule(number);
        behind.then_some(Pressure::Port(number))
    }

    /// The port has its answer, which waits for the call to take it. For everybody else it is dead.
    pub(crate) fn answered(&self, number: u64, mut cell: MutexGuard<'_, Cell>, waker: Option<Waker>) {
        cell.closing = true;
        let extra = cell.extra.take();
        drop(cell);
        if let Some(waker) = waker {
            waker.wake();
        }
        if let Some(extra) = extra {
            self.release(number, *extra, &Reason::NORMAL);
        }
    }

    /// Puts the message of a call into a mailbox, and has the port for the answer told of a death. `help` says that this thread may
    /// run the called port.
    pub(crate) fn call_here<M: IntoMessage>(
        &self,
        port: &PortId,
        number: u64,
        caller: u64,
        message: M,
        help: bool,
    ) -> Result<Called, CallError> {
        let Some(mut cell) = self.table().get(number) else {
            return Err(CallError::Died(self.why_missing(port)));
        };
        let is_over = |caller| self.table().is_over(caller);
        cell.extra().watchers.callers.add(caller, is_over);
        if cell.closing {
            return Ok(Called::Queued(None));
        }
        let Some(mailbox) = &mut cell.mailbox else { return Ok(Called::Queued(None)) };
        if !self.always_encodes()
            && let Some(queue) = M::own_queue(AnyMailbox(mailbox))
        {
            cell.waiting += queue.push_message(message);
            if help
                && cell.state == State::Idle
                && cell.waiting <= self.limits().crowd()
                && let Some(taken) = Taken::out_of(&mut cell, self.limits().mailbox_high)
            {
                return Ok(Called::Run(taken));
            }
            return Ok(Called::Queued(self.delivered(number, cell, 0)));
        }
        let encodes = self.always_encodes() || mailbox.wants_encoded();
        drop(cell);
        Ok(Called::Queued(self.deliver_otherwise(number, Aside(message), encodes)?))
    }

    /// Tells a call that the called port died. False if it does not wait any more.
    fn called_died(&self, caller: u64, reason: &Reason) -> bool {
        let Some(mut cell) = self.table().get(caller) else { return false };
        if cell.closing {
            return false;
        }
        let Some(mailbox) = &mut cell.mailbox else { return false };
        let octets = mailbox.signal(Signal::Kill(reason.clone()));
        self.delivered(caller, cell, octets);
        true
    }

    /// Puts something other than a message into a mailbox. A kill closes it: nothing later counts.
    pub(crate) fn signal(&self, number: u64, signal: Signal) {
        if let Some(reason) = self.queue_signal(number, signal) {
            self.end_port(number, reason);
        }
    }

    /// Kills a port from a thread that must not run code of users, such as the drop of what the port has: it may hold a lock, or
    /// a connection waits for it.
    pub(crate) fn kill_from_afar(&self, number: u64, reason: Reason) {
        if let Some(reason) = self.queue_signal(number, Signal::Kill(reason)) {
            self.scheduler().call(Box::new(move |node| node.end_port(number, reason)));
        }
    }

    /// As `signal`. Gives the reason of a kill for which the port need not run: the caller ends it.
    fn queue_signal(&self, number: u64, signal: Signal) -> Option<Reason> {
        let mut cell = self.table().get(number)?;
        if cell.closing {
            return None;
        }
        if let Signal::Kill(reason) = &signal {
            cell.closing = true;
            // Nothing waits in an idle port, and a task cannot be asked to look.
            if matches!(cell.state, State::Idle | State::Unscheduled) {
                return Some(reason.clone());
            }
        }
        if let Some(mailbox) = &mut cell.mailbox {
            let octets = mailbox.signal(signal);
            self.delivered(number, cell, octets);
        }
        None
    }

    /// Ends a port: everything that belongs to it goes, whoever watches it is told.
    pub(crate) fn end_port(&self, number: u64, reason: Reason) {
        let leave_word = |cell: &Cell| {
            if let Some(name) = cell.name() {
                self.leave_word(&name, &reason);
            }
        };
        let Some(removed) = self.table().remove(number, leave_word) else { return };
        let code = AssertUnwindSafe(|| drop((removed.actor, removed.mailbox)));
        if let Err(panic) = catch_unwind(code) {
            let port = self.own_port(number);
            tracing::warn!(%port, text = panic_text(&*panic), "the state of a dying port panicked");
        }
        match removed.extra {
            Some(extra) => self.release(number, *extra, &reason),
            None if reason.is_normal() => {}
            None => self.died_alone(&self.own_port(number), &reason),
        }
    }

    /// Nobody is told of this death. Of ports that other nodes have named, and can make as many of as they like, not each is logged.
    fn died_alone(&self, port: &PortId, reason: &Reason) {
        let (home, _) = port.parts();
        let withheld = if home.head() == self.own_head() { Some(0) } else { self.may_complain() };
        if let Some(withheld) = withheld {
            tracing::warn!(%port, %reason, withheld, "a port died, and nobody monitors it");
        }
    }

    fn release(&self, number: u64, extra: Extra, reason: &Reason) {
        let mut extra = extra;
        let blocked = extra.unblock();
        let Extra { watchers, children, name, .. } = extra;
        let named = name.is_some();
        let id = name.map_or_else(|| self.own_port(number), |name| PortId::clone(&name));
        if named {
            self.forget_name(&id);
        }
        for child in children {
            self.end_child(child);
        }
        let unseen = watchers.is_empty();
        let called = watchers.callers.into_iter().filter(|caller| self.called_died(*caller, reason)).count();
        if unseen && called == 0 && !reason.is_normal() {
            self.died_alone(&id, reason);
        }
        for monitor in watchers.local.into_values() {
            monitor.fire(self, reason.clone(), None);
        }
        for (remote, link) in watchers.remote {
            let monitors = remote.watching.lock().ports.remove(&number).unwrap_or(1);
            for _ in 0..monitors {
                self.tell_death(&remote, link, &id, reason);
            }
        }
        self.unpark(blocked);
    }

    fn tell_death(
        &self,
        remote: &Arc<Remote>,
        link: aemp_proto::kernel::LinkId,
        id: &PortId,
        reason: &Reason,
    ) {
        let queued = {
            let mut outbox = remote.outbox.lock();
            if outbox.link() != Some(link) {
                return; // asked over a connection that is gone
            }
            outbox.request(&Request::Died(id.name().to_string(), reason.clone()))
        };
        self.queued(remote, queued);
    }

    /// Gives a port something that ends with it; at once if it has ended.
    pub(crate) fn adopt(&self, number: u64, child: Child) {
        match self.table().get(number) {
            Some(mut cell) => cell.extra().adopt(child),
            None => self.end_child(child),
        }
    }

    fn end_child(&self, child: Child) {
        match child {
            Child::Task(task) => task.abort(),
            Child::Registration(registration) => drop(registration),
            Child::Monitor(monitor) => {
                // The code that it would have run is dropped here, and may panic.
                if let Err(panic) = catch_unwind(AssertUnwindSafe(|| monitor.withdraw(self))) {
                    tracing::error!(text = panic_text(&*panic), "a monitor panicked while it was dropped");
                }
            }
        }
    }

    /// Runs a future beside a port, and `done` in it with the result.
    pub(crate) fn task_of<T: Send + 'static>(
        &self,
        number: u64,
        future: impl Future<Output = T> + Send + 'static,
        done: impl FnOnce(&mut Context<'_>, T) + Send + 'static,
    ) {
        let node = self.clone();
        let task = self.inner().runtime.spawn(async move {
            let signal = match caught(future).await {
                Ok(result) => Signal::Job(Box::new(move |cx| done(cx, result))),
                Err(panic) => Signal::Kill(Reason::died(panic)),
            };
            node.signal(number, signal);
        });
        self.adopt(number, Child::Task(task.abort_handle()));
    }

    /// Sets a monitor with any action.
    pub(crate) fn set_monitor(&self, port: &PortId, action: Action) -> MonitorGuard {
        let monitor = Monitor::new(self.next_id(), port.clone(), action);
        match self.place(port) {
            Place::Here(number) => {
                let set = self.table().get(number).map(|mut cell| {
                    cell.extra().watchers.local.insert(monitor.id, monitor.clone());
                });
                if set.is_none() {
                    monitor.clone().fire(self, self.why_missing(port), None);
                }
            }
            Place::Node => {} // it lives as long as whoever could be told
            Place::Nowhere => monitor.clone().fire(self, self.why_missing(port), None),
            Place::There(remote) => self.monitor_there(&remote, port, &monitor),
        }
        MonitorGuard::new(self.clone(), monitor)
    }

    fn monitor_there(&self, remote: &Arc<Remote>, port: &PortId, monitor: &Arc<Monitor>) {
        let outcome = remote.outbox.lock().monitor(port, monitor.id, monitor.clone());
        match outcome {
            Monitored::Set(queued) => self.queued(remote, queued),
            Monitored::Gated(monitor) => {
                let reason = Reason::transport(&remote.node, "messages to this port were lost");
                monitor.fire(self, reason, Some(Gate::new(remote, port.clone())));
            }
        }
    }

    /// Withdraws a monitor from wherever it is set.
    pub(crate) fn unmonitor(&self, monitor: &Arc<Monitor>) {
        match self.place(&monitor.target) {
            Place::Here(number) => {
                if let Some(mut cell) = self.table().get(number)
                    && let Some(extra) = &mut cell.extra
                {
                    extra.watchers.local.remove(&monitor.id);
                }
            }
            Place::Node | Place::Nowhere => {}
            Place::There(remote) => {
                let withdrawn = remote.outbox.lock().unmonitor(&monitor.target, monitor.id);
                if let Some((_, queued)) = withdrawn {
                    self.queued(&remote, queued);
                }
            }
        }
    }

    /// The port, in state `Parked`, runs again when its receiver is not behind any more.
    pub(crate) fn park(&self, number: u64, pressure: Pressure) {
        let waits = match pressure {
            Pressure::Port(target) => match self.table().get(target) {
                Some(mut cell) => {
                    let behind = cell.waiting > self.limits().mailbox_high;
                    if behind {
                        cell.extra().blocked.push(number);
                    }
                    behind
                }
                None => false,
            },
            Pressure::Remote(remote) => {
                remote.blocked.lock().push(number);
                // Looked at after the entry is there: whoever drains looks at the entries afterwards.
                remote.outbox.lock().backlog() > HIGH_WATER
            }
        };
        if !waits {
            self.unpark(vec![number]);
        }
    }

    /// Waits until a port here is not behind any more, or gone.
    pub(crate) async fn ready_here(&self, number: u64) {
        loop {
            let drained = {
                let Some(mut cell) = self.table().get(number) else { return };
                if cell.closing || cell.waiting <= self.limits().mailbox_high {
                    return;
                }
                // Under the lock, and so before whoever drains looks.
                cell.extra().drained.get_or_insert_default().clone().notified_owned()
            };
            drained.await;
        }
    }

    /// Ports that waited for a receiver go on.
    pub(crate) fn unpark(&self, ports: Vec<u64>) {
        for number in ports {
            let parked = self.table().get(number).is_some_and(|mut cell| {
                let parked = cell.state == State::Parked;
                if parked {
                    cell.state = State::Queued;
                }
                parked
            });
            if parked {
                self.scheduler().schedule(number);
            }
        }
    }

    /// Ports of which one had a handler that did not return for long are reported.
    pub(crate) fn report_blocking(&self, numbers: &[u64], took: Duration) {
        let numbers: BTreeSet<u64> = numbers.iter().copied().collect();
        let ports: Vec<String> = numbers.into_iter().map(|number| self.port_id(number).to_string()).collect();
        match &ports[..] {
            [port] => tracing::warn!(port, ?took, "a handler blocked its thread; use a task for slow work"),
            _ => tracing::warn!(
                ports = ports.join(" "),
                ?took,
                "a handler of one of these ports blocked its thread; use a task for slow work"
            ),
        }
    }

    /// What another node monitors here is forgotten, for its connection is gone.
    pub(crate) fn forget_watchers(&self, remote: &Arc<Remote>) {
        let watched = std::mem::take(&mut *remote.watching.lock());
        for number in watched.ports.into_keys() {
            if let Some(mut cell) = self.table().get(number)
                && let Some(extra) = &mut cell.extra
            {
                extra.watchers.forget(remote);
            }
        }
    }
}

/// Puts messages into the mailbox of a port that may take its time. They share the memory of what was read with them, most of which may
/// be for other ports: few small ones get some of their own, or a slow port would keep far more than its mailbox is counted with.
#[cold]
fn push_few(mailbox: &mut dyn Mailbox, batch: &Bytes, spans: &mut Vec<Span>) -> usize {
    let octets = spans.iter().map(|span| span.len()).sum();
    if octets > COPIED {
        return mailbox.push_spans(batch, spans);
    }
    let mut own = BytesMut::with_capacity(octets);
    let bodies = spans.drain(..).map(|span| {
        own.extend_from_slice(span.items(batch));
        Body::new(span.count(), own.split().freeze())
    });
    bodies.map(|body| mailbox.push(Envelope::Encoded(body))).sum()
}
