//! What a thread knows of what it is in the middle of: all thread-local state of the library, in
//! two structs. [`ThisThread`] has plain cells, which need no drop, so that reading one costs no
//! look whether it is still there; `owned` has what a thread owns.
//!
//! These are not mere shortcuts. What depends on them:
//!
//! - **Order.** `sender` says who sends. While a large message is under way in parts, or a port is
//!   gated after a loss, the outbox keeps the order of each sender by it. So code of a port or
//!   callback runs inside of `sender::as_port` and `as_callback` only.
//! - **Replies.** A `ReplyTo` that is decoded is answered through `node`. So messages are decoded
//!   in code of a port or inside of [`decode_at`] only; elsewhere a `ReplyTo` knows no node.
//! - **Writing.** What code of a runner puts into an outbox is written at the end of the runner's
//!   batch (`owned::Batched`), and by nobody before. So the one who begins a batch ends it, by a
//!   drop.
//! - **No loop in the log.** What a thread logs while `forwarding` is set is not forwarded.
//! - **One runner a thread.** `scheduler` is the runner or inline call that the thread is in. A
//!   handler may run a whole runtime with nodes of its own: who sets it puts back what was there
//!   before.
//! - **Nodes are told apart by an address** (`Node::identity`), which `last_node` and `reply_slot`
//!   keep after the end of the node. That is right because the address is that of memory which is
//!   never given back (`Home::lasting`): another node never has it.
//! - **A kept slot belongs to the thread** (`reply_slot`): it holds no port, nobody else gets
//!   it, and `owned::Keeper` gives it back when the thread ends or works for another node.

use std::cell::Cell;
use std::ptr;

use super::node_ref::NodeRef;
use super::port_no::PortNo;

/// Plain cells of one thread.
pub struct ThisThread {
    /// The scheduler of which this thread is in the middle of a runner or inline call, which tells
    /// the nodes of one process apart; null outside of these.
    pub scheduler: Cell<*const ()>,
    /// The port that became busy last through this runner.
    pub newest: Cell<Option<PortNo>>,
    /// The identity of the node whose runner was here last: it may be gone.
    pub last_node: Cell<usize>,
    /// The port or callback whose code this thread runs, or 0.
    pub sender: Cell<u64>,
    /// The node of that code, which decodes messages for it.
    pub node: Cell<Option<NodeRef>>,
    /// How often this thread has run ports that it waited for.
    pub inline_calls: Cell<u32>,
    /// How many of them cost a unit of the budget of a task.
    pub inline_calls_a_unit: Cell<u32>,
    /// The identity of the node in whose table this thread keeps a slot for the next call, and the
    /// number of the port that will be there; `None` while there is one.
    pub reply_slot: Cell<(usize, Option<PortNo>)>,
    /// Whether this thread is forwarding a log record, which is the business of the host.
    pub forwarding: Cell<bool>,
    /// How many locks of each rank it holds.
    #[cfg(debug_assertions)]
    pub held: [Cell<u8>; super::lock_order::RANKS],
}

thread_local! {
    static THIS: ThisThread = const {
        ThisThread {
            scheduler: Cell::new(ptr::null()),
            newest: Cell::new(None),
            last_node: Cell::new(0),
            sender: Cell::new(0),
            node: Cell::new(None),
            inline_calls: Cell::new(0),
            inline_calls_a_unit: Cell::new(1),
            reply_slot: Cell::new((0, None)),
            forwarding: Cell::new(false),
            #[cfg(debug_assertions)]
            held: [const { Cell::new(0) }; super::lock_order::RANKS],
        }
    };
}

/// Decodes for a node: a `ReplyTo` is answered through it.
pub fn decode_at<R>(node: NodeRef, decode: impl FnOnce() -> R) -> R {
    let outer = this(|this| this.node.replace(Some(node)));
    let result = decode();
    this(|this| this.node.set(outer));
    result
}

/// Looks at, or changes, what this thread knows.
#[inline(always)]
pub fn this<R>(action: impl FnOnce(&ThisThread) -> R) -> R {
    THIS.with(action)
}
