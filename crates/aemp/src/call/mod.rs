//! Calls: a message with a port for the answer, a monitor, and a limit.
//!
//! The port for the answer is a slot of the table and nothing else: the answer, moved if it has
//! just the type that is waited for, lies in its mailbox until the future takes it. A called port
//! of this node that has nothing else to do runs at once, on the thread that waits for it anyway.

mod answer;
mod error;
mod timeout;

pub use error::CallError;

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::{Pin, pin};
use std::task::{Context as TaskContext, Poll, Waker};
use std::time::Duration;

use aemp_proto::{PortId, Reason, Value, typed};
use serde::Serialize;
use serde::de::{DeserializeOwned, Error as _};
use tokio::task::coop::consume_budget;
use tokio::time::Instant;

use crate::guard::MonitorGuard;
use crate::message::{Aside, DecodeError, Destination, IntoMessage, ReplyTo};
use crate::node::{Node, Place};
use crate::runtime::sender;
use crate::send_error::SendError;
use aemp_ports::Host as _;
use aemp_ports::answer::{AnswerBox, Given, Lost};
use aemp_ports::deliver::{self, Called, NotCalled, answered};
use aemp_ports::exit::end_port;
use aemp_ports::help::costs_budget;
use aemp_ports::monitor::{Action, Delivered, Gate, PortAction};
use aemp_ports::port_no::PortNo;
use aemp_ports::pressure::Pressure;
use aemp_ports::this_thread::decode_at;

/// What the port for an answer dies of if the answer cannot be sent: this and why.
const BAD_REPLY: &str = "bad_reply";

impl Node {
    /// Calls a port: sends what `message` makes of the port for the answer, and waits for that.
    ///
    /// The port is monitored before the message is sent, so its death answers at once, not after
    /// `limit`. The message is made and sent when the future is polled first, and the time runs
    /// from then on.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up the answer; once it was polled, the message may have been sent.
    ///
    /// # Errors
    ///
    /// See [`CallError`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use aemp::{CallError, Node, PortId};
    /// async fn add(node: &Node, adder: &PortId) -> Result<i64, CallError> {
    ///     node.call(adder, Duration::from_secs(1), |reply| ("add", 20, 22, reply)).await
    /// }
    /// ```
    #[doc(alias = "cal")]
    #[doc(alias = "ask")]
    pub fn call<M, R, F>(
        &self,
        port: &(impl Destination<M> + ?Sized),
        limit: Duration,
        message: F,
    ) -> Call<F, R>
    where
        F: FnOnce(ReplyTo<R>) -> M + Send,
        M: IntoMessage,
        R: DeserializeOwned + Send + 'static,
    {
        Call { port: port.port_id().clone(), message: Some(message), awaited: self.await_answer(limit) }
    }

    /// A call that is sent now; the answer is waited for afterwards. Says whether the called port
    /// is behind.
    pub(crate) fn begin_call<M, R>(
        &self,
        port: &PortId,
        limit: Duration,
        message: impl FnOnce(ReplyTo<R>) -> M,
    ) -> (Awaited<R>, Option<Pressure<Node>>)
    where
        M: IntoMessage,
        R: DeserializeOwned + Send + 'static,
    {
        let mut awaited = self.await_answer(limit);
        let pressure = awaited.begin(port, message, false);
        (awaited, pressure)
    }

    fn await_answer<R>(&self, limit: Duration) -> Awaited<R> {
        Awaited { node: self.clone(), number: None, limit, further: None, reply: PhantomData }
    }

    /// Answers a call. A tuple is sent as several values, everything else as one. Code of a port
    /// has [`Context::reply`](crate::Context::reply), which waits for a caller that is behind.
    ///
    /// # Errors
    ///
    /// The answer cannot be sent: it has no form, or is too large. The caller gets an error as
    /// well.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aemp::{Node, ReplyTo, SendError};
    /// fn answer(node: &Node, reply: ReplyTo<(i64, String)>) -> Result<(), SendError> {
    ///     node.reply(reply, (42, "an answer".to_string()))
    /// }
    /// ```
    pub fn reply<T: Serialize + Send + 'static>(&self, to: ReplyTo<T>, answer: T) -> Result<(), SendError> {
        self.answer_call(to.port(), answer).map(drop)
    }

    /// Answers a call with a value that is moved to the one who waits, if that is here and waits
    /// for just this type.
    pub(crate) fn answer_call<T: Serialize + Send + 'static>(
        &self,
        to: &PortId,
        answer: T,
    ) -> Result<Option<Pressure<Node>>, SendError> {
        if let Some(number) = self.own_number(to)
            && !self.always_encodes()
            && let Some(mut cell) = self.table().get(number)
            && !cell.is_closing()
            && let Some(mailbox) = cell.mailbox()
            && let Some(waits) = mailbox.downcast_mut::<AnswerBox<Node, T>>()
        {
            let waker = waits.answer(Ok(Given::Moved(answer)));
            answered(self, number, cell, waker);
            return Ok(None);
        }
        let sent = match typed::to_body(&answer) {
            Ok(answer) => self.send_under_pressure(to, answer),
            Err(error) => Err(error.into()),
        };
        // The caller waits for an answer that will not come; it is told why.
        sent.inspect_err(|error| self.kill(to, Reason::text(BAD_REPLY, error)))
    }
}

impl<T: Serialize + Send + 'static> ReplyTo<T> {
    /// Answers the call, from any task or thread: it goes through the node whose port got the
    /// question. If that has ended meanwhile, nothing happens. A tuple is sent as several values,
    /// everything else as one.
    ///
    /// In the handlers of a port [`Context::reply`](crate::Context::reply) is better, for it waits
    /// for a caller that is behind.
    ///
    /// # Errors
    ///
    /// The answer cannot be sent: it has no form, or is too large; the caller gets an error as
    /// well. [`SendError::NoNode`] if the question was not decoded by a port.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use aemp::{Context, Message, Node, ReplyTo};
    /// use serde::{Deserialize, Serialize};
    ///
    /// #[derive(Serialize, Deserialize, Message)]
    /// enum Ask {
    ///     Slow { reply: ReplyTo<u32> },
    /// }
    ///
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let node = Node::builder().start().await?;
    /// let port = node.port(|_: &mut Context<'_>, Ask::Slow { reply }| {
    ///     tokio::spawn(async move {
    ///         // Something that takes its time, while the port goes on.
    ///         reply.send(42)
    ///     });
    /// });
    /// let answer = node.call(&port, Duration::from_secs(1), |reply| Ask::Slow { reply }).await?;
    /// assert_eq!(answer, 42);
    /// # Ok(())
    /// # }
    /// ```
    pub fn send(self, answer: T) -> Result<(), SendError> {
        let node = self.node().ok_or(SendError::NoNode)?;
        match node.find() {
            Some(node) => Node::from_inner(node).reply(self, answer),
            None => Ok(()),
        }
    }
}

/// The future of [`Node::call`]: a call, before and after it was sent.
#[must_use = "a call is sent when its future is polled first"]
pub struct Call<F, R> {
    port: PortId,
    /// Makes what is to be sent.
    message: Option<F>,
    awaited: Awaited<R>,
}

impl<F, R> fmt::Debug for Call<F, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Call({})", self.port)
    }
}

// Nothing in it is pinned: the function only waits here until it is called.
impl<F, R> Unpin for Call<F, R> {}

impl<M, R, F> Future for Call<F, R>
where
    F: FnOnce(ReplyTo<R>) -> M,
    M: IntoMessage,
    R: DeserializeOwned + Send + 'static,
{
    type Output = Result<R, CallError>;

    #[inline]
    fn poll(self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<Result<R, CallError>> {
        let call = self.get_mut();
        if call.message.is_some() {
            // A caller that always finds its answer at once has to let others run, too.
            if costs_budget() && pin!(consume_budget()).poll(task).is_pending() {
                return Poll::Pending;
            }
            if let Some(message) = call.message.take() {
                call.awaited.begin(&call.port, message, true);
                // It may be there already, and needs no more than this.
                if let Some(answer) = call.awaited.take_moved() {
                    return Poll::Ready(Ok(answer));
                }
            }
        }
        Pin::new(&mut call.awaited).poll(task).map(Heard::open)
    }
}

/// The answer to a call that was sent.
pub(crate) struct Awaited<R> {
    node: Node,
    /// The port for the answer, from just before the message is made until the answer is taken out.
    number: Option<PortNo>,
    limit: Duration,
    /// What most calls do without.
    further: Option<Box<Further>>,
    reply: PhantomData<fn() -> R>,
}

#[derive(Default)]
struct Further {
    failed: Option<CallError>,
    /// Set when it has to wait.
    deadline: Option<Instant>,
    /// On a port of another node.
    monitor: Option<MonitorGuard>,
}

/// How a call ended.
pub(crate) struct Heard<R> {
    answer: Result<R, CallError>,
    gate: Option<Gate>,
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

    fn poll(self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<Heard<R>> {
        let call = self.get_mut();
        if let Some(error) = call.further.as_mut().and_then(|further| further.failed.take()) {
            return Poll::Ready(Err(error).into());
        }
        match call.look(task.waker()) {
            Looked::Waits => {
                call.limit_time();
                Poll::Pending
            }
            Looked::Answer(answer) => {
                call.end();
                let node = call.node.reference();
                Poll::Ready(decode_at(node, || open_answer(answer)))
            }
            // The port for the answer has ended: its time has come, or that of the node.
            Looked::Gone if call.deadline().is_some_and(|deadline| deadline <= Instant::now()) => {
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
    Answer(Result<Given<R>, Lost<Node>>),
    Gone,
}

impl<R: Send + 'static> Awaited<R> {
    /// Makes the message and sends it; says whether the called port is behind. `help` says that
    /// this may run on this thread.
    #[inline]
    fn begin<M: IntoMessage>(
        &mut self,
        port: &PortId,
        message: impl FnOnce(ReplyTo<R>) -> M,
        help: bool,
    ) -> Option<Pressure<Node>> {
        // At once in its place, for the code that makes the message may panic.
        let number = self.node.open_for_answer::<R>();
        self.number = Some(number);
        let message = message(ReplyTo::at(self.node.reference(), self.node.own_port(number)));
        self.send((port, number), message, help).unwrap_or_else(|error| {
            self.further().failed = Some(error);
            None
        })
    }

    /// The answer, if it is there, of the type that is waited for, and nobody else is to be told.
    #[inline(always)]
    fn take_moved(&mut self) -> Option<R> {
        let number = self.number?;
        let mut cell = self.node.table().get(number)?;
        if cell.extra().is_some() {
            return None;
        }
        let mailbox = cell.mailbox()?.downcast_mut::<AnswerBox<Node, R>>()?;
        if !mailbox.is_bare() {
            return None;
        }
        let moved = mailbox.take_moved()?;
        self.number = None;
        self.node.end_answered(number, cell);
        Some(moved)
    }

    /// Takes the answer, and with it the port for the answer out of the table.
    fn look(&mut self, waker: &Waker) -> Looked<R> {
        let Some(number) = self.number else { return Looked::Gone };
        let Some(mut cell) = self.node.table().get(number) else { return Looked::Gone };
        let mailbox = cell.mailbox().and_then(|m| m.downcast_mut::<AnswerBox<Node, R>>());
        let Some(mailbox) = mailbox else { return Looked::Gone };
        let Some(answer) = mailbox.slot.take_or_wait(waker) else { return Looked::Waits };
        // Anyone who monitors it is to be told, and what else came is to be dropped where nothing
        // is locked.
        if mailbox.is_bare() && cell.extra().is_none() {
            self.number = None;
            self.node.end_answered(number, cell);
        }
        Looked::Answer(answer)
    }
}

impl<R> Awaited<R> {
    #[inline]
    fn send<M: IntoMessage>(
        &mut self,
        (port, caller): (&PortId, PortNo),
        message: M,
        help: bool,
    ) -> Result<Option<Pressure<Node>>, CallError> {
        match self.node.place(port) {
            Place::Here(number) => {
                let scheduler = self.node.scheduler();
                let help = help && scheduler.may_help(&self.node);
                match deliver::call(&self.node, number, caller, message, help) {
                    Ok(Called::Run(taken)) => scheduler.help(&self.node, number, taken),
                    Ok(Called::Queued(pressure)) => return Ok(pressure),
                    Err(NotCalled::Missing) => return Err(CallError::Died(self.node.why_missing(port))),
                    Err(NotCalled::Encode(error)) => return Err(SendError::from(error).into()),
                }
            }
            Place::Nowhere => return Err(CallError::Died(self.node.why_missing(port))),
            Place::Node | Place::There(_) => return self.send_there((port, caller), Aside(message)),
        }
        Ok(None)
    }

    #[inline(never)]
    fn send_there<M: IntoMessage>(
        &mut self,
        (port, caller): (&PortId, PortNo),
        Aside(message): Aside<M>,
    ) -> Result<Option<Pressure<Node>>, CallError> {
        let action = Action::Port(caller, PortAction::EndCall);
        self.further().monitor = Some(self.node.set_monitor_of(sender::current(), port, action));
        Ok(self.node.send_under_pressure(port, message)?)
    }

    fn further(&mut self) -> &mut Further {
        self.further.get_or_insert_default()
    }

    fn deadline(&self) -> Option<Instant> {
        self.further.as_ref()?.deadline
    }

    /// The time runs from the first wait. An overflowing deadline means no timeout.
    fn limit_time(&mut self) {
        let Some(number) = self.number else { return };
        if self.deadline().is_none()
            && let Some(deadline) = Instant::now().checked_add(self.limit)
        {
            self.further().deadline = Some(deadline);
            self.node.end_at(deadline, number);
        }
        if self.node.is_over() {
            end_port(&self.node, number, Reason::NORMAL);
        }
    }

    /// Ends the port for the answer.
    fn end(&mut self) {
        if let Some(number) = self.number.take() {
            end_port(&self.node, number, Reason::NORMAL);
        }
    }
}

impl<R> Drop for Awaited<R> {
    fn drop(&mut self) {
        self.end();
    }
}

fn open_answer<R: DeserializeOwned>(answer: Result<Given<R>, Lost<Node>>) -> Heard<R> {
    match answer {
        Ok(Given::Moved(answer)) => Ok(answer).into(),
        Ok(Given::Other(answer)) => {
            let body = answer.encode().map_err(DecodeError::custom);
            body.and_then(|body| typed::from_body(&body)).map_err(CallError::from).into()
        }
        Err(Lost::Killed(reason)) if is_bad_reply(&reason) => {
            Err(CallError::BadReply(DecodeError::custom(reason))).into()
        }
        Err(Lost::Killed(reason)) => Err(CallError::Died(reason)).into(),
        Err(Lost::Fired(notification)) => {
            let Delivered { reason, gate, .. } = notification.deliver();
            Heard { answer: Err(CallError::Died(reason)), gate }
        }
    }
}

/// Whether the one who was called could not send the answer.
fn is_bad_reply(reason: &Reason) -> bool {
    reason.values().first().and_then(Value::to_name).is_some_and(|what| what == BAD_REPLY)
}
