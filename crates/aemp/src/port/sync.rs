//! What code between threads is made of; the crate `aemp-models` puts loom's in its place, and tries all interleavings.

pub(crate) use std::sync::atomic::{AtomicUsize, Ordering, fence};

pub(crate) use parking_lot::Mutex;
