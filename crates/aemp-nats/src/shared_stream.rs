//! One stream over NATS: the machine under a lock, the task that sends what it wants sent, and what
//! reads and writes.

use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use aemp::broker::BrokerStream;
use aemp_proto::broker::{Chunk, EndReason, Session, Stream};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;
use tokio::time::sleep_until;

use crate::hub::Hub;

/// One stream of a node.
pub(crate) struct SharedStream {
    state: Mutex<State>,
    /// That the machine may have something to send.
    changed: Notify,
    /// Where the other end gets its chunks; while it is asked for, where the node is asked.
    subject: Mutex<String>,
}

struct State {
    stream: Stream,
    /// Whether the broker says that nobody is there.
    absent: bool,
    /// Whether the program has dropped its end, so that nobody reads any more.
    dropped: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
    /// Who waits until the other end has answered.
    dialler: Option<Waker>,
}

impl SharedStream {
    pub(crate) fn new(stream: Stream, subject: String) -> Arc<SharedStream> {
        let state =
            State { stream, absent: false, dropped: false, reader: None, writer: None, dialler: None };
        Arc::new(SharedStream {
            state: Mutex::new(state),
            changed: Notify::new(),
            subject: Mutex::new(subject),
        })
    }

    /// A chunk for this stream has come.
    pub(crate) fn input(&self, chunk: &Chunk<'_>, hub: &Hub) {
        self.change(|state| state.stream.input(chunk, hub.now()));
    }

    /// The request for this stream has come again.
    pub(crate) fn opened_again(&self, hub: &Hub) {
        self.change(|state| state.stream.opened_again(hub.now()));
    }

    /// Nobody has subscribed to what was published last.
    pub(crate) fn nobody(&self) {
        self.change(|state| {
            // Later it says only that the other node is away from the broker, which may be for a
            // moment.
            if state.stream.peer().is_none() {
                state.absent = true;
                state.stream.reset("nobody is there");
            }
        });
    }

    /// The broker is there again, and takes messages up to this length.
    pub(crate) fn resumed(&self, message: usize, hub: &Hub) {
        self.change(|state| {
            state.stream.set_message_limit(message);
            state.stream.resumed(hub.now());
        });
    }

    /// The node has ended.
    pub(crate) fn reset(&self, reason: &str) {
        self.change(|state| state.stream.reset(reason));
    }

    /// Changes the machine, and wakes who may have waited for that.
    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state.lock();
        change(&mut state);
        let wakers = state.woken();
        drop(state);
        self.changed.notify_one();
        wakers.into_iter().flatten().for_each(Waker::wake);
    }

    /// The next message for the other end, where it goes, and when to ask again otherwise.
    fn poll(&self, hub: &Hub) -> (Option<Outgoing>, Option<Duration>) {
        let now = hub.now();
        let mut state = self.state.lock();
        if state.dropped {
            // So that the other end can finish what it has begun to write.
            while state.stream.read(&mut [0; 4096], now) > 0 {}
        }
        let asks = state.stream.peer().is_none();
        let message = state.stream.poll(now);
        let due = state.stream.next_timeout();
        // The time that has passed may have ended it.
        let wakers = state.woken();
        drop(state);
        wakers.into_iter().flatten().for_each(Waker::wake);
        let subject = || self.subject.lock().clone();
        (message.map(|message| Outgoing { message, subject: subject(), asks }), due)
    }

    /// Waits until the other end has answered a request for a stream.
    ///
    /// # Errors
    ///
    /// Nobody is there, or nobody has answered.
    pub(crate) async fn answered(&self) -> io::Result<Session> {
        std::future::poll_fn(|cx| {
            let mut state = self.state.lock();
            if state.absent {
                return Poll::Ready(Err(io::Error::from(ErrorKind::NotFound)));
            }
            if let Some(ended) = state.stream.ended() {
                return Poll::Ready(Err(error(ended)));
            }
            if let Some(peer) = state.stream.peer() {
                return Poll::Ready(Ok(peer));
            }
            state.dialler = Some(cx.waker().clone());
            Poll::Pending
        })
        .await
    }

    /// The other end is known: what it gets goes there from now on.
    pub(crate) fn send_to(&self, subject: String) {
        *self.subject.lock() = subject;
    }

    /// Sends what the machine wants sent, until the stream is over.
    pub(crate) async fn run(self: Arc<SharedStream>, hub: Weak<Hub>, session: Session) {
        loop {
            let Some(hub) = hub.upgrade() else { return };
            let (message, due) = self.poll(&hub);
            if let Some(Outgoing { message, subject, asks }) = message {
                if !hub.publish(subject, message, asks.then_some(session)).await {
                    let most = hub.message_limit();
                    self.change(|state| state.stream.set_message_limit(most));
                }
                continue;
            }
            let Some(due) = due else { return hub.forget(session) };
            let due = hub.instant(due);
            drop(hub);
            tokio::select! {
                () = self.changed.notified() => {}
                () = sleep_until(due) => {}
            }
        }
    }
}

/// A message, and where it goes.
struct Outgoing {
    message: Vec<u8>,
    subject: String,
    /// Whether the broker is to say if nobody is there.
    asks: bool,
}

impl State {
    /// Those who have waited for what is there now.
    fn woken(&mut self) -> [Option<Waker>; 3] {
        let ended = self.stream.ended().is_some();
        let readable = ended || self.stream.is_readable() || self.stream.is_at_end();
        let writable = ended || self.stream.has_room();
        [
            self.reader.take_if(|_| readable),
            self.writer.take_if(|_| writable),
            self.dialler.take_if(|_| ended || self.stream.peer().is_some()),
        ]
    }
}

/// One end of a stream, as a program has it.
pub(crate) struct StreamEnd {
    shared: Arc<SharedStream>,
    hub: Weak<Hub>,
    finished: bool,
    reset: AtomicBool,
}

impl BrokerStream for StreamEnd {
    fn reset_when_dropped(&self, reset: bool) {
        self.reset.store(reset, Ordering::Relaxed);
    }
}

impl StreamEnd {
    pub(crate) fn new(shared: Arc<SharedStream>, hub: &Arc<Hub>) -> StreamEnd {
        StreamEnd { shared, hub: Arc::downgrade(hub), finished: false, reset: AtomicBool::new(false) }
    }
}

impl AsyncRead for StreamEnd {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Some(hub) = self.hub.upgrade() else { return Poll::Ready(Err(gone())) };
        let mut state = self.shared.state.lock();
        let count = state.stream.read(out.initialize_unfilled(), hub.now());
        out.advance(count);
        if count > 0 {
            drop(state);
            self.shared.changed.notify_one();
            return Poll::Ready(Ok(()));
        }
        if out.remaining() == 0 || state.stream.is_at_end() {
            return Poll::Ready(Ok(()));
        }
        if let Some(ended) = state.stream.ended() {
            return Poll::Ready(Err(error(ended)));
        }
        state.reader = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl AsyncWrite for StreamEnd {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut state = self.shared.state.lock();
        if let Some(ended) = state.stream.ended() {
            return Poll::Ready(Err(error(ended)));
        }
        if self.finished {
            return Poll::Ready(Err(io::Error::from(ErrorKind::BrokenPipe)));
        }
        let count = state.stream.write(bytes);
        if count == 0 && !bytes.is_empty() {
            state.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        drop(state);
        self.shared.changed.notify_one();
        Poll::Ready(Ok(count))
    }

    /// What was written goes as soon as the broker takes it.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// As with a socket, what was written before goes on its way after the end was dropped.
    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.finished = true;
        self.shared.change(|state| state.stream.finish());
        Poll::Ready(Ok(()))
    }
}

impl Drop for StreamEnd {
    fn drop(&mut self) {
        let reset = *self.reset.get_mut();
        self.shared.change(|state| {
            state.dropped = true;
            if reset || state.stream.peer().is_none() {
                state.stream.reset("dropped");
            } else {
                state.stream.finish();
            }
        });
    }
}

fn error(ended: &EndReason) -> io::Error {
    let kind = match ended {
        EndReason::Reset(_) => ErrorKind::ConnectionReset,
        EndReason::NoAnswer(_) | EndReason::Silent(_) | EndReason::Unacknowledged(_) => ErrorKind::TimedOut,
        EndReason::Violation(_) => ErrorKind::InvalidData,
        _ => ErrorKind::ConnectionAborted,
    };
    io::Error::new(kind, format!("over NATS: {ended}"))
}

fn gone() -> io::Error {
    io::Error::new(ErrorKind::ConnectionAborted, "the node has left the broker")
}
