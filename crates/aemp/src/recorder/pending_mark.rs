//! Who has asked for marks, and waits until all have been answered.

use std::sync::Arc;

use tokio::sync::Notify;

/// What each of those holds who has still to answer. Who waits goes on when the last one has
/// dropped it.
#[derive(Debug)]
pub(crate) struct PendingMark(Arc<Notify>);

impl PendingMark {
    /// One to be shared, and what is notified in the end.
    pub(super) fn new() -> (Arc<PendingMark>, Arc<Notify>) {
        let answered = Arc::new(Notify::new());
        (Arc::new(PendingMark(answered.clone())), answered)
    }
}

impl Drop for PendingMark {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}
