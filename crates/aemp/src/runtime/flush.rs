//! Outboxes that code of a runner has added to: they are written at the end of its batch, by the same thread.
//!
//! So an answer leaves from the thread that ran the port, without another one being woken, and what many handlers send to one node
//! goes in one write. A handler that blocks its thread holds back what was sent in its batch.

use std::cell::RefCell;
use std::sync::Arc;

use crate::node::{Inner, Node};
use crate::remote::Remote;

/// Works after which a batch is written although the runner goes on.
const WORKS: u32 = 16;

/// What was added to in the batch that this thread is in the middle of.
struct Current {
    /// Tells several nodes in one process apart.
    node: *const Inner,
    dirty: Vec<Arc<Remote>>,
}

thread_local! {
    static CURRENT: RefCell<Option<Current>> = const { RefCell::new(None) };
}

/// A runner's turn; what its code sends is written at its end at the latest.
pub(crate) struct Batch<'a> {
    node: &'a Node,
    /// A handler may run a whole runtime with nodes of its own on this thread.
    outer: Option<Current>,
    works: u32,
}

impl<'a> Batch<'a> {
    /// From now on this thread runs code of the node's ports.
    pub(crate) fn begin(node: &'a Node) -> Batch<'a> {
        let outer = CURRENT.replace(Some(Current { node: node.inner(), dirty: Vec::new() }));
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

    /// Writes what was added, as far as it can be written without waiting. No code of users runs here.
    pub(crate) fn flush(&mut self) {
        // One after the other: there is nearly always one, and the list keeps its memory.
        while let Some(remote) = CURRENT.with_borrow_mut(|current| current.as_mut()?.dirty.pop()) {
            remote.flush(self.node);
        }
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        self.flush();
        CURRENT.set(self.outer.take());
    }
}

/// Lets the batch that this thread is in the middle of write to the node; false if there is none.
pub(crate) fn at_end_of_batch(node: &Node, remote: &Arc<Remote>) -> bool {
    CURRENT.with_borrow_mut(|current| match current {
        Some(current) if std::ptr::eq(current.node, node.inner()) && remote.is_direct() => {
            current.dirty.push(remote.clone());
            true
        }
        _ => false,
    })
}
