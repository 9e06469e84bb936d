//! The monitors on the ports of a node, and the gates that hold back what is sent to such a port after a loss.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};

use crate::PortId;

/// Monitors that are set, and those of an earlier loss that have not fired yet: each of these is a gate before its port.
pub(super) struct Monitors<M> {
    watched: HashMap<PortId, BTreeMap<u64, M>>,
    gates: HashMap<PortId, usize>,
}

impl<M> Monitors<M> {
    /// None are set, and nothing is gated.
    pub(super) fn new() -> Monitors<M> {
        Monitors { watched: HashMap::new(), gates: HashMap::new() }
    }

    /// Sets a monitor, known by `id`. Gives whether it is the first one on its port. A gated port has it back, and is gated by one
    /// more.
    pub(super) fn set(&mut self, port: &PortId, id: u64, monitor: M) -> Result<bool, M> {
        if let Some(gates) = self.gates.get_mut(port) {
            *gates += 1;
            return Err(monitor);
        }
        match self.watched.entry(port.clone()) {
            Entry::Occupied(mut others) => {
                others.get_mut().insert(id, monitor);
                Ok(false)
            }
            Entry::Vacant(first) => {
                first.insert(BTreeMap::from([(id, monitor)]));
                Ok(true)
            }
        }
    }

    /// Withdraws a monitor. Gives it, and whether it was the last one on its port; `None` if it is not set any more.
    pub(super) fn withdraw(&mut self, port: &PortId, id: u64) -> Option<(M, bool)> {
        let others = self.watched.get_mut(port)?;
        let monitor = others.remove(&id)?;
        let last = others.is_empty();
        if last {
            self.watched.remove(port);
        }
        Some((monitor, last))
    }

    /// The port is dead: gives its monitors, which gate nothing.
    pub(super) fn died(&mut self, port: &PortId) -> Vec<M> {
        self.watched.remove(port).unwrap_or_default().into_values().collect()
    }

    /// Everything is lost: gives all monitors, each of which gates its port until [`Monitors::fired`].
    pub(super) fn fire_all(&mut self) -> Vec<(PortId, M)> {
        let mut fires = Vec::new();
        for (port, monitors) in self.watched.drain() {
            *self.gates.entry(port.clone()).or_default() += monitors.len();
            fires.extend(monitors.into_values().map(|monitor| (port.clone(), monitor)));
        }
        fires
    }

    /// Something sent to this port is lost: gives its monitors, each of which gates it until [`Monitors::fired`].
    pub(super) fn lose(&mut self, port: &PortId) -> Vec<M> {
        let monitors: Vec<M> = self.died(port);
        if !monitors.is_empty() {
            *self.gates.entry(port.clone()).or_default() += monitors.len();
        }
        monitors
    }

    /// One gate before this port is gone.
    pub(super) fn fired(&mut self, port: &PortId) {
        if let Some(gates) = self.gates.get_mut(port) {
            *gates -= 1;
            if *gates == 0 {
                self.gates.remove(port);
            }
        }
    }

    /// Whether there is a gate before this port.
    pub(super) fn is_gated(&self, port: &PortId) -> bool {
        !self.gates.is_empty() && self.gates.contains_key(port)
    }

    /// Whether nothing is set or gated.
    pub(super) fn is_empty(&self) -> bool {
        self.watched.is_empty() && self.gates.is_empty()
    }

    /// How many ports have monitors.
    pub(super) fn watched(&self) -> usize {
        self.watched.len()
    }

    /// How many ports are gated.
    pub(super) fn gated(&self) -> usize {
        self.gates.len()
    }
}
