//! How far a node is with its end. What comes too late for the driver has to find out by itself
//! that nothing will come of it.

use std::sync::atomic::{AtomicU8, Ordering};

const RUNNING: u8 = 0;
const PARTING: u8 = 1;
const OVER: u8 = 2;

/// How far a node is with its end.
///
/// Set before the driver looks at outboxes or ports for the last time, under their locks; read by
/// others after they have put something there. So either the driver finds it, or they see that it
/// will not.
#[derive(Default)]
pub(crate) struct Ending(AtomicU8);

impl Ending {
    /// From now on no connection is made or used.
    pub(crate) fn part(&self) {
        self.0.store(PARTING, Ordering::SeqCst);
    }

    /// From now on no port lives.
    pub(crate) fn be_over(&self) {
        self.0.store(OVER, Ordering::SeqCst);
    }

    /// Whether no connection is made any more.
    pub(crate) fn is_parting(&self) -> bool {
        self.0.load(Ordering::Acquire) != RUNNING
    }

    /// Whether no port lives any more.
    pub(crate) fn is_over(&self) -> bool {
        self.0.load(Ordering::Acquire) == OVER
    }
}
