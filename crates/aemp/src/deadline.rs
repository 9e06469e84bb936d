//! Deadlines of calls: many are set, few are reached.
//!
//! A timer of the runtime for each call would cost more than the call. Here a deadline is an entry
//! in a heap, which nobody takes out when the answer came in time; the driver sleeps until the
//! earliest one.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use aemp_ports::port_no::PortNo;

/// Entries that are kept before those of answered calls are looked for.
const KEEP: usize = 1024;

/// The deadlines of a node's calls.
pub(crate) struct Deadlines {
    heap: Mutex<Heap>,
    earlier: Notify,
}

struct Heap {
    /// When, and the port for the answer, which ends then.
    entries: BinaryHeap<Reverse<(Instant, PortNo)>>,
    /// Entries at which answered calls are thrown out.
    crowded: usize,
}

impl Deadlines {
    pub(crate) fn new() -> Deadlines {
        let heap = Heap { entries: BinaryHeap::new(), crowded: KEEP };
        Deadlines { heap: Mutex::new(heap), earlier: Notify::new() }
    }

    /// When the next deadline is.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.heap.lock().entries.peek().map(|Reverse((at, _))| *at)
    }

    /// Waits until [`Deadlines::next`] has become earlier.
    pub(crate) async fn earlier(&self) {
        self.earlier.notified().await;
    }

    /// Adds the time at which a port ends that waits for an answer. `lives` says whether an earlier
    /// one still waits: the others are thrown out when many have come together.
    pub(crate) fn add(&self, at: Instant, number: PortNo, lives: impl Fn(PortNo) -> bool) {
        let mut heap = self.heap.lock();
        let first = heap.entries.peek().is_none_or(|Reverse((earliest, _))| at < *earliest);
        heap.entries.push(Reverse((at, number)));
        if heap.entries.len() > heap.crowded {
            heap.entries.retain(|Reverse((_, number))| lives(*number));
            heap.crowded = KEEP.max(2 * heap.entries.len());
        }
        drop(heap);
        if first {
            self.earlier.notify_one();
        }
    }

    /// The next port whose time has come; it is forgotten.
    pub(crate) fn due(&self, now: Instant) -> Option<PortNo> {
        let mut heap = self.heap.lock();
        let Reverse((at, _)) = heap.entries.peek()?;
        if *at > now { None } else { heap.entries.pop().map(|Reverse((_, number))| number) }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn port(index: u32) -> PortNo {
        PortNo::of_slot(index, 0)
    }

    #[test]
    fn ports_end_in_the_order_of_their_deadlines() {
        let (deadlines, now) = (Deadlines::new(), Instant::now());
        let at = |seconds| now + Duration::from_secs(seconds);
        deadlines.add(at(2), port(2), |_| true);
        deadlines.add(at(1), port(1), |_| true);
        assert_eq!((deadlines.next(), deadlines.due(now)), (Some(at(1)), None));
        assert_eq!(deadlines.due(at(1)), Some(port(1)));
        assert_eq!((deadlines.due(at(1)), deadlines.due(at(3))), (None, Some(port(2))));
        assert_eq!(deadlines.next(), None);
    }

    #[test]
    fn deadlines_of_answered_calls_do_not_pile_up() {
        let (deadlines, far) = (Deadlines::new(), Instant::now() + Duration::from_secs(3600));
        for index in 0..10 * KEEP as u32 {
            deadlines.add(far, port(index), |other| other == port(0));
        }
        assert!(deadlines.heap.lock().entries.len() <= KEEP + 1);
        assert_eq!(deadlines.due(far), Some(port(0)));
    }
}
