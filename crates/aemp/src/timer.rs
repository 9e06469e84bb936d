//! What can still be done about code that runs later.

use tokio::task::AbortHandle;

/// Code that [`Node::after`](crate::Node::after) runs later. Dropping this changes nothing.
#[derive(Debug, Clone)]
pub struct Timer(AbortHandle);

impl Timer {
    pub(crate) fn new(task: AbortHandle) -> Timer {
        Timer(task)
    }

    /// Lets the code never run, if its time has not come yet.
    pub fn cancel(&self) {
        self.0.abort();
    }
}
