//! The code of async ports. Their mailboxes, kills and wakers are the real ones; the task that the
//! library runs on tokio is modelled: it takes all that waits, and handles one thing after the
//! other.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Waker;

use aemp_ports::items::{Item, Items};
use aemp_ports::mailbox::{ITEM_COST, Signal, TaskQueue, TaskState};
use aemp_ports::message::Envelope;
use aemp_ports::monitor::{Action, Delivered, Gate, PortAction};
use aemp_ports::pressure::unpark;
use aemp_ports::{Host as _, PortNo};
use aemp_proto::{AnyMessage, Reason};

use super::Node;
use super::host::PortHost;
use crate::cx::Cx;

/// The task of an async port.
pub(super) struct Task {
    state: Arc<TaskState>,
    waker: Waker,
    /// What was taken out of the mailbox and not handled yet.
    stash: VecDeque<Stashed>,
    /// It is going to run.
    awake: bool,
}

/// A message in the hands of the task, with the gate of the loss that it tells of.
struct Stashed {
    message: Envelope,
    gate: Option<Gate>,
    bytes: usize,
}

impl Task {
    pub(super) fn is_idle(&self) -> bool {
        self.stash.is_empty() && !self.awake
    }
}

impl Node {
    /// The task of an async port begins.
    pub(super) fn start_task(&mut self, number: PortNo, cx: &mut Cx) {
        let waker = self.ports.host.waker(number);
        let state = self.with_tasks(number, |mailbox| {
            mailbox.kills.make_known(&waker);
            mailbox.state.clone()
        });
        let Some(state) = state else { return };
        let task = Task { state, waker, stash: VecDeque::new(), awake: false };
        self.ports.tasks.insert(number, task);
        self.wake_task(number, cx);
    }

    fn with_tasks<T>(&self, number: PortNo, action: impl FnOnce(&mut TaskQueue<PortHost>) -> T) -> Option<T> {
        let mut cell = self.ports.host.ports().table.get(number)?;
        Some(action(cell.mailbox()?.downcast_mut()?))
    }

    /// The task may have something to do.
    pub(super) fn wake_task(&mut self, number: PortNo, cx: &mut Cx) {
        if let Some(task) = self.ports.tasks.get_mut(&number)
            && !std::mem::replace(&mut task.awake, true)
        {
            self.schedule(number, cx);
        }
    }

    /// What waits in a call, or the task of an async port, runs. False if there is no such.
    pub(crate) fn run_task(&mut self, number: PortNo, cx: &mut Cx) -> bool {
        if self.ports.tasks.contains_key(&number) {
            self.go_on_with_task(number, cx);
            return true;
        }
        self.look_for_answer(number, cx)
    }

    /// A kill goes before everything else.
    fn go_on_with_task(&mut self, number: PortNo, cx: &mut Cx) {
        let Some(task) = self.ports.tasks.get_mut(&number) else { return };
        task.awake = false;
        let doomed = task.state.doom.is_set();
        let next = task.stash.pop_front();
        if doomed && let Some((reason, gate)) = self.kill_of_task(number) {
            let task = self.ports.tasks.remove(&number);
            self.end_here(number, reason, cx);
            drop((task, next, gate));
        } else if let Some(Stashed { message, gate, bytes }) = next {
            task_keeps_less(&self.ports.tasks, number, bytes);
            drop(gate);
            if let Ok(message) = message.open::<AnyMessage>() {
                self.handle(number, &message.0, cx);
            }
        }
        self.fill_stash(number, cx);
        self.hear(cx);
        self.settle(cx);
    }

    /// The first kill that takes effect, if the port has to die of one.
    fn kill_of_task(&mut self, number: PortNo) -> Option<(Reason, Option<Gate>)> {
        let Some(kills) = self.with_tasks(number, |mailbox| mailbox.kills.take()) else {
            return Some((Reason::NORMAL, None));
        };
        kills.into_iter().find_map(|signal| match signal {
            Signal::Kill(reason) => Some((reason, None)),
            Signal::Notification(notification) => {
                let Delivered { action, reason, gate } = notification.deliver();
                action.map(|_| (reason, gate))
            }
            Signal::Job(_) | Signal::Traced(_) => None,
        })
    }

    /// Takes all that waits, if the task has nothing in its hands; else it is woken.
    fn fill_stash(&mut self, number: PortNo, cx: &mut Cx) {
        let Some(task) = self.ports.tasks.get_mut(&number) else { return };
        if task.stash.is_empty() && !task.take_all(&self.ports.host, number) {
            return;
        }
        self.wake_task(number, cx);
    }
}

fn task_keeps_less(tasks: &std::collections::BTreeMap<PortNo, Task>, number: PortNo, bytes: usize) {
    if let Some(task) = tasks.get(&number) {
        task.state.kept.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Task {
    /// Takes all that waits into the stash. If that is nothing, the task is woken later: false.
    fn take_all(&mut self, host: &PortHost, number: PortNo) -> bool {
        let Some(mut cell) = host.ports().table.get(number) else { return false };
        let mailbox = cell.mailbox().and_then(|mailbox| mailbox.downcast_mut::<TaskQueue<PortHost>>());
        let Some(mailbox) = mailbox else { return false };
        if mailbox.queue.is_empty() {
            mailbox.waker = Some(self.waker.clone());
            return false;
        }
        let mut batch = Items::default();
        mailbox.queue.take(&mut batch);
        cell.emptied();
        let blocked = cell.take_blocked(host.ports().limits);
        drop(cell);
        unpark(host, blocked);
        while let Some(item) = batch.pop() {
            let (message, gate) = match item {
                Item::Message(message) => (Some(message), None),
                Item::Encoded(_) => (batch.body().map(Envelope::Encoded), None),
                Item::Signal(signal) => match *signal {
                    Signal::Notification(notification) => {
                        let Delivered { action, reason, gate } = notification.deliver();
                        match action {
                            Some(Action::Port(_, PortAction::Message(make))) => (make(reason).ok(), gate),
                            _ => (None, gate),
                        }
                    }
                    Signal::Traced(traced) => (Some(traced.message), None),
                    Signal::Job(_) | Signal::Kill(_) => (None, None),
                },
                Item::None => (None, None),
            };
            let Some(message) = message else { continue };
            let bytes = ITEM_COST + message.bytes();
            self.state.kept.fetch_add(bytes, Ordering::Relaxed);
            self.stash.push_back(Stashed { message, gate, bytes });
        }
        true
    }
}
