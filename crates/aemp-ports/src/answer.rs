//! The mailbox of the port for the answer to a call.

use std::task::Waker;

use aemp_proto::Reason;

use super::host::Host;
use super::mailbox::{After, Job, Mailbox, Signal};
use super::monitor::Notification;
use super::reply_slot::ReplySlot;
use super::wake::wake;
use crate::message::Envelope;

/// The mailbox of a port that lives for one answer.
pub struct AnswerBox<H: Host, R> {
    /// The answer, and who waits for it.
    pub slot: ReplySlot<Result<Given<R>, Lost<H>>>,
    /// Code for the port, which never runs. It is dropped with the box, for the port is locked when
    /// it comes.
    ignored: Vec<Job<H>>,
}

/// An answer as it came.
pub enum Given<R> {
    /// Of the type that is waited for.
    Moved(R),
    /// Anything else.
    Other(Envelope),
}

/// Why no answer will come.
pub enum Lost<H: Host> {
    /// The port that was called, or the one for the answer, has died of this.
    Killed(Reason),
    /// A monitor has fired. What it owns is dropped, and its gate opens, when the caller hears of
    /// it.
    Fired(Box<Notification<H>>),
}

impl<H: Host, R> AnswerBox<H, R> {
    /// No answer yet.
    pub fn new() -> AnswerBox<H, R> {
        AnswerBox { slot: ReplySlot::new(), ignored: Vec::new() }
    }

    /// Whether nothing is in it once the answer is taken out.
    #[inline]
    pub fn is_bare(&self) -> bool {
        self.ignored.is_empty()
    }

    /// The answer, if it has come and is of the type that is waited for.
    #[inline(always)]
    pub fn take_moved(&mut self) -> Option<R> {
        self.slot.take_if(|answer| match answer {
            Ok(Given::Moved(answer)) => Ok(answer),
            other => Err(other),
        })
    }

    /// Gives what wakes the call that waits.
    pub fn answer(&mut self, answer: Result<Given<R>, Lost<H>>) -> Option<Waker> {
        self.slot.put(answer);
        self.slot.take_waiting()
    }
}

impl<H: Host, R: Send + 'static> Mailbox<H> for AnswerBox<H, R> {
    fn wants_encoded(&self) -> bool {
        false
    }

    fn push(&mut self, message: Envelope) -> usize {
        self.slot.put(Ok(Given::Other(message)));
        0
    }

    fn signal(&mut self, signal: Signal<H>) -> usize {
        let lost = match signal {
            Signal::Notification(notification) => Lost::Fired(Box::new(notification)),
            Signal::Kill(reason) => Lost::Killed(reason),
            Signal::Job(job) => {
                self.ignored.push(job);
                return 0;
            }
            Signal::Traced(traced) => return self.push(traced.message),
        };
        self.slot.put(Err(lost));
        0
    }

    fn wants_reasons(&self) -> bool {
        true
    }

    fn after(&mut self) -> After {
        if self.slot.is_full() { After::Finish(self.slot.take_waiting()) } else { After::Wake(None) }
    }
}

impl<H: Host, R> Drop for AnswerBox<H, R> {
    fn drop(&mut self) {
        // The time is up, or the node ends. If it is the future that goes, it does not mind.
        if let Some(waiting) = self.slot.take_waiting() {
            wake(waiting);
        }
    }
}
