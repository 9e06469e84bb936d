//! A mailbox beside the name of its type.
//!
//! Each local send, and each run of a port, asks whether a mailbox is of just its own type. `Any`
//! answers by a call that writes sixteen bytes to memory, to be read back at once; here the answer
//! lies before the mailbox, and with that one-way messages are 1.4 to 2.4 times as fast, ping-pong
//! 1.1 times. The cast behind the answer is the only unsafe code of the workspace; tests check it
//! against `Any` each time.

#![allow(unsafe_code)] // one cast

use std::any::{Any, TypeId};
use std::fmt;
use std::ops::{Deref, DerefMut};

use super::host::Host;
use super::mailbox::Mailbox;

/// A mailbox, and what type it is of.
pub struct Known<M: ?Sized> {
    /// Of `M`, before it was forgotten.
    id: TypeId,
    mailbox: M,
}

/// A mailbox of a type that is not known to the compiler.
pub type BoxedMailbox<H> = Box<Known<dyn Mailbox<H>>>;

/// As a message's own type sees the mailbox that it may go into.
pub struct AnyMailbox<'a, H: Host>(pub &'a mut Known<dyn Mailbox<H>>);

impl<H: Host> fmt::Debug for AnyMailbox<'_, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AnyMailbox")
    }
}

impl<M> Known<M> {
    /// Forgets the type.
    pub fn boxed<H: Host>(mailbox: M) -> BoxedMailbox<H>
    where
        M: Mailbox<H>,
    {
        Box::new(Known { id: TypeId::of::<M>(), mailbox })
    }
}

impl<H: Host> Known<dyn Mailbox<H>> {
    /// The mailbox, if it is of this type.
    #[inline]
    pub fn downcast_mut<M: Mailbox<H>>(&mut self) -> Option<&mut M> {
        if self.id != TypeId::of::<M>() {
            return None;
        }
        debug_assert!((&self.mailbox as &dyn Any).is::<M>());
        let mailbox: *mut dyn Mailbox<H> = &raw mut self.mailbox;
        // SAFETY: only `boxed` makes a `Known<dyn Mailbox>`, from a mailbox of the type that `id`
        // names, and both stay as they are: the fields are private to this module, which hands out
        // the mailbox by reference alone, and a `dyn Mailbox` cannot be replaced through that. So
        // the mailbox is an `M`, and it is borrowed for as long as the result is.
        Some(unsafe { &mut *mailbox.cast::<M>() })
    }
}

impl<'a, H: Host> AnyMailbox<'a, H> {
    /// The mailbox, if it is of this type.
    #[inline]
    pub fn downcast<M: Mailbox<H>>(self) -> Option<&'a mut M> {
        self.0.downcast_mut()
    }
}

impl<H: Host> Deref for Known<dyn Mailbox<H>> {
    type Target = dyn Mailbox<H>;

    fn deref(&self) -> &dyn Mailbox<H> {
        &self.mailbox
    }
}

impl<H: Host> DerefMut for Known<dyn Mailbox<H>> {
    #[inline]
    fn deref_mut(&mut self) -> &mut dyn Mailbox<H> {
        &mut self.mailbox
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mailbox::Queue;
    use crate::message::Envelope;
    use crate::test_host::Alone;

    #[test]
    fn only_the_own_type_is_found() {
        let mut mailbox = Known::boxed(Queue::<Alone, (u8,)>::default());
        assert!(mailbox.downcast_mut::<Queue<Alone, Envelope>>().is_none());
        let queue = mailbox.downcast_mut::<Queue<Alone, (u8,)>>().expect("its own type");
        queue.push_message((7,));
        assert!(!queue.is_empty());
        assert!(mailbox.wants_encoded());
    }
}
