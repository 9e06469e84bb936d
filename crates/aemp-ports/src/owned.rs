//! What a thread owns for the ports of a host, and gives up when it ends.

use std::cell::RefCell;

use crossbeam_deque::Worker;

use super::batch::Batched;
use super::host::Host;
use super::scheduler::Work;

/// The things themselves. The host has the place for them ([`Host::own`]).
pub struct Owned<H: Host> {
    /// What the runner on this thread has to do; an inline call has no such queue.
    pub queue: RefCell<Option<Worker<Work<H>>>>,
    /// What was added to in the batch that this thread is in the middle of.
    pub batched: RefCell<Option<Batched<H>>>,
}

impl<H: Host> Owned<H> {
    /// It owns nothing yet.
    pub const fn new() -> Owned<H> {
        Owned { queue: RefCell::new(None), batched: RefCell::new(None) }
    }
}
