//! Monitors: who is told when a port dies, or when something sent to it may have been lost.
//!
//! A monitor is armed, then either cancelled (its guard was dropped) or fired, once. It counts as
//! fired when its code begins to run or its message leaves the mailbox, not when that is queued:
//! until then the port that it watched stays gated, if it fired because of a loss. Not longer, for
//! the code that learns of the loss may send to the port or monitor it anew, and that must not be
//! dropped or fire again.

mod decision;

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{self, Poll};

use aemp_proto::{NodeId, PortId, Reason};
use tokio::sync::oneshot;

use self::decision::Decision;
use crate::message::{EncodeError, Envelope, IntoMessage};
use crate::node::{Inner, Node};
use crate::port::Context;
use crate::port::extra::Child;
use crate::port::mailbox::Job;
use crate::port::port_no::PortNo;
use crate::remote::Gate;
use crate::runtime::Event;

/// What a monitor does.
pub(crate) enum Action {
    /// Runs code outside of any port.
    Callback(Box<dyn FnOnce(Reason) + Send>),
    /// Does something in a port of this node, in order with its messages.
    Port(PortNo, PortAction),
    /// Sends a message to a port of another node.
    Send(PortId, MakeMessage),
    /// Kills a port of another node, if the reason is abnormal.
    Kill(PortId),
    /// Tells who waits for a [`ExitFuture`]. The gate opens when the reason is taken, for the
    /// waiting task may run much later.
    Wait(oneshot::Sender<(Reason, Option<Gate>)>),
}

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

    /// The action, if the monitor had neither fired nor been cancelled; now it has fired.
    fn take(&self) -> Option<Action> {
        self.decision.take()
    }

    /// The port of this node in which it does something, and whether it kills that.
    fn port(&self) -> Option<(PortNo, bool)> {
        let port = self.decision.look(|action| match action {
            Action::Port(number, action) => Some((*number, matches!(action, PortAction::Kill))),
            Action::Callback(_) | Action::Send(..) | Action::Kill(_) | Action::Wait(_) => None,
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
        Fire { monitor: self, reason, gate: None, telling: None, kills: false }.bring(node);
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
        Fire { monitor: self, reason, gate: Some(gate), telling, kills: false }.bring(node);
    }
}

/// Lives as long as callbacks of monitors are to be run because a node was lost; its end is told to
/// the driver.
pub(crate) struct Telling {
    node: Weak<Inner>,
    lost: NodeId,
}

impl Telling {
    pub(crate) fn of(node: &Node, lost: &NodeId) -> Arc<Telling> {
        Arc::new(Telling { node: node.weak(), lost: lost.clone() })
    }
}

impl Drop for Telling {
    fn drop(&mut self) {
        if let Some(node) = self.node.upgrade() {
            Node::from_inner(node).event(Event::Told(self.lost.clone()));
        }
    }
}

/// A monitor that has fired and is on its way to its action.
pub(crate) struct Fire {
    monitor: Arc<Monitor>,
    reason: Reason,
    /// Opens the gate of the lost port when it is dropped, wherever that happens.
    gate: Option<Gate>,
    /// Until the action has run outside of any port, or the news is in the mailbox of one.
    telling: Option<Arc<Telling>>,
    /// The port has to die of it, unless the monitor is withdrawn in time.
    kills: bool,
}

impl Fire {
    fn bring(mut self, node: &Node) {
        let port = self.monitor.port();
        self.kills = port.is_some_and(|(_, kills)| kills);
        if self.kills && self.reason.is_normal() {
            drop(self.monitor.take());
            return;
        }
        if let Some((number, _)) = port {
            // Dropped when the news is in the mailbox.
            let _telling = self.telling.take();
            return node.fire_in(number, self);
        }
        if self.monitor.waits() {
            return self.wake();
        }
        let mut queued = Queued(Some(self));
        node.scheduler().call(Box::new(move |node| queued.run(node)));
    }

    /// Wakes the task that waits for the reason.
    fn wake(self) {
        if let Some(Action::Wait(waiting)) = self.monitor.take() {
            // If nobody waits any more, the gate opens here.
            drop(waiting.send((self.reason, self.gate)));
        }
    }

    pub(crate) fn kills(&self) -> bool {
        self.kills
    }

    /// The fire has left the mailbox of its port: does what is to be done there, or gives the
    /// message to be handled.
    pub(crate) fn open(self, cx: &mut Context<'_>) -> Option<Result<Envelope, EncodeError>> {
        if self.kills {
            cx.kill_left_mailbox();
        }
        let Some(Action::Port(_, action)) = self.monitor.take() else { return None };
        drop(self.gate);
        match action {
            PortAction::Message(make) => Some(make(self.reason)),
            PortAction::Job(job) => {
                job(cx, self.reason);
                None
            }
            PortAction::Kill => {
                cx.end(self.reason);
                None
            }
            PortAction::EndCall => None,
        }
    }

    /// As [`Fire::open`], for an async port: the message, and the gate that opens when the port's
    /// code gets it.
    pub(crate) fn into_message(self) -> Option<(Opened, Option<Gate>)> {
        let Some(Action::Port(_, action)) = self.monitor.take() else { return None };
        let opened = match action {
            PortAction::Message(make) => Opened::Message(make(self.reason)),
            PortAction::Job(job) => {
                let reason = self.reason;
                Opened::Job(Box::new(move |cx| job(cx, reason)))
            }
            // A kill does not wait in the queue of an async port.
            PortAction::Kill | PortAction::EndCall => return None,
        };
        Some((opened, self.gate))
    }

    /// Why an async port has to die, unless the monitor was withdrawn in time; and the gate that
    /// opens when it has.
    pub(crate) fn into_kill(self) -> Option<(Reason, Option<Gate>)> {
        self.monitor.take()?;
        Some((self.reason, self.gate))
    }

    /// As [`Fire::open`], for a port that only wants to know the reason, and the gate that opens
    /// when its owner hears of it.
    pub(crate) fn into_reason(self) -> (Reason, Option<Gate>) {
        self.monitor.take();
        (self.reason, self.gate)
    }

    /// Runs an action outside of any port.
    fn run(self, node: &Node) {
        let action = self.monitor.take();
        drop(self.gate);
        match action {
            Some(Action::Callback(callback)) => callback(self.reason),
            Some(Action::Send(port, make)) => match make(self.reason) {
                Ok(message) => node.send_or_log(&port, message),
                Err(error) => tracing::error!(%port, %error, "the message of a monitor cannot be encoded"),
            },
            Some(Action::Kill(port)) if !self.reason.is_normal() => node.kill(&port, self.reason),
            Some(Action::Kill(_) | Action::Port(..) | Action::Wait(_)) | None => {}
        }
    }
}

/// A fire that waits to run outside of any port. If the node ends first, its action is dropped, and
/// whoever waits for it knows.
struct Queued(Option<Fire>);

impl Queued {
    fn run(&mut self, node: &Node) {
        if let Some(fire) = self.0.take() {
            fire.run(node);
        }
    }
}

impl Drop for Queued {
    fn drop(&mut self) {
        if let Some(fire) = self.0.take() {
            drop(fire.monitor.take());
        }
    }
}

/// What a fire is for an async port.
pub(crate) enum Opened {
    /// A message to be handled.
    Message(Result<Envelope, EncodeError>),
    /// Code to be run.
    Job(Job),
}

/// Keeps a monitor: it is withdrawn when the guard is dropped, and then never fires.
/// [`MonitorGuard::detach`] lets it go on by itself.
#[must_use = "a monitor is withdrawn when its guard is dropped; use detach() to keep it"]
pub struct MonitorGuard {
    node: Node,
    monitor: Option<Arc<Monitor>>,
}

impl MonitorGuard {
    pub(crate) fn new(node: Node, monitor: Arc<Monitor>) -> MonitorGuard {
        MonitorGuard { node, monitor: Some(monitor) }
    }

    /// Keeps the monitor until it fires, or until the port dies in which it would do something.
    pub fn detach(mut self) {
        let Some(monitor) = self.monitor.take() else { return };
        if let Some((number, _)) = monitor.port() {
            self.node.adopt(number, Child::Monitor(monitor));
        }
    }

    /// The port that is monitored; `None` only while the guard is being taken apart.
    pub fn target(&self) -> Option<&PortId> {
        self.monitor.as_ref().map(|monitor| &monitor.target)
    }
}

impl Drop for MonitorGuard {
    fn drop(&mut self) {
        if let Some(monitor) = self.monitor.take() {
            monitor.withdraw(&self.node);
        }
    }
}

/// A monitor as a future: the reason why the port died. Dropping it withdraws the monitor.
#[must_use = "a future does nothing unless it is polled"]
pub struct ExitFuture {
    reason: oneshot::Receiver<(Reason, Option<Gate>)>,
    _guard: MonitorGuard,
}

impl ExitFuture {
    pub(crate) fn of(node: &Node, port: &PortId) -> ExitFuture {
        let (waiting, reason) = oneshot::channel();
        ExitFuture { reason, _guard: node.set_monitor(port, Action::Wait(waiting)) }
    }
}

impl Future for ExitFuture {
    type Output = Reason;

    fn poll(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Reason> {
        Pin::new(&mut self.reason).poll(cx).map(|told| match told {
            // The gate opens now that the task knows.
            Ok((reason, _gate)) => reason,
            Err(_) => Reason::text("shutdown", "this node has ended"),
        })
    }
}

impl Node {
    /// Monitors a port: `callback` gets the reason once, when the port dies, does not exist, or
    /// something sent to it may have been lost. It runs outside of any port.
    ///
    /// Monitoring a node port tells when the connection to that node is lost or cannot be made. On
    /// the wire: `mon1`.
    #[doc(alias = "mon")]
    pub fn monitor(&self, port: &PortId, callback: impl FnOnce(Reason) + Send + 'static) -> MonitorGuard {
        self.set_monitor(port, Action::Callback(Box::new(callback)))
    }

    /// Monitors `port` and sends `message(reason)` to `to` when it dies. If `to` is a port of this
    /// node, the message counts as received, and the way to `port` opens again after a loss, when
    /// `to` takes it out of its mailbox.
    pub fn monitor_send<M>(
        &self,
        port: &PortId,
        to: &PortId,
        message: impl FnOnce(Reason) -> M + Send + 'static,
    ) -> MonitorGuard
    where
        M: IntoMessage,
    {
        let make: MakeMessage = Box::new(move |reason| message(reason).into_envelope());
        let action = match self.local_number(to) {
            Some(number) => Action::Port(number, PortAction::Message(make)),
            None => Action::Send(to.clone(), make),
        };
        self.set_monitor(port, action)
    }

    /// Monitors `port` and kills `victim` with the same reason if it dies abnormally.
    #[doc(alias = "link")]
    pub fn monitor_kill(&self, port: &PortId, victim: &PortId) -> MonitorGuard {
        let action = match self.local_number(victim) {
            Some(number) => Action::Port(number, PortAction::Kill),
            None => Action::Kill(victim.clone()),
        };
        self.set_monitor(port, action)
    }

    /// Monitors `port` and runs `action` in `to`, a port of this node, when it dies: in order with
    /// the messages of `to`, and not after its death. Nothing happens if there is no such port
    /// here.
    pub fn monitor_in(
        &self,
        port: &PortId,
        to: &PortId,
        action: impl FnOnce(&mut Context<'_>, Reason) + Send + 'static,
    ) -> MonitorGuard {
        let action = match self.local_number(to) {
            Some(number) => Action::Port(number, PortAction::Job(Box::new(action))),
            None => Action::Callback(Box::new(|_| drop(action))),
        };
        self.set_monitor(port, action)
    }

    /// Waits until the port dies and gives the reason; the monitor is set at once, not when the
    /// future is first polled.
    ///
    /// After a loss, what is sent to the port is dropped until the future has been polled or
    /// dropped: only then the task knows, and what it sends afterwards counts. So do not keep one
    /// that nobody waits for.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future withdraws the monitor.
    pub fn exited(&self, port: &PortId) -> ExitFuture {
        ExitFuture::of(self, port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_question_about_a_port_makes_no_other_node_known() {
        let node = Node::builder().start().await.expect("a node without settings");
        let (port, far) =
            (PortId::parse("far#port").expect("a port ID"), NodeId::new("far").expect("a node ID"));
        assert_eq!(node.local_number(&port), None);
        node.run_in(&port, |_| {});
        node.ready(&port).await;
        assert!(node.remotes().find(&far).is_none());
        node.kill(&port, Reason::NORMAL);
        assert!(node.remotes().find(&far).is_some());
        node.shutdown().await;
    }

    #[tokio::test]
    async fn monitors_of_a_dead_port_are_withdrawn() {
        let node = Node::builder().start().await.expect("a node without settings");
        let server = node.port(|_: &mut Context<'_>, (): ()| {});
        let far = PortId::parse("far#port").expect("a port ID");
        for _ in 0..100 {
            let port = node.port(|_: &mut Context<'_>, (): ()| {});
            node.monitor_send(&server, &port, |_| ()).detach();
            node.monitor_kill(&server, &port).detach();
            node.monitor_kill(&far, &port).detach();
            node.kill(&port, Reason::NORMAL);
            node.monitor_kill(&server, &port).detach();
        }
        let number = node.own_number(&server).expect("it is of this node");
        let watchers = node.table().get(number).map(|mut cell| cell.make_extra().watchers.local.len());
        assert_eq!(watchers, Some(0));
        assert_eq!(node.remotes().get_or_create(far.node()).outbox.lock().watched_ports(), 0);
        node.shutdown().await;
    }
}
