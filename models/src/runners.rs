//! Runners that sleep, and those who wake them.

use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::sync::{Arc, Notify};
use loom::thread;

use super::sleepers::Sleepers;
use crate::check;

/// As much of a scheduler as the sleepers need: work is counted, with no ordering of its own.
struct Runners {
    work: AtomicUsize,
    sleepers: Sleepers,
    wakers: Vec<Notify>,
}

impl Runners {
    fn new(runners: usize) -> Arc<Runners> {
        Arc::new(Runners {
            work: AtomicUsize::new(0),
            sleepers: Sleepers::new(),
            wakers: (0..runners).map(|_| Notify::new()).collect(),
        })
    }

    fn queue(&self) {
        self.work.fetch_add(1, Ordering::Relaxed);
        if let Some(number) = self.sleepers.choose() {
            self.wakers[number].notify();
        }
    }

    fn take(&self) -> usize {
        self.work.swap(0, Ordering::Relaxed)
    }

    /// Runs until so much work was done by this runner.
    fn run(&self, number: usize, all: usize) {
        let mut done = 0;
        loop {
            done += self.take();
            if done == all {
                return;
            }
            self.sleepers.lie_down(number);
            if self.work.load(Ordering::Relaxed) == 0 {
                // If nobody notifies, loom says that all threads wait for each other.
                self.wakers[number].wait();
            }
            self.sleepers.get_up(number);
        }
    }
}

#[test]
pub(crate) fn work_that_is_queued_while_a_runner_lies_down_is_done() {
    check(3, || {
        let runners = Runners::new(1);
        let others = runners.clone();
        let sender = thread::spawn(move || {
            others.queue();
            others.queue();
        });
        runners.run(0, 2);
        sender.join().expect("it ends");
    });
}

#[test]
fn two_senders_wake_one_runner() {
    check(2, || {
        let runners = Runners::new(1);
        let senders = [(); 2].map(|()| {
            let others = runners.clone();
            thread::spawn(move || others.queue())
        });
        runners.run(0, 2);
        for sender in senders {
            sender.join().expect("it ends");
        }
    });
}

#[test]
fn a_runner_that_got_up_is_not_chosen() {
    check(3, || {
        let sleepers = Arc::new(Sleepers::new());
        let other = sleepers.clone();
        let chooser = thread::spawn(move || other.choose());
        sleepers.lie_down(0);
        sleepers.lie_down(1);
        sleepers.get_up(0);
        let chosen = chooser.join().expect("it ends");
        let left = sleepers.choose();
        // At most one of the choices fell on the one that had not got up yet.
        assert!(left != Some(0));
        assert!(chosen.is_none() || chosen != left);
        assert!(chosen.is_some() || left == Some(1));
    });
}
