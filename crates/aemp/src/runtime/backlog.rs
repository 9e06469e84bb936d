//! What other nodes have asked for and the driver has not answered yet: bounded, by letting the readers wait.
//!
//! The driver waits for nobody, so a reader waits only as long as the requests before its own take.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// Octets of requests above which readers wait, all links together.
const OCTETS_MAX: usize = 16 << 20;

/// What a request costs beside its octets.
const REQUEST_COST: usize = 256;

/// The requests that wait for the driver.
#[derive(Default)]
pub(crate) struct Backlog {
    octets: AtomicUsize,
    room: Notify,
}

/// One of them; dropped when it has been dealt with.
pub(crate) struct Waiting {
    backlog: Arc<Backlog>,
    octets: usize,
}

impl Backlog {
    /// Counts a request with this many octets.
    pub(crate) fn enter(self: &Arc<Backlog>, octets: usize) -> Waiting {
        let octets = octets + REQUEST_COST;
        self.octets.fetch_add(octets, Ordering::SeqCst);
        Waiting { backlog: self.clone(), octets }
    }

    /// Counts something with this many octets, if there is room for it.
    pub(crate) fn try_enter(self: &Arc<Backlog>, octets: usize) -> Option<Waiting> {
        let waiting = self.enter(octets);
        (!self.is_full()).then_some(waiting)
    }

    /// Waits until there is room for more.
    pub(crate) async fn room(&self) {
        while self.is_full() {
            let room = self.room.notified();
            tokio::pin!(room);
            room.as_mut().enable();
            if self.is_full() {
                room.await;
            }
        }
    }

    fn is_full(&self) -> bool {
        self.octets.load(Ordering::SeqCst) > OCTETS_MAX
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let before = self.backlog.octets.fetch_sub(self.octets, Ordering::SeqCst);
        if before > OCTETS_MAX && before - self.octets <= OCTETS_MAX {
            self.backlog.room.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn readers_wait_until_the_driver_has_caught_up() {
        let backlog = Arc::new(Backlog::default());
        let first = backlog.enter(OCTETS_MAX);
        let second = backlog.enter(1);
        let waits = tokio::spawn({
            let backlog = backlog.clone();
            async move { backlog.room().await }
        });
        tokio::task::yield_now().await;
        assert!(!waits.is_finished());
        drop(second);
        tokio::task::yield_now().await;
        assert!(!waits.is_finished());
        drop(first);
        assert!(waits.await.is_ok());
    }
}
