//! A mailbox beside the name of its type.
//!
//! Each local send, and each run of a port, asks whether a mailbox is of just its own type. `Any`
//! answers by a call that writes sixteen bytes to memory, to be read back at once; here the answer
//! lies before the mailbox, and with that one-way messages are 1.4 to 2.4 times as fast, ping-pong
//! 1.1 times. The cast behind the answer is the only unsafe code of the workspace; tests check it
//! against `Any` each time.

#![allow(unsafe_code)] // one cast

use std::any::{Any, TypeId};
use std::ops::{Deref, DerefMut};

use super::mailbox::Mailbox;

/// A mailbox, and what type it is of.
pub(crate) struct Known<M: ?Sized> {
    /// Of `M`, before it was forgotten.
    id: TypeId,
    mailbox: M,
}

/// A mailbox of a type that is not known to the compiler.
pub(crate) type BoxedMailbox = Box<Known<dyn Mailbox>>;

/// As a message's own type sees the mailbox that it may go into.
pub struct AnyMailbox<'a>(pub(crate) &'a mut Known<dyn Mailbox>);

impl<M: Mailbox> Known<M> {
    /// Forgets the type.
    pub(crate) fn boxed(mailbox: M) -> BoxedMailbox {
        Box::new(Known { id: TypeId::of::<M>(), mailbox })
    }
}

impl Known<dyn Mailbox> {
    /// The mailbox, if it is of this type.
    #[inline]
    pub(crate) fn downcast_mut<M: Mailbox>(&mut self) -> Option<&mut M> {
        if self.id != TypeId::of::<M>() {
            return None;
        }
        debug_assert!((&self.mailbox as &dyn Any).is::<M>());
        let mailbox: *mut dyn Mailbox = &raw mut self.mailbox;
        // SAFETY: only `boxed` makes a `Known<dyn Mailbox>`, from a mailbox of the type that `id`
        // names, and both stay as they are: the fields are private to this module, which hands out
        // the mailbox by reference alone, and a `dyn Mailbox` cannot be replaced through that. So
        // the mailbox is an `M`, and it is borrowed for as long as the result is.
        Some(unsafe { &mut *mailbox.cast::<M>() })
    }
}

impl<'a> AnyMailbox<'a> {
    /// The mailbox, if it is of this type.
    #[inline]
    pub(crate) fn downcast<M: Mailbox>(self) -> Option<&'a mut M> {
        self.0.downcast_mut()
    }
}

impl Deref for Known<dyn Mailbox> {
    type Target = dyn Mailbox;

    fn deref(&self) -> &dyn Mailbox {
        &self.mailbox
    }
}

impl DerefMut for Known<dyn Mailbox> {
    #[inline]
    fn deref_mut(&mut self) -> &mut dyn Mailbox {
        &mut self.mailbox
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Envelope;
    use crate::port::mailbox::Queue;

    #[test]
    fn only_the_own_type_is_found() {
        let mut mailbox = Known::boxed(Queue::<(u8,)>::default());
        assert!(mailbox.downcast_mut::<Queue<Envelope>>().is_none());
        let queue = mailbox.downcast_mut::<Queue<(u8,)>>().expect("its own type");
        queue.push_message((7,));
        assert!(!queue.is_empty());
        assert!(mailbox.wants_encoded());
    }
}
