//! What takes the place of the library's `sync`.

pub(crate) use std::sync::OnceLock; // the table's memory, which the models make before there is a second thread

pub(crate) use loom::sync::MutexGuard;
pub(crate) use loom::sync::MutexGuard as SlotGuard;
pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering, fence};

/// loom's mutex, which is never poisoned here: a panic ends the model.
#[derive(Default)]
pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

/// The lock of a slot.
pub(crate) use Mutex as SlotMutex;

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Mutex<T> {
        Mutex(loom::sync::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().expect("a panic ends the model")
    }

    pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        self.0.try_lock().ok()
    }

    pub(crate) fn is_locked(&self) -> bool {
        self.try_lock().is_none()
    }
}
