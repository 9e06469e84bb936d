//! Which port runs next: one runner per worker of the runtime, each with a queue of its own.
//!
//! A port that becomes busy through code of a runner goes to that runner: the newest one first (it is an answer, or has its
//! data in the cache), but at most three times in a row; then the others in order. Runners steal from each other. Ports
//! that become busy through other threads go to a shared queue. A runner gives the thread back to the runtime every so often,
//! so that sockets and tasks get their turn.

use std::any::Any;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};
use std::time::{Duration, Instant};

use aemp_proto::Reason;
use crossbeam_deque::{Injector, Steal, Stealer, Worker};
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::run::{Next, panic_text, run_port};
use crate::node::Node;

/// How long a runner goes on before it lets the runtime poll its sockets.
const TURN: Duration = Duration::from_micros(500);

/// How long runners of a stopped node go on with what is queued, such as monitors that fired because of it.
const LAST_TURNS: Duration = Duration::from_secs(1);

/// How often in a row the newest port may go before the others.
const NEWEST_IN_A_ROW: u32 = 3;

/// Something to run.
pub(crate) enum Work {
    /// A port in state `Queued`.
    Port(u64),
    /// Code that belongs to no port.
    Call(Box<dyn FnOnce(&Node) + Send>),
}

/// The run queues of a node.
pub(crate) struct Scheduler {
    shared: Injector<Work>,
    stealers: Vec<Stealer<Work>>,
    /// The queues, until their runners start.
    queues: Mutex<Vec<Worker<Work>>>,
    idle: Mutex<Vec<usize>>,
    idle_count: AtomicUsize,
    wakers: Vec<Notify>,
    stopped: AtomicBool,
    /// Runners that have started and not ended.
    running: AtomicUsize,
    /// Nobody will run anything any more.
    over: AtomicBool,
    end: Notify,
}

/// The runner that this thread is in the middle of.
struct Current {
    /// Tells the schedulers of several nodes in one process apart.
    scheduler: *const Scheduler,
    queue: Worker<Work>,
    newest: Option<Work>,
    /// How many works this turn had, and how many of them in a row were the newest.
    picked: u32,
    in_a_row: u32,
}

/// One pick in so many looks at the shared queue first, so that a runner whose own queue never empties starves nobody.
const SHARED_EVERY: u32 = 31;

thread_local! {
    static CURRENT: RefCell<Option<Current>> = const { RefCell::new(None) };
}

impl Scheduler {
    /// Queues for this many runners.
    pub(crate) fn new(runners: usize) -> Scheduler {
        let queues: Vec<Worker<Work>> = (0..runners).map(|_| Worker::new_fifo()).collect();
        Scheduler {
            shared: Injector::new(),
            stealers: queues.iter().map(Worker::stealer).collect(),
            queues: Mutex::new(queues),
            idle: Mutex::new(Vec::new()),
            idle_count: AtomicUsize::new(0),
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
            tokio::spawn(run(node.clone(), index, queue));
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

    /// A runner ends. After the last one what is still queued, and may own handles of the node, is dropped.
    fn leave(&self) {
        if self.running.fetch_sub(1, Ordering::SeqCst) > 1 {
            return;
        }
        self.over.store(true, Ordering::SeqCst);
        let sink = Worker::new_fifo();
        while let Some(work) = sink.pop().or_else(|| self.find(&sink)) {
            if catch_unwind(AssertUnwindSafe(|| drop(work))).is_err() {
                tracing::error!("a callback panicked while it was dropped");
            }
        }
        self.end.notify_waiters();
    }

    /// Queues a port, which is in state `Queued`.
    pub(crate) fn schedule(&self, number: u64) {
        self.push(Work::Port(number));
    }

    /// Runs code soon, outside of any port.
    pub(crate) fn call(&self, code: Box<dyn FnOnce(&Node) + Send>) {
        self.push(Work::Call(code));
    }

    fn push(&self, work: Work) {
        if self.over.load(Ordering::SeqCst) {
            return;
        }
        let left = CURRENT.with_borrow_mut(|current| match current {
            Some(current) if std::ptr::eq(current.scheduler, self) => {
                match current.newest.replace(work) {
                    // One thing more than this runner does next: others may help.
                    Some(older) => {
                        current.queue.push(older);
                        Left::Helpers
                    }
                    None => Left::Nothing,
                }
            }
            _ => Left::Work(work),
        });
        match left {
            Left::Nothing => return,
            Left::Helpers => {}
            Left::Work(work) => self.shared.push(work),
        }
        self.wake_one();
    }

    fn wake_one(&self) {
        // Pairs with the fence in `rest`: either the runner sees the work, or we see the idle runner.
        fence(Ordering::SeqCst);
        if self.idle_count.load(Ordering::Relaxed) == 0 {
            return;
        }
        let mut idle = self.idle.lock();
        if let Some(index) = idle.pop() {
            self.idle_count.store(idle.len(), Ordering::Relaxed);
            drop(idle);
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
        {
            let mut idle = self.idle.lock();
            idle.push(index);
            self.idle_count.store(idle.len(), Ordering::Relaxed);
        }
        fence(Ordering::SeqCst);
        if !self.has_work() && !self.stopped.load(Ordering::SeqCst) {
            self.wakers[index].notified().await;
        }
        // Whoever woke this runner may have done so for an earlier rest. As long as it stands in the list it would be
        // chosen to help although it is busy, while others sleep.
        let mut idle = self.idle.lock();
        idle.retain(|other| *other != index);
        self.idle_count.store(idle.len(), Ordering::Relaxed);
    }
}

enum Left {
    Nothing,
    Helpers,
    Work(Work),
}

async fn run(node: Node, index: usize, mut queue: Worker<Work>) {
    let scheduler = node.scheduler();
    let mut stopped = None;
    loop {
        let busy;
        (queue, busy) = turn(&node, queue);
        if scheduler.stopped.load(Ordering::SeqCst) {
            let since = *stopped.get_or_insert_with(Instant::now);
            if !busy || since.elapsed() > LAST_TURNS {
                return scheduler.leave();
            }
        }
        if busy {
            tokio::task::yield_now().await;
        } else {
            scheduler.rest(index).await;
        }
    }
}

/// Runs ports for one turn. False if nothing is left to do.
fn turn(node: &Node, queue: Worker<Work>) -> (Worker<Work>, bool) {
    let scheduler = node.scheduler();
    // A handler may run a whole runtime with nodes of its own on this thread, so there may be an outer runner.
    let outer = CURRENT.replace(Some(Current { scheduler, queue, newest: None, picked: 0, in_a_row: 0 }));
    let began = Instant::now();
    let mut now = began;
    while let Some(work) = next(scheduler) {
        execute(node, work, &mut now);
        if now - began > TURN {
            break;
        }
    }
    let Some(Current { queue, newest, .. }) = CURRENT.replace(outer) else {
        unreachable!("only this function sets and takes the runner of its thread")
    };
    if let Some(work) = newest {
        queue.push(work);
    }
    let busy = !queue.is_empty() || scheduler.has_work();
    (queue, busy)
}

fn next(scheduler: &Scheduler) -> Option<Work> {
    CURRENT.with_borrow_mut(|current| {
        let current = current.as_mut()?;
        current.picked += 1;
        if current.picked.is_multiple_of(SHARED_EVERY)
            && let Steal::Success(work) = scheduler.shared.steal()
        {
            return Some(work);
        }
        if current.in_a_row < NEWEST_IN_A_ROW
            && let Some(work) = current.newest.take()
        {
            current.in_a_row += 1;
            return Some(work);
        }
        current.in_a_row = 0;
        current.queue.pop().or_else(|| scheduler.find(&current.queue)).or_else(|| current.newest.take())
    })
}

fn execute(node: &Node, work: Work, now: &mut Instant) {
    match work {
        Work::Port(number) => {
            match catch_unwind(AssertUnwindSafe(|| run_port(node, number, now))) {
                Ok(Next::Again) => requeue(number),
                Ok(Next::Rest) => {}
                // Not the handler, whose panics end in `run_port`: what belongs to the port panicked while it was put away.
                Err(panic) => end_of_panicked(node, number, &*panic),
            }
        }
        Work::Call(code) => {
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| code(node))) {
                tracing::error!(text = panic_text(&*panic), "a callback panicked");
            }
            *now = Instant::now();
        }
    }
}

fn end_of_panicked(node: &Node, number: u64, panic: &(dyn Any + Send)) {
    let reason = Reason::died(panic_text(panic));
    if catch_unwind(AssertUnwindSafe(|| node.end_port(number, reason))).is_err() {
        tracing::error!(port = %node.port_id(number), "a port panicked again while it was ended");
    }
}

/// A port that has more to do goes behind the others.
fn requeue(number: u64) {
    CURRENT.with_borrow(|current| {
        if let Some(current) = current {
            current.queue.push(Work::Port(number));
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_runner_that_does_not_rest_does_not_stand_among_the_idle() {
        let scheduler = Scheduler::new(2);
        // Somebody chose the runner just when it found work by itself: the wake-up is still there at its next rest.
        scheduler.wakers[0].notify_one();
        scheduler.rest(0).await;
        assert!(scheduler.idle.lock().is_empty());
        assert_eq!(scheduler.idle_count.load(Ordering::SeqCst), 0);
        scheduler.call(Box::new(|_| {}));
        scheduler.rest(1).await;
        assert!(scheduler.idle.lock().is_empty());
    }
}
