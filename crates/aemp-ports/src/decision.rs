//! Whether a monitor fires or is withdrawn: one of them happens, once, whichever thread is first.
//! The crate `aemp-models` tries all interleavings.

use super::sync::Mutex;

/// An action that is taken by who fires or by who withdraws, and by nobody else.
pub struct Decision<A>(Mutex<Option<A>>);

impl<A> Decision<A> {
    /// Nobody has taken the action yet.
    pub fn new(action: A) -> Decision<A> {
        Decision(Mutex::new(Some(action)))
    }

    /// The action, for who does it now, or drops it: once this has returned, nobody else begins it.
    /// `None` if somebody else was first.
    pub fn take(&self) -> Option<A> {
        self.0.lock().take()
    }

    /// Whether nobody has taken the action.
    pub fn is_armed(&self) -> bool {
        self.0.lock().is_some()
    }

    /// Looks at the action, if nobody has taken it.
    pub fn look<T>(&self, look: impl FnOnce(&A) -> T) -> Option<T> {
        self.0.lock().as_ref().map(look)
    }
}
