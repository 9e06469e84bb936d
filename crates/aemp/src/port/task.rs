//! Async ports: a task with a mailbox of its own, from which it picks what it wants.

use std::collections::VecDeque;
use std::fmt;
use std::future::{Future, poll_fn};
use std::mem;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use aemp_proto::{Body, PortId, Reason, typed};
use serde::de::DeserializeOwned;
use tokio::task::coop::consume_budget;

use super::Context;
use super::exit_result::ExitResult;
use super::port_task::PortTask;
use crate::follow::{DeliveryTrace, HandlerSpan};
use crate::message::{DecodeError, Envelope, FromMessage, misfit};
use crate::node::Node;
use aemp_ports::Host as _;
use aemp_ports::exit::adopt;
use aemp_ports::extra::Child;
use aemp_ports::items::{Item, Items};
use aemp_ports::known::Known;
use aemp_ports::mailbox::{ITEM_COST, Job, Signal, TaskQueue, TaskState};
use aemp_ports::monitor::{Action, Delivered, Gate, PortAction};
use aemp_ports::port_no::PortNo;
use aemp_ports::pressure::{Crowded, unpark};
use aemp_ports::run::panic_text;
use aemp_ports::signal::signal;
use aemp_ports::slot::State;
use aemp_ports::this_thread::decode_at;

/// The code's end of an async port.
///
/// Messages that were not picked stay queued, in order. When the port is killed, the task ends at
/// its next `await`.
pub struct Mailbox {
    node: Node,
    number: PortNo,
    id: Arc<PortId>,
    stash: VecDeque<Waiting>,
    batch: Items<Node, Envelope>,
    state: Arc<TaskState>,
    /// The message that it deals with, if that is followed: the last one that the code took.
    handling: Option<HandlerSpan>,
}

/// A message that was taken out of the mailbox and not picked yet.
struct Waiting {
    message: Envelope,
    /// Its place in a trace, if it is followed.
    followed: Option<Box<DeliveryTrace>>,
    /// Given back when the code gets the message.
    _ticket: Ticket,
}

/// What a message that was not picked yet holds: the gate of a fire, and its part of the limit of
/// the mailbox.
struct Ticket {
    _gate: Option<Gate>,
    bytes: usize,
    state: Arc<TaskState>,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.state.kept.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl Mailbox {
    /// The ID of the port.
    #[doc(alias = "self")]
    pub fn id(&self) -> &PortId {
        &self.id
    }

    /// The node.
    pub fn node(&self) -> &Node {
        &self.node
    }

    pub(crate) fn number(&self) -> PortNo {
        self.number
    }

    /// The next message as an `M`, for example an [`AnyMessage`](crate::AnyMessage). One that does
    /// not fit kills the port with `bad_message` or `unhandled_message`.
    ///
    /// # Cancel safety
    ///
    /// No message is lost when the future is dropped.
    pub async fn recv<M: FromMessage>(&mut self) -> M {
        self.fill().await;
        let node = self.node.reference();
        let next = self.stash.pop_front();
        let opened = next.map(|waiting| {
            self.picked(waiting.followed);
            decode_at(node, || waiting.message.open())
        });
        match opened {
            Some(Ok(message)) => message,
            Some(Err(error)) => self.end(misfit(&error)).await,
            None => unreachable!("fill() returns when something waits"),
        }
    }

    /// As [`Mailbox::recv`], or `None` if no message is there within `timeout`.
    ///
    /// # Cancel safety
    ///
    /// No message is lost when the future is dropped.
    pub async fn recv_timeout<M: FromMessage>(&mut self, timeout: Duration) -> Option<M> {
        tokio::time::timeout(timeout, self.recv()).await.ok()
    }

    /// Waits for the first message that `picker` takes, see [`pick!`](crate::pick). It gives back
    /// what it does not want, and that stays queued; messages with tags of other types stay as
    /// well.
    ///
    /// A message whose tag fits and whose values do not kills the port with `bad_message`.
    ///
    /// # Cancel safety
    ///
    /// No message is lost when the future is dropped.
    pub async fn recv_match<M: FromMessage, T>(&mut self, picker: impl FnMut(M) -> Result<T, M>) -> T {
        match self.pick(picker).await {
            Ok(picked) => picked,
            Err(reason) => self.end(reason).await,
        }
    }

    /// As [`Mailbox::recv_match`], or `None` if no such message is there within `limit`.
    ///
    /// # Cancel safety
    ///
    /// No message is lost when the future is dropped.
    pub async fn recv_match_timeout<M: FromMessage, T>(
        &mut self,
        limit: Duration,
        picker: impl FnMut(M) -> Result<T, M>,
    ) -> Option<T> {
        tokio::time::timeout(limit, self.recv_match(picker)).await.ok()
    }

    /// Waits for the first message with this tag and gives what follows it: a tuple for several
    /// values, `()` for none.
    ///
    /// # Cancel safety
    ///
    /// No message is lost when the future is dropped.
    pub async fn recv_tag<T: DeserializeOwned>(&mut self, tag: &str) -> T {
        consume_budget().await;
        let mut from = 0;
        loop {
            for at in from..self.stash.len() {
                let Ok(body) = self.stash[at].message.encode() else { continue };
                if body.first_name().as_deref() != Some(tag) {
                    continue;
                }
                let followed = self.stash.remove(at).and_then(|waiting| waiting.followed);
                self.picked(followed);
                return match decode_at(self.node.reference(), || typed::from_body(&body.rest())) {
                    Ok(args) => args,
                    Err(error) => self.end(misfit(&error)).await,
                };
            }
            from = self.stash.len();
            self.more(from).await;
        }
    }

    /// As [`Mailbox::recv_tag`], or `None` if no such message is there within `limit`.
    ///
    /// # Cancel safety
    ///
    /// No message is lost when the future is dropped.
    pub async fn recv_tag_timeout<T: DeserializeOwned>(&mut self, limit: Duration, tag: &str) -> Option<T> {
        tokio::time::timeout(limit, self.recv_tag(tag)).await.ok()
    }

    async fn pick<M: FromMessage, T>(
        &mut self,
        mut picker: impl FnMut(M) -> Result<T, M>,
    ) -> Result<T, Reason> {
        // Anyone who always finds something has to let others run, too.
        consume_budget().await;
        let mut at = 0;
        loop {
            while at < self.stash.len() {
                let node = self.node.reference();
                match decode_at(node, || try_pick(&mut self.stash[at].message, &mut picker)) {
                    Picked::Yes(picked) => {
                        let followed = self.stash.remove(at).and_then(|waiting| waiting.followed);
                        self.picked(followed);
                        return Ok(picked);
                    }
                    Picked::No => at += 1,
                    Picked::Bad(reason) => return Err(reason),
                }
            }
            self.more(at).await;
        }
    }

    /// The code gets a message: with this the one before is dealt with.
    #[inline]
    fn picked(&mut self, followed: Option<Box<DeliveryTrace>>) {
        if self.handling.is_some() || followed.is_some() {
            self.handling = None;
            self.handling = followed.map(|followed| self.node.begin_handling(self.number, *followed));
        }
    }

    async fn fill(&mut self) {
        consume_budget().await;
        if self.stash.is_empty() {
            self.more(0).await;
        }
    }

    /// Waits until more than `known` messages are in the stash.
    async fn more(&mut self, known: usize) {
        while self.stash.len() <= known {
            if self.batch.is_empty() {
                self.batch().await;
            }
            while let Some(item) = self.batch.pop() {
                self.take(item).await;
            }
        }
    }

    /// Waits until something is in the mailbox and takes all of it.
    async fn batch(&mut self) {
        poll_fn(|task| {
            let Some(mut cell) = self.node.table().get(self.number) else { return Poll::Pending };
            let Some(mailbox) = cell.mailbox().and_then(|mailbox| mailbox.downcast_mut::<TaskQueue<Node>>())
            else {
                return Poll::Pending;
            };
            if mailbox.queue.is_empty() {
                mailbox.waker = Some(task.waker().clone());
                return Poll::Pending;
            }
            mailbox.queue.take(&mut self.batch);
            cell.emptied();
            let blocked = cell.take_blocked(self.node.ports().limits);
            drop(cell);
            unpark(&self.node, blocked);
            Poll::Ready(())
        })
        .await;
    }

    async fn take(&mut self, item: Item<Node, Envelope>) {
        let mut followed = None;
        let (message, gate) = match item {
            Item::None => return,
            Item::Message(message) => (message, None),
            Item::Encoded(_) => match self.batch.body() {
                Some(body) => (Envelope::Encoded(body), None),
                None => return,
            },
            Item::Signal(signal) => match *signal {
                Signal::Kill(reason) => self.end(reason).await,
                Signal::Traced(traced) => {
                    followed = Some(Box::new(traced.trace));
                    (traced.message, None)
                }
                Signal::Job(job) => return self.run(job).await,
                Signal::Notification(notification) => {
                    let Delivered { action, reason, gate } = notification.deliver();
                    match action {
                        Some(Action::Port(_, PortAction::Message(make))) => match make(reason) {
                            // The gate opens when the port's code gets the message.
                            Ok(message) => (message, gate),
                            Err(error) => self.end(Reason::died(error)).await,
                        },
                        Some(Action::Port(_, PortAction::Job(job))) => {
                            drop(gate);
                            return self.run(Box::new(move |cx: &mut Context<'_>| job(cx, reason))).await;
                        }
                        // A kill does not wait in the queue of an async port.
                        _ => return,
                    }
                }
            },
        };
        let bytes = ITEM_COST + message.bytes();
        self.state.kept.fetch_add(bytes, Ordering::Relaxed);
        let ticket = Ticket { _gate: gate, bytes, state: self.state.clone() };
        self.stash.push_back(Waiting { message, followed, _ticket: ticket });
    }

    /// Runs code in the context of the port, and waits for those that it has sent too much to.
    async fn run(&mut self, job: Job<Node>) {
        match self.outcome(job) {
            Ok(crowded) => self.node.all_drained(self.number, crowded).await,
            Err(reason) => self.end(reason).await,
        }
    }

    fn outcome(&self, job: Job<Node>) -> Result<Crowded<Node>, Reason> {
        let mut cx = Context::new(&self.node, self.number, Some(self.id.clone()), None);
        let outcome = std::panic::catch_unwind(AssertUnwindSafe(|| job(&mut cx)));
        outcome.map_err(|panic| Reason::died(panic_text(&*panic)))?;
        let Some(mut effects) = cx.end_of_run().1 else { return Ok(Crowded::default()) };
        effects.reason_of_end().map_or(Ok(effects.crowded), Err)
    }

    /// Kills the own port; the task ends here.
    async fn end<T>(&mut self, reason: Reason) -> T {
        signal(&self.node, self.number, Signal::Kill(reason));
        std::future::pending().await
    }
}

impl Drop for Mailbox {
    /// What was not picked goes with the port, and not before: news of losses may be in it, and
    /// what the code still sends, or drops, must not pass a loss that it has not heard of.
    fn drop(&mut self) {
        let rest = (mem::take(&mut self.stash), mem::take(&mut self.batch));
        if !rest.0.is_empty() || !rest.1.is_empty() {
            adopt(&self.node, self.number, Child::Guard(Box::new(rest)));
        }
    }
}

enum Picked<T> {
    Yes(T),
    No,
    Bad(Reason),
}

/// Looks at a message where it stands, and leaves it there if it is not picked: there may be very
/// many of them.
fn try_pick<M: FromMessage, T>(
    message: &mut Envelope,
    picker: &mut impl FnMut(M) -> Result<T, M>,
) -> Picked<T> {
    if message.is::<M>() {
        // The picker has it meanwhile.
        let moved = std::mem::replace(message, Envelope::Encoded(Body::default()));
        return match moved.open::<M>().map(picker) {
            Ok(Ok(picked)) => Picked::Yes(picked),
            Ok(Err(other)) => match other.into_envelope() {
                Ok(back) => {
                    *message = back;
                    Picked::No
                }
                Err(error) => Picked::Bad(Reason::text("bad_message", error)),
            },
            Err(error) => Picked::Bad(misfit(&error)),
        };
    }
    if let Envelope::Moved(_) = message {
        match message.encode() {
            Ok(body) => *message = Envelope::Encoded(body),
            Err(error) => return Picked::Bad(Reason::text("bad_message", error)),
        }
    }
    let Envelope::Encoded(body) = message else { return Picked::No };
    // Only a tag that the type knows makes it ours.
    match M::decode(body) {
        Ok(decoded) => picker(decoded).map_or(Picked::No, Picked::Yes),
        Err(DecodeError::UnknownTag(_)) => Picked::No,
        Err(error) => Picked::Bad(misfit(&error)),
    }
}

impl fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Port({}, {} waiting)", self.id, self.stash.len())
    }
}

impl Node {
    /// Opens an async port: `code` runs as a task and takes messages out of the port that it is
    /// given.
    ///
    /// `Ok(())` kills the port normally, an error is the reason of an abnormal death, a panic is
    /// `die, TEXT`.
    pub fn port_async<F>(&self, code: impl FnOnce(Mailbox) -> F + Send + 'static) -> PortId
    where
        F: Future<Output = ExitResult> + Send + 'static,
    {
        let number = self.table().insert(State::Task, Known::boxed(TaskQueue::<Node>::default()), None, None);
        self.end_if_over(number);
        self.start_task(number, Crowded::default(), code);
        self.own_port(number)
    }

    /// Starts the task of an async port, whose mailbox is a [`TaskQueue`] already. Its code begins
    /// when those have drained that the port has sent too much to before.
    pub(crate) fn start_task<F>(
        &self,
        number: PortNo,
        crowded: Crowded<Node>,
        code: impl FnOnce(Mailbox) -> F + Send + 'static,
    ) where
        F: Future<Output = ExitResult> + Send + 'static,
    {
        let state = self.table().get(number).and_then(|mut cell| {
            let mailbox = cell.mailbox()?.downcast_mut::<TaskQueue<Node>>()?;
            Some(mailbox.state.clone())
        });
        // The node, or the port, has ended.
        let Some(state) = state else { return };
        let port = Mailbox {
            node: self.clone(),
            number,
            id: Arc::new(self.port_id(number)),
            stash: VecDeque::new(),
            batch: Items::default(),
            state: state.clone(),
            handling: None,
        };
        let node = self.clone();
        let code = Box::pin(async move {
            node.all_drained(number, crowded).await;
            code(port).await
        });
        self.inner().runtime.spawn(PortTask::new(self.clone(), number, state, code));
    }
}

/// Picks a message by pattern, for [`Mailbox::recv_match`](crate::Mailbox::recv_match):
/// `pick!(Boss::Down { reason } => reason)`. A guard may follow the pattern: `pick!(Work::Add { a,
/// .. } if a > 0 => a)`.
#[macro_export]
macro_rules! pick {
    ($pattern:pat $(if $guard:expr)? => $value:expr) => {
        |message| match message {
            $pattern $(if $guard)? => Ok($value),
            #[allow(unreachable_patterns)]
            other => Err(other),
        }
    };
}
