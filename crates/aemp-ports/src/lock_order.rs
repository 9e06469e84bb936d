//! The order in which one thread takes locks (`ARCHITECTURE.md`, "Locks have an order"). Debug
//! builds check it each time, so a test that takes two of them the wrong way round fails even where
//! no other thread meets it.

use std::ops::{Deref, DerefMut};

use parking_lot::{Mutex, MutexGuard};

/// Which link of a remote node delivers.
pub const DELIVERING: usize = 0;
/// The connections that are relayed.
pub const RELAYING: usize = 1;
/// One slot of the table of ports.
pub const SLOT: usize = 2;
/// What a remote node monitors here.
pub const WATCHING: usize = 3;
/// The outbox of a remote node.
pub const OUTBOX: usize = 4;
/// How many ranks there are.
#[cfg(debug_assertions)]
pub const RANKS: usize = 5;

/// A mutex of this rank: who holds it takes only such as have a higher one.
#[derive(Default)]
pub struct Ordered<T, const RANK: usize>(Mutex<T>);

/// What an [`Ordered`] mutex guards, locked.
pub struct OrderedGuard<'a, T, const RANK: usize> {
    guard: MutexGuard<'a, T>,
    _held: held::Held<RANK>,
}

impl<T, const RANK: usize> Ordered<T, RANK> {
    /// Nobody holds it.
    pub const fn new(value: T) -> Ordered<T, RANK> {
        Ordered(Mutex::new(value))
    }

    /// Waits for the lock.
    #[inline(always)]
    pub fn lock(&self) -> OrderedGuard<'_, T, RANK> {
        held::check::<RANK>();
        OrderedGuard { guard: self.0.lock(), _held: held::Held::new() }
    }

    /// Takes the lock if nobody has it. As it never waits, it may be tried under any other.
    #[inline]
    pub fn try_lock(&self) -> Option<OrderedGuard<'_, T, RANK>> {
        let guard = self.0.try_lock()?;
        Some(OrderedGuard { guard, _held: held::Held::new() })
    }

    #[doc(hidden)] // for tests
    pub fn is_locked(&self) -> bool {
        self.0.is_locked()
    }
}

impl<T, const RANK: usize> Deref for OrderedGuard<'_, T, RANK> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        &self.guard
    }
}

impl<T, const RANK: usize> DerefMut for OrderedGuard<'_, T, RANK> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.guard
    }
}

#[cfg(debug_assertions)]
mod held {
    use super::RANKS;
    use crate::this_thread::this;

    pub(crate) fn check<const RANK: usize>() {
        let first = this(|this| (RANK..RANKS).find(|rank| this.held[*rank].get() > 0));
        assert!(first.is_none(), "a lock of rank {RANK} is taken under one of rank {first:?}");
    }

    /// A lock of this rank is held.
    pub(crate) struct Held<const RANK: usize>;

    impl<const RANK: usize> Held<RANK> {
        pub(crate) fn new() -> Held<RANK> {
            this(|this| this.held[RANK].set(this.held[RANK].get() + 1));
            Held
        }
    }

    impl<const RANK: usize> Drop for Held<RANK> {
        fn drop(&mut self) {
            this(|this| this.held[RANK].set(this.held[RANK].get() - 1));
        }
    }
}

#[cfg(not(debug_assertions))]
mod held {
    #[inline(always)]
    pub(crate) fn check<const RANK: usize>() {}

    pub(crate) struct Held<const RANK: usize>;

    impl<const RANK: usize> Held<RANK> {
        #[inline(always)]
        pub(crate) fn new() -> Held<RANK> {
            Held
        }
    }
}

#[cfg(test)]
#[cfg(debug_assertions)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    fn both<const FIRST: usize, const SECOND: usize>() -> bool {
        let (first, second) = (Ordered::<(), FIRST>::default(), Ordered::<(), SECOND>::default());
        let lock = || {
            let _first = first.lock();
            drop(second.lock());
        };
        catch_unwind(AssertUnwindSafe(lock)).is_ok()
    }

    #[test]
    fn a_lock_is_taken_only_under_those_before_it() {
        assert!(both::<DELIVERING, SLOT>() && both::<SLOT, OUTBOX>() && both::<SLOT, WATCHING>());
        assert!(!both::<OUTBOX, SLOT>() && !both::<WATCHING, DELIVERING>());
        assert!(!both::<SLOT, SLOT>(), "two ports at once");
        assert!(both::<RELAYING, OUTBOX>(), "a failed attempt leaves nothing behind");
    }
}
