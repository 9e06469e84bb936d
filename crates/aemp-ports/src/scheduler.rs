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
use std::time::Duration;

use aemp_proto::Reason;
use crossbeam_deque::{Injector, Steal, Stealer, Worker};
use parking_lot::Mutex;

use super::batch::Batch;
use super::clock::Clock;
use super::exit::end_port;
use super::here::{self, Here};
use super::host::Host;
use super::port_no::PortNo;
use super::run::{Next, panic_text, run_port};
use super::sender;
use super::sleepers::Sleepers;

/// How often in a row the newest port may go before the others.
const NEWEST_IN_A_ROW: u32 = 3;

/// Code that belongs to no port.
type Code<H> = Box<dyn FnOnce(&H) + Send>;

/// Something to run.
pub enum Work<H: Host> {
    /// A port in state `Queued`.
    Port(PortNo),
    /// Code that belongs to no port.
    Call(Code<H>),
}

/// The run queues of a host.
pub struct Scheduler<H: Host> {
    shared: Injector<Work<H>>,
    stealers: Vec<Stealer<Work<H>>>,
    /// The queues, until their runners start.
    queues: Mutex<Vec<Worker<Work<H>>>>,
    sleepers: Sleepers,
    /// Wakes the runner with this number.
    wake: Box<dyn Fn(usize) + Send + Sync>,
    stopped: AtomicBool,
    /// Runners that have started and not ended.
    running: AtomicUsize,
    /// Nobody will run anything any more.
    over: AtomicBool,
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

impl<H: Host> Scheduler<H> {
    /// Queues for this many runners. `wake` wakes the one with a number.
    pub fn new(runners: usize, wake: Box<dyn Fn(usize) + Send + Sync>) -> Scheduler<H> {
        let queues: Vec<Worker<Work<H>>> = (0..runners).map(|_| Worker::new_fifo()).collect();
        Scheduler {
            shared: Injector::new(),
            stealers: queues.iter().map(Worker::stealer).collect(),
            queues: Mutex::new(queues),
            sleepers: Sleepers::new(),
            wake,
            stopped: AtomicBool::new(false),
            running: AtomicUsize::new(runners),
            over: AtomicBool::new(false),
        }
    }

    /// The queues, one for each runner: they are taken once, when the runners start.
    pub fn take_queues(&self) -> Vec<Worker<Work<H>>> {
        std::mem::take(&mut *self.queues.lock())
    }

    /// Ends the runners when nothing is left to do, or soon.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        (0..self.stealers.len()).for_each(|runner| (self.wake)(runner));
    }

    /// Whether the runners are to end when nothing is left to do.
    #[inline]
    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }

    /// Whether all runners have ended.
    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }

    /// A runner ends; says whether it was the last one. After that what is still queued, and may
    /// own handles of the host, is dropped.
    pub fn leave(&self) -> bool {
        if self.running.fetch_sub(1, Ordering::SeqCst) > 1 {
            return false;
        }
        self.over.store(true, Ordering::SeqCst);
        self.discard();
        true
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
    pub fn schedule(&self, number: PortNo) {
        if !here::is(self) {
            return self.push_shared(Work::Port(number));
        }
        if let Some(older) = here::put_newest(number) {
            self.push_own(Work::Port(older));
        }
    }

    /// Runs code soon, outside of any port.
    pub fn call(&self, code: Code<H>) {
        if here::is(self) {
            self.push_own(Work::Call(code));
        } else {
            self.push_shared(Work::Call(code));
        }
    }

    /// Runs a port. What belongs to it may panic while it is put away; panics of handlers end in
    /// `run_taken`.
    #[inline]
    fn port(&self, host: &H, number: PortNo, clock: &mut Clock) {
        if run_port(host, number, Some(clock)) == Next::Again {
            self.requeue(number);
        }
    }

    /// A port that has more to do goes behind the others.
    pub(crate) fn requeue(&self, number: PortNo) {
        // Nobody is asked to help: if there is nothing else to do, the port had better stay.
        let left = here::with_queue::<H, _>(|queue| match queue {
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
    fn push_own(&self, work: Work<H>) {
        let left = here::with_queue::<H, _>(|queue| match queue {
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

    pub(crate) fn push_shared(&self, work: Work<H>) {
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
        if here::with_queue::<H, _>(|queue| queue.as_ref().is_some_and(|queue| queue.len() > 1)) {
            self.wake_one();
        }
    }

    fn wake_one(&self) {
        if let Some(index) = self.sleepers.choose() {
            (self.wake)(index);
        }
    }

    /// Something that another runner, or another thread, has queued.
    fn find(&self, queue: &Worker<Work<H>>) -> Option<Work<H>> {
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

    /// Something that is queued for any runner. A host without runners takes one after the other:
    /// it runs a port by [`run_some`](super::run::run_some), whenever it likes.
    pub fn take(&self) -> Option<Work<H>> {
        loop {
            match self.shared.steal() {
                Steal::Success(work) => return Some(work),
                Steal::Empty => return None,
                Steal::Retry => {}
            }
        }
    }

    /// Whether something is queued.
    pub fn has_work(&self) -> bool {
        !self.shared.is_empty() || self.stealers.iter().any(|stealer| !stealer.is_empty())
    }

    /// This runner is about to sleep; false if something may be there already. Afterwards, however
    /// that comes, it calls [`Scheduler::get_up`].
    pub fn lie_down(&self, runner: usize) -> bool {
        self.sleepers.lie_down(runner);
        !self.has_work() && !self.is_stopped()
    }

    /// This runner goes on.
    pub fn get_up(&self, runner: usize) {
        self.sleepers.get_up(runner);
    }

    /// A runner that would be woken for new work; it counts as awake from now on.
    #[doc(hidden)] // for tests
    pub fn choose_sleeper(&self) -> Option<usize> {
        self.sleepers.choose()
    }
}

/// Runs ports for one turn. False if nothing is left to do.
pub fn turn<H: Host>(
    host: &H,
    queue: Worker<Work<H>>,
    clock: &mut Clock,
    share: Duration,
) -> (Worker<Work<H>>, bool) {
    let scheduler = &host.ports().scheduler;
    let here = Here::enter(host, queue);
    clock.start();
    let end = clock.now() + share;
    let mut batch = Batch::begin(host);
    // The first pick of a turn looks at the shared queue: a turn of long handlers has fewer picks
    // than it takes otherwise.
    let mut picks = Picks { until_shared: 1, in_a_row: 0 };
    let running = Cell::new(None);
    let mut works = || {
        while let Some(work) = picks.next(scheduler) {
            match work {
                Picked::Port(number) => {
                    running.set(Some(number));
                    scheduler.port(host, number, clock);
                    running.set(None);
                }
                Picked::Call(code) => call(host, code, clock),
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
        end_of_panicked(host, running.take(), &*panic);
    }
    finish_lap(host, clock);
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
enum Picked<H: Host> {
    Port(PortNo),
    Call(Code<H>),
}

impl<H: Host> From<Work<H>> for Picked<H> {
    fn from(work: Work<H>) -> Picked<H> {
        match work {
            Work::Port(number) => Picked::Port(number),
            Work::Call(code) => Picked::Call(code),
        }
    }
}

impl Picks {
    #[inline]
    fn next<H: Host>(&mut self, scheduler: &Scheduler<H>) -> Option<Picked<H>> {
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

    fn older<H: Host>(scheduler: &Scheduler<H>) -> Option<Picked<H>> {
        here::with_queue::<H, _>(|queue| {
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
fn call<H: Host>(host: &H, code: Code<H>, clock: &mut Clock) {
    finish_lap(host, clock);
    let run = AssertUnwindSafe(|| code(host));
    if let Err(panic) = sender::as_callback(host.reference(), host.next_id(), || catch_unwind(run)) {
        tracing::error!(text = panic_text(&*panic), "a callback panicked");
    }
    clock.start();
}

/// Measures the runs that were not measured yet.
pub(crate) fn finish_lap<H: Host>(host: &H, clock: &mut Clock) {
    if !clock.is_read() {
        host.measured(&clock.read());
    }
}

pub(crate) fn end_of_panicked<H: Host>(host: &H, number: Option<PortNo>, panic: &(dyn Any + Send)) {
    let Some(number) = number else {
        tracing::error!(text = panic_text(panic), "a runner panicked between two ports");
        return;
    };
    let reason = Reason::died(panic_text(panic));
    if catch_unwind(AssertUnwindSafe(|| end_port(host, number, reason))).is_err() {
        tracing::error!(port = %host.ports().id_of(host, number), "a port panicked again while it was ended");
    }
}
