//! What reader and writer of a link share, and what is being written.

use std::io::IoSlice;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use aemp_proto::Framing;
use aemp_proto::history::Mark;
use aemp_proto::kernel::{LinkId, Time};
use aemp_proto::wire::native::{self, Control};
use aemp_proto::wire::{FrameError, Records, reframe};
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::net::tcp::OwnedWriteHalf;

use super::write_turn::WriteTurn;
use crate::recorder::compact::MARKED;
use crate::remote::Remote;

/// Signs of life and answers to them that may wait: more of them say nothing more, and a peer that
/// asks without reading must not fill our memory.
pub(super) const CONTROL_MAX: usize = 64 << 10;

/// Bytes and pieces that are offered to the socket at once; between two such writes progress is
/// noted.
pub(super) const OFFER: usize = 512 << 10;

pub(super) const PIECES: usize = 32;

/// An idle link's buffers keep at most this.
pub(super) const KEEP: usize = 4 << 20;

/// What reader and writer of a link share.
pub(crate) struct Outgoing {
    pub(super) link: LinkId,
    /// What both ends call the connection.
    pub(super) conn: u64,
    pub(super) framing: Framing,
    /// The socket, if any thread can write to it.
    pub(super) socket: Option<OwnedWriteHalf>,
    /// What is being written to it.
    pub(super) pending: WriteTurn<Pending>,
    /// Frames of the link itself, which stand in no outbox: signs of life and answers to them.
    pub(super) control: Mutex<Waiting>,
    /// How many of them are messages for the peer, which count as such.
    asides: AtomicU64,
    pub(super) closing: AtomicBool,
    /// Everything is written, but for the goodbye, which may be answered before this side knows
    /// that it is on its way.
    pub(super) written: AtomicBool,
    pub(super) sent: AtomicU64,
}

/// Frames of a link itself that wait to be written.
#[derive(Default)]
pub(super) struct Waiting {
    pub(super) bytes: Vec<u8>,
    /// Those of them that are recorded when they are passed, and how many messages for the peer are
    /// written before each without standing in the outbox.
    pub(super) marks: Vec<(Mark, u64)>,
}

impl Outgoing {
    pub(crate) fn new(
        (link, conn): (LinkId, u64),
        framing: Framing,
        socket: Option<OwnedWriteHalf>,
        now: Time,
    ) -> Arc<Outgoing> {
        Arc::new(Outgoing {
            link,
            conn,
            framing,
            socket,
            pending: WriteTurn::default(),
            control: Mutex::default(),
            asides: AtomicU64::new(0),
            closing: AtomicBool::new(false),
            written: AtomicBool::new(false),
            sent: AtomicU64::new(nanos(now)),
        })
    }

    /// Queues a frame of the link itself.
    pub(crate) fn control(&self, remote: &Remote, control: Control) {
        let mut waiting = self.control.lock();
        if waiting.bytes.len() < CONTROL_MAX {
            native::write_control(&mut waiting.bytes, control);
            match control {
                Control::Ping(number) if number & MARKED != 0 => waiting.marks.push((Mark::Ping(number), 0)),
                Control::Pong(number) if number & MARKED != 0 => waiting.marks.push((Mark::Pong(number), 0)),
                _ => {}
            }
        }
        drop(waiting);
        remote.wake.notify_one();
    }

    /// Queues a request that belongs to no epoch, in any framing the peer reads. If it is a mark,
    /// that is recorded when it is written.
    pub(crate) fn aside(
        &self,
        remote: &Remote,
        request: &aemp_proto::wire::Request,
        mark: Option<Mark>,
    ) -> Result<(), FrameError> {
        let mut record = Vec::new();
        native::write_message(&mut record, 1, "", &request.encode()?)?;
        let mut waiting = self.control.lock();
        if waiting.bytes.len() < CONTROL_MAX {
            reframe(&record, self.framing, &mut waiting.bytes)?;
            remote.counts.wrote_aside();
            let before = self.asides.fetch_add(1, Ordering::Relaxed);
            waiting.marks.extend(mark.map(|mark| (mark, before)));
        }
        drop(waiting);
        remote.wake.notify_one();
        Ok(())
    }

    /// Bytes of such frames that are not written yet.
    #[cfg(test)]
    pub(crate) fn waiting(&self) -> usize {
        self.control.lock().bytes.len()
    }

    /// How many messages were written that stand in no outbox.
    pub(super) fn asides(&self) -> u64 {
        self.asides.load(Ordering::Relaxed)
    }

    /// Lets the writer write what is there, say goodbye and end.
    pub(crate) fn close(&self, remote: &Remote) {
        self.closing.store(true, Ordering::Release);
        remote.wake.notify_one();
    }

    /// Whether everything is written, but for the goodbye.
    pub(crate) fn is_written(&self) -> bool {
        self.written.load(Ordering::Acquire)
    }

    pub(crate) fn framing(&self) -> Framing {
        self.framing
    }

    /// When something was last written.
    pub(crate) fn last_sent(&self) -> Time {
        Duration::from_nanos(self.sent.load(Ordering::Relaxed))
    }

    pub(super) fn wrote(&self, now: Time) {
        self.sent.store(nanos(now), Ordering::Relaxed);
    }
}

pub(super) fn nanos(time: Time) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// What was taken to be written, and how far that has come.
#[derive(Default)]
pub(super) struct Pending {
    /// Frames of the link itself; and all frames, if they are not native ones.
    pub(super) bytes: Vec<u8>,
    pub(super) done: usize,
    pub(super) records: Records,
    /// Bytes of `records` that are not written.
    pub(super) left: usize,
    /// What large messages shared. Others may share it too, so it is dropped when no lock is held.
    pub(super) finished: Vec<Bytes>,
    /// A message has no form in the framing of the peer. Nothing is written any more: what follows
    /// would be behind a hole.
    pub(super) failed: Option<FrameError>,
}

impl Pending {
    pub(super) fn is_written(&self) -> bool {
        self.done == self.bytes.len() && self.left == 0
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(KEEP);
        self.records.clear(KEEP);
        (self.done, self.left) = (0, 0);
    }

    /// What comes next, as much as is offered to a socket at once; how many pieces it is.
    pub(super) fn offer<'a>(&'a self, slices: &mut [IoSlice<'a>; PIECES]) -> usize {
        let own = Some(&self.bytes[self.done..]).filter(|own| !own.is_empty());
        let (mut room, mut count) = (OFFER, 0);
        for piece in own.into_iter().chain(self.records.pieces().take_while(|_| self.left > 0)) {
            if count == PIECES || room == 0 {
                break;
            }
            let part = &piece[..piece.len().min(room)];
            slices[count] = IoSlice::new(part);
            count += 1;
            room -= part.len();
        }
        count
    }

    pub(super) fn advance(&mut self, bytes: usize) {
        let own = bytes.min(self.bytes.len() - self.done);
        self.done += own;
        self.left -= bytes - own;
        self.records.advance(bytes - own, |items| self.finished.push(items));
    }
}
