//! Kills that wait for the task of an async port. The crate `aemp-models` tries all interleavings.
//!
//! They lie beside the mailbox, under the lock of the port, and a flag says so without it: the task
//! looks at the flag each time before it polls the port's code, and is woken when the flag is set.

use std::mem;
use std::sync::Arc;
use std::task::Waker;

use super::sync::{AtomicBool, Ordering};

/// Whether a kill waits, or the port has ended. Changes under the lock of the port.
#[derive(Default)]
pub struct Doom(AtomicBool);

impl Doom {
    /// Whether a kill waits, or the port has ended.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    fn set(&self, doomed: bool) {
        self.0.store(doomed, Ordering::Release);
    }
}

/// The kills of one async port, in order.
pub struct Kills<K> {
    waiting: Vec<K>,
    /// Wakes the task, no matter what its code waits for; known from its first poll on.
    task: Option<Waker>,
    doom: Arc<Doom>,
}

impl<K> Kills<K> {
    /// None waits. `doom` is shared with the task.
    pub fn new(doom: Arc<Doom>) -> Kills<K> {
        Kills { waiting: Vec::new(), task: None, doom }
    }

    /// Lets the task be woken. It looks at the flag afterwards, and so sees a kill that came
    /// before.
    pub fn make_known(&mut self, task: &Waker) {
        self.task = Some(task.clone());
    }

    /// Adds a kill; who does so wakes the task with [`Kills::task`] when the port is not locked any
    /// more.
    pub fn add(&mut self, kill: K) {
        self.waiting.push(kill);
        self.doom.set(true);
    }

    /// What wakes the task, if it has been polled.
    pub fn task(&self) -> Option<Waker> {
        self.task.clone()
    }

    /// Those that wait. The task goes on, unless one of them takes effect.
    pub fn take(&mut self) -> Vec<K> {
        self.doom.set(false);
        mem::take(&mut self.waiting)
    }

    /// Those that wait.
    pub fn iter(&self) -> impl Iterator<Item = &K> {
        self.waiting.iter()
    }

    /// The port has ended, and its task is to end; what wakes that.
    pub fn end(&mut self) -> Option<Waker> {
        self.doom.set(true);
        self.task.take()
    }
}
