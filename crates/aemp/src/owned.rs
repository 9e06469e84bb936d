//! What a thread owns, and gives up when it ends. What it only knows is in
//! [`aemp_ports::this_thread`].

use std::cell::RefCell;
use std::sync::{Arc, Weak};

use crate::node::{Inner, Node};
use crate::remote::Remote;
use aemp_ports::owned::Owned as PortsOwned;
use aemp_ports::this_thread::this;

/// The things themselves.
pub(crate) struct Owned {
    /// For the ports.
    pub(crate) ports: PortsOwned<Node>,
    /// What is kept from one message to another node to the next.
    pub(crate) sending: RefCell<Sending>,
    /// Gives the kept slot back when the thread ends, or works for another node.
    pub(crate) keeper: RefCell<Option<Keeper>>,
}

thread_local! {
    static OWNED: Owned = const {
        Owned {
            ports: PortsOwned::new(),
            sending: RefCell::new(Sending::new()),
            keeper: RefCell::new(None),
        }
    };
}

/// Does something with what this thread owns.
///
/// # Panics
///
/// The thread is ending and has given it up.
#[inline(always)]
pub(crate) fn own<R>(action: impl FnOnce(&Owned) -> R) -> R {
    OWNED.with(action)
}

/// As [`own`], for code that may run when the thread ends: then it does nothing.
#[inline(always)]
pub(crate) fn try_own<R>(action: impl FnOnce(&Owned) -> R) -> Option<R> {
    OWNED.try_with(action).ok()
}

/// What a thread keeps from one message to another node to the next.
pub(crate) struct Sending {
    /// Messages are encoded here, before the outbox is locked.
    pub(crate) items: Vec<u8>,
    /// The node that was sent to last, so that the next message need not look for it. As long as it
    /// is kept here it stands in the table of its node.
    pub(crate) last: Option<Arc<Remote>>,
}

impl Sending {
    pub(crate) const fn new() -> Sending {
        Sending { items: Vec::new(), last: None }
    }
}

/// The node in whose table a thread keeps a slot, for as long as that is so.
pub(crate) struct Keeper(pub(crate) Weak<Inner>);

impl Drop for Keeper {
    fn drop(&mut self) {
        let (_, number) = this(|this| this.reply_slot.replace((0, None)));
        if let Some(number) = number
            && let Some(node) = self.0.upgrade()
        {
            node.ports.table.give_back(number);
        }
    }
}
