//! The writing half of a connection: takes what the outbox has and writes it, many frames at once.
//!
//! A TCP socket is written by the thread that has something for it, if it takes it without waiting;
//! the link's writer does what is left. Other relays are written by the writer alone.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;

use aemp_proto::Framing;
use aemp_proto::history::{Direction, Mark};
use aemp_proto::wire::FrameError;
use aemp_proto::wire::native::{self, Control};
use parking_lot::MutexGuard;
use socket2::SockRef;
use tokio::io::{AsyncWrite, AsyncWriteExt as _};

use super::outgoing::{Outgoing, PIECES, Pending};
use crate::node::Node;
use crate::port::wake::wake_all;
use crate::recorder::compact::CompactEvent;
use crate::remote::{HIGH_WATER, Remote};
use aemp_ports::pressure::unpark;

/// Writes in a row after which a thread that has other things to do leaves the rest to the link's
/// writer.
const IN_PASSING: usize = 4;

/// Writes in a row after which the writer lets others have the thread.
const IN_A_ROW: usize = 32;

/// Why the writer could not go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WriteError {
    #[error("{0}")]
    Socket(#[from] io::Error),
    #[error("{0}")]
    Frame(#[from] FrameError),
}

/// What there is to write.
enum Supply {
    Some,
    /// Nothing.
    None,
    /// Another link drains the outbox now.
    Foreign,
}

/// How far a thread came that wrote without waiting.
enum Flushed {
    /// Nothing is left.
    All,
    /// The socket takes no more now.
    Blocked,
    /// There is more, but it has written for long enough.
    More,
    /// Another link drains the outbox now.
    Foreign,
}

impl Outgoing {
    /// Takes what is to be written next, when all that was taken is written. `backlog` is what the
    /// outbox still has to do.
    fn refill(
        &self,
        node: &Node,
        pending: &mut Pending,
        remote: &Remote,
        backlog: &mut usize,
    ) -> Result<Supply, FrameError> {
        pending.clear();
        let marks = {
            let mut waiting = self.control.lock();
            std::mem::swap(&mut pending.bytes, &mut waiting.bytes);
            std::mem::take(&mut waiting.marks)
        };
        let before = {
            let mut outbox = remote.outbox.lock();
            let before = outbox.taken();
            if !outbox.take(self.link, &mut pending.records) {
                return Ok(Supply::Foreign);
            }
            *backlog = outbox.backlog();
            before
        };
        // They are written before what was taken now.
        for (mark, asides) in marks {
            self.note_sent(node, remote, before + asides, mark);
        }
        if self.framing == Framing::Native {
            pending.left = pending.records.len();
        } else if let Err(error) = pending.records.reframe(self.framing, &mut pending.bytes) {
            pending.failed = Some(error.clone());
            return Err(error);
        }
        if pending.is_written() {
            remote.counts.drained();
            return Ok(Supply::None);
        }
        remote.counts.taken();
        Ok(Supply::Some)
    }

    /// Records that `n` messages and requests were written before a mark.
    pub(super) fn note_sent(&self, node: &Node, remote: &Remote, n: u64, mark: Mark) {
        let (peer, conn, dir) = (remote.node.clone(), self.conn, Direction::Sent);
        node.inner().shared.note(|| CompactEvent::Frames { peer, conn, dir, n, last: None, mark });
    }

    /// Notes that so much was written.
    fn progress(&self, node: &Node, remote: &Remote, pending: &mut Pending, bytes: usize) -> usize {
        pending.advance(bytes);
        remote.counts.wrote(bytes);
        self.wrote(node.inner().shared.now());
        let left =
            if self.framing == Framing::Native { pending.left } else { pending.bytes.len() - pending.done };
        let mut outbox = remote.outbox.lock();
        outbox.written(self.link, left);
        outbox.backlog()
    }

    /// Writes what waits, as far as the socket takes it now. With `writes` at most this many times.
    fn flush(
        &self,
        node: &Node,
        remote: &Remote,
        mut pending: MutexGuard<'_, Pending>,
        writes: usize,
    ) -> Result<Flushed, WriteError> {
        let Some(socket) = &self.socket else { return Ok(Flushed::Blocked) };
        if let Some(error) = &pending.failed {
            return Err(error.clone().into());
        }
        let mut backlog = usize::MAX;
        let mut outcome = Ok(Flushed::More);
        for _ in 0..writes {
            if pending.is_written() {
                match self.refill(node, &mut pending, remote, &mut backlog)? {
                    Supply::Some => {}
                    Supply::None => {
                        outcome = Ok(Flushed::All);
                        break;
                    }
                    Supply::Foreign => return Ok(Flushed::Foreign),
                }
            }
            let mut slices = [IoSlice::new(&[]); PIECES];
            let count = pending.offer(&mut slices);
            let written = match &slices[..count] {
                [one] => socket.try_write(one), // a simpler system call
                several => socket.try_write_vectored(several),
            };
            match written {
                Ok(bytes) => backlog = self.progress(node, remote, &mut pending, bytes),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    remote.counts.blocked(node.inner().shared.now());
                    outcome = Ok(Flushed::Blocked);
                    break;
                }
                Err(error) => return Err(error.into()),
            }
        }
        let finished = std::mem::take(&mut pending.finished);
        drop(pending);
        finished.into_iter().for_each(|items| remote.spare.keep(items));
        drained(node, remote, backlog);
        outcome
    }

    /// Writes what waits from a thread that has just added to it, if that is possible without
    /// waiting; otherwise the writer does.
    pub(crate) fn flush_in_passing(&self, node: &Node, remote: &Remote) {
        let flush = |pending: MutexGuard<'_, Pending>| {
            matches!(self.flush(node, remote, pending, IN_PASSING), Ok(Flushed::All))
        };
        // The writer goes on, meets the same error, or finds out that its link is not the one any
        // more.
        self.pending.in_passing(flush, || remote.wake.notify_one());
    }
}

/// Writes to a socket that other threads write to as well, until the link is closed (then `Ok`) or
/// broken.
pub(crate) async fn write_shared(
    node: Node,
    remote: Arc<Remote>,
    outgoing: Arc<Outgoing>,
) -> Result<(), WriteError> {
    let Some(socket) = &outgoing.socket else { return Ok(()) };
    let mut goodbye = false;
    loop {
        let closing = outgoing.closing.load(Ordering::Acquire);
        match outgoing.flush(&node, &remote, outgoing.pending.wait(), IN_A_ROW)? {
            Flushed::All if closing && !goodbye && outgoing.framing == Framing::Native => {
                goodbye = true;
                outgoing.written.store(true, Ordering::Release);
                native::write_control(&mut outgoing.control.lock().bytes, Control::Bye);
            }
            Flushed::All if closing => {
                outgoing.written.store(true, Ordering::Release);
                return Ok(SockRef::from(socket.as_ref()).shutdown(Shutdown::Write)?);
            }
            Flushed::All => remote.wake.notified().await,
            Flushed::Blocked => socket.writable().await?,
            Flushed::More => tokio::task::yield_now().await,
            Flushed::Foreign => {
                // The wake-up may have been meant for the other link.
                remote.wake.notify_one();
                return Ok(());
            }
        }
    }
}

/// Writes until the link is closed (then `Ok`) or broken.
pub(crate) async fn write<W: AsyncWrite + Unpin>(
    node: Node,
    remote: Arc<Remote>,
    outgoing: Arc<Outgoing>,
    mut socket: W,
) -> Result<(), WriteError> {
    let mut pending = Pending::default();
    let mut backlog = 0;
    loop {
        let closing = outgoing.closing.load(Ordering::Acquire);
        match outgoing.refill(&node, &mut pending, &remote, &mut backlog)? {
            Supply::None if closing => return farewell(&outgoing, &remote, &mut socket).await,
            Supply::None => remote.wake.notified().await,
            Supply::Some => {
                while !pending.is_written() {
                    let mut slices = [IoSlice::new(&[]); PIECES];
                    let count = pending.offer(&mut slices);
                    let mut writing = pin!(socket.write_vectored(&slices[..count]));
                    let bytes = match poll_once(writing.as_mut()).await {
                        Poll::Ready(written) => written?,
                        Poll::Pending => {
                            remote.counts.blocked(node.inner().shared.now());
                            writing.await?
                        }
                    };
                    if bytes == 0 {
                        return Err(io::Error::from(io::ErrorKind::WriteZero).into());
                    }
                    backlog = outgoing.progress(&node, &remote, &mut pending, bytes);
                    pending.finished.drain(..).for_each(|items| remote.spare.keep(items));
                    drained(&node, &remote, backlog);
                }
                socket.flush().await?;
            }
            Supply::Foreign => {
                // The wake-up may have been meant for the other link.
                remote.wake.notify_one();
                return Ok(());
            }
        }
    }
}

/// Something is written: anyone who waited for room goes on.
fn drained(node: &Node, remote: &Remote, backlog: usize) {
    if backlog < HIGH_WATER {
        wake_all(&remote.drained);
        let blocked = std::mem::take(&mut *remote.blocked.lock());
        unpark(node, blocked);
    }
}

/// Polls a future once, so that it is known whether it has to wait.
async fn poll_once<F: Future>(mut future: Pin<&mut F>) -> Poll<F::Output> {
    poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await
}

async fn farewell<W: AsyncWrite + Unpin>(
    outgoing: &Outgoing,
    remote: &Remote,
    socket: &mut W,
) -> Result<(), WriteError> {
    outgoing.written.store(true, Ordering::Release);
    if outgoing.framing == Framing::Native {
        let mut bye = Vec::new();
        native::write_control(&mut bye, Control::Bye);
        socket.write_all(&bye).await?;
        remote.counts.wrote(bye.len());
    }
    socket.shutdown().await?;
    Ok(())
}

impl Remote {
    /// Writes what waits, as far as that is possible without waiting; the link's writer does what
    /// is left.
    pub(crate) fn flush(&self, node: &Node) {
        let direct = self.direct.lock().clone();
        match direct {
            Some(outgoing) => outgoing.flush_in_passing(node, self),
            None => self.wake.notify_one(),
        }
    }
}
