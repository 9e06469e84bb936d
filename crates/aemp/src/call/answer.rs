//! The port for the answer to a call: its mailbox, and its place in the table.
//!
//! A thread that calls again and again keeps one free place, with the mailbox that lay there, for the next call: to ask all threads'
//! common list for one, and the allocator for a mailbox, would make up a sixth of a call.

use std::cell::Cell;
use std::task::Waker;

use aemp_proto::Reason;
use parking_lot::MutexGuard;

use super::NO_PORT;
use crate::message::Envelope;
use crate::node::Node;
use crate::port::known::Known;
use crate::port::mailbox::{After, Mailbox, Signal};
use crate::port::table::{self, State};
use crate::remote::Gate;

thread_local! {
    /// A place in the table of the node with this identity, and the number that its next port will have; or [`NO_PORT`].
    static KEPT: Cell<(usize, u64)> = const { Cell::new((0, NO_PORT)) };
}

impl Node {
    /// Opens a port for an answer.
    pub(super) fn open_for_answer<R: Send + 'static>(&self) -> u64 {
        let (whose, number) = KEPT.get();
        if number != NO_PORT && whose == self.identity() {
            KEPT.set((0, NO_PORT));
            if self.table().begin(number, |mailbox| mailbox.downcast_mut::<AnswerBox<R>>().is_some()) {
                return number;
            }
        }
        self.table().insert(State::Unscheduled, Known::boxed(AnswerBox::<R>::new()), None, None)
    }

    /// Ends a port for an answer that was taken out of its mailbox; nobody is to be told.
    pub(super) fn end_answered(&self, number: u64, cell: MutexGuard<'_, table::Cell>) {
        if KEPT.get().1 == NO_PORT {
            KEPT.set((self.identity(), self.table().keep(number, cell).unwrap_or(NO_PORT)));
        } else {
            drop(self.table().take_out(number, cell));
        }
    }
}

/// The mailbox of a port that lives for one answer.
pub(super) struct AnswerBox<R> {
    pub(super) answer: Option<Result<Given<R>, Lost>>,
    pub(super) waiting: Option<Waker>,
}

/// An answer as it came.
pub(super) enum Given<R> {
    /// Of the type that is waited for.
    Moved(R),
    /// Anything else.
    Other(Envelope),
}

/// Why no answer will come.
pub(super) struct Lost {
    pub(super) reason: Reason,
    /// Opens when the caller hears of it.
    pub(super) gate: Option<Box<Gate>>,
}

impl<R> AnswerBox<R> {
    pub(super) fn new() -> AnswerBox<R> {
        AnswerBox { answer: None, waiting: None }
    }

    /// The answer, if it has come and is of the type that is waited for.
    #[inline(always)]
    pub(super) fn take_moved(&mut self) -> Option<R> {
        match self.answer.take() {
            Some(Ok(Given::Moved(answer))) => Some(answer),
            other => {
                self.answer = other;
                None
            }
        }
    }

    /// Whoever waits is to be woken.
    pub(super) fn answer(&mut self, answer: Result<Given<R>, Lost>) -> Option<Waker> {
        self.answer.get_or_insert(answer);
        self.waiting.take()
    }
}

impl<R: Send + 'static> Mailbox for AnswerBox<R> {
    fn wants_encoded(&self) -> bool {
        false
    }

    fn push(&mut self, message: Envelope) -> usize {
        self.answer.get_or_insert(Ok(Given::Other(message)));
        0
    }

    fn signal(&mut self, signal: Signal) -> usize {
        let (reason, gate) = match signal {
            Signal::Fire(fire) => fire.into_reason(),
            Signal::Kill(reason) => (reason, None),
            Signal::Job(_) => return 0,
        };
        self.answer.get_or_insert(Err(Lost { reason, gate: gate.map(Box::new) }));
        0
    }

    fn after(&mut self) -> After {
        if self.answer.is_some() { After::Finish(self.waiting.take()) } else { After::Wake(None) }
    }
}

impl<R> Drop for AnswerBox<R> {
    fn drop(&mut self) {
        // The time is up, or the node ends. If it is the future that goes, it does not mind.
        if let Some(waiting) = self.waiting.take() {
            waiting.wake();
        }
    }
}
