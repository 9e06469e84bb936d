//! Which port runs next: one runner per worker of the runtime, each with a queue of its own.
//!
//! A port that becomes busy through code of a runner goes to that runner: the newest one first (it
//! is an answer, or has its data in the cache), but at most three times in a row; then the others
//! in order. Runners steal from each other. Ports that become busy through other threads go to a
//! shared queue. A runner gives the thread back to the runtime every so often, so that sockets and
//! tasks get their turn.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};
use std::time::{Duration, Instant};

use aemp_proto::Reason;
use crossbeam_deque::{Injector, Steal, Stealer, Worker};
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::clock::Clock;
use super::here::{self, Here};
use super::port_no::PortNo;
use super::run::{Next, panic_text, report_if_blocked, run_port};
use super::sleepers::Sleepers;
use crate::node::Node;
use crate::runtime::flush::Batch;
use crate::runtime::sender;

/// How long a runner goes on before it lets the runtime poll its sockets: at least so long, and as
/// long as everything else took since its last turn, so that ports and tasks share the thread when
/// both have much to do.
const TURN: Duration = Duration::from_micros(500);

/// How long at most.
const TURN_MAX: Duration = Duration::from_millis(20);

/// How long runners of a stopped node go on with what is queued, such as monitors that fired
/// because of it.
const LAST_TURNS: Duration = Duration::from_secs(1);

/// How often in a row the newest port may go before the others.
const NEWEST_IN_A_ROW: u32 = 3;

/// Code that belongs to no port.
type Code = Box<dyn FnOnce(&Node) + Send>;

/// Something to run.
pub(crate) enum Work {
    /// A port in state `Queued`.
    Port(PortNo),
    /// Code that belongs to no port.
    Call(Code),
}

/// The run queues of a node.
pub(crate) struct Scheduler {
    shared: Injector<Work>,
    stealers: Vec<Stealer<Work>>,
    /// The queues, until their runners start.
    queues: Mutex<Vec<Worker<Work>>>,
    sleepers: Sleepers,
    wakers: Vec<Notify>,
    pub(super) stopped: AtomicBool,
    /// Runners that have started and not ended.
    running: AtomicUsize,
    /// Nobody will run anything any more.
    over: AtomicBool,
    end: Notify,
}

/// One pick in this many looks at the shared queue first, so that a runner whose own queue never
/// empties starves nobody.
const SHARED_EVERY: u32 = 31;

/// What a runner has picked in this turn.
struct Picks {
    /// Picks before the next look at the shared queue.
    until_shared: u32,
    /// How many in a row were the newest.
    in_a_row: u32,
}

impl Scheduler {
    /// Queues for this many runners.
    pub(crate) fn new(runners: usize) -> Scheduler {
        let queues: Vec<Worker<Work>> = (0..runners).map(|_| Worker::new_fifo()).collect();
        Scheduler {
            shared: Injector::new(),
            stealers: queues.iter().map(Worker::stealer).collect(),
            queues: Mutex::new(queues),
            sleepers: Sleepers::new(),
            wakers: (0..runners).map(|_| Notify::new()).collect(),
            stopped: AtomicBool::new(false),
            running: AtomicUsize::new(runners),
            over: AtomicBool::new(false),
            end: Notify::new(),
        }
    }

    /// Starts the runners as tasks of the current runtime.
    pub(crate) fn start(node: &Node) {
        let queues = std::mem::take(&mut *node.scheduler().queues.lock());
        for (index, queue) in queues.into_iter().enumerate() {
            tokio::spawn(run(node.clone(), index, queue, Leaves(node.clone())));
        }
    }

    /// Ends the runners when nothing is left to do, or soon.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        self.wakers.iter().for_each(Notify::notify_one);
    }

    /// Waits until all runners have ended.
    pub(crate) async fn ended(&self) {
        let end = self.end.notified();
        tokio::pin!(end);
        end.as_mut().enable();
        if !self.over.load(Ordering::SeqCst) {
            end.await;
        }
    }

    /// A runner ends. After the last one what is still queued, and may own handles of the node, is
    /// dropped.
    fn leave(&self) {
        if self.running.fetch_sub(1, Ordering::SeqCst) > 1 {
            return;
        }
        self.over.store(true, Ordering::SeqCst);
        self.discard();
        self.end.notify_waiters();
    }

    /// Drops what nobody will run.
    #[cold]
    fn discard(&self) {
        fence(Ordering::SeqCst);
        let sink = Worker::new_fifo();
        while let Some(work) = sink.pop().or_else(|| self.find(&sink)) {
            if catch_unwind(AssertUnwindSafe(|| drop(work))).is_err() {
                tracing::error!("a callback panicked while it was dropped");
            }
        }
    }

    /// Queues a port, which is in state `Queued`.
    #[inline]
    pub(crate) fn schedule(&self, number: PortNo) {
        if !here::is(self) {
            return self.push_shared(Work::Port(number));
        }
        if let Some(older) = here::put_newest(number) {
            self.push_own(Work::Port(older));
        }
    }

    /// Runs code soon, outside of any port.
    pub(crate) fn call(&self, code: Code) {
        if here::is(self) {
            self.push_own(Work::Call(code));
        } else {
            self.push_shared(Work::Call(code));
        }
    }

    /// Runs a port. What belongs to it may panic while it is put away; panics of handlers end in
    /// `run_taken`.
    #[inline]
    fn port(&self, node: &Node, number: PortNo, clock: &mut Clock) {
        if run_port(node, number, Some(clock)) == Next::Again {
            self.requeue(number);
        }
    }

    /// A port that has more to do goes behind the others.
    pub(super) fn requeue(&self, number: PortNo) {
        // Nobody is asked to help: if there is nothing else to do, the port had better stay.
        let left = here::with_queue(|queue| match queue {
            Some(queue) => {
                queue.push(Work::Port(number));
                false
            }
            None => true,
        });
        if left {
            self.push_shared(Work::Port(number));
        }
    }

    /// Queues one thing more than the runner of this thread does next: others may help. That an
    /// idle runner is overlooked here does no harm, for this one looks again when it reads its
    /// clock.
    fn push_own(&self, work: Work) {
        let left = here::with_queue(|queue| match queue {
            Some(queue) => {
                queue.push(work);
                None
            }
            None => Some(work),
        });
        if let Some(work) = left {
            self.push_shared(work);
        } else if self.sleepers.may_be_some() {
            self.wake_one();
        }
    }

    pub(super) fn push_shared(&self, work: Work) {
        self.shared.push(work);
        self.wake_one();
        // After the fence in there: either the last runner has found the work when it left, or it
        // is seen here that it did.
        if self.over.load(Ordering::Relaxed) {
            self.discard();
        }
    }

    /// Wakes an idle runner if this one has more than it does next.
    fn look_for_help(&self) {
        if here::with_queue(|queue| queue.as_ref().is_some_and(|queue| queue.len() > 1)) {
            self.wake_one();
        }
    }

    fn wake_one(&self) {
        if let Some(index) = self.sleepers.choose() {
            self.wakers[index].notify_one();
        }
    }

    /// Something that another runner, or another thread, has queued.
    fn find(&self, queue: &Worker<Work>) -> Option<Work> {
        loop {
            let found = self
                .shared
                .steal_batch_and_pop(queue)
                .or_else(|| self.stealers.iter().map(|stealer| stealer.steal_batch_and_pop(queue)).collect());
            match found {
                Steal::Success(work) => return Some(work),
                Steal::Empty => return None,
                Steal::Retry => {}
            }
        }
    }

    fn has_work(&self) -> bool {
        !self.shared.is_empty() || self.stealers.iter().any(|stealer| !stealer.is_empty())
    }

    /// Sleeps until something may be there.
    async fn rest(&self, index: usize) {
        self.sleepers.lie_down(index);
        if !self.has_work() && !self.stopped.load(Ordering::SeqCst) {
            self.wakers[index].notified().await;
        }
        self.sleepers.get_up(index);
    }
}

/// A runner that has not ended. It ends also when its runtime does, without having run anything.
struct Leaves(Node);

impl Drop for Leaves {
    fn drop(&mut self) {
        self.0.scheduler().leave();
    }
}

async fn run(node: Node, index: usize, mut queue: Worker<Work>, _leaves: Leaves) {
    let scheduler = node.scheduler();
    let mut clock = Clock::new();
    let mut stopped = None;
    let mut share = TURN;
    loop {
        let busy;
        (queue, busy) = turn(&node, queue, &mut clock, share);
        if scheduler.stopped.load(Ordering::SeqCst) {
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
            scheduler.rest(index).await;
            share = TURN;
        }
    }
}

/// Runs ports for one turn. False if nothing is left to do.
fn turn(node: &Node, queue: Worker<Work>, clock: &mut Clock, share: Duration) -> (Worker<Work>, bool) {
    let scheduler = node.scheduler();
    let here = Here::enter(node, queue);
    clock.start();
    let end = clock.now() + share;
    let mut batch = Batch::begin(node);
    // The first pick of a turn looks at the shared queue: a turn of long handlers has fewer picks
    // than it takes otherwise.
    let mut picks = Picks { until_shared: 1, in_a_row: 0 };
    let running = Cell::new(None);
    let mut works = || {
        while let Some(work) = picks.next(scheduler) {
            match work {
                Picked::Port(number) => {
                    running.set(Some(number));
                    scheduler.port(node, number, clock);
                    running.set(None);
                }
                Picked::Call(code) => call(node, code, clock),
            }
            batch.worked();
            if clock.is_read() {
                if clock.now() > end {
                    break;
                }
                scheduler.look_for_help();
            }
        }
    };
    while let Err(panic) = catch_unwind(AssertUnwindSafe(&mut works)) {
        end_of_panicked(node, running.take(), &*panic);
    }
    finish_lap(node, clock);
    drop(batch);
    let (Some(queue), newest) = here.leave() else {
        unreachable!("only this function sets and takes the queue of its thread")
    };
    if let Some(newest) = newest {
        queue.push(Work::Port(newest));
    }
    let busy = !queue.is_empty() || scheduler.has_work();
    (queue, busy)
}

/// What is to be run next. Beside [`Work`], which lies in queues, this stays in registers.
enum Picked {
    Port(PortNo),
    Call(Code),
}

impl From<Work> for Picked {
    fn from(work: Work) -> Picked {
        match work {
            Work::Port(number) => Picked::Port(number),
            Work::Call(code) => Picked::Call(code),
        }
    }
}

impl Picks {
    #[inline]
    fn next(&mut self, scheduler: &Scheduler) -> Option<Picked> {
        self.until_shared -= 1;
        if self.until_shared == 0 {
            self.until_shared = SHARED_EVERY;
            if let Steal::Success(work) = scheduler.shared.steal() {
                return Some(work.into());
            }
        }
        if self.in_a_row < NEWEST_IN_A_ROW
            && let Some(number) = here::take_newest()
        {
            self.in_a_row += 1;
            return Some(Picked::Port(number));
        }
        self.in_a_row = 0;
        Picks::older(scheduler)
    }

    fn older(scheduler: &Scheduler) -> Option<Picked> {
        here::with_queue(|queue| {
            let queue = queue.as_ref()?;
            if let Some(work) = queue.pop() {
                return Some(work.into());
            }
            match here::take_newest() {
                None => scheduler.find(queue).map(Picked::from),
                Some(number) => Some(Picked::Port(number)),
            }
        })
    }
}

/// Runs code that belongs to no port.
fn call(node: &Node, code: Code, clock: &mut Clock) {
    finish_lap(node, clock);
    let run = AssertUnwindSafe(|| code(node));
    if let Err(panic) = sender::as_callback(node.reference(), node.next_id(), || catch_unwind(run)) {
        tracing::error!(text = panic_text(&*panic), "a callback panicked");
    }
    clock.start();
}

/// Measures the runs that were not measured yet.
pub(super) fn finish_lap(node: &Node, clock: &mut Clock) {
    if !clock.is_read() {
        report_if_blocked(node, &clock.read());
    }
}

pub(super) fn end_of_panicked(node: &Node, number: Option<PortNo>, panic: &(dyn Any + Send)) {
    let Some(number) = number else {
        tracing::error!(text = panic_text(panic), "a runner panicked between two ports");
        return;
    };
    let reason = Reason::died(panic_text(panic));
    if catch_unwind(AssertUnwindSafe(|| node.end_port(number, reason))).is_err() {
        tracing::error!(port = %node.port_id(number), "a port panicked again while it was ended");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

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
        let scheduler = Scheduler::new(2);
        // Somebody chose the runner just when it found work by itself: the wake-up is still there
        // at its next rest.
        scheduler.wakers[0].notify_one();
        scheduler.rest(0).await;
        assert_eq!(scheduler.sleepers.choose(), None);
        scheduler.call(Box::new(|_| {}));
        scheduler.rest(1).await;
        assert_eq!(scheduler.sleepers.choose(), None);
    }
}
