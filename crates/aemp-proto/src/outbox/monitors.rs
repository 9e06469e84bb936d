//! The monitors on the ports of a node.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};

use crate::PortId;

/// A monitor, and who is told when it fires.
#[derive(Debug)]
pub(super) struct Monitor<M> {
    pub(super) owner: u64,
    pub(super) monitor: M,
}

/// Monitors that are set.
#[derive(Debug)]
pub(super) struct Monitors<M> {
    watched: HashMap<PortId, BTreeMap<u64, Monitor<M>>>,
}

impl<M> Monitors<M> {
    /// None are set.
    pub(super) fn new() -> Monitors<M> {
        Monitors { watched: HashMap::new() }
    }

    /// Sets a monitor, known by `id`. Returns whether it is the first one on its port.
    pub(super) fn set(&mut self, port: &PortId, id: u64, monitor: Monitor<M>) -> bool {
        match self.watched.entry(port.clone()) {
            Entry::Occupied(mut others) => {
                others.get_mut().insert(id, monitor);
                false
            }
            Entry::Vacant(first) => {
                first.insert(BTreeMap::from([(id, monitor)]));
                true
            }
        }
    }

    /// Withdraws a monitor. Returns it, and whether it was the last one on its port; `None` if it
    /// is not set any more.
    pub(super) fn withdraw(&mut self, port: &PortId, id: u64) -> Option<(M, bool)> {
        let others = self.watched.get_mut(port)?;
        let monitor = others.remove(&id)?.monitor;
        let last = others.is_empty();
        if last {
            self.watched.remove(port);
        }
        Some((monitor, last))
    }

    /// Whether there are monitors on a port.
    pub(super) fn watches(&self, port: &PortId) -> bool {
        self.watched.contains_key(port)
    }

    /// Takes the monitors of a port out: it is dead, or has lost something.
    pub(super) fn take(&mut self, port: &PortId) -> BTreeMap<u64, Monitor<M>> {
        self.watched.remove(port).unwrap_or_default()
    }

    /// Everything is lost: takes all monitors out.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = (PortId, u64, Monitor<M>)> + '_ {
        self.watched.drain().flat_map(|(port, monitors)| {
            monitors.into_iter().map(move |(id, monitor)| (port.clone(), id, monitor))
        })
    }

    /// Whether none is set.
    pub(super) fn is_empty(&self) -> bool {
        self.watched.is_empty()
    }

    /// How many ports have monitors.
    pub(super) fn len(&self) -> usize {
        self.watched.len()
    }
}
