//! How ports come to be, are signalled, wait, and end.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use aemp_proto::outbox::Monitored;
use aemp_proto::wire::Request;
use aemp_proto::{PortId, Reason};
use parking_lot::MutexGuard;

use super::Context;
use super::actor::Actor;
use super::extra::{Child, Extra};
use super::mailbox::{After, Mailbox, Signal};
use super::run::{caught, panic_text};
use super::table::{Cell, State};
use crate::message::Envelope;
use crate::monitor::{Action, Monitor, MonitorGuard};
use crate::node::{Node, Place, Pressure};
use crate::remote::{Gate, HIGH_WATER, Remote};

impl Node {
    /// Opens a port of any kind.
    pub(crate) fn open(
        &self,
        state: State,
        mailbox: Box<dyn Mailbox>,
        actor: Option<Box<dyn Actor>>,
    ) -> PortId {
        let number = self.table().insert(state, mailbox, actor, None);
        self.port_id(number)
    }

    /// Puts a message into a mailbox. Says whether the port is behind.
    pub(crate) fn deliver_envelope(&self, number: u64, message: Envelope) -> Option<Pressure> {
        let mut cell = self.table().get(number)?;
        if cell.closing {
            return None;
        }
        cell.mailbox.as_mut()?.push(message);
        self.delivered(number, cell)
    }

    /// Something was added to a mailbox: sees to it that somebody takes it out.
    pub(crate) fn delivered(&self, number: u64, mut cell: MutexGuard<'_, Cell>) -> Option<Pressure> {
        let (octets, kept, after) = {
            let mailbox = cell.mailbox.as_mut()?;
            (mailbox.octets(), mailbox.kept(), mailbox.after())
        };
        if octets + kept > self.limits().mailbox {
            drop(cell);
            let text = format_args!("more than {} octets waited for this port", self.limits().mailbox);
            self.signal(number, Signal::Kill(Reason::text("mailbox_full", text)));
            return None;
        }
        let behind = octets > self.limits().mailbox_high;
        match after {
            // A parked port is woken if it falls behind itself, and if it is to die: nobody it sends to can keep it alive.
            After::Schedule
                if cell.state == State::Idle || (cell.state == State::Parked && (behind || cell.closing)) =>
            {
                cell.state = State::Queued;
                drop(cell);
                self.scheduler().schedule(number);
            }
            After::Schedule => {}
            After::Wake(waker) => {
                drop(cell);
                if let Some(waker) = waker {
                    waker.wake();
                }
            }
            After::Finish => {
                drop(cell);
                self.end_port(number, Reason::NORMAL);
            }
        }
        behind.then_some(Pressure::Port(number))
    }

    /// Puts something other than a message into a mailbox. A kill closes it: nothing later counts.
    pub(crate) fn signal(&self, number: u64, signal: Signal) {
        let Some(mut cell) = self.table().get(number) else { return };
        if cell.closing {
            return;
        }
        if let Signal::Kill(reason) = &signal {
            cell.closing = true;
            // Nothing waits in an idle port, and a task cannot be asked to look.
            if matches!(cell.state, State::Idle | State::Unscheduled) {
                drop(cell);
                return self.end_port(number, reason.clone());
            }
        }
        if let Some(mailbox) = &mut cell.mailbox {
            mailbox.signal(signal);
            self.delivered(number, cell);
        }
    }

    /// Ends a port: everything that belongs to it goes, whoever watches it is told.
    pub(crate) fn end_port(&self, number: u64, reason: Reason) {
        let id = self.port_id(number);
        let Some(removed) = self.table().remove(number) else { return };
        let extra = removed.extra.map(|extra| *extra).unwrap_or_default();
        let code = AssertUnwindSafe(|| drop((removed.actor, removed.mailbox)));
        if let Err(panic) = catch_unwind(code) {
            tracing::warn!(port = %id, text = panic_text(&*panic), "the state of a dying port panicked");
        }
        self.release(number, &id, extra, &reason);
    }

    fn release(&self, number: u64, id: &PortId, extra: Extra, reason: &Reason) {
        if extra.name.is_some() {
            self.forget_name(id, reason);
        }
        for child in extra.children {
            self.end_child(child);
        }
        if extra.watchers.is_empty() && !reason.is_normal() {
            tracing::warn!(port = %id, %reason, "a port died, and nobody monitors it");
        }
        for monitor in extra.watchers.local.into_values() {
            monitor.fire(self, reason.clone(), None);
        }
        for (remote, link) in extra.watchers.remote {
            let monitors = remote.watching.lock().ports.remove(&number).unwrap_or(1);
            for _ in 0..monitors {
                self.tell_death(&remote, link, id, reason);
            }
        }
        self.unpark(extra.blocked);
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
                    let behind =
                        cell.mailbox.as_ref().is_some_and(|m| m.octets() > self.limits().mailbox_high);
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

    /// A port whose handler did not return for long is reported.
    pub(crate) fn report_blocking(&self, number: u64, took: Duration) {
        let port = self.port_id(number);
        tracing::warn!(%port, ?took, "a handler blocked its thread; use a task for slow work");
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
