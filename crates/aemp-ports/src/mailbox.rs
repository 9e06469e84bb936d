//! Mailboxes: what waits for a port, in the order in which it takes effect.
//!
//! Messages, kills, fired monitors and code that is to run in the port are items of one queue; that
//! order is half of the promise. A typed port has a queue of its own message type, so that a local
//! send moves the value into it without a box.

use std::any::{Any, TypeId};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Waker;

use aemp_proto::wire::Span;
use aemp_proto::{Body, Reason};
use bytes::Bytes;

use super::doom::{Doom, Kills};
use super::host::Host;
use super::items::{Item, Items};
use super::monitor::Notification;
use super::wake::wake;
use crate::message::{Envelope, FromMessage};

/// Bytes that an item is counted with beside its content.
pub const ITEM_COST: usize = 32;

/// Code that runs in the context of a port.
pub type Job<H> = Box<dyn FnOnce(&mut <H as Host>::Context<'_>) + Send>;

/// What else than a message waits in a mailbox.
pub enum Signal<H: Host> {
    /// Code to be run in the port.
    Job(Job<H>),
    /// A message that is followed.
    Traced(Box<TracedMessage<H>>),
    /// A monitor of another port fired, and this port asked to be told.
    Notification(Notification<H>),
    /// The port is to die.
    Kill(Reason),
}

impl<H: Host> Signal<H> {
    /// Whether the port has to die of it, unless it is a monitor that is withdrawn in time.
    pub fn kills(&self) -> bool {
        match self {
            Signal::Kill(_) => true,
            Signal::Notification(notification) => notification.kills(),
            Signal::Job(_) | Signal::Traced(_) => false,
        }
    }
}

/// A message with its place in a trace.
pub struct TracedMessage<H: Host> {
    /// The message.
    pub message: Envelope,
    /// Its place.
    pub trace: H::Trace,
}

/// What is left to do for who has put something into the mailbox of a port that no runner runs.
pub enum After {
    /// A task may wait for it.
    Wake(Option<Waker>),
    /// The port has had all it wanted: nothing later counts. A task may wait for it.
    Finish(Option<Waker>),
}

/// A mailbox as its senders see it, who do not know the port's type. What its items are counted
/// with, never 0 for an item, is added up in the port's [`Slot`](super::slot::Slot).
pub trait Mailbox<H: Host>: Any + Send {
    /// Whether a message of another type must be encoded before it is put in.
    fn wants_encoded(&self) -> bool;
    /// Adds a message of unknown type; gives the bytes that it is counted with.
    fn push(&mut self, message: Envelope) -> usize;
    /// Adds messages in their wire form, which lie in `batch`, in this order, and leaves `spans`
    /// empty; gives the bytes that they are counted with.
    fn push_spans(&mut self, batch: &Bytes, spans: &mut Vec<Span>) -> usize {
        spans.drain(..).map(|span| self.push(Envelope::Encoded(span.body(batch)))).sum()
    }
    /// As [`Mailbox::push`], for a message that is followed; who does not handle messages need not
    /// know.
    fn push_traced(&mut self, message: Envelope, _trace: H::Trace) -> usize {
        self.push(message)
    }
    /// Adds something else; gives the bytes that it is counted with.
    fn signal(&mut self, signal: Signal<H>) -> usize;
    /// To be asked after each addition, where no runner takes the items out.
    fn after(&mut self) -> After;
    /// Bytes that were taken out and are not dealt with yet. They count for the limit of the
    /// mailbox, but hold no sender up: the port may wait for just one of these.
    fn kept(&self) -> usize {
        0
    }
    /// Whether the reason of a kill is to be added: somebody waits here who wants to know it.
    fn wants_reasons(&self) -> bool {
        false
    }
}

/// A queue of items; the mailbox of callback ports.
pub struct Queue<H: Host, M> {
    items: Items<H, M>,
}

impl<H: Host, M> fmt::Debug for Queue<H, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Queue")
    }
}

impl<H: Host, M> Default for Queue<H, M> {
    fn default() -> Queue<H, M> {
        Queue { items: Items::default() }
    }
}

impl<H: Host, M> Queue<H, M> {
    /// Adds a message of the port's own type; gives the bytes that it is counted with.
    #[inline]
    pub fn push_message(&mut self, message: M) -> usize {
        self.items.push(Item::Message(message));
        size_of::<Item<H, M>>()
    }
}

impl<H: Host, M: FromMessage> Queue<H, M> {
    fn push_encoded(&mut self, body: Body) -> usize {
        let bytes = ITEM_COST + body.items().len();
        self.items.encoded(1).push(body);
        bytes
    }

    /// A moved message of unknown type: kept as it is in an untyped queue, encoded for a typed one.
    fn push_moved(&mut self, message: Envelope) -> usize {
        let bytes = ITEM_COST + message.bytes();
        let mut message = Some(message);
        if let Some(same) = (&mut message as &mut dyn Any).downcast_mut::<Option<M>>() {
            same.take().map(Item::Message).into_iter().for_each(|item| self.items.push(item));
            return bytes;
        }
        match message.map(|message| message.encode()) {
            Some(Ok(body)) => self.push_encoded(body),
            Some(Err(error)) => self.signal(Signal::Kill(Reason::text("bad_message", error))),
            None => 0,
        }
    }

    /// All that waits; `spare`, which must be empty, takes its place, so that its memory is used
    /// again: not that of a burst, if little waits now.
    #[inline]
    pub fn take(&mut self, spare: &mut Items<H, M>) {
        spare.renew(&self.items);
        std::mem::swap(&mut self.items, spare);
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }
}

impl<H: Host, M: FromMessage> Mailbox<H> for Queue<H, M> {
    fn wants_encoded(&self) -> bool {
        TypeId::of::<M>() != TypeId::of::<Envelope>()
    }

    fn push(&mut self, message: Envelope) -> usize {
        match message {
            Envelope::Encoded(body) => self.push_encoded(body),
            moved @ Envelope::Moved(_) => self.push_moved(moved),
        }
    }

    fn push_spans(&mut self, batch: &Bytes, spans: &mut Vec<Span>) -> usize {
        let bytes = spans.iter().map(|span| ITEM_COST + span.len()).sum();
        let Ok(count) = u32::try_from(spans.len()) else { return 0 };
        if count > 0 {
            self.items.encoded(count).push_spans(batch, spans);
        }
        bytes
    }

    fn push_traced(&mut self, message: Envelope, trace: H::Trace) -> usize {
        self.signal(Signal::Traced(Box::new(TracedMessage { message, trace })))
    }

    fn signal(&mut self, signal: Signal<H>) -> usize {
        let bytes = match &signal {
            Signal::Traced(traced) => traced.message.bytes(),
            _ => 0,
        };
        self.items.push(Item::Signal(Box::new(signal)));
        ITEM_COST + bytes
    }

    fn after(&mut self) -> After {
        After::Wake(None)
    }
}

/// What the task of an async port and those who send to the port share beside the mailbox.
#[derive(Default)]
pub struct TaskState {
    /// Bytes that were taken out of the mailbox and not picked yet, as senders see them.
    pub kept: AtomicUsize,
    /// Whether the task has to look for a kill.
    pub doom: Arc<Doom>,
}

/// The mailbox of an async port: its task is woken instead of a runner.
pub struct TaskQueue<H: Host> {
    /// What waits, but for kills.
    pub queue: Queue<H, Envelope>,
    /// The code waits for something in the queue.
    pub waker: Option<Waker>,
    /// What the port has to die of, in order: it does not wait behind messages.
    pub kills: Kills<Signal<H>>,
    /// What the task shares.
    pub state: Arc<TaskState>,
}

impl<H: Host> Default for TaskQueue<H> {
    fn default() -> TaskQueue<H> {
        let state = Arc::<TaskState>::default();
        let kills = Kills::new(state.doom.clone());
        TaskQueue { queue: Queue::default(), waker: None, kills, state }
    }
}

impl<H: Host> Drop for TaskQueue<H> {
    /// The port has ended: so has its task, or it is to end now.
    fn drop(&mut self) {
        self.kills.end().into_iter().for_each(wake);
    }
}

impl<H: Host> Mailbox<H> for TaskQueue<H> {
    fn wants_encoded(&self) -> bool {
        false
    }

    fn push(&mut self, message: Envelope) -> usize {
        self.queue.push(message)
    }

    fn push_spans(&mut self, batch: &Bytes, spans: &mut Vec<Span>) -> usize {
        self.queue.push_spans(batch, spans)
    }

    fn push_traced(&mut self, message: Envelope, trace: H::Trace) -> usize {
        self.queue.push_traced(message, trace)
    }

    fn signal(&mut self, signal: Signal<H>) -> usize {
        if !signal.kills() {
            return self.queue.signal(signal);
        }
        self.kills.add(signal);
        0
    }

    fn after(&mut self) -> After {
        After::Wake(self.waker.take())
    }

    fn kept(&self) -> usize {
        self.state.kept.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use aemp_proto::Framing;
    use aemp_proto::wire::{FrameReader, Limits, write_message};

    use super::*;
    use crate::items;
    use crate::test_host::Alone;

    #[test]
    fn small_messages_take_little_room() {
        assert!(size_of::<Item<Alone, u64>>() <= 16);
    }

    #[test]
    fn the_memory_of_a_burst_is_given_back() {
        let (mut queue, mut batch) = (Queue::<Alone, (u64,)>::default(), Items::default());
        let mut turn = |messages: u64| {
            for n in 0..messages {
                queue.push_message((n,));
            }
            queue.take(&mut batch);
            while batch.pop().is_some() {}
            queue.items.room().max(batch.room())
        };
        assert!(turn(100_000) >= 100_000);
        // As long as there are many, nothing is made again and again.
        assert!(turn(50_000) >= 100_000);
        for _ in 0..3 {
            turn(10);
        }
        assert!(turn(10) < 2 * items::KEPT);
    }

    #[test]
    fn the_memory_of_a_burst_of_encoded_messages_is_given_back() {
        let (mut queue, mut batch) = (Queue::<Alone, (u64,)>::default(), Items::default());
        let body = aemp_proto::typed::to_body(&(7u64,)).expect("a number");
        let mut turn = |messages: u64| {
            for _ in 0..messages {
                queue.push_encoded(body.clone());
            }
            queue.take(&mut batch);
            while batch.pop().is_some() {
                assert!(batch.decode().is_some());
            }
            queue.items.encoded_room().max(batch.encoded_room())
        };
        assert!(turn(100_000) >= 100_000);
        assert!(turn(50_000) >= 50_000);
        for _ in 0..3 {
            turn(10);
        }
        assert!(turn(10) < 2 * items::KEPT);
    }

    #[test]
    fn encoded_messages_keep_their_place_among_others() {
        let body = |n: u64| aemp_proto::typed::to_body(&(n,)).expect("a number");
        let (mut reader, mut frames) = (FrameReader::new(Framing::Native, Limits::DEFAULT), Vec::new());
        for n in 1..=2 {
            write_message(&mut frames, n, "port", &body(n + 5)).expect("it is small");
        }
        reader.buffer().extend_from_slice(&frames);
        assert_eq!(reader.fill(), Ok(true));
        let batch = reader.batch().clone();
        let found = std::iter::from_fn(|| reader.find().expect("they are messages"));
        let mut spans: Vec<Span> = found.map(|found| found.span).collect();
        let mut queue = Queue::<Alone, (u64,)>::default();
        let bytes = [
            queue.push_message((1,)),
            queue.push_encoded(body(2)),
            queue.push_encoded(body(5)),
            queue.push_spans(&batch, &mut spans),
            queue.signal(Signal::Kill(Reason::NORMAL)),
            queue.push_encoded(body(3)),
            queue.push_message((4,)),
        ];
        assert!(bytes.iter().all(|bytes| *bytes > 0));
        let mut items = Items::default();
        queue.take(&mut items);
        let mut seen = Vec::new();
        while let Some(item) = items.pop() {
            seen.push(match item {
                Item::Message((n,)) => n,
                Item::Encoded(_) => items.decode().expect("it is there").expect("a number").0,
                Item::Signal(_) | Item::None => 0,
            });
        }
        assert_eq!(seen, [1, 2, 5, 6, 7, 0, 3, 4]);
        assert!(queue.is_empty() && items.is_empty());
    }
}
