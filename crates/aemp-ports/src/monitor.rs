//! Monitors as ports see them: armed, then either cancelled or fired, once; and the notification of
//! one that has fired, from there to where it takes effect.

use std::sync::Arc;

use aemp_proto::{PortId, Reason};

use super::decision::Decision;
use super::host::Host;
use super::port_no::PortNo;
use super::signal::notify;
use crate::message::{EncodeError, Envelope};

/// Opens the gate of a port that something was lost for, when it is dropped. It may be dropped
/// under the lock of a port.
pub type Gate = Box<dyn Send>;

/// Lives as long as callbacks of monitors on ports of a node are to be run, and news of it is on
/// its way.
pub type Telling = Arc<dyn Send + Sync>;

/// What a monitor does.
pub enum Action<H: Host> {
    /// Does something in a port of this node, in order with its messages.
    Port(PortNo, PortAction<H>),
    /// Runs code outside of any port.
    Outside(Outside<H>),
    /// Tells a task that waits, wherever the monitor fires. The gate opens when the task takes the
    /// reason, for it may run much later.
    Wait(Box<dyn FnOnce(Reason, Option<Gate>) + Send>),
}

/// Code that runs outside of any port, and wants to know the reason.
pub type Outside<H> = Box<dyn FnOnce(&H, Reason) + Send>;

/// Makes a message of a reason.
pub type MakeMessage = Box<dyn FnOnce(Reason) -> Result<Envelope, EncodeError> + Send>;

/// Code of a port that wants to know the reason.
pub type RunWithReason<H> = Box<dyn FnOnce(&mut <H as Host>::Context<'_>, Reason) + Send>;

/// What a monitor does in a port.
pub enum PortAction<H: Host> {
    /// Handles a message.
    Message(MakeMessage),
    /// Runs code.
    Job(RunWithReason<H>),
    /// Dies too, if the reason is abnormal: an async port wherever it waits, another one when its
    /// turn has come.
    Kill,
    /// The call that waits in it ends.
    EndCall,
}

/// One monitor.
pub struct Monitor<H: Host> {
    /// Tells the monitors of a host apart; in its order they fire.
    pub id: u64,
    /// The port that is monitored.
    pub target: PortId,
    decision: Decision<Action<H>>,
}

impl<H: Host> Monitor<H> {
    /// It is armed.
    pub fn new(id: u64, target: PortId, action: Action<H>) -> Arc<Monitor<H>> {
        Arc::new(Monitor { id, target, decision: Decision::new(action) })
    }

    /// Withdraws the monitor, unless it has fired.
    pub fn withdraw(self: &Arc<Self>, host: &H) {
        if let Some(action) = self.decision.take() {
            host.unmonitor(self);
            drop(action);
        }
    }

    /// Whether it may still fire.
    pub fn is_armed(&self) -> bool {
        self.decision.is_armed()
    }

    /// The port of this node in which it does something, and whether it kills that.
    pub fn port(&self) -> Option<(PortNo, bool)> {
        let port = self.decision.look(|action| match action {
            Action::Port(number, action) => Some((*number, matches!(action, PortAction::Kill))),
            Action::Outside(_) | Action::Wait(_) => None,
        });
        port.flatten()
    }

    /// Whether a task waits for it.
    fn waits(&self) -> bool {
        self.decision.look(|action| matches!(action, Action::Wait(_))).unwrap_or_default()
    }

    /// Brings the news of a death to where the action happens. The caller holds no lock of a port
    /// or outbox.
    pub fn fire(self: Arc<Self>, host: &H, reason: Reason) {
        Notification { monitor: self, reason, gate: None, telling: None, kills: false }.bring(host);
    }

    /// The same for a port of another node, of which there is a `gate` if something was lost.
    pub fn fire_there(self: Arc<Self>, host: &H, reason: Reason, gate: Option<Gate>, telling: &Telling) {
        let telling = Some(telling.clone());
        Notification { monitor: self, reason, gate, telling, kills: false }.bring(host);
    }
}

/// A monitor that has fired and is on its way to its action.
pub struct Notification<H: Host> {
    monitor: Arc<Monitor<H>>,
    reason: Reason,
    /// Opens the gate of the lost port when it is dropped, wherever that happens.
    gate: Option<Gate>,
    /// Until the action has run outside of any port, or the news is in the mailbox of one.
    telling: Option<Telling>,
    /// The port has to die of it, unless the monitor is withdrawn in time.
    kills: bool,
}

/// A notification where it takes effect.
pub struct Delivered<H: Host> {
    /// What is to happen; `None` if the monitor was withdrawn in time.
    pub action: Option<Action<H>>,
    /// Why the port died.
    pub reason: Reason,
    /// To be dropped when whom it is for knows: before its code runs, so that what this sends to
    /// the port passes again.
    pub gate: Option<Gate>,
}

impl<H: Host> Notification<H> {
    fn bring(mut self, host: &H) {
        let port = self.monitor.port();
        self.kills = port.is_some_and(|(_, kills)| kills);
        if self.kills && self.reason.is_normal() {
            drop(self.monitor.decision.take());
            return;
        }
        // Dropped when the news is in the mailbox, or the task is woken.
        let telling = self.telling.take();
        if let Some((number, _)) = port {
            return notify(host, number, self);
        }
        if self.monitor.waits() {
            let Delivered { action, reason, gate } = self.deliver();
            if let Some(Action::Wait(tell)) = action {
                tell(reason, gate);
            }
            return;
        }
        self.telling = telling;
        let mut queued = Queued(Some(self));
        host.ports().scheduler.call(Box::new(move |host| queued.run(host)));
    }

    /// Whether the port has to die of it, unless the monitor is withdrawn in time.
    pub fn kills(&self) -> bool {
        self.kills
    }

    /// It takes effect now: from here on the monitor has fired, and cannot be withdrawn.
    pub fn deliver(self) -> Delivered<H> {
        Delivered { action: self.monitor.decision.take(), reason: self.reason, gate: self.gate }
    }
}

/// A notification that waits to run outside of any port. If the node ends first, its action is
/// dropped, and who waits for it knows.
struct Queued<H: Host>(Option<Notification<H>>);

impl<H: Host> Queued<H> {
    fn run(&mut self, host: &H) {
        let Some(mut notification) = self.0.take() else { return };
        let _telling = notification.telling.take();
        let Delivered { action, reason, gate } = notification.deliver();
        drop(gate);
        if let Some(Action::Outside(code)) = action {
            code(host, reason);
        }
    }
}

impl<H: Host> Drop for Queued<H> {
    fn drop(&mut self) {
        if let Some(notification) = self.0.take() {
            drop(notification.deliver().action);
        }
    }
}
