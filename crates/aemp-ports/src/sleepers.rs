//! Which runners sleep, and who is woken for new work.
//!
//! A runner lies down, looks for work once more, and sleeps only if nothing is there. Anyone who
//! has queued work asks for a sleeper afterwards. Between the two steps of either side stands a
//! fence, so that one of them sees the other: no work waits while all sleep. The crate
//! `aemp-models` tries all interleavings.

use super::sync::{AtomicUsize, Mutex, Ordering, fence};

/// The runners that have lain down, by number, the last one last.
pub(crate) struct Sleepers {
    numbers: Mutex<Vec<usize>>,
    /// How many they are, to be read without the lock.
    count: AtomicUsize,
}

impl Sleepers {
    /// Nobody sleeps.
    pub(crate) fn new() -> Sleepers {
        Sleepers { numbers: Mutex::new(Vec::new()), count: AtomicUsize::new(0) }
    }

    /// This runner may be chosen from now on. It has to look for work before it sleeps.
    pub(crate) fn lie_down(&self, number: usize) {
        let mut numbers = self.numbers.lock();
        numbers.push(number);
        self.count.store(numbers.len(), Ordering::Relaxed);
        drop(numbers);
        fence(Ordering::SeqCst);
    }

    /// This runner is awake. Anyone who woke it may have done so for an earlier rest; as long as it
    /// stood in the list it would be chosen although it is busy, while others sleep.
    pub(crate) fn get_up(&self, number: usize) {
        let mut numbers = self.numbers.lock();
        numbers.retain(|other| *other != number);
        self.count.store(numbers.len(), Ordering::Relaxed);
    }

    /// Work was queued: whom to wake for it, if anybody sleeps.
    pub(crate) fn choose(&self) -> Option<usize> {
        fence(Ordering::SeqCst);
        if !self.may_be_some() {
            return None;
        }
        let mut numbers = self.numbers.lock();
        let number = numbers.pop();
        self.count.store(numbers.len(), Ordering::Relaxed);
        number
    }

    /// Whether somebody seems to sleep. Who has queued work that nobody else will take needs
    /// [`Sleepers::choose`].
    #[inline]
    pub(crate) fn may_be_some(&self) -> bool {
        self.count.load(Ordering::Relaxed) > 0
    }
}
