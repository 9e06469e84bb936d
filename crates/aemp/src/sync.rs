//! What code between threads is made of. The crate `aemp-models` puts loom's in its place, and
//! tries all interleavings.

pub(crate) use std::sync::OnceLock;
pub(crate) use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering, fence};

pub(crate) use parking_lot::{Mutex, MutexGuard};

use crate::lock_order::{Ordered, OrderedGuard, SLOT};

/// The lock of a slot in the table of ports.
pub(crate) type SlotMutex<T> = Ordered<T, SLOT>;

/// A slot, locked.
pub(crate) type SlotGuard<'a, T> = OrderedGuard<'a, T, SLOT>;
