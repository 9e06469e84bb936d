//! The writing half of a connection: takes what the outbox has and writes it, many frames at once.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use aemp_proto::Framing;
use aemp_proto::kernel::{LinkId, Time};
use aemp_proto::wire::native::{self, Control};
use aemp_proto::wire::{FrameError, reframe};
use parking_lot::Mutex;
use tokio::io::{AsyncWrite, AsyncWriteExt as _};

use crate::node::Node;
use crate::remote::{HIGH_WATER, Remote};

/// Octets written at once; between two such pieces progress is noted.
const PIECE: usize = 256 << 10;

/// An idle link's buffers keep at most this.
const KEEP: usize = 4 << 20;

/// Signs of life and answers to them that may wait: more of them say nothing more, and a peer that asks without reading must
/// not fill our memory.
const CONTROL_MAX: usize = 64 << 10;

/// What reader and writer of a link share.
pub(crate) struct Outgoing {
    framing: Framing,
    /// Frames of the link itself, which stand in no outbox: signs of life and answers to them.
    control: Mutex<Vec<u8>>,
    closing: AtomicBool,
    sent: AtomicU64,
}

impl Outgoing {
    pub(crate) fn new(framing: Framing, now: Time) -> Arc<Outgoing> {
        let sent = AtomicU64::new(nanos(now));
        Arc::new(Outgoing { framing, control: Mutex::default(), closing: AtomicBool::new(false), sent })
    }

    /// Queues a frame of the link itself.
    pub(crate) fn control(&self, remote: &Remote, control: Control) {
        let mut waiting = self.control.lock();
        if waiting.len() < CONTROL_MAX {
            native::write_control(&mut waiting, control);
        }
        drop(waiting);
        remote.wake.notify_one();
    }

    /// Queues a request that belongs to no epoch, in whatever framing the peer reads.
    pub(crate) fn aside(
        &self,
        remote: &Remote,
        request: &aemp_proto::wire::Request,
    ) -> Result<(), FrameError> {
        let mut record = Vec::new();
        native::write_message(&mut record, 1, "", &request.encode()?)?;
        let mut waiting = self.control.lock();
        if waiting.len() < CONTROL_MAX {
            reframe(&record, self.framing, &mut waiting)?;
        }
        drop(waiting);
        remote.wake.notify_one();
        Ok(())
    }

    /// Octets of such frames that are not written yet.
    #[cfg(test)]
    pub(crate) fn waiting(&self) -> usize {
        self.control.lock().len()
    }

    /// Lets the writer write what is there, say goodbye and end.
    pub(crate) fn close(&self, remote: &Remote) {
        self.closing.store(true, Ordering::Release);
        remote.wake.notify_one();
    }

    pub(crate) fn framing(&self) -> Framing {
        self.framing
    }

    /// When something was last written.
    pub(crate) fn last_sent(&self) -> Time {
        Duration::from_nanos(self.sent.load(Ordering::Relaxed))
    }

    fn wrote(&self, now: Time) {
        self.sent.store(nanos(now), Ordering::Relaxed);
    }
}

fn nanos(time: Time) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Why the writer could not go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WriteError {
    #[error("{0}")]
    Socket(#[from] io::Error),
    #[error("{0}")]
    Frame(#[from] FrameError),
}

/// Writes until the link is closed (then `Ok`) or broken.
pub(crate) async fn write<W: AsyncWrite + Unpin>(
    node: Node,
    link: LinkId,
    remote: Arc<Remote>,
    outgoing: Arc<Outgoing>,
    mut socket: W,
) -> Result<(), WriteError> {
    let mut records = Vec::new();
    let mut octets = Vec::new();
    loop {
        let closing = outgoing.closing.load(Ordering::Acquire);
        std::mem::swap(&mut octets, &mut outgoing.control.lock());
        let ours = remote.outbox.lock().take(link, &mut records);
        if !ours {
            // Another link drains the outbox now: the wake-up may have been meant for it.
            remote.wake.notify_one();
            return Ok(());
        }
        if octets.is_empty() && records.is_empty() {
            if closing {
                return farewell(&outgoing, &mut socket).await;
            }
            remote.wake.notified().await;
            continue;
        }
        if outgoing.framing == Framing::Native {
            put(&node, &outgoing, &mut socket, &octets).await?;
            put(&node, &outgoing, &mut socket, &records).await?;
        } else {
            reframe(&records, outgoing.framing, &mut octets)?;
            put(&node, &outgoing, &mut socket, &octets).await?;
        }
        socket.flush().await?;
        empty(&mut records);
        empty(&mut octets);
        drained(&node, link, &remote);
    }
}

/// Empties a buffer. Memory that the last batch had no use for goes back; that of a busy link stays, for it would be asked for again.
fn empty(buffer: &mut Vec<u8>) {
    if buffer.len() < buffer.capacity() / 4 {
        buffer.shrink_to(KEEP);
    }
    buffer.clear();
}

async fn put<W: AsyncWrite + Unpin>(
    node: &Node,
    outgoing: &Outgoing,
    socket: &mut W,
    octets: &[u8],
) -> io::Result<()> {
    for piece in octets.chunks(PIECE) {
        socket.write_all(piece).await?;
        outgoing.wrote(node.inner().shared.now());
    }
    Ok(())
}

/// What was taken is written: whoever waited for room goes on.
fn drained(node: &Node, link: LinkId, remote: &Remote) {
    let backlog = {
        let mut outbox = remote.outbox.lock();
        outbox.written(link);
        outbox.backlog()
    };
    if backlog < HIGH_WATER {
        remote.drained.notify_waiters();
        let blocked = std::mem::take(&mut *remote.blocked.lock());
        node.unpark(blocked);
    }
}

async fn farewell<W: AsyncWrite + Unpin>(outgoing: &Outgoing, socket: &mut W) -> Result<(), WriteError> {
    if outgoing.framing == Framing::Native {
        let mut bye = Vec::new();
        native::write_control(&mut bye, Control::Bye);
        socket.write_all(&bye).await?;
    }
    socket.shutdown().await?;
    Ok(())
}
