//! The trace that a thread is in the middle of, at one node: what is sent meanwhile follows from
//! it.

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;

use aemp_proto::TraceContext;
use aemp_proto::kernel::Time;
use tracing::Span;

use super::hop::Hop;

/// A node, as far as a trace knows it.
pub(super) trait AtNode: Send + Sync {
    /// Tells the nodes of a process apart.
    fn identity(&self) -> usize;
    /// There is one reason more to look at messages, or one less.
    fn look(&self, more: bool);
    /// A handler that began then has ended.
    fn handled(&self, hop: Hop, began: Time);
}

/// What a thread is in the middle of.
pub(crate) struct Current {
    node: Arc<dyn AtNode>,
    context: TraceContext,
    /// Entered as long as this is current.
    span: Span,
}

impl fmt::Debug for Current {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Current({})", self.context)
    }
}

impl Current {
    pub(super) fn new(node: Arc<dyn AtNode>, context: TraceContext, span: Span) -> Current {
        Current { node, context, span }
    }

    /// It becomes current.
    fn enter(&self) {
        self.node.look(true);
        self.span.with_subscriber(|(id, subscriber)| subscriber.enter(id));
    }

    /// It is not current any more.
    fn leave(&self) {
        self.span.with_subscriber(|(id, subscriber)| subscriber.exit(id));
        self.node.look(false);
    }
}

thread_local! {
    /// Not in `owned`, which knows nodes.
    static CURRENT: RefCell<Option<Current>> = const { RefCell::new(None) };
}

/// Makes something else current, or nothing; gives what was.
pub(super) fn replace(current: Option<Current>) -> Option<Current> {
    // A thread that is ending is in the middle of nothing.
    let before = CURRENT.try_with(|cell| {
        current.iter().for_each(Current::enter);
        cell.replace(current)
    });
    let before = before.ok().flatten();
    before.iter().for_each(Current::leave);
    before
}

/// What this thread is in the middle of at this node, sampled or not.
pub(super) fn at(node: &impl AtNode) -> Option<TraceContext> {
    let is_here = |current: &&Current| current.node.identity() == node.identity();
    CURRENT.try_with(|cell| Some(cell.borrow().as_ref().filter(is_here)?.context)).ok().flatten()
}

/// Whether this thread is in the middle of just this.
pub(super) fn is(context: TraceContext) -> bool {
    let is_it = |current: &Current| current.context == context;
    CURRENT.try_with(|cell| cell.borrow().as_ref().is_some_and(is_it)).unwrap_or_default()
}

/// A task gives up its thread: takes what is current.
#[inline]
pub(crate) fn suspend() -> Option<Current> {
    let is_some = CURRENT.try_with(|cell| cell.borrow().is_some()).unwrap_or_default();
    if is_some { replace(None) } else { None }
}

/// It goes on.
#[inline]
pub(crate) fn resume(current: &mut Option<Current>) {
    if current.is_some() {
        replace(current.take());
    }
}

/// Makes current what was before, also after a panic.
pub(super) struct Restore(pub(super) Option<Current>);

impl Drop for Restore {
    fn drop(&mut self) {
        replace(self.0.take());
    }
}
