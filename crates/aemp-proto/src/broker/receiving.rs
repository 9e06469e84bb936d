//! What comes: which bytes are new, what is acknowledged, and when.

use std::collections::VecDeque;

use super::chunk::Data;
use super::{ACK_DELAY, CHUNKS_PER_ACK, Violation};
use crate::time::Time;

/// The direction from the other end.
#[derive(Debug)]
pub(super) struct ReceiveHalf {
    window: u64,
    /// What has come, without a hole, and is not read.
    unread: VecDeque<u8>,
    /// The number of the first byte that has not come.
    next: u64,
    /// Whether the end has come.
    ended: bool,
    /// What the other end was told that it may send, and keeps to.
    granted: u64,
    /// Chunks that came and are not acknowledged.
    chunks: u32,
    due: Option<Time>,
    /// Whether the next chunk says that something is missing.
    missing: bool,
    /// Where something is missing, of which the other end was told.
    told: Option<u64>,
}

impl ReceiveHalf {
    pub(super) fn new(window: u64) -> ReceiveHalf {
        ReceiveHalf {
            window,
            unread: VecDeque::new(),
            next: 0,
            ended: false,
            granted: window,
            chunks: 0,
            due: None,
            missing: false,
            told: None,
        }
    }

    /// Takes what is new of data.
    ///
    /// # Errors
    ///
    /// It does not fit to what came before: the stream cannot go on.
    pub(super) fn data(&mut self, data: &Data<'_>, now: Time) -> Result<(), Violation> {
        let last = data.offset.checked_add(data.bytes.len() as u64).ok_or(Violation::Number)?;
        if !data.bytes.is_empty() && last > self.granted {
            return Err(Violation::Window);
        }
        let is_empty = data.bytes.is_empty() && !data.end;
        if self.ended || last < self.next && data.end {
            // The number of data without bytes may be that of the end.
            let beyond = if is_empty { last > self.next + 1 } else { last > self.next };
            if beyond || data.end && last != self.next {
                return Err(Violation::End);
            }
            if !is_empty {
                self.acknowledge(now);
            }
            return Ok(());
        }
        if data.offset > self.next {
            self.is_missing(now);
            return Ok(());
        }
        let known = usize::try_from(self.next - data.offset).unwrap_or(usize::MAX);
        let fresh = data.bytes.get(known..).unwrap_or_default();
        if fresh.is_empty() && !data.end {
            if !is_empty {
                // A repetition: the acknowledgement was lost, or is on its way.
                self.acknowledge(now);
            }
            return Ok(());
        }
        self.unread.extend(fresh);
        self.next = last;
        self.ended = data.end;
        self.chunks += 1;
        self.told = None;
        if self.chunks >= CHUNKS_PER_ACK || data.end {
            self.acknowledge(now);
        } else {
            self.due.get_or_insert(now + ACK_DELAY);
        }
        Ok(())
    }

    /// An acknowledgement is to be sent at once.
    pub(super) fn acknowledge(&mut self, now: Time) {
        self.due = Some(self.due.map_or(now, |due| due.min(now)));
    }

    /// Reads what has come; gives how many bytes.
    pub(super) fn read(&mut self, out: &mut [u8], now: Time) -> usize {
        let count = out.len().min(self.unread.len());
        let (one, two) = self.unread.as_slices();
        let first = count.min(one.len());
        out[..first].copy_from_slice(&one[..first]);
        out[first..count].copy_from_slice(&two[..count - first]);
        self.unread.drain(..count);
        if self.limit() - self.granted >= self.window / 4 {
            self.acknowledge(now);
        }
        count
    }

    /// Gives back memory that is not used.
    pub(super) fn shrink(&mut self) {
        self.unread.shrink_to_fit();
    }

    /// Writes into a chunk what has come; it is sent now.
    pub(super) fn report(&mut self, data: &mut Data<'_>) {
        (data.ack, data.limit) = (self.next + u64::from(self.ended), self.limit());
        data.missing = std::mem::take(&mut self.missing);
        self.granted = data.limit;
        (self.chunks, self.due) = (0, None);
    }

    /// When an acknowledgement is due.
    pub(super) fn due(&self) -> Option<Time> {
        self.due
    }

    /// Whether there is something to be read.
    pub(super) fn is_readable(&self) -> bool {
        !self.unread.is_empty()
    }

    /// Whether the end has come; there may still be something to be read before it.
    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }

    /// What the other end may send up to here.
    fn limit(&self) -> u64 {
        self.next - self.unread.len() as u64 + self.window
    }

    /// Something came that is behind a hole. The other end is told once where the hole begins.
    fn is_missing(&mut self, now: Time) {
        if self.told.replace(self.next) != Some(self.next) {
            self.missing = true;
            self.acknowledge(now);
        }
    }
}
