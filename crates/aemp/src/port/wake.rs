//! Wakes all tasks that wait for something of a node.

use tokio::sync::Notify;

use aemp_ports::wake::guarded;

/// Wakes all tasks that wait.
pub(crate) fn wake_all(waiters: &Notify) {
    guarded(|| waiters.notify_waiters());
}
