//! What an outbox does for monitors: sets and withdraws them, and opens the gates of ports when
//! their owners have been told.

use bytes::Bytes;

use super::gates::{Held, Opened, Refused, Signal};
use super::monitors::Monitor;
use super::{Outbox, Queued, nobody};
use crate::PortId;
use crate::wire::Request;

/// A monitor that has to be fired because of a loss. It gates its port until [`Outbox::fired`] is
/// called with port and `id`.
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
    /// Sets a monitor, known by `id`, without a [sender](Outbox::by); the first one on a port tells
    /// the peer. `owner` is who is told when it fires, as it would be named as a sender.
    ///
    /// On a gated port it becomes an ordinary monitor when the gate opens. It counts before: for
    /// what its owner sends, and all others who do not have to be told of the loss themselves.
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

    /// Withdraws a monitor, without a [sender](Outbox::by); the last one on a port tells the peer.
    /// `None` if it is not set any more.
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

    /// The peer says that this port is gone: its monitors, to be fired. They gate nothing, for a
    /// dead port takes nothing.
    pub fn died(&mut self, port: &PortId) -> Vec<M> {
        self.monitors.take(port).into_values().map(|monitor| monitor.monitor).collect()
    }

    /// A message for this port is lost, which was not appended: gives the monitors on the port, to
    /// fire. The peer is told that they are gone.
    pub fn lose(&mut self, port: &PortId) -> (Vec<Loss<M>>, Queued) {
        let watched = self.monitors.watches(port) && !port.is_node();
        let losses = self.take_losses(port);
        let queued = match watched {
            true => self.request(&Request::Unmonitor(port.name().to_string())),
            false => Queued::Behind,
        };
        (losses, queued)
    }

    /// The monitors on a port that has lost something, to fire.
    pub(super) fn take_losses(&mut self, port: &PortId) -> Vec<Loss<M>> {
        let monitors = self.monitors.take(port).into_iter();
        let losses = monitors.map(|(id, Monitor { owner, monitor })| {
            self.gates.close(port, id, owner);
            Loss { port: port.clone(), id, monitor }
        });
        let mut losses: Vec<Loss<M>> = losses.collect();
        losses.extend(self.gates.lose(port).map(|(id, monitor)| Loss { port: port.clone(), id, monitor }));
        losses
    }

    /// The monitor of a [`Loss`] has run, or its message has left the mailbox. If it was the last
    /// one of its port, the gate opens: what was held is appended.
    pub fn fired(&mut self, port: &PortId, id: u64) -> Queued {
        let Some(Opened { waiting, mut held, full }) = self.gates.told(port, id) else {
            return Queued::Behind;
        };
        let mut queued = Queued::Behind;
        // Another peer than the one for which it was checked may have come.
        let unreadable = held.iter().position(|(_, signal)| !self.can_be_sent(port, signal));
        if !waiting.is_empty() && (full || unreadable.is_some()) {
            let lost = held.split_off(unreadable.unwrap_or(held.len()));
            queued = self.append_held(port, held).and(Queued::Refused);
            self.gates.refuse(port, waiting, lost);
        } else {
            for (id, monitor) in waiting {
                queued = queued.and(self.monitor_from(port, id, monitor, nobody));
            }
            queued = queued.and(self.append_held(port, held));
        }
        queued.and(self.tell_deaths())
    }

    fn can_be_sent(&self, port: &PortId, signal: &Signal) -> bool {
        match signal {
            Signal::Message(body, _) => self.check(port, body.items()).is_ok(),
            Signal::Kill(_) => true,
        }
    }

    fn append_held(&mut self, port: &PortId, held: Vec<Held>) -> Queued {
        let mut queued = Queued::Behind;
        for (sender, signal) in held {
            if !self.can_be_sent(port, &signal) {
                // Without a monitor, losses are silent.
                self.gates.refuse(port, [], [(sender, signal)]);
                queued = queued.and(Queued::Refused);
                continue;
            }
            queued = queued.and(match signal {
                Signal::Message(body, None) => self.send_from(port, &body, || sender),
                Signal::Message(body, Some(trace)) => self.send_traced_from(port, &body, trace, sender),
                Signal::Kill(reason) => self.kill_from(port, &reason, || sender),
            });
        }
        queued
    }

    /// What [`Queued::Refused`] asks for: monitors to be fired, and what was held and is lost.
    pub fn refused(&mut self) -> (Vec<Loss<M>>, Vec<Bytes>) {
        let refused = self.gates.take_refused();
        self.counting.lost += refused.lost.len() as u64;
        losses(refused)
    }

    /// What becomes of a signal to a gated port.
    #[cold]
    pub(super) fn at_gate(
        &mut self,
        port: &PortId,
        sender: Option<u64>,
        signal: impl FnOnce() -> Signal,
    ) -> Queued {
        match self.gates.signal(port, sender, self.limits.waiting, signal()) {
            Ok(()) => Queued::Behind,
            Err(signal) => {
                self.counting.at_gate(port, &signal);
                Queued::Dropped
            }
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

/// Monitors to fire, and bytes that are lost, as the caller gets them.
pub(super) fn losses<M>(refused: Refused<M>) -> (Vec<Loss<M>>, Vec<Bytes>) {
    let fires = refused.fires.into_iter().map(|(port, id, monitor)| Loss { port, id, monitor });
    let lost = refused.lost.into_iter().filter_map(|(_, signal)| match signal {
        Signal::Message(body, _) => Some(body.items().clone()),
        Signal::Kill(_) => None,
    });
    (fires.collect(), lost.collect())
}
