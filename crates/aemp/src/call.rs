//! Calls: a message with a port for the answer, a monitor, and a limit.

use std::any::Any;
use std::future::Future;
use std::marker::PhantomData;
use std::time::Duration;

use aemp_proto::{PortId, Reason, typed};
use serde::de::{DeserializeOwned, Error as _};
use thiserror::Error;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::message::{DecodeError, Envelope, IntoMessage, ReplyTo};
use crate::monitor::{Action, MonitorGuard, PortAction};
use crate::node::{Node, SendError};
use crate::port::mailbox::{After, Mailbox, Signal};
use crate::port::table::State;

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

type Answer = Result<Envelope, Reason>;

/// The mailbox of a port that lives for one answer.
struct AnswerBox {
    waiting: Option<oneshot::Sender<Answer>>,
}

impl AnswerBox {
    fn answer(&mut self, answer: Answer) {
        if let Some(waiting) = self.waiting.take() {
            // Nobody waits any more if the call was dropped.
            let _ = waiting.send(answer);
        }
    }
}

impl Mailbox for AnswerBox {
    fn wants_encoded(&self) -> bool {
        false
    }

    fn push(&mut self, message: Envelope) {
        self.answer(Ok(message));
    }

    fn signal(&mut self, signal: Signal) {
        match signal {
            Signal::Fire(fire) => self.answer(Err(fire.into_reason())),
            Signal::Kill(reason) => self.answer(Err(reason)),
            Signal::Job(_) => {}
        }
    }

    fn after(&mut self) -> After {
        if self.waiting.is_none() { After::Finish } else { After::Wake(None) }
    }

    fn octets(&self) -> usize {
        0
    }

    fn as_any(&mut self) -> &mut dyn Any {
        self
    }
}

/// Ends the answer port, however the call ends.
struct AnswerPort {
    node: Node,
    port: PortId,
}

impl Drop for AnswerPort {
    fn drop(&mut self) {
        self.node.kill(&self.port, Reason::NORMAL);
    }
}

impl Node {
    /// Calls a port: sends what `message` makes of the port for the answer, and waits for that.
    ///
    /// The port is monitored before the message is sent, so its death answers at once, not after `limit`. The message is sent
    /// before this function returns, in order with other sends; the future only waits.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up the answer; the message has been sent.
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
        M: IntoMessage,
        R: DeserializeOwned + Send + 'static,
    {
        self.begin_call(port, limit, message).answer()
    }

    /// Sends the call; the answer is waited for afterwards.
    pub(crate) fn begin_call<M, R>(
        &self,
        port: &PortId,
        limit: Duration,
        message: impl FnOnce(ReplyTo<R>) -> M,
    ) -> Pending<R>
    where
        M: IntoMessage,
    {
        let (waiting, answer) = oneshot::channel();
        // A limit beyond the end of time is none.
        let deadline = Instant::now().checked_add(limit);
        let reply = self.open(State::Unscheduled, Box::new(AnswerBox { waiting: Some(waiting) }), None);
        // Before anything else, for the code that makes and encodes the message may panic.
        let ends = AnswerPort { node: self.clone(), port: reply.clone() };
        let number = reply.parts().1;
        let guard = self.set_monitor(port, Action::Port(number, PortAction::Kill));
        let sent = self.send(port, message(ReplyTo::new(reply)));
        if let Some(deadline) = deadline {
            self.end_at(deadline, number);
        }
        Pending { limit, deadline, sent, answer, reply: PhantomData, _ends: (guard, ends) }
    }
}

/// A call that was sent.
pub(crate) struct Pending<R> {
    limit: Duration,
    deadline: Option<Instant>,
    sent: Result<(), SendError>,
    answer: oneshot::Receiver<Answer>,
    reply: PhantomData<fn() -> R>,
    _ends: (MonitorGuard, AnswerPort),
}

impl<R: DeserializeOwned> Pending<R> {
    /// Waits for the answer.
    pub(crate) async fn answer(self) -> Result<R, CallError> {
        self.sent?;
        match self.answer.await {
            Ok(Ok(answer)) => Ok(open_answer(&answer)?),
            Ok(Err(reason)) => Err(CallError::Died(reason)),
            // The port for the answer has ended: its time has come, or that of the node.
            Err(_) if self.deadline.is_some_and(|deadline| deadline <= Instant::now()) => {
                Err(CallError::TimedOut(self.limit))
            }
            Err(_) => Err(CallError::Died(Reason::text("shutdown", "the node has ended"))),
        }
    }
}

fn open_answer<R: DeserializeOwned>(answer: &Envelope) -> Result<R, DecodeError> {
    let body = answer.encode().map_err(DecodeError::custom)?;
    typed::from_body(&body)
}
