//! The children of a supervisor: which of them live, and how they are started, watched and stopped.

use std::ops::Range;

use aemp_proto::{PortId, Reason};

use super::{Child, Event, Restart, stopped};
use crate::guard::MonitorGuard;
use crate::node::Node;
use crate::pick;
use crate::port::Mailbox;

/// One life of a child.
struct Life {
    /// Told apart from other lives of this child and of others.
    run: u64,
    port: PortId,
    /// Sends [`Event::Died`] to the supervisor.
    monitor: Option<MonitorGuard>,
}

/// A child, and its life if it has one.
struct Slot {
    child: Child,
    life: Option<Life>,
}

/// All children, in order. Those that live when this is dropped, because the supervisor was killed,
/// are stopped afterwards.
pub(super) struct Children {
    node: Node,
    slots: Vec<Slot>,
    runs: u64,
}

impl Children {
    pub(super) fn new(node: &Node, children: Vec<Child>) -> Children {
        let slots = children.into_iter().map(|child| Slot { child, life: None }).collect();
        Children { node: node.clone(), slots, runs: 0 }
    }

    /// Starts all, in order, up to the first one that cannot be started.
    pub(super) fn start_all(&mut self, supervisor: &Mailbox) -> Result<(), Reason> {
        (0..self.slots.len()).try_for_each(|at| self.start(supervisor, at))
    }

    /// Starts the one that died, and those that were stopped because of it and want to live.
    pub(super) fn start_again(
        &mut self,
        supervisor: &Mailbox,
        died: usize,
        stopped: &[usize],
    ) -> Result<(), Reason> {
        for at in 0..self.slots.len() {
            let returns = stopped.contains(&at) && self.slots[at].child.restart != Restart::Never;
            if at == died || returns {
                self.start(supervisor, at)?;
            }
        }
        Ok(())
    }

    fn start(&mut self, supervisor: &Mailbox, at: usize) -> Result<(), Reason> {
        let slot = &mut self.slots[at];
        let port = (slot.child.start)(&self.node)?;
        self.runs += 1;
        let mut life = Life { run: self.runs, port, monitor: None };
        life.watch(supervisor);
        slot.life = Some(life);
        Ok(())
    }

    /// A life is over. Whose it was, unless that is known already.
    pub(super) fn died(&mut self, run: u64, reason: &Reason) -> Option<usize> {
        let lives = |slot: &Slot| slot.life.as_ref().is_some_and(|life| life.run == run);
        let at = self.slots.iter().position(lives)?;
        let slot = &mut self.slots[at];
        tracing::info!(child = slot.child.name, %reason, "a supervised port died");
        if let Some(life) = slot.life.take() {
            life.bury(&self.node, reason);
        }
        Some(at)
    }

    pub(super) fn wants_restart(&self, at: usize, reason: &Reason) -> bool {
        match self.slots[at].child.restart {
            Restart::Always => true,
            Restart::Abnormal => !reason.is_normal(),
            Restart::Never => false,
        }
    }

    pub(super) fn name(&self, at: usize) -> &str {
        &self.slots[at].child.name
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Names and ports of those that live.
    pub(super) fn living(&self) -> Vec<(String, PortId)> {
        let named = |slot: &Slot| Some((slot.child.name.clone(), slot.life.as_ref()?.port.clone()));
        self.slots.iter().filter_map(named).collect()
    }

    /// Stops those of this range that live, in reverse order, and says which they were.
    pub(super) async fn stop_range(&mut self, supervisor: &mut Mailbox, range: Range<usize>) -> Vec<usize> {
        let mut stopped = Vec::new();
        for at in range.rev() {
            if self.slots[at].life.is_some() {
                stop(&mut self.slots[at], supervisor).await;
                stopped.push(at);
            }
        }
        stopped
    }
}

impl Drop for Children {
    fn drop(&mut self) {
        let mut left: Vec<Slot> = self.slots.drain(..).filter(|slot| slot.life.is_some()).collect();
        if left.is_empty() {
            return;
        }
        self.node.port_async(async move |mut port| {
            // From now on news of them comes here.
            left.iter_mut().filter_map(|slot| slot.life.as_mut()).for_each(|life| life.watch(&port));
            for slot in left.iter_mut().rev() {
                stop(slot, &mut port).await;
            }
            Ok(())
        });
    }
}

impl Life {
    fn watch(&mut self, supervisor: &Mailbox) {
        let run = self.run;
        let news = move |reason| Event::Died { run, reason };
        self.monitor = Some(supervisor.node().monitor_send(&self.port, supervisor.id(), news));
    }

    /// What is still to be done for a port that has died, or cannot be reached and may live.
    fn bury(&self, node: &Node, reason: &Reason) {
        if reason.identifier().as_deref() == Some("transport_error") {
            node.kill(&self.port, stopped());
        }
    }

    /// Waits for the news of the death.
    async fn death(&self, supervisor: &mut Mailbox, limit: std::time::Duration) -> Option<Reason> {
        supervisor
            .recv_match_timeout(limit, pick!(Event::Died { run, reason } if run == self.run => reason))
            .await
    }
}

/// Stops a child, if it lives, and waits until it is dead. Until then it keeps its life: this wait
/// may itself be cut short.
async fn stop(slot: &mut Slot, supervisor: &mut Mailbox) {
    let (child, Some(life)) = (&mut slot.child, &mut slot.life) else { return };
    let node = supervisor.node().clone();
    if let Err(error) = (child.stop)(&node, &life.port) {
        tracing::warn!(child = child.name, %error, "a supervised port could not be asked to stop, and is killed");
        node.kill(&life.port, stopped());
    }
    let mut death = life.death(supervisor, child.stop_within).await;
    if death.is_none() {
        tracing::warn!(child = child.name, "a supervised port did not stop in time, and is killed");
        node.kill(&life.port, stopped());
        death = life.death(supervisor, child.stop_within).await;
    }
    match death {
        Some(reason) => life.bury(&node, &reason),
        None => tracing::error!(child = child.name, port = %life.port, "a supervised port does not die"),
    }
    slot.life = None;
}
