//! Outboxes that code of a runner has added to: they are written at the end of its batch, by the
//! same thread.
//!
//! So an answer leaves from the thread that ran the port, without another one being woken, and what
//! many handlers send to one node goes in one write. A handler that blocks its thread holds back
//! what was sent in its batch.

use std::sync::Arc;

use crate::node::Node;
use crate::remote::Remote;
use crate::this_thread::owned::{Batched, own};

/// Works after which a batch is written although the runner goes on.
const WORKS: u32 = 16;

/// A runner's turn; what its code sends is written at its end at the latest.
pub(crate) struct Batch<'a> {
    node: &'a Node,
    /// A handler may run a whole runtime with nodes of its own on this thread.
    outer: Option<Batched>,
    works: u32,
}

impl<'a> Batch<'a> {
    /// From now on this thread runs code of the node's ports.
    pub(crate) fn begin(node: &'a Node) -> Batch<'a> {
        let batched = Batched { node: node.inner(), dirty: Vec::new() };
        let outer = own(|owned| owned.batched.replace(Some(batched)));
        Batch { node, outer, works: 0 }
    }

    /// A port or callback has run.
    pub(crate) fn worked(&mut self) {
        self.works += 1;
        if self.works >= WORKS {
            self.works = 0;
            self.flush();
        }
    }

    /// Writes what was added, as far as it can be written without waiting. No code of users runs
    /// here.
    pub(crate) fn flush(&mut self) {
        // One after the other: there is nearly always one, and the list keeps its memory.
        let next = || own(|owned| owned.batched.borrow_mut().as_mut()?.dirty.pop());
        while let Some(remote) = next() {
            remote.flush(self.node);
        }
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        self.flush();
        let outer = self.outer.take();
        own(|owned| drop(owned.batched.replace(outer)));
    }
}

/// Lets the batch that this thread is in the middle of write to the node; false if nothing is
/// there.
pub(crate) fn at_end_of_batch(node: &Node, remote: &Arc<Remote>) -> bool {
    own(|owned| match &mut *owned.batched.borrow_mut() {
        Some(batched) if std::ptr::eq(batched.node, node.inner()) && remote.is_direct() => {
            batched.dirty.push(remote.clone());
            true
        }
        _ => false,
    })
}
