//! A node that is shut down when what keeps it is dropped.

use std::ops::Deref;

use crate::node::Node;

/// Keeps a node: when this is dropped, the node is shut down in order, in the background. See
/// [`Node::close_on_drop`].
#[must_use = "the node is shut down when this is dropped"]
#[derive(Debug)]
pub struct CloseOnDrop {
    node: Option<Node>,
}

impl CloseOnDrop {
    /// Lets the node go on by itself, and gives it back.
    pub fn detach(mut self) -> Node {
        self.node.take().expect("only this and the drop take it")
    }
}

impl Deref for CloseOnDrop {
    type Target = Node;

    fn deref(&self) -> &Node {
        self.node.as_ref().expect("it is there until the drop")
    }
}

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        if let Some(node) = &self.node {
            node.begin_shutdown();
        }
    }
}

impl Node {
    /// Has the node shut down, as [`Node::shutdown`] does it, when the value that this returns is
    /// dropped. To drop a `Node` itself ends nothing: ports and tasks have copies of it.
    ///
    /// The drop does not wait, and the shutdown needs the runtime of the node for as long as it
    /// delivers what was sent before. So at the end of `main` this is no replacement: what is not
    /// delivered when the runtime ends is lost, and only [`Node::shutdown`] waits and reports.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aemp::{Node, StartError};
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), StartError> {
    /// let node = Node::builder().start().await?.close_on_drop();
    /// let copy = (*node).clone();
    /// drop(node);
    /// copy.shutdown().await; // waits for the end, which has begun already
    /// # Ok(())
    /// # }
    /// ```
    pub fn close_on_drop(self) -> CloseOnDrop {
        CloseOnDrop { node: Some(self) }
    }
}
