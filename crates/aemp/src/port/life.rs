//! How ports come to be, are signalled, wait, and end.

use std::collections::BTreeSet;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use aemp_proto::{PortId, Reason};

use super::Context;
use super::actor::Actor;
use super::extra::{Child, Extra};
use super::known::BoxedMailbox;
use super::mailbox::{Signal, TaskQueue};
use super::monitor::{Action, Monitor, Notification};
use super::port_no::PortNo;
use super::run::{caught, panic_text};
use super::slot::{Slot, State};
use super::wake::wake;
use crate::monitor::MonitorGuard;
use crate::node::{Node, Place};
use crate::remote::Remote;
use crate::runtime::sender;
use crate::spawn_share::SpawnShare;

/// What became of a signal.
enum Signalled {
    /// It waits in the mailbox.
    Queued,
    /// A kill for which the port need not run: the caller ends it.
    Ends(Reason),
    /// The port has ended, or nothing counts any more.
    Refused(Signal),
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
    pub(crate) fn end_if_over(&self, number: PortNo) {
        if self.is_over() {
            self.end_port(number, Reason::NORMAL);
        }
    }

    /// Tells a call that the called port died. False if it does not wait any more.
    fn called_died(&self, caller: PortNo, reason: &Reason) -> bool {
        let Some(mut cell) = self.table().get(caller) else { return false };
        if cell.is_closing() {
            return false;
        }
        let Some(mailbox) = cell.mailbox() else { return false };
        let bytes = mailbox.signal(Signal::Kill(reason.clone()));
        self.delivered(caller, cell, bytes);
        true
    }

    /// Puts something other than a message into a mailbox. A kill closes it: nothing later counts.
    pub(crate) fn signal(&self, number: PortNo, signal: Signal) {
        if let Signalled::Ends(reason) = self.queue_signal(number, signal) {
            self.end_port(number, reason);
        }
    }

    /// Brings a monitor that has fired to its port. The thread may hold locks, and must not drop
    /// what belongs to the monitor.
    pub(crate) fn notify_port(&self, number: PortNo, notification: Notification) {
        if let Signalled::Refused(signal) = self.queue_signal(number, Signal::Notification(notification)) {
            self.scheduler().call(Box::new(move |_| drop(signal)));
        }
    }

    /// Kills a port from a thread that must not run code of users, such as the drop of what the
    /// port has: it may hold a lock, or a connection waits for it.
    pub(crate) fn kill_from_afar(&self, number: PortNo, reason: Reason) {
        if let Signalled::Ends(reason) = self.queue_signal(number, Signal::Kill(reason)) {
            self.scheduler().call(Box::new(move |node| node.end_port(number, reason)));
        }
    }

    fn queue_signal(&self, number: PortNo, signal: Signal) -> Signalled {
        let Some(mut cell) = self.table().get(number) else { return Signalled::Refused(signal) };
        if cell.is_closing() {
            return Signalled::Refused(signal);
        }
        if let Signal::Kill(reason) = &signal {
            cell.close();
            // Nothing waits in an idle port; a caller, who waits for an answer, looks by itself.
            let tells = cell.mailbox().is_some_and(|mailbox| mailbox.wants_reasons());
            if matches!(cell.state(), State::Idle | State::Unscheduled) && !tells {
                return Signalled::Ends(reason.clone());
            }
        }
        let kills = signal.kills();
        let Some(mailbox) = cell.mailbox() else { return Signalled::Refused(signal) };
        let bytes = mailbox.signal(signal);
        let mut task = None;
        if kills && let Some(tasks) = mailbox.downcast_mut::<TaskQueue>() {
            task = tasks.kills.task();
        } else if kills {
            cell.make_extra().kills += 1;
        }
        self.delivered(number, cell, bytes);
        task.into_iter().for_each(wake);
        Signalled::Queued
    }

    /// Kills an async port normally, with its node. False if it is another port.
    pub(crate) fn kill_task(&self, number: PortNo) -> bool {
        let is_task = self.table().get(number).is_some_and(|cell| cell.state() == State::Task);
        if is_task {
            self.signal(number, Signal::Kill(Reason::NORMAL));
        }
        is_task
    }

    /// A monitor that kills its port, or was withdrawn, has left the mailbox.
    pub(crate) fn kill_left_mailbox(&self, number: PortNo) {
        if let Some(mut cell) = self.table().get(number) {
            let extra = cell.make_extra();
            extra.kills = extra.kills.saturating_sub(1);
        }
    }

    /// Ends a port: everything that belongs to it goes, those who watch it are told.
    pub(crate) fn end_port(&self, number: PortNo, reason: Reason) {
        let bury = |cell: &Slot| {
            if let Some(name) = cell.name() {
                let spawner = cell.extra().and_then(|extra| extra.spawned_by.as_ref());
                self.record_tombstone(number, &name, spawner.map(SpawnShare::node), &reason);
            }
        };
        let Some(removed) = self.table().remove(number, bury) else { return };
        if !reason.is_normal() {
            self.inner().shared.counts.kills.add(&reason.identifier().unwrap_or_default());
        }
        let code = AssertUnwindSafe(|| drop((removed.actor, removed.mailbox)));
        if let Err(panic) = catch_unwind(code) {
            let port = self.own_port(number);
            tracing::warn!(%port, text = panic_text(&*panic), "the state of a dying port panicked");
        }
        match removed.extra {
            Some(extra) => self.release(number, *extra, &reason),
            None if reason.is_normal() => {}
            None => self.died_alone(&self.own_port(number), false, &reason),
        }
    }

    /// Nobody is told of this death. Of ports that other nodes have made, and can make as many of
    /// as they like, not each is logged.
    fn died_alone(&self, port: &PortId, made_by_others: bool, reason: &Reason) {
        let withheld = if made_by_others { self.may_complain() } else { Some(0) };
        if let Some(withheld) = withheld {
            tracing::warn!(%port, %reason, withheld, "a port died, and nobody monitors it");
        }
    }

    pub(crate) fn release(&self, number: PortNo, extra: Extra, reason: &Reason) {
        let mut extra = extra;
        let blocked = extra.unblock();
        let Extra { watchers, children, name, spawned_by, .. } = extra;
        // Before anybody is told: those who are may make another port.
        let made_by_others = spawned_by.is_some();
        drop(spawned_by);
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
            self.died_alone(&id, made_by_others, reason);
        }
        for monitor in watchers.local.into_values() {
            monitor.fire(self, reason.clone());
        }
        for (remote, link) in watchers.remote {
            let monitors = remote.watching.lock().end(number);
            for _ in 0..monitors.max(1) {
                self.tell_death(&remote, link, (number, &id), reason);
            }
        }
        self.unpark(blocked);
    }

    fn tell_death(
        &self,
        remote: &Arc<Remote>,
        link: aemp_proto::kernel::LinkId,
        (number, id): (PortNo, &PortId),
        reason: &Reason,
    ) {
        let queued = {
            let mut outbox = remote.outbox.lock();
            if outbox.link() != Some(link) {
                return; // asked over a connection that is gone
            }
            outbox.by(|| number.get()).died(id.name().to_string(), reason)
        };
        self.queued(remote, queued);
    }

    /// Gives a port something that ends with it; at once if it has ended.
    pub(crate) fn adopt(&self, number: PortNo, child: Child) {
        match self.table().get(number) {
            Some(mut cell) => cell.make_extra().adopt(child),
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
        number: PortNo,
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
        let owner = match &action {
            Action::Port(number, _) => number.get(),
            _ => sender::current(),
        };
        self.set_monitor_of(owner, port, action)
    }

    /// The same; `owner` is the sender that is told when it fires.
    pub(crate) fn set_monitor_of(&self, owner: u64, port: &PortId, action: Action) -> MonitorGuard {
        let monitor = Monitor::new(self.next_id(), port.clone(), action);
        match self.place(port) {
            Place::Here(number) => {
                let set = self.table().get(number).map(|mut cell| {
                    cell.make_extra().watchers.local.insert(monitor.id, monitor.clone());
                });
                if set.is_none() {
                    monitor.clone().fire(self, self.why_missing(port));
                }
            }
            Place::Node => {} // it lives as long as the one who could be told
            Place::Nowhere => monitor.clone().fire(self, self.why_missing(port)),
            Place::There(node) => {
                let remote = self.remotes().get_or_create(node);
                let queued = {
                    let mut outbox = remote.outbox.lock();
                    outbox.by(sender::current).monitor(port, monitor.id, owner, monitor.clone())
                };
                self.queued(&remote, queued);
            }
        }
        MonitorGuard::new(self.clone(), monitor)
    }

    /// Withdraws a monitor from wherever it is set.
    pub(crate) fn unmonitor(&self, monitor: &Arc<Monitor>) {
        match self.place(&monitor.target) {
            Place::Here(number) => {
                if let Some(mut cell) = self.table().get(number)
                    && let Some(extra) = cell.extra_mut()
                {
                    extra.watchers.local.remove(&monitor.id);
                }
            }
            Place::Node | Place::Nowhere => {}
            Place::There(node) => {
                let Some(remote) = self.remotes().find(node) else { return };
                let withdrawn =
                    remote.outbox.lock().by(sender::current).unmonitor(&monitor.target, monitor.id);
                if let Some((_, queued)) = withdrawn {
                    self.queued(&remote, queued);
                }
            }
        }
    }

    /// Ports of which one had a handler that did not return for long are reported.
    pub(crate) fn report_blocking(&self, numbers: &[PortNo], took: Duration) {
        self.inner().shared.counts.blocked_handlers.fetch_add(1, Ordering::Relaxed);
        let numbers: BTreeSet<PortNo> = numbers.iter().copied().collect();
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
        let watched = remote.watching.lock().clear();
        for number in watched {
            if let Some(mut cell) = self.table().get(number)
                && let Some(extra) = cell.extra_mut()
            {
                extra.watchers.forget(remote);
            }
        }
    }
}
