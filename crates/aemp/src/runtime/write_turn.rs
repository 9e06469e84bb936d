//! Whose turn it is to write to a socket that any thread may write to. The crate `aemp-models`
//! tries all interleavings.

use aemp_ports::sync::{Mutex, MutexGuard};

/// What is being written, for one thread at a time.
#[derive(Default)]
pub(super) struct WriteTurn<P>(Mutex<P>);

impl<P> WriteTurn<P> {
    /// For the link's writer: waits for its turn. Others never wait while they have theirs.
    pub(super) fn wait(&self) -> MutexGuard<'_, P> {
        self.0.lock()
    }

    /// For a thread that has just added to what is to be written: writes with `flush`, which says
    /// whether all is written now. If not, or if it is somebody else's turn, who may have looked
    /// for more before that was added, `wake` wakes the link's writer.
    pub(super) fn in_passing(&self, flush: impl FnOnce(MutexGuard<'_, P>) -> bool, wake: impl FnOnce()) {
        if !self.0.try_lock().is_some_and(flush) {
            wake();
        }
    }
}
