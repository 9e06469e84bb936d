//! Where the answer to a call lies, and who waits for it; under the lock of the port for the
//! answer. The crate `aemp-models` tries all interleavings.

use std::task::Waker;

/// A place for one answer.
pub struct ReplySlot<A> {
    answer: Option<A>,
    waiting: Option<Waker>,
}

impl<A> ReplySlot<A> {
    /// No answer, and nobody waits.
    pub fn new() -> ReplySlot<A> {
        ReplySlot { answer: None, waiting: None }
    }

    /// Puts an answer in, unless there is one.
    pub fn put(&mut self, answer: A) {
        self.answer.get_or_insert(answer);
    }

    /// Whether there is an answer.
    pub fn is_full(&self) -> bool {
        self.answer.is_some()
    }

    /// The task that waits, if one does: it is to be woken when the lock is free again.
    pub fn take_waiting(&mut self) -> Option<Waker> {
        self.waiting.take()
    }

    /// The answer; if it is not there, `task` is woken when it comes.
    pub fn take_or_wait(&mut self, task: &Waker) -> Option<A> {
        if self.answer.is_none() {
            self.waiting = Some(task.clone());
        }
        self.answer.take()
    }

    /// What `pick` takes of the answer; what it gives back stays.
    #[inline(always)]
    pub fn take_if<T>(&mut self, pick: impl FnOnce(A) -> Result<T, A>) -> Option<T> {
        match pick(self.answer.take()?) {
            Ok(picked) => Some(picked),
            Err(answer) => {
                self.answer = Some(answer);
                None
            }
        }
    }
}
