//! The runner that a thread is in the middle of.
//!
//! Each send looks here, so what it looks at are plain cells.

use std::ptr;

use crossbeam_deque::Worker;

use super::port_no::PortNo;
use super::scheduler::{Scheduler, Work};
use crate::node::Node;
use crate::this_thread::owned::own;
use crate::this_thread::this;

/// A runner is on this thread until it leaves. What was there before: a handler may run a whole
/// runtime with nodes of its own on its thread.
pub(crate) struct Here {
    scheduler: *const (),
    newest: Option<PortNo>,
    queue: Option<Worker<Work>>,
}

impl Here {
    pub(crate) fn enter(node: &Node, queue: Worker<Work>) -> Here {
        this(|this| {
            this.last_node.set(node.identity());
            Here {
                scheduler: this.scheduler.replace(address(node.scheduler())),
                newest: this.newest.take(),
                queue: own(|owned| owned.queue.replace(Some(queue))),
            }
        })
    }

    /// For a helper on a thread of [`nobody`](is_nobody), where nothing is to be kept.
    #[inline]
    pub(crate) fn help(scheduler: &Scheduler) {
        this(|this| this.scheduler.set(address(scheduler)));
    }

    /// The helper is done; the port that became busy last.
    #[inline]
    pub(crate) fn helped() -> Option<PortNo> {
        this(|this| this.scheduler.set(ptr::null()));
        take_newest()
    }

    /// The outer one goes on; what is left of the inner one.
    pub(crate) fn leave(self) -> (Option<Worker<Work>>, Option<PortNo>) {
        let newest = this(|this| {
            this.scheduler.set(self.scheduler);
            this.newest.replace(self.newest)
        });
        (own(|owned| owned.queue.replace(self.queue)), newest)
    }
}

/// Whether this thread is in the middle of a runner or helper of this scheduler.
#[inline]
pub(crate) fn is(scheduler: &Scheduler) -> bool {
    ptr::eq(this(|this| this.scheduler.get()), address(scheduler))
}

/// Whether the last runner on this thread was one of this node, so that the thread belongs to its
/// runtime.
#[inline]
pub(crate) fn was(node: &Node) -> bool {
    this(|this| this.last_node.get()) == node.identity()
}

/// Whether this thread is in the middle of no runner or helper at all.
pub(crate) fn is_nobody() -> bool {
    this(|this| this.scheduler.get()).is_null()
}

/// The port that became busy last; it is forgotten.
#[inline]
pub(crate) fn take_newest() -> Option<PortNo> {
    this(|this| this.newest.take())
}

/// This port has become busy; gives the one that was so before.
#[inline]
pub(crate) fn put_newest(number: PortNo) -> Option<PortNo> {
    this(|this| this.newest.replace(Some(number)))
}

/// Does something with the queue of the runner, if it has one.
#[inline]
pub(crate) fn with_queue<R>(action: impl FnOnce(Option<&Worker<Work>>) -> R) -> R {
    own(|owned| action(owned.queue.borrow().as_ref()))
}

fn address(scheduler: &Scheduler) -> *const () {
    ptr::from_ref(scheduler).cast()
}
