//! The changes of a family on their way to a watch.

use std::collections::BTreeMap;
use std::sync::Arc;

use aemp_proto::Value;
use aemp_proto::budget::{Budget, Charge};
use tokio::sync::mpsc;

/// Bytes of memory of the changes that may wait for a program that does not read them.
pub(super) const WATCH_MAX: usize = 64 << 20;

/// What a change takes beside what it names.
const CHANGE_COST: usize = 256;

/// Where the driver puts the changes of a watch.
pub(crate) struct WatchSender {
    pub(super) sender: mpsc::UnboundedSender<(Told, Option<Charge>)>,
    pub(super) waiting: Arc<Budget>,
}

impl WatchSender {
    /// Tells a change. False if too much waits already: then the watch has to end. One change fits
    /// in any case.
    pub(crate) fn tell(&self, told: Told) -> bool {
        let charge = self.waiting.charge(told.memory());
        if charge.is_none() && self.waiting.used() > 0 {
            return false;
        }
        // A dropped watch says so by itself.
        let _ = self.sender.send((told, charge));
        true
    }
}

/// What the driver tells a watch: a change, and in place of the whole family what it puts in.
pub(crate) struct Told {
    pub(crate) added: Vec<String>,
    pub(crate) changed: Vec<String>,
    pub(crate) deleted: Vec<String>,
    pub(crate) set: Arc<BTreeMap<String, Value>>,
}

impl Told {
    fn memory(&self) -> usize {
        let keys = [&self.added, &self.changed, &self.deleted].into_iter().flatten();
        let set = self.set.iter().map(|(key, value)| CHANGE_COST + key.len() + value.memory());
        CHANGE_COST + keys.map(|key| size_of::<String>() + key.len()).chain(set).sum::<usize>()
    }
}
