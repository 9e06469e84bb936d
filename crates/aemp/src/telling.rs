//! What lives until the callbacks of monitors have run that tell of a node.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

/// Says that all callbacks have run.
type End = Box<dyn FnOnce() + Send + Sync>;

/// Lives as long as callbacks of monitors on ports of a node are to be run: for a loss of the node,
/// and for what was told of its ports since the loss before.
pub(crate) struct Telling {
    /// The node was lost: somebody wants to know the end.
    lost: AtomicBool,
    end: Option<End>,
}

impl Drop for Telling {
    fn drop(&mut self) {
        if *self.lost.get_mut()
            && let Some(end) = self.end.take()
        {
            end();
        }
    }
}

/// Those of one node.
#[derive(Default)]
pub(crate) struct Tellings(Mutex<Weak<Telling>>);

impl Tellings {
    /// The one for what is told now; `end` makes what is called when it has ended after a loss.
    pub(crate) fn current(&self, end: impl FnOnce() -> End) -> Arc<Telling> {
        let mut last = self.0.lock();
        if let Some(telling) = last.upgrade() {
            return telling;
        }
        let telling = Arc::new(Telling { lost: AtomicBool::new(false), end: Some(end()) });
        *last = Arc::downgrade(&telling);
        telling
    }

    /// The same for a loss of the node: what is told afterwards has nothing to do with that.
    pub(crate) fn lose(&self, end: impl FnOnce() -> End) -> Arc<Telling> {
        let telling = self.current(end);
        *self.0.lock() = Weak::new();
        telling.lost.store(true, Ordering::Relaxed);
        telling
    }
}
