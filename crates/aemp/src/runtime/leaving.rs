//! Whether a node takes no new work, and what it has to finish before it leaves.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use aemp_proto::PortId;
use parking_lot::Mutex;

/// Whether a node takes no new work, and what it has to finish.
#[derive(Default)]
pub(crate) struct Leaving {
    begun: AtomicBool,
    busy: Arc<AtomicUsize>,
    /// In the order in which they were started, so that an outer one comes before its children.
    supervisors: Arc<Mutex<Vec<PortId>>>,
}

impl Leaving {
    /// From now on no new work is taken.
    pub(crate) fn begin(&self) {
        self.begun.store(true, Ordering::SeqCst);
    }

    /// Whether no new work is taken.
    pub(crate) fn has_begun(&self) -> bool {
        self.begun.load(Ordering::SeqCst)
    }

    /// The program begins something.
    pub(crate) fn busy(&self) -> Busy {
        self.busy.fetch_add(1, Ordering::SeqCst);
        Busy(self.busy.clone())
    }

    /// How much it has begun and not finished.
    pub(crate) fn unfinished(&self) -> usize {
        self.busy.load(Ordering::SeqCst)
    }

    /// A supervisor has started; until what is returned is dropped.
    pub(crate) fn supervises(&self, port: PortId) -> Supervising {
        self.supervisors.lock().push(port.clone());
        Supervising { port, all: self.supervisors.clone() }
    }

    /// The supervisors that run, outer ones before inner ones.
    pub(crate) fn supervisors(&self) -> Vec<PortId> {
        self.supervisors.lock().clone()
    }
}

/// A supervisor that runs.
pub(crate) struct Supervising {
    port: PortId,
    all: Arc<Mutex<Vec<PortId>>>,
}

impl Drop for Supervising {
    fn drop(&mut self) {
        self.all.lock().retain(|port| *port != self.port);
    }
}

/// The program is busy with something that a drain has to wait for, until this is dropped.
#[must_use = "a drain waits only as long as this is kept"]
pub struct Busy(Arc<AtomicUsize>);

impl fmt::Debug for Busy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Busy")
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
