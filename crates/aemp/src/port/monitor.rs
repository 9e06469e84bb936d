//! Monitors as ports see them: armed, then either cancelled or fired, once; and the notification of
//! one that has fired, from there to where it takes effect.

use std::sync::Arc;

use aemp_proto::{PortId, Reason};

use super::Context;
use super::port_no::PortNo;
use crate::message::{EncodeError, Envelope};
use crate::monitor::Telling;
use crate::monitor::decision::Decision;
use crate::node::Node;
use crate::remote::Gate;

/// What a monitor does.
pub(crate) enum Action {
    /// Does something in a port of this node, in order with its messages.
    Port(PortNo, PortAction),
    /// Runs code outside of any port.
    Outside(Outside),
    /// Tells a task that waits, wherever the monitor fires. The gate opens when the task takes the
    /// reason, for it may run much later.
    Wait(Box<dyn FnOnce(Reason, Option<Gate>) + Send>),
}

/// Code that runs outside of any port, and wants to know the reason.
pub(crate) type Outside = Box<dyn FnOnce(&Node, Reason) + Send>;

/// Makes a message of a reason.
pub(crate) type MakeMessage = Box<dyn FnOnce(Reason) -> Result<Envelope, EncodeError> + Send>;

/// Code of a port that wants to know the reason.
pub(crate) type RunWithReason = Box<dyn FnOnce(&mut Context<'_>, Reason) + Send>;

/// What a monitor does in a port.
pub(crate) enum PortAction {
    /// Handles a message.
    Message(MakeMessage),
    /// Runs code.
    Job(RunWithReason),
    /// Dies too, if the reason is abnormal: an async port wherever it waits, another one when its
    /// turn has come.
    Kill,
    /// The call that waits in it ends.
    EndCall,
}

/// One monitor.
pub(crate) struct Monitor {
    pub(crate) id: u64,
    pub(crate) target: PortId,
    decision: Decision<Action>,
}

impl Monitor {
    pub(crate) fn new(id: u64, target: PortId, action: Action) -> Arc<Monitor> {
        Arc::new(Monitor { id, target, decision: Decision::new(action) })
    }

    /// Withdraws the monitor, unless it has fired.
    pub(crate) fn withdraw(self: &Arc<Self>, node: &Node) {
        if let Some(action) = self.decision.take() {
            node.unmonitor(self);
            drop(action);
        }
    }

    /// Whether it may still fire.
    pub(crate) fn is_armed(&self) -> bool {
        self.decision.is_armed()
    }

    /// The port of this node in which it does something, and whether it kills that.
    pub(crate) fn port(&self) -> Option<(PortNo, bool)> {
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
    pub(crate) fn fire(self: Arc<Self>, node: &Node, reason: Reason) {
        Notification { monitor: self, reason, gate: None, telling: None, kills: false }.bring(node);
    }

    /// Brings the news of a loss to where the action happens. The caller holds no lock of a port or
    /// outbox.
    pub(crate) fn fire_loss(
        self: Arc<Self>,
        node: &Node,
        reason: Reason,
        gate: Gate,
        telling: Option<&Arc<Telling>>,
    ) {
        let telling = telling.cloned();
        Notification { monitor: self, reason, gate: Some(gate), telling, kills: false }.bring(node);
    }
}

/// A monitor that has fired and is on its way to its action.
pub(crate) struct Notification {
    monitor: Arc<Monitor>,
    reason: Reason,
    /// Opens the gate of the lost port when it is dropped, wherever that happens.
    gate: Option<Gate>,
    /// Until the action has run outside of any port, or the news is in the mailbox of one.
    telling: Option<Arc<Telling>>,
    /// The port has to die of it, unless the monitor is withdrawn in time.
    kills: bool,
}

/// A notification where it takes effect.
pub(crate) struct Delivered {
    /// What is to happen; `None` if the monitor was withdrawn in time.
    pub(crate) action: Option<Action>,
    pub(crate) reason: Reason,
    /// To be dropped when whom it is for knows: before its code runs, so that what this sends to
    /// the port passes again.
    pub(crate) gate: Option<Gate>,
}

impl Notification {
    fn bring(mut self, node: &Node) {
        let port = self.monitor.port();
        self.kills = port.is_some_and(|(_, kills)| kills);
        if self.kills && self.reason.is_normal() {
            drop(self.monitor.decision.take());
            return;
        }
        // Dropped when the news is in the mailbox, or the task is woken.
        let telling = self.telling.take();
        if let Some((number, _)) = port {
            return node.notify_port(number, self);
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
        node.scheduler().call(Box::new(move |node| queued.run(node)));
    }

    /// Whether the port has to die of it, unless the monitor is withdrawn in time.
    pub(crate) fn kills(&self) -> bool {
        self.kills
    }

    /// It takes effect now: from here on the monitor has fired, and cannot be withdrawn.
    pub(crate) fn deliver(self) -> Delivered {
        Delivered { action: self.monitor.decision.take(), reason: self.reason, gate: self.gate }
    }
}

/// A notification that waits to run outside of any port. If the node ends first, its action is
/// dropped, and who waits for it knows.
struct Queued(Option<Notification>);

impl Queued {
    fn run(&mut self, node: &Node) {
        let Some(mut notification) = self.0.take() else { return };
        let _telling = notification.telling.take();
        let Delivered { action, reason, gate } = notification.deliver();
        drop(gate);
        if let Some(Action::Outside(code)) = action {
            code(node, reason);
        }
    }
}

impl Drop for Queued {
    fn drop(&mut self) {
        if let Some(notification) = self.0.take() {
            drop(notification.deliver().action);
        }
    }
}
