//! A reference to a node that is copied for nothing: no count of references, which all threads
//! would have to share.

use std::any::Any;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

/// What a node is, for those who need not know.
type AnyNode = dyn Any + Send + Sync;

/// Finds a node as long as it lives, and does not keep it alive.
#[derive(Clone, Copy)]
pub struct NodeRef(&'static Mutex<Weak<AnyNode>>);

impl NodeRef {
    /// The node, if it is still there.
    pub fn find<N: Any + Send + Sync>(self) -> Option<Arc<N>> {
        // The lock is given back before anything is dropped.
        let found = self.0.lock().upgrade();
        found?.downcast().ok()
    }
}

/// The reference that a node has to itself. A few words of it stay when the node is gone, for those
/// who still have copies.
pub struct OwnRef(NodeRef);

impl OwnRef {
    /// The reference to this node.
    pub fn new(node: Weak<AnyNode>) -> OwnRef {
        OwnRef(NodeRef(Box::leak(Box::new(Mutex::new(node)))))
    }

    /// A copy.
    #[inline]
    pub fn get(&self) -> NodeRef {
        self.0
    }
}

impl Drop for OwnRef {
    fn drop(&mut self) {
        // So that the memory of the node is given back.
        let none: Weak<AnyNode> = Weak::<()>::new();
        let node = std::mem::replace(&mut *self.0.0.lock(), none);
        drop(node);
    }
}
