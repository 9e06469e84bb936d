//! The runners of a node's ports, as tasks of the runtime: one for each of its workers. A runner
//! gives the thread back every so often, so that sockets and tasks get their turn.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_deque::Worker;
use tokio::sync::Notify;

use super::runners::Runners;
use crate::node::Node;
use aemp_ports::clock::Clock;
use aemp_ports::scheduler::{Scheduler, Work, turn};

/// How long a runner goes on before it lets the runtime poll its sockets: at least so long, and as
/// long as everything else took since its last turn, so that ports and tasks share the thread when
/// both have much to do.
const TURN: Duration = Duration::from_micros(500);

/// How long at most.
const TURN_MAX: Duration = Duration::from_millis(20);

/// How long runners of a stopped node go on with what is queued, such as monitors that fired
/// because of it.
const LAST_TURNS: Duration = Duration::from_secs(1);

impl Runners {
    /// This many runners, and what they run.
    pub(crate) fn new(runners: usize) -> (Arc<Runners>, Scheduler<Node>) {
        let new = Runners { wakers: (0..runners).map(|_| Notify::new()).collect(), end: Notify::new() };
        let new = Arc::new(new);
        let wakes = new.clone();
        (new, Scheduler::new(runners, Box::new(move |runner| wakes.wakers[runner].notify_one())))
    }

    /// Starts the runners as tasks of the current runtime.
    pub(crate) fn start(node: &Node) {
        for (index, queue) in node.scheduler().take_queues().into_iter().enumerate() {
            tokio::spawn(run(node.clone(), index, queue, Leaves(node.clone())));
        }
    }

    /// Waits until all runners have ended.
    pub(crate) async fn ended(&self, scheduler: &Scheduler<Node>) {
        let end = self.end.notified();
        tokio::pin!(end);
        end.as_mut().enable();
        if !scheduler.is_over() {
            end.await;
        }
    }

    /// Sleeps until something may be there.
    async fn rest(&self, scheduler: &Scheduler<Node>, index: usize) {
        if scheduler.lie_down(index) {
            self.wakers[index].notified().await;
        }
        scheduler.get_up(index);
    }
}

/// A runner that has not ended. It ends also when its runtime does, without having run anything.
struct Leaves(Node);

impl Drop for Leaves {
    fn drop(&mut self) {
        if self.0.scheduler().leave() {
            self.0.inner().runners.end.notify_waiters();
        }
    }
}

async fn run(node: Node, index: usize, mut queue: Worker<Work<Node>>, _leaves: Leaves) {
    let scheduler = node.scheduler();
    let mut clock = Clock::new();
    let mut stopped = None;
    let mut share = TURN;
    loop {
        let busy;
        (queue, busy) = turn(&node, queue, &mut clock, share);
        if scheduler.is_stopped() {
            let since = *stopped.get_or_insert_with(Instant::now);
            // What was queued before the stop is seen now, if it was not before.
            let busy = busy || scheduler.has_work();
            if !busy || since.elapsed() > LAST_TURNS {
                return;
            }
        }
        if busy {
            tokio::task::yield_now().await;
            share = clock.now().elapsed().clamp(TURN, TURN_MAX);
        } else {
            node.inner().runners.rest(scheduler, index).await;
            share = TURN;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::port::Context;

    #[tokio::test]
    async fn what_comes_from_outside_has_its_turn_beside_a_port_that_is_always_busy() {
        let node = Node::builder().start().await.expect("a node without settings");
        let turns = Arc::new(AtomicUsize::new(0));
        let counted = turns.clone();
        let busy = node.port(move |cx: &mut Context<'_>, (): ()| {
            let until = Instant::now() + Duration::from_micros(100);
            while Instant::now() < until {
                std::hint::spin_loop();
            }
            counted.fetch_add(1, Ordering::Relaxed);
            let me = cx.me();
            cx.send(&me, ());
        });
        for _ in 0..100 {
            node.send(&busy, ()).expect("it encodes");
        }
        let (sender, mut told) = tokio::sync::mpsc::unbounded_channel();
        let counted = turns.clone();
        let small = node.port(move |_: &mut Context<'_>, (): ()| {
            sender.send(counted.load(Ordering::Relaxed)).expect("the test waits");
        });
        let outside = node.clone();
        let sent = std::thread::spawn(move || {
            let before = turns.load(Ordering::Relaxed);
            outside.send(&small, ()).expect("it encodes");
            before
        });
        let after = told.recv().await.expect("the port lives");
        let before = sent.join().expect("it only sends");
        // Seconds of the busy port without a look at what others have queued would be far more.
        assert!(after - before < 10_000, "{} turns of the busy port", after - before);
    }

    #[tokio::test]
    async fn a_runner_that_does_not_rest_does_not_stand_among_the_idle() {
        let (runners, scheduler) = Runners::new(2);
        // Somebody chose the runner just when it found work by itself: the wake-up is still there
        // at its next rest.
        runners.wakers[0].notify_one();
        runners.rest(&scheduler, 0).await;
        assert_eq!(scheduler.choose_sleeper(), None);
        scheduler.call(Box::new(|_| {}));
        runners.rest(&scheduler, 1).await;
        assert_eq!(scheduler.choose_sleeper(), None);
    }
}
