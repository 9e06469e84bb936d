//! Outboxes that code of a runner has added to: they are written at the end of its batch, by the
//! same thread.
//!
//! So an answer leaves from the thread that ran the port, without another one being woken, and what
//! many handlers send to one node goes in one write. A handler that blocks its thread holds back
//! what was sent in its batch.

use std::ptr;

use super::host::{Host, Ports};

/// Works after which a batch is written although the runner goes on.
const WORKS: u32 = 16;

/// What was added to in a batch.
pub struct Batched<H: Host> {
    /// Tells several hosts in one process apart.
    ports: *const Ports<H>,
    dirty: Vec<H::Peer>,
}

/// A runner's turn; what its code sends is written at its end at the latest.
pub struct Batch<'a, H: Host> {
    host: &'a H,
    /// A handler may run a whole runtime with hosts of its own on this thread.
    outer: Option<Batched<H>>,
    works: u32,
}

impl<'a, H: Host> Batch<'a, H> {
    /// From now on this thread runs code of the host's ports.
    pub fn begin(host: &'a H) -> Batch<'a, H> {
        let batched = Batched { ports: host.ports(), dirty: Vec::new() };
        let outer = H::own(|owned| owned.batched.replace(Some(batched)));
        Batch { host, outer, works: 0 }
    }

    /// A port or callback has run.
    pub fn worked(&mut self) {
        self.works += 1;
        if self.works >= WORKS {
            self.works = 0;
            self.flush();
        }
    }

    /// Writes what was added, as far as it can be written without waiting. No code of users runs
    /// here.
    pub fn flush(&mut self) {
        // One after the other: there is nearly always one, and the list keeps its memory.
        let next = || H::own(|owned| owned.batched.borrow_mut().as_mut()?.dirty.pop());
        while let Some(peer) = next() {
            self.host.flush(&peer);
        }
    }
}

impl<H: Host> Drop for Batch<'_, H> {
    fn drop(&mut self) {
        self.flush();
        let outer = self.outer.take();
        H::own(|owned| drop(owned.batched.replace(outer)));
    }
}

/// Lets the batch that this thread is in the middle of write to `peer`, if it is one
/// of this host and there is one to write to; says whether it will.
pub fn at_end_of_batch<H: Host>(host: &H, peer: impl FnOnce() -> Option<H::Peer>) -> bool {
    H::own(|owned| match &mut *owned.batched.borrow_mut() {
        Some(batched) if ptr::eq(batched.ports, host.ports()) => {
            let peer = peer();
            let writes = peer.is_some();
            batched.dirty.extend(peer);
            writes
        }
        _ => false,
    })
}
