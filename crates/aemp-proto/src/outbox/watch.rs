//! What an outbox does for monitors: sets and withdraws them, and opens the gates of ports when their owners have been told.

use bytes::Bytes;

use super::gates::{Opened, Refused, Signal};
use super::monitors::Monitor;
use super::{Outbox, Queued, nobody};
use crate::PortId;
use crate::wire::Request;

/// A monitor that has to be fired because of a loss. It gates its port until [`Outbox::fired`] is called with port and `id`.
#[derive(Debug, PartialEq, Eq)]
pub struct Loss<M> {
    /// The port that it watches.
    pub port: PortId,
    /// What it was set with.
    pub id: u64,
    /// The monitor itself.
    pub monitor: M,
}

impl<M> Outbox<M> {
    /// Sets a monitor, known by `id`, without a [sender](Outbox::by); the first one on a port tells the peer. `owner` is who is told
    /// when it fires, as it would be named as a sender.
    ///
    /// On a gated port it becomes an ordinary monitor when the gate opens. It counts before: for what its owner sends, and all
    /// others who do not have to be told of the loss themselves.
    pub fn monitor(&mut self, port: &PortId, id: u64, owner: u64, monitor: M) -> Queued {
        self.monitor_from(port, id, Monitor { owner, monitor }, nobody)
    }

    pub(super) fn monitor_from(
        &mut self,
        port: &PortId,
        id: u64,
        monitor: Monitor<M>,
        sender: impl FnOnce() -> Option<u64>,
    ) -> Queued {
        match self.gates.wait(port, id, monitor) {
            Ok(()) => Queued::Behind,
            Err(monitor) => match self.monitors.set(port, id, monitor) {
                false => Queued::Behind,
                true if port.is_node() => self.want(),
                true => self.request_from(&Request::Monitor(port.name().to_string()), sender),
            },
        }
    }

    /// Withdraws a monitor, without a [sender](Outbox::by); the last one on a port tells the peer. `None` if it is not set any more.
    pub fn unmonitor(&mut self, port: &PortId, id: u64) -> Option<(M, Queued)> {
        self.unmonitor_from(port, id, nobody)
    }

    pub(super) fn unmonitor_from(
        &mut self,
        port: &PortId,
        id: u64,
        sender: impl FnOnce() -> Option<u64>,
    ) -> Option<(M, Queued)> {
        if let Some(monitor) = self.gates.withdraw(port, id) {
            return Some((monitor, Queued::Behind));
        }
        let (monitor, last) = self.monitors.withdraw(port, id)?;
        let queued = match last && !port.is_node() {
            true => self.request_from(&Request::Unmonitor(port.name().to_string()), sender),
            false => Queued::Behind,
        };
        Some((monitor, queued))
    }

    /// The peer says that this port is gone: its monitors, to be fired. They gate nothing, for a dead port takes nothing.
    pub fn died(&mut self, port: &PortId) -> Vec<M> {
        self.monitors.take(port).into_values().map(|monitor| monitor.monitor).collect()
    }

    /// A message for this port is lost, which was not appended: gives the monitors on the port, to fire.
    pub fn lose(&mut self, port: &PortId) -> Vec<Loss<M>> {
        let monitors = self.monitors.take(port).into_iter();
        let losses = monitors.map(|(id, Monitor { owner, monitor })| {
            self.gates.close(port, id, owner);
            Loss { port: port.clone(), id, monitor }
        });
        let mut losses: Vec<Loss<M>> = losses.collect();
        losses.extend(self.gates.lose(port).map(|(id, monitor)| Loss { port: port.clone(), id, monitor }));
        losses
    }

    /// The monitor of a [`Loss`] has run, or its message has left the mailbox. If it was the last one of its port, the gate opens:
    /// what was held is appended.
    pub fn fired(&mut self, port: &PortId, id: u64) -> Queued {
        let Some(Opened { waiting, held, full }) = self.gates.told(port, id) else { return Queued::Behind };
        let mut queued = Queued::Behind;
        for (id, monitor) in waiting {
            queued = queued.and(self.monitor_from(port, id, monitor, nobody));
        }
        let mut held = held.into_iter();
        while let Some((sender, signal)) = held.next() {
            queued = queued.and(match &signal {
                // Another peer than the one for which it was checked may have come.
                Signal::Message(body) if self.check(port, body.items()).is_err() => {
                    let monitors = self.monitors.take(port);
                    let lost: Vec<_> = match monitors.is_empty() {
                        true => vec![(sender, signal)],
                        false => std::iter::once((sender, signal)).chain(held.by_ref()).collect(),
                    };
                    self.gates.refuse(port, monitors, lost);
                    Queued::Refused
                }
                Signal::Message(body) => self.send_from(port, body, || sender),
                Signal::Kill(reason) => self.kill_from(port, reason, || sender),
            });
        }
        if full {
            let monitors = self.monitors.take(port);
            self.gates.refuse(port, monitors, []);
            queued = Queued::Refused.and(queued);
        }
        queued.and(self.tell_deaths())
    }

    /// What [`Queued::Refused`] asks for: monitors to be fired, and what was held and is lost.
    pub fn refused(&mut self) -> (Vec<Loss<M>>, Vec<Bytes>) {
        losses(self.gates.take_refused())
    }

    /// What becomes of a signal to a gated port.
    #[cold]
    pub(super) fn at_gate(
        &mut self,
        port: &PortId,
        sender: Option<u64>,
        signal: impl FnOnce() -> Signal,
    ) -> Queued {
        match self.gates.signal(port, sender, self.limits.waiting, signal) {
            true => Queued::Behind,
            false => Queued::Dropped,
        }
    }

    /// Tells the peer of deaths that were kept back behind the last words of the ports.
    fn tell_deaths(&mut self) -> Queued {
        let mut queued = Queued::Behind;
        for (sender, name, reason) in self.gates.take_deaths() {
            queued = queued.and(self.request_from(&Request::Died(name, reason), || Some(sender)));
        }
        queued
    }
}

/// Monitors to fire, and octets that are lost, as the caller gets them.
pub(super) fn losses<M>(refused: Refused<M>) -> (Vec<Loss<M>>, Vec<Bytes>) {
    let fires = refused.fires.into_iter().map(|(port, id, monitor)| Loss { port, id, monitor });
    let lost = refused.lost.into_iter().filter_map(|(_, signal)| match signal {
        Signal::Message(body) => Some(body.items().clone()),
        Signal::Kill(_) => None,
    });
    (fires.collect(), lost.collect())
}
