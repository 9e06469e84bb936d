//! Calls: a message with a port for the answer, a monitor, and a limit.
//!
//! The port for the answer is a slot of the table and nothing else: the answer, moved if it has just the type that is waited
//! for, lies in its mailbox until the future takes it. A called port of this node that has nothing else to do runs at once, on
//! the thread that waits for it anyway.

use std::future::Future;
use std::marker::PhantomData;
use std::pin::{Pin, pin};
use std::task::{Context as TaskContext, Poll, Waker};
use std::time::Duration;

use aemp_proto::{PortId, Reason, typed};
use serde::Serialize;
use serde::de::{DeserializeOwned, Error as _};
use thiserror::Error;
use tokio::task::coop::consume_budget;
use tokio::time::Instant;

use crate::message::{DecodeError, Envelope, IntoMessage, ReplyTo};
use crate::monitor::{Action, MonitorGuard, PortAction};
use crate::node::{Node, Place, Pressure, SendError};
use crate::port::known::Known;
use crate::port::life::Called;
use crate::port::mailbox::{After, Mailbox, Signal};
use crate::port::scheduler::Scheduler;
use crate::port::table::State;
use crate::remote::Gate;

/// The number of no port.
const NO_PORT: u64 = 0;

/// Why a call had no answer.
#[derive(Debug, Error)]
pub enum CallError {
    /// The port died, does not exist, or something sent to it may have been lost.
    #[error("the called port died: {0}")]
    Died(Reason),
    /// There was no answer in time. The call may have been handled all the same.
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
    /// The answer is of another type.
    #[error("the answer does not fit: {0}")]
    BadReply(#[from] DecodeError),
    /// The call could not be sent.
    #[error(transparent)]
    Send(#[from] SendError),
}

/// The mailbox of a port that lives for one answer.
struct AnswerBox<R> {
    answer: Option<Result<Given<R>, Lost>>,
    waiting: Option<Waker>,
}

/// An answer as it came.
enum Given<R> {
    /// Of the type that is waited for.
    Moved(R),
    /// Anything else.
    Other(Envelope),
}

/// Why no answer will come.
struct Lost {
    reason: Reason,
    /// Opens when the caller hears of it.
    gate: Option<Box<Gate>>,
}

impl<R> AnswerBox<R> {
    /// Whoever waits is to be woken.
    fn answer(&mut self, answer: Result<Given<R>, Lost>) -> Option<Waker> {
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

impl Node {
    /// Calls a port: sends what `message` makes of the port for the answer, and waits for that.
    ///
    /// The port is monitored before the message is sent, so its death answers at once, not after `limit`. The message is made
    /// now; it is sent when the future is polled first, and the time runs from then on.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up the answer; once it was polled, the message has been sent.
    ///
    /// # Errors
    ///
    /// See [`CallError`].
    #[doc(alias = "cal")]
    pub fn call<M, R, F>(
        &self,
        port: &PortId,
        limit: Duration,
        message: F,
    ) -> impl Future<Output = Result<R, CallError>> + Send + use<M, R, F>
    where
        F: FnOnce(ReplyTo<R>) -> M,
        M: IntoMessage + Send,
        R: DeserializeOwned + Send + 'static,
    {
        self.prepare_call(port, limit, message)
    }

    /// A call that is sent now; the answer is waited for afterwards. Says whether the called port is behind.
    pub(crate) fn begin_call<M, R>(
        &self,
        port: &PortId,
        limit: Duration,
        message: impl FnOnce(ReplyTo<R>) -> M,
    ) -> (Awaited<R>, Option<Pressure>)
    where
        M: IntoMessage,
        R: DeserializeOwned + Send + 'static,
    {
        let mut call = self.prepare_call(port, limit, message);
        let pressure = call.begin(false);
        (call.awaited, pressure)
    }

    fn prepare_call<M, R>(
        &self,
        port: &PortId,
        limit: Duration,
        message: impl FnOnce(ReplyTo<R>) -> M,
    ) -> Call<M, R>
    where
        R: Send + 'static,
    {
        let answer = AnswerBox::<R> { answer: None, waiting: None };
        let number = self.table().insert(State::Unscheduled, Known::boxed(answer), None, None);
        // Before anything else, for the code that makes the message may panic.
        let awaited = Awaited {
            node: self.clone(),
            number,
            limit,
            failed: None,
            deadline: None,
            monitor: None,
            reply: PhantomData,
        };
        let message = message(ReplyTo::new(self.own_port(number)));
        Call { port: port.clone(), message: Some(message), awaited }
    }

    /// Answers a call with a value that is moved to whoever waits, if that is here and waits for just this type.
    pub(crate) fn answer_call<T: Serialize + Send + 'static>(
        &self,
        to: &PortId,
        answer: T,
    ) -> Result<Option<Pressure>, SendError> {
        if let Some(number) = self.own_number(to)
            && !self.always_encodes()
            && let Some(mut cell) = self.table().get(number)
            && !cell.closing
            && let Some(mailbox) = &mut cell.mailbox
            && let Some(waits) = mailbox.downcast_mut::<AnswerBox<T>>()
        {
            let waker = waits.answer(Ok(Given::Moved(answer)));
            self.answered(number, cell, waker);
            return Ok(None);
        }
        self.send_under_pressure(to, typed::to_body(&answer)?)
    }
}

/// A call, before and after it was sent.
struct Call<M, R> {
    port: PortId,
    /// What is to be sent.
    message: Option<M>,
    awaited: Awaited<R>,
}

// Nothing in it is pinned: the message only waits here until it is sent.
impl<M, R> Unpin for Call<M, R> {}

impl<M: IntoMessage, R> Call<M, R> {
    /// Monitors the port and sends the message. `help` says that the port may run on this thread.
    fn begin(&mut self, help: bool) -> Option<Pressure> {
        let message = self.message.take()?;
        self.awaited.send(&self.port, message, help).unwrap_or_else(|error| {
            self.awaited.failed = Some(Box::new(error));
            None
        })
    }
}

impl<M: IntoMessage, R: DeserializeOwned + Send + 'static> Future for Call<M, R> {
    type Output = Result<R, CallError>;

    fn poll(mut self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<Result<R, CallError>> {
        // A caller that always finds its answer at once has to let others run, too.
        if self.message.is_some()
            && Scheduler::costs_budget()
            && pin!(consume_budget()).poll(task).is_pending()
        {
            return Poll::Pending;
        }
        self.begin(true);
        Pin::new(&mut self.awaited).poll(task).map(Heard::open)
    }
}

/// The answer to a call that was sent.
pub(crate) struct Awaited<R> {
    node: Node,
    /// The port for the answer.
    number: u64,
    limit: Duration,
    failed: Option<Box<CallError>>,
    /// Set when it has to wait.
    deadline: Option<Instant>,
    /// On a port of another node.
    monitor: Option<MonitorGuard>,
    reply: PhantomData<fn() -> R>,
}

/// How a call ended.
pub(crate) struct Heard<R> {
    answer: Result<R, CallError>,
    gate: Option<Box<Gate>>,
}

impl<R> Heard<R> {
    /// The caller hears of it now.
    pub(crate) fn open(self) -> Result<R, CallError> {
        drop(self.gate);
        self.answer
    }
}

impl<R> From<Result<R, CallError>> for Heard<R> {
    fn from(answer: Result<R, CallError>) -> Heard<R> {
        Heard { answer, gate: None }
    }
}

impl<R: DeserializeOwned + Send + 'static> Future for Awaited<R> {
    type Output = Heard<R>;

    fn poll(mut self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<Heard<R>> {
        let call = &mut *self;
        if let Some(error) = call.failed.take() {
            return Poll::Ready(Err(*error).into());
        }
        match call.look(task.waker()) {
            Looked::Waits => {
                call.limit_time();
                Poll::Pending
            }
            Looked::Answer(answer) => {
                call.end();
                Poll::Ready(open_answer(answer))
            }
            // The port for the answer has ended: its time has come, or that of the node.
            Looked::Gone if call.deadline.is_some_and(|deadline| deadline <= Instant::now()) => {
                Poll::Ready(Err(CallError::TimedOut(call.limit)).into())
            }
            Looked::Gone => {
                Poll::Ready(Err(CallError::Died(Reason::text("shutdown", "the node has ended"))).into())
            }
        }
    }
}

/// What was found in the mailbox for the answer.
enum Looked<R> {
    Waits,
    Answer(Result<Given<R>, Lost>),
    Gone,
}

impl<R: Send + 'static> Awaited<R> {
    /// Takes the answer, and with it the port for the answer out of the table.
    fn look(&mut self, waker: &Waker) -> Looked<R> {
        let Some(mut cell) = self.node.table().get(self.number) else { return Looked::Gone };
        let mailbox = cell.mailbox.as_mut().and_then(|m| m.downcast_mut::<AnswerBox<R>>());
        let Some(mailbox) = mailbox else { return Looked::Gone };
        let Some(answer) = mailbox.answer.take() else {
            mailbox.waiting = Some(waker.clone());
            return Looked::Waits;
        };
        // Whoever monitors it is to be told.
        if cell.extra.is_none() {
            let removed = self.node.table().take_out(self.number, cell);
            self.number = NO_PORT;
            drop(removed);
        }
        Looked::Answer(answer)
    }
}

impl<R> Awaited<R> {
    fn send<M: IntoMessage>(
        &mut self,
        port: &PortId,
        message: M,
        help: bool,
    ) -> Result<Option<Pressure>, CallError> {
        match self.node.place(port) {
            Place::Here(number) => {
                let called = self.node.call_here(port, number, self.number, message)?;
                match called {
                    Called::Run => self.node.scheduler().run_soon(&self.node, number, help),
                    Called::Queued(pressure) => return Ok(pressure),
                }
            }
            Place::Nowhere => return Err(CallError::Died(self.node.why_missing(port))),
            Place::Node | Place::There(_) => {
                let action = Action::Port(self.number, PortAction::Kill);
                self.monitor = Some(self.node.set_monitor(port, action));
                return Ok(self.node.send_under_pressure(port, message)?);
            }
        }
        Ok(None)
    }

    /// The time runs from the first wait. A limit beyond the end of time is none.
    fn limit_time(&mut self) {
        if self.deadline.is_none() {
            self.deadline = Instant::now().checked_add(self.limit);
            if let Some(deadline) = self.deadline {
                self.node.end_at(deadline, self.number);
            }
        }
        if self.node.is_over() {
            self.node.end_port(self.number, Reason::NORMAL);
        }
    }

    /// Ends the port for the answer.
    fn end(&mut self) {
        let number = std::mem::replace(&mut self.number, NO_PORT);
        if number != NO_PORT {
            self.node.end_port(number, Reason::NORMAL);
        }
    }
}

impl<R> Drop for Awaited<R> {
    fn drop(&mut self) {
        self.end();
    }
}

fn open_answer<R: DeserializeOwned>(answer: Result<Given<R>, Lost>) -> Heard<R> {
    match answer {
        Ok(Given::Moved(answer)) => Ok(answer).into(),
        Ok(Given::Other(answer)) => {
            let body = answer.encode().map_err(DecodeError::custom);
            body.and_then(|body| typed::from_body(&body)).map_err(CallError::from).into()
        }
        Err(Lost { reason, gate }) => Heard { answer: Err(CallError::Died(reason)), gate },
    }
}
