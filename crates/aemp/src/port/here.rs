//! The runner that a thread is in the middle of.
//!
//! Each send looks here, so what it looks at are plain cells.

use std::cell::{Cell, RefCell};
use std::ptr;

use crossbeam_deque::Worker;

use super::scheduler::{Scheduler, Work};
use crate::node::Node;

/// Stands for no port.
pub(crate) const NONE: u64 = 0;

thread_local! {
    /// Whose runner it is, which tells the nodes of one process apart; null if there is none.
    static SCHEDULER: Cell<*const Scheduler> = const { Cell::new(ptr::null()) };
    /// The port that became busy last, or `NONE`.
    static NEWEST: Cell<u64> = const { Cell::new(NONE) };
    /// The node whose runner was here last, by its identity: it may be gone.
    static LAST: Cell<usize> = const { Cell::new(0) };
    /// What the runner has to do; a helper has no such queue.
    static QUEUE: RefCell<Option<Worker<Work>>> = const { RefCell::new(None) };
}

/// A runner is on this thread until it leaves. What was there before: a handler may run a whole runtime with nodes of its own
/// on its thread.
pub(crate) struct Here {
    scheduler: *const Scheduler,
    newest: u64,
    queue: Option<Worker<Work>>,
}

impl Here {
    pub(crate) fn enter(node: &Node, queue: Worker<Work>) -> Here {
        LAST.set(node.identity());
        Here {
            scheduler: SCHEDULER.replace(node.scheduler()),
            newest: NEWEST.replace(NONE),
            queue: QUEUE.replace(Some(queue)),
        }
    }

    /// For a helper on a thread of [`nobody`](is_nobody), where nothing is to be kept.
    #[inline]
    pub(crate) fn help(scheduler: &Scheduler) {
        SCHEDULER.set(scheduler);
    }

    /// The helper is done; the port that became busy last, or `NONE`.
    #[inline]
    pub(crate) fn helped() -> u64 {
        SCHEDULER.set(ptr::null());
        take_newest()
    }

    /// The outer one goes on; what is left of the inner one.
    pub(crate) fn leave(self) -> (Option<Worker<Work>>, u64) {
        SCHEDULER.set(self.scheduler);
        (QUEUE.replace(self.queue), NEWEST.replace(self.newest))
    }
}

/// Whether this thread is in the middle of a runner or helper of this scheduler.
#[inline]
pub(crate) fn is(scheduler: &Scheduler) -> bool {
    ptr::eq(SCHEDULER.get(), scheduler)
}

/// Whether the last runner on this thread was one of this node, so that the thread belongs to its runtime.
#[inline]
pub(crate) fn was(node: &Node) -> bool {
    LAST.get() == node.identity()
}

/// Whether this thread is in the middle of no runner or helper at all.
pub(crate) fn is_nobody() -> bool {
    SCHEDULER.get().is_null()
}

/// The port that became busy last, or `NONE`; it is forgotten.
#[inline]
pub(crate) fn take_newest() -> u64 {
    NEWEST.replace(NONE)
}

/// This port has become busy; gives the one that was so before, or `NONE`.
#[inline]
pub(crate) fn put_newest(number: u64) -> u64 {
    NEWEST.replace(number)
}

/// Does something with the queue of the runner, if it has one.
#[inline]
pub(crate) fn with_queue<R>(action: impl FnOnce(Option<&Worker<Work>>) -> R) -> R {
    QUEUE.with_borrow(|queue| action(queue.as_ref()))
}
