//! Wakers, which may be code of users: of an executor or a combinator of their own. One that panics
//! must not end who wakes, which may be the reader of a connection or the driver.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Waker;

use super::run::panic_text;

/// Wakes a task.
pub fn wake(waker: Waker) {
    guarded(|| waker.wake());
}

/// Lets a task be woken, once for each list that it stands in.
pub fn add(wakers: &mut Vec<Waker>, waker: &Waker) {
    if !wakers.iter().any(|other| other.will_wake(waker)) {
        wakers.push(waker.clone());
    }
}

/// Does something that may wake tasks.
pub fn guarded(wakes: impl FnOnce()) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(wakes)) {
        tracing::error!(text = panic_text(&*panic), "a waker panicked");
    }
}
