//! The gates: what holds back messages to a port after a loss, until everybody who monitored it has
//! been told.
//!
//! After a break each monitor of a port is *pending*: it has fired, and its owner has not been told
//! yet. While one is pending the gate of the port is closed. A monitor that is set meanwhile
//! *waits*: it is not another gate, for then two owners that monitor again whenever they are told
//! would keep the port closed for ever. It becomes an ordinary monitor when the gate opens.
//!
//! A waiting monitor counts at once for what its owner sends. So from the first one on messages are
//! *held*, and follow when the gate opens; but not those of a sender that has not been told itself:
//! something it sent before may be lost, and what it sends after that must not arrive before it
//! knows. These are dropped, as all are while no monitor waits.
//!
//! What is held is limited. Of what passes the limit everything is dropped until the gate opens;
//! then what was held goes on its way, so that there is progress however much is sent, and the
//! monitors that wait fire, for there is a hole behind it.

use std::collections::{BTreeMap, HashMap};

use super::monitors::Monitor;
use crate::wire::Body;
use crate::{PortId, Reason, TraceContext};

/// What a held signal costs beside its bytes.
const COST: usize = 256;

/// Something for a port that is held until the gate of the port opens.
#[derive(Debug)]
pub(super) enum Signal {
    Message(Body, Option<TraceContext>),
    Kill(Reason),
}

impl Signal {
    fn cost(&self) -> usize {
        COST + match self {
            Signal::Message(body, _) => body.items().len(),
            Signal::Kill(_) => 0,
        }
    }
}

/// A signal, and who sent it.
pub(super) type Held = (Option<u64>, Signal);

/// What a gate leaves behind when it opens.
#[derive(Debug)]
pub(super) struct Opened<M> {
    /// They become ordinary ones.
    pub(super) waiting: BTreeMap<u64, Monitor<M>>,
    /// To be sent now, in this order.
    pub(super) held: Vec<Held>,
    /// Something behind it is lost.
    pub(super) full: bool,
}

#[derive(Debug)]
struct Gate<M> {
    /// The monitors that have fired and whose owners have not been told: these, unless the monitor
    /// has been withdrawn since.
    pending: BTreeMap<u64, Option<u64>>,
    waiting: BTreeMap<u64, Monitor<M>>,
    /// A monitor has been set while the gate was closed.
    holds: bool,
    held: Vec<Held>,
    bytes: usize,
    /// The limit was passed, and nothing more is held.
    full: bool,
}

impl<M> Gate<M> {
    /// All that waits becomes pending; what was held is handed out.
    fn fire_waiting(&mut self) -> (Vec<(u64, M)>, Vec<Held>) {
        (self.holds, self.full) = (false, false);
        self.bytes = 0;
        let mut fires = Vec::new();
        for (id, Monitor { owner, monitor }) in std::mem::take(&mut self.waiting) {
            self.pending.insert(id, Some(owner));
            fires.push((id, monitor));
        }
        (fires, std::mem::take(&mut self.held))
    }
}

/// A port of this node that has died: as a sender, its name, and why.
pub(super) type Death = (u64, String, Reason);

/// The gates before the ports of one node.
#[derive(Debug)]
pub(super) struct Gates<M> {
    gates: HashMap<PortId, Gate<M>>,
    /// What all held signals cost, in bytes.
    bytes: usize,
    /// News of ports that have died while something they sent is held: it must not overtake their
    /// last words.
    deaths: Vec<Death>,
    /// Monitors that fire because something that was held is lost; the caller has to fetch them.
    refused: Refused<M>,
}

/// The monitors to fire because something that was held is lost, and that.
#[derive(Debug)]
pub(super) struct Refused<M> {
    pub(super) fires: Vec<(PortId, u64, M)>,
    pub(super) lost: Vec<Held>,
}

impl<M> Default for Refused<M> {
    fn default() -> Refused<M> {
        Refused { fires: Vec::new(), lost: Vec::new() }
    }
}

impl<M> Gates<M> {
    pub(super) fn new() -> Gates<M> {
        Gates { gates: HashMap::new(), bytes: 0, deaths: Vec::new(), refused: Refused::default() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.gates.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.gates.len()
    }

    /// Whether anything is held.
    pub(super) fn holds(&self) -> bool {
        self.bytes > 0
    }

    /// Whether there is a closed gate before this port.
    #[inline]
    pub(super) fn is_closed(&self, port: &PortId) -> bool {
        !self.gates.is_empty() && self.gates.contains_key(port)
    }

    /// A monitor has fired because of a loss: the gate of its port is closed until [`Gates::told`].
    pub(super) fn close(&mut self, port: &PortId, id: u64, owner: u64) {
        let closed = || Gate {
            pending: BTreeMap::new(),
            waiting: BTreeMap::new(),
            holds: false,
            held: Vec::new(),
            bytes: 0,
            full: false,
        };
        self.gates.entry(port.clone()).or_insert_with(closed).pending.insert(id, Some(owner));
    }

    /// Lets a monitor wait behind a closed gate; gives it back if nothing is there.
    pub(super) fn wait(&mut self, port: &PortId, id: u64, monitor: Monitor<M>) -> Result<(), Monitor<M>> {
        match self.gates.get_mut(port) {
            None => Err(monitor),
            Some(gate) => {
                gate.holds = true;
                gate.waiting.insert(id, monitor);
                Ok(())
            }
        }
    }

    /// Withdraws a monitor that waits. What is held stays, for it was sent while the monitor
    /// counted. The owner of a pending one will not be told, and so need not be before it sends
    /// again; the gate stays closed until the monitor is gone.
    pub(super) fn withdraw(&mut self, port: &PortId, id: u64) -> Option<M> {
        let gate = self.gates.get_mut(port)?;
        if let Some(owner) = gate.pending.get_mut(&id) {
            *owner = None;
        }
        Some(gate.waiting.remove(&id)?.monitor)
    }

    /// Holds a signal to a gated port. All held ones together may cost `limit` bytes.
    ///
    /// # Errors
    ///
    /// It is not held, and lost.
    pub(super) fn signal(
        &mut self,
        port: &PortId,
        sender: Option<u64>,
        limit: usize,
        signal: Signal,
    ) -> Result<(), Signal> {
        let Some(gate) = self.gates.get_mut(port) else { return Err(signal) };
        let has_to_be_told =
            sender.is_some_and(|sender| gate.pending.values().any(|owner| *owner == Some(sender)));
        if !gate.holds || gate.full || has_to_be_told {
            return Err(signal);
        }
        let cost = signal.cost();
        // One that is larger than all that may be held could never be sent.
        if self.bytes > 0 && self.bytes + cost > limit {
            gate.full = true;
            return Err(signal);
        }
        gate.held.push((sender, signal));
        gate.bytes += cost;
        self.bytes += cost;
        Ok(())
    }

    /// Something sent to a gated port is lost: its waiting monitors fire, and are pending now. What
    /// was held is kept until somebody fetches it with [`Gates::take_refused`].
    pub(super) fn lose(&mut self, port: &PortId) -> impl Iterator<Item = (u64, M)> + use<M> {
        let (fires, lost) = match self.gates.get_mut(port) {
            Some(gate) => {
                self.bytes -= gate.bytes;
                gate.fire_waiting()
            }
            None => Default::default(),
        };
        self.refused.lost.extend(lost);
        fires.into_iter()
    }

    /// The owner of a pending monitor has been told. If it was the last one, the gate opens.
    pub(super) fn told(&mut self, port: &PortId, id: u64) -> Option<Opened<M>> {
        let gate = self.gates.get_mut(port)?;
        gate.pending.remove(&id);
        if !gate.pending.is_empty() {
            return None;
        }
        let gate = self.gates.remove(port)?;
        self.bytes -= gate.bytes;
        Some(Opened { waiting: gate.waiting, held: gate.held, full: gate.full })
    }

    /// Whether anything is held that this sender has sent.
    pub(super) fn holds_of(&self, sender: u64) -> bool {
        self.gates.values().flat_map(|gate| &gate.held).any(|(other, _)| *other == Some(sender))
    }

    /// Keeps the news of a death back if something that the port has sent is held. Returns whether
    /// it does.
    pub(super) fn keep_death(&mut self, sender: Option<u64>, name: &str, reason: &Reason) -> bool {
        let Some(sender) = sender.filter(|sender| self.holds_of(*sender)) else { return false };
        self.deaths.push((sender, name.into(), reason.clone()));
        true
    }

    /// The deaths that can be told now.
    pub(super) fn take_deaths(&mut self) -> Vec<Death> {
        let (wait, ready) =
            std::mem::take(&mut self.deaths).into_iter().partition(|death| self.holds_of(death.0));
        self.deaths = wait;
        ready
    }

    /// Everything is lost once more: what is held as well, and the monitors that wait fire.
    pub(super) fn fire_waiting(&mut self) -> Refused<M> {
        self.bytes = 0;
        // Those who would have been told are told of the loss.
        self.deaths.clear();
        let mut refused = self.take_refused();
        for (port, gate) in &mut self.gates {
            let (waiting, held) = gate.fire_waiting();
            refused.fires.extend(waiting.into_iter().map(|(id, monitor)| (port.clone(), id, monitor)));
            refused.lost.extend(held);
        }
        refused
    }

    /// Something for a port is lost: these monitors fire and are pending, and this is lost.
    pub(super) fn refuse(
        &mut self,
        port: &PortId,
        monitors: impl IntoIterator<Item = (u64, Monitor<M>)>,
        lost: impl IntoIterator<Item = Held>,
    ) {
        for (id, Monitor { owner, monitor }) in monitors {
            self.close(port, id, owner);
            self.refused.fires.push((port.clone(), id, monitor));
        }
        self.refused.lost.extend(lost);
    }

    /// What [`Gates::refuse`] left behind.
    pub(super) fn take_refused(&mut self) -> Refused<M> {
        std::mem::take(&mut self.refused)
    }
}
