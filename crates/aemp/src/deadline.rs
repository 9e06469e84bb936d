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

use crate::node::Node;
use aemp_ports::exit::end_port;
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

    fn due(&self, now: Instant) -> Option<PortNo> {
        let mut heap = self.heap.lock();
        let Reverse((at, _)) = heap.entries.peek()?;
        if *at > now { None } else { heap.entries.pop().map(|Reverse((_, number))| number) }
    }
}

impl Node {
    /// Ends the port, which waits for an answer, at this time.
    pub(crate) fn end_at(&self, at: Instant, number: PortNo) {
        let deadlines = self.deadlines();
        let mut heap = deadlines.heap.lock();
        let first = heap.entries.peek().is_none_or(|Reverse((earliest, _))| at < *earliest);
        heap.entries.push(Reverse((at, number)));
        if heap.entries.len() > heap.crowded {
            heap.entries.retain(|Reverse((_, number))| self.table().get(*number).is_some());
            heap.crowded = KEEP.max(2 * heap.entries.len());
        }
        drop(heap);
        if first {
            deadlines.earlier.notify_one();
        }
    }

    /// Ends the ports whose time has come.
    pub(crate) fn end_due(&self) {
        while let Some(number) = self.deadlines().due(Instant::now()) {
            end_port(self, number, aemp_proto::Reason::NORMAL);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use aemp_ports::known::Known;
    use aemp_ports::mailbox::TaskQueue;
    use aemp_ports::slot::State;

    #[tokio::test(start_paused = true)]
    async fn ports_end_in_the_order_of_their_deadlines() {
        let node = Node::builder().start().await.expect("it starts");
        let open = || node.table().insert(State::Unscheduled, Known::boxed(TaskQueue::default()), None, None);
        let (late, early) = (open(), open());
        let now = Instant::now();
        node.end_at(now + Duration::from_secs(2), late);
        node.end_at(now + Duration::from_secs(1), early);
        let exists = |number| node.table().get(number).is_some();
        tokio::time::sleep_until(now + Duration::from_millis(1500)).await; // sleep: the clock is a paused one
        assert!(exists(late) && !exists(early));
        tokio::time::sleep_until(now + Duration::from_millis(2500)).await; // sleep: the clock is a paused one
        assert!(!exists(late));
    }

    #[tokio::test]
    async fn deadlines_of_answered_calls_do_not_pile_up() {
        let node = Node::builder().start().await.expect("it starts");
        let far = Instant::now() + Duration::from_secs(3600);
        for _ in 0..10 * KEEP {
            let number =
                node.table().insert(State::Unscheduled, Known::boxed(TaskQueue::default()), None, None);
            node.end_at(far, number);
            end_port(&node, number, aemp_proto::Reason::NORMAL);
        }
        assert!(node.deadlines().heap.lock().entries.len() <= KEEP + 1);
    }
}
