//! The runner that a thread is in the middle of.
//!
//! Each send looks here, so what it looks at are plain cells.

use std::ptr;

use crossbeam_deque::Worker;

use super::host::Host;
use super::port_no::PortNo;
use super::scheduler::{Scheduler, Work};
use super::this_thread::this;

/// A runner is on this thread until it leaves. What was there before: a handler may run a whole
/// runtime with nodes of its own on its thread.
pub struct Here<H: Host> {
    scheduler: *const (),
    newest: Option<PortNo>,
    queue: Option<Worker<Work<H>>>,
}

impl<H: Host> Here<H> {
    /// A runner of this host begins its turn on this thread, with its queue.
    pub fn enter(host: &H, queue: Worker<Work<H>>) -> Here<H> {
        this(|this| {
            this.last_node.set(host.identity());
            Here {
                scheduler: this.scheduler.replace(address(&host.ports().scheduler)),
                newest: this.newest.take(),
                queue: H::own(|owned| owned.queue.replace(Some(queue))),
            }
        })
    }

    /// For a helper on a thread of [`nobody`](is_nobody), where nothing is to be kept.
    #[inline]
    pub fn help(scheduler: &Scheduler<H>) {
        this(|this| this.scheduler.set(address(scheduler)));
    }

    /// The helper is done; the port that became busy last.
    #[inline]
    pub fn helped() -> Option<PortNo> {
        this(|this| this.scheduler.set(ptr::null()));
        take_newest()
    }

    /// The outer one goes on; what is left of the inner one.
    pub fn leave(self) -> (Option<Worker<Work<H>>>, Option<PortNo>) {
        let newest = this(|this| {
            this.scheduler.set(self.scheduler);
            this.newest.replace(self.newest)
        });
        (H::own(|owned| owned.queue.replace(self.queue)), newest)
    }
}

/// Whether this thread is in the middle of a runner or helper of this scheduler.
#[inline]
pub fn is<H: Host>(scheduler: &Scheduler<H>) -> bool {
    ptr::eq(this(|this| this.scheduler.get()), address(scheduler))
}

/// Whether the last runner on this thread was one of this node, so that the thread belongs to its
/// runtime.
#[inline]
pub fn was<H: Host>(host: &H) -> bool {
    this(|this| this.last_node.get()) == host.identity()
}

/// Whether this thread is in the middle of no runner or helper at all.
pub fn is_nobody() -> bool {
    this(|this| this.scheduler.get()).is_null()
}

/// The port that became busy last; it is forgotten.
#[inline]
pub fn take_newest() -> Option<PortNo> {
    this(|this| this.newest.take())
}

/// This port has become busy; gives the one that was so before.
#[inline]
pub fn put_newest(number: PortNo) -> Option<PortNo> {
    this(|this| this.newest.replace(Some(number)))
}

/// Does something with the queue of the runner, if it has one.
#[inline]
pub fn with_queue<H: Host, R>(action: impl FnOnce(Option<&Worker<Work<H>>>) -> R) -> R {
    H::own(|owned| action(owned.queue.borrow().as_ref()))
}

fn address<H: Host>(scheduler: &Scheduler<H>) -> *const () {
    ptr::from_ref(scheduler).cast()
}
