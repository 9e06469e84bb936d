//! What the runners of a node wait for.

use tokio::sync::Notify;

/// What runners of a node wait for, and who waits for them.
pub(crate) struct Runners {
    pub(super) wakers: Vec<Notify>,
    pub(super) end: Notify,
}
