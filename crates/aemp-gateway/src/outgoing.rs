//! What waits for a client: a queue with a limit, so that a client that does not read costs no more
//! than that.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::{Sink, SinkExt as _};
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::protocol::Event;

/// What a message costs in the queue beside its bytes.
const COST: usize = 64;

/// How long a client that is cut off has for reading what waits, and the reason.
pub(crate) const GRACE: Duration = Duration::from_secs(5);

/// Why a connection ends, for the client: a code of the range for applications, and a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cut {
    pub(crate) code: u16,
    pub(crate) text: String,
}

#[derive(Debug, Default)]
struct Queue {
    messages: VecDeque<Message>,
    bytes: usize,
    cut: Option<Cut>,
}

/// The queue for one client, shared by all who tell it something.
#[derive(Debug, Clone)]
pub(crate) struct Outgoing {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    queue: Mutex<Queue>,
    limit: usize,
    changed: Notify,
    cut: Notify,
}

impl Outgoing {
    pub(crate) fn new(limit: usize) -> Outgoing {
        let (queue, changed, cut) = (Mutex::default(), Notify::new(), Notify::new());
        Outgoing { shared: Arc::new(Shared { queue, limit, changed, cut }) }
    }

    /// Tells the client something. When too much waits, the client is cut off.
    pub(crate) fn tell(&self, event: &Event<'_>) {
        // What is cut off costs no work either, though its ports still have to go through what they
        // got.
        if self.queue().cut.is_none() {
            self.push(Message::text(event.to_text()));
        }
    }

    /// Asks the other end for a sign of life.
    pub(crate) fn ping(&self) {
        self.push(Message::Ping(Default::default()));
    }

    fn push(&self, message: Message) {
        let cost = message.len() + COST;
        let mut queue = self.queue();
        if queue.cut.is_some() {
            return;
        }
        if queue.bytes + cost > self.shared.limit && queue.bytes > 0 {
            drop(queue);
            return self.cut(4008, "the client does not read what it is sent");
        }
        queue.bytes += cost;
        queue.messages.push_back(message);
        drop(queue);
        self.shared.changed.notify_one();
    }

    /// Ends the connection behind what waits. The first reason counts.
    pub(crate) fn cut(&self, code: u16, text: &str) {
        self.queue().cut.get_or_insert_with(|| Cut { code, text: text.into() });
        self.shared.changed.notify_one();
        self.shared.cut.notify_waiters();
    }

    /// Waits until the connection is cut.
    pub(crate) async fn is_cut(&self) -> Cut {
        loop {
            // Made before the queue is looked at, so that no cut between the two is missed.
            let notified = self.shared.cut.notified();
            if let Some(cut) = self.queue().cut.clone() {
                return cut;
            }
            notified.await;
        }
    }

    /// Writes what waits, until the connection is cut; then what is left and the reason, as far as
    /// the client reads.
    pub(crate) async fn write(self, mut sink: impl Sink<Message, Error = Error> + Unpin) {
        loop {
            let (message, cut) = self.next();
            match (message, cut) {
                (Some(message), None) => {
                    tokio::select! {
                        written = sink.send(message) => if written.is_err() { return },
                        _ = self.is_cut() => {}
                    }
                }
                (None, None) => self.shared.changed.notified().await,
                (left, Some(cut)) => {
                    let _ = timeout(GRACE, self.farewell(&mut sink, left, cut)).await;
                    return;
                }
            }
        }
    }

    async fn farewell(
        &self,
        sink: &mut (impl Sink<Message, Error = Error> + Unpin),
        first: Option<Message>,
        cut: Cut,
    ) -> Result<(), Error> {
        let mut next = first;
        while let Some(message) = next {
            sink.send(message).await?;
            next = self.next().0;
        }
        let frame = CloseFrame { code: CloseCode::from(cut.code), reason: cut.text.into() };
        sink.send(Message::Close(Some(frame))).await?;
        sink.close().await
    }

    fn next(&self) -> (Option<Message>, Option<Cut>) {
        let mut queue = self.queue();
        let message = queue.messages.pop_front();
        queue.bytes -= message.as_ref().map_or(0, |message| message.len() + COST);
        (message, queue.cut.clone())
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.shared.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
