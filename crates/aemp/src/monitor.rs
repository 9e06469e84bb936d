//! Monitors: who is told when a port dies, or when something sent to it may have been lost.
//!
//! A monitor is armed, then either cancelled (its guard was dropped) or fired, once. It counts as
//! fired when its code begins to run or its message leaves the mailbox, not when that is queued:
//! until then the port that it watched stays gated, if it fired because of a loss. Not longer, for
//! the code that learns of the loss may send to the port or monitor it anew, and that must not be
//! dropped or fire again.

use std::sync::Arc;

use aemp_proto::{PortId, Reason};
use tokio::sync::oneshot;

use crate::guard::{ExitFuture, MonitorGuard};
use crate::message::{Destination, IntoMessage};
use crate::node::{Node, Place};
use crate::port::Context;
use crate::remote::Remote;
use crate::runtime::sender;
use crate::runtime::shutdown::SHUT_DOWN;
use aemp_ports::Host as _;
use aemp_ports::monitor::{Action, MakeMessage, Monitor, PortAction};

impl ExitFuture {
    pub(crate) fn of(node: &Node, port: &PortId) -> ExitFuture {
        let (waiting, reason) = oneshot::channel();
        // If nobody waits any more, the gate opens here.
        let tell = Box::new(move |reason, gate| drop(waiting.send((reason, gate))));
        ExitFuture { reason, _guard: node.set_monitor(port, Action::Wait(tell)) }
    }
}

impl Node {
    /// Monitors a port: `callback` gets the reason once, when the port dies, does not exist, or
    /// something sent to it may have been lost. It runs outside of any port.
    ///
    /// Monitoring a node port tells when the connection to that node is lost or cannot be made;
    /// that of the own node, when it has ended. On the wire: `mon1`.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aemp::{Node, PortId};
    /// fn example(node: &Node, port: &PortId) {
    ///     node.monitor(port, |reason| println!("it is gone: {reason}")).detach();
    /// }
    /// ```
    #[doc(alias = "mon")]
    pub fn monitor(&self, port: &PortId, callback: impl FnOnce(Reason) + Send + 'static) -> MonitorGuard {
        self.set_monitor(port, Action::Outside(Box::new(move |_, reason| callback(reason))))
    }

    /// Monitors `port` and sends `message(reason)` to `to` when it dies. If `to` is a port of this
    /// node, the message counts as received, and the way to `port` opens again after a loss, when
    /// `to` takes it out of its mailbox.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aemp::{Addr, Node, PortId};
    /// fn example(node: &Node, port: &PortId, told: &Addr<(String, String)>) {
    ///     let name = port.to_string();
    ///     node.monitor_send(port, told, move |reason| (name, reason.to_string())).detach();
    /// }
    /// ```
    pub fn monitor_send<M>(
        &self,
        port: &PortId,
        to: &(impl Destination<M> + ?Sized),
        message: impl FnOnce(Reason) -> M + Send + 'static,
    ) -> MonitorGuard
    where
        M: IntoMessage,
    {
        let to = to.port_id();
        let make: MakeMessage = Box::new(move |reason| message(reason).into_envelope());
        let action = match self.local_number(to) {
            Some(number) => Action::Port(number, PortAction::Message(make)),
            None => {
                let to = to.clone();
                Action::Outside(Box::new(move |node: &Node, reason| match make(reason) {
                    Ok(message) => node.send_or_log(&to, message),
                    Err(error) => {
                        tracing::error!(port = %to, %error, "the message of a monitor cannot be encoded")
                    }
                }))
            }
        };
        self.set_monitor(port, action)
    }

    /// Monitors `port` and kills `victim` with the same reason if it dies abnormally.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aemp::{Node, PortId};
    /// fn link(node: &Node, one: &PortId, other: &PortId) {
    ///     node.monitor_kill(one, other).detach();
    ///     node.monitor_kill(other, one).detach();
    /// }
    /// ```
    #[doc(alias = "link")]
    pub fn monitor_kill(&self, port: &PortId, victim: &PortId) -> MonitorGuard {
        let action = match self.local_number(victim) {
            Some(number) => Action::Port(number, PortAction::Kill),
            None => {
                let victim = victim.clone();
                Action::Outside(Box::new(move |node: &Node, reason: Reason| {
                    if !reason.is_normal() {
                        node.kill(&victim, reason);
                    }
                }))
            }
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
        let action: Action<Node> = match self.local_number(to) {
            Some(number) => Action::Port(number, PortAction::Job(Box::new(action))),
            None => Action::Outside(Box::new(|_, _| drop(action))),
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
    ///
    /// # Examples
    ///
    /// ```
    /// # use aemp::{Node, PortId, Reason};
    /// async fn end(node: &Node, port: &PortId) -> Reason {
    ///     let death = node.exited(port); // before it can happen
    ///     node.kill(port, Reason::NORMAL);
    ///     death.await
    /// }
    /// ```
    pub fn exited(&self, port: &PortId) -> ExitFuture {
        ExitFuture::of(self, port)
    }
}

impl Node {
    /// Sets a monitor with any action.
    pub(crate) fn set_monitor(&self, port: &PortId, action: Action<Node>) -> MonitorGuard {
        let owner = match &action {
            Action::Port(number, _) => number.get(),
            _ => sender::current(),
        };
        self.set_monitor_of(owner, port, action)
    }

    /// The same; `owner` is the sender that is told when it fires.
    pub(crate) fn set_monitor_of(&self, owner: u64, port: &PortId, action: Action<Node>) -> MonitorGuard {
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
            Place::Node => {
                self.inner().own_monitors.lock().insert(monitor.id, monitor.clone());
                // Either the end finds it there, or it is seen here.
                if self.inner().shared.ending.is_parting() {
                    self.fire_own_monitors();
                }
            }
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
    pub(crate) fn forget_monitor(&self, monitor: &Arc<Monitor<Node>>) {
        match self.place(&monitor.target) {
            Place::Here(number) => {
                if let Some(mut cell) = self.table().get(number)
                    && let Some(extra) = cell.extra_mut()
                {
                    extra.watchers.local.remove(&monitor.id);
                }
            }
            Place::Node => drop(self.inner().own_monitors.lock().remove(&monitor.id)),
            Place::Nowhere => {}
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

    /// The node itself ends: to who monitors it that is as if it were lost.
    pub(crate) fn fire_own_monitors(&self) {
        let monitors = std::mem::take(&mut *self.inner().own_monitors.lock());
        for monitor in monitors.into_values() {
            monitor.fire(self, Reason::transport(self.id(), SHUT_DOWN));
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

#[cfg(test)]
mod tests {
    use aemp_proto::NodeId;

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
