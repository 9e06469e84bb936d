//! Wakers, which may be code of users: of an executor or a combinator of their own. One that panics
//! must not end the one who wakes, which may be the reader of a connection or the driver.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Waker;

use tokio::sync::Notify;

use super::run::panic_text;

/// Wakes a task.
pub(crate) fn wake(waker: Waker) {
    guarded(|| waker.wake());
}

/// Wakes all tasks that wait.
pub(crate) fn wake_all(waiters: &Notify) {
    guarded(|| waiters.notify_waiters());
}

/// Does something that may wake tasks.
pub(crate) fn guarded(wakes: impl FnOnce()) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(wakes)) {
        tracing::error!(text = panic_text(&*panic), "a waker panicked");
    }
}
