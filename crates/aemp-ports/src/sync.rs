//! What code between threads is made of. The crate `aemp-models` puts loom's in its place, and
//! tries all interleavings.

pub use std::sync::OnceLock;
pub use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering, fence};

pub use parking_lot::{Mutex, MutexGuard};

use super::lock_order::{Ordered, OrderedGuard, SLOT};

/// The lock of a slot in the table of ports.
pub type SlotMutex<T> = Ordered<T, SLOT>;

/// A slot, locked.
pub type SlotGuard<'a, T> = OrderedGuard<'a, T, SLOT>;
