//! Who sends what this thread sends, as far as ports know it: a port, or a callback of the host.

use super::node_ref::NodeRef;
use super::port_no::PortNo;
use super::this_thread::this;

/// Runs code of a port that does not panic, and may run code of another one: that of another host
/// on the same thread.
#[inline]
pub fn as_port<T>(node: NodeRef, number: PortNo, code: impl FnOnce() -> T) -> T {
    as_sender(node, number.get(), code)
}

/// Callbacks are told from ports by this bit of their numbers.
const CALLBACK: u64 = 1 << 62;

/// Runs a callback, which has an ID of its own and does not panic: what one callback was told,
/// another one does not know, though the same runner runs both.
pub fn as_callback<T>(node: NodeRef, id: u64, code: impl FnOnce() -> T) -> T {
    as_sender(node, CALLBACK | id, code)
}

/// The port or callback that this thread runs; 0 if it runs none.
#[inline]
pub fn current() -> u64 {
    this(|this| this.sender.get())
}

#[inline]
fn as_sender<T>(node: NodeRef, sender: u64, code: impl FnOnce() -> T) -> T {
    let outer = this(|this| (this.node.replace(Some(node)), this.sender.replace(sender)));
    let result = code();
    this(|this| {
        this.node.set(outer.0);
        this.sender.set(outer.1);
    });
    result
}
