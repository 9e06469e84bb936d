//! What goes: how much may be on its way, how it is cut into chunks, and what is sent again.

use std::collections::VecDeque;
use std::time::Duration;

use super::{FIRST_REPEAT, IN_FLIGHT_MAX, LAST_REPEAT, SMALL_IN_FLIGHT, Violation, WINDOW_MAX};
use crate::time::Time;

/// The direction to the other end.
#[derive(Debug)]
pub(super) struct SendHalf {
    /// What is not acknowledged, and behind it what was never sent.
    kept: VecDeque<u8>,
    /// The most of these bytes.
    most: usize,
    /// The number of the first of them.
    base: u64,
    /// The number of what is sent next. The end, behind the last byte, has one, too.
    next: u64,
    /// What was never sent begins here.
    fresh: u64,
    /// The other end takes nothing from this number on.
    limit: u64,
    /// The most bytes of a chunk.
    chunk: usize,
    finishing: bool,
    /// Whether the other end has acknowledged the end.
    finished: bool,
    /// The numbers behind the chunks that are on their way.
    in_flight: VecDeque<u64>,
    /// When something is sent again, and how long to wait the time after that.
    repeat: Option<Time>,
    wait: Duration,
    /// Whether nothing was heard of what was sent last, so that one chunk alone is sent to see.
    probing: bool,
    /// Where something is missing at the other end, which was sent again.
    missing: Option<u64>,
    /// Since when something was not acknowledged, and nothing else was.
    stuck: Option<Time>,
}

/// What goes into the next chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) offset: u64,
    pub(super) len: usize,
    pub(super) end: bool,
}

impl SendHalf {
    pub(super) fn new(most: u64, limit: u64, chunk: usize) -> SendHalf {
        SendHalf {
            kept: VecDeque::new(),
            most: usize::try_from(most).unwrap_or(usize::MAX),
            base: 0,
            next: 0,
            fresh: 0,
            limit,
            chunk,
            finishing: false,
            finished: false,
            in_flight: VecDeque::new(),
            repeat: None,
            wait: FIRST_REPEAT,
            probing: false,
            missing: None,
            stuck: None,
        }
    }

    /// Takes bytes to be sent; gives how many.
    pub(super) fn write(&mut self, bytes: &[u8]) -> usize {
        if self.finishing {
            return 0;
        }
        let count = bytes.len().min(self.most - self.kept.len());
        self.kept.extend(&bytes[..count]);
        count
    }

    /// Nothing more will be written.
    pub(super) fn finish(&mut self) {
        self.finishing = true;
    }

    /// The most bytes of a chunk from now on.
    pub(super) fn set_chunk(&mut self, chunk: usize) {
        self.chunk = chunk;
    }

    /// The other end has all before this number, and takes what is before `limit`.
    ///
    /// # Errors
    ///
    /// This cannot be.
    pub(super) fn acknowledged(&mut self, ack: u64, limit: u64, now: Time) -> Result<(), Violation> {
        if ack > self.fresh {
            return Err(Violation::Acknowledgement);
        }
        if limit.saturating_sub(ack) > WINDOW_MAX {
            return Err(Violation::Grant);
        }
        self.limit = self.limit.max(limit);
        if ack <= self.base + u64::from(self.finished) {
            return Ok(());
        }
        let last = self.last();
        self.finished = ack > last;
        let count = ack.min(last) - self.base;
        self.kept.drain(..usize::try_from(count).unwrap_or(usize::MAX));
        self.base += count;
        self.next = self.next.max(ack);
        while self.in_flight.front().is_some_and(|end| *end <= ack) {
            self.in_flight.pop_front();
        }
        self.probing = false;
        self.wait = FIRST_REPEAT;
        let waits = self.is_waiting();
        self.repeat = waits.then(|| now + self.wait);
        self.stuck = waits.then_some(now);
        Ok(())
    }

    /// The other end has got something that is behind this number, and not what has the number.
    pub(super) fn is_missing(&mut self, ack: u64) {
        if ack == self.base && ack < self.next && self.missing.replace(ack) != Some(ack) {
            self.go_back();
        }
    }

    /// Begins again with all that is not acknowledged, at once.
    pub(super) fn again(&mut self, now: Time) {
        self.go_back();
        self.missing = None;
        self.probing = false;
        self.wait = FIRST_REPEAT;
        self.repeat = self.repeat.map(|_| now + self.wait);
    }

    /// Goes back if it is time to. Gives whether an answer is wanted although there may be nothing
    /// to be sent: what was told of the window may be lost.
    pub(super) fn repeat(&mut self, now: Time) -> bool {
        if self.repeat.is_none_or(|at| at > now) {
            return false;
        }
        self.go_back();
        self.missing = None;
        self.probing = true;
        self.wait = (self.wait * 2).min(LAST_REPEAT);
        self.repeat = (self.is_waiting() || self.is_blocked()).then(|| now + self.wait);
        self.repeat.is_some()
    }

    /// What is sent next, which counts as sent then.
    pub(super) fn next(&mut self, now: Time) -> Option<Segment> {
        if self.is_blocked() && self.repeat.is_none() {
            self.repeat = Some(now + self.wait);
        }
        let in_flight = self.in_flight.len();
        if in_flight >= IN_FLIGHT_MAX || self.probing && in_flight > 0 {
            return None;
        }
        let last = self.last();
        let unsent = last.saturating_sub(self.next);
        let room = unsent.min(self.limit.saturating_sub(self.next));
        let len = usize::try_from(room).unwrap_or(usize::MAX).min(self.chunk);
        let end = self.finishing && self.next + len as u64 == last;
        if len == 0 && !end || len < self.chunk && !end && in_flight >= SMALL_IN_FLIGHT {
            return None;
        }
        let segment = Segment { offset: self.next, len, end };
        self.next += len as u64 + u64::from(end);
        self.fresh = self.fresh.max(self.next);
        self.in_flight.push_back(self.next);
        self.repeat.get_or_insert(now + self.wait);
        self.stuck.get_or_insert(now);
        Some(segment)
    }

    /// The bytes of a segment.
    pub(super) fn bytes(&self, segment: Segment) -> (&[u8], &[u8]) {
        let at = usize::try_from(segment.offset - self.base).unwrap_or(usize::MAX);
        let (one, two) = self.kept.as_slices();
        let (from, to) = (at, at + segment.len);
        let cut = one.len();
        (&one[from.min(cut)..to.min(cut)], &two[from.max(cut) - cut..to.max(cut) - cut])
    }

    /// Gives back memory that is not used.
    pub(super) fn shrink(&mut self) {
        self.kept.shrink_to_fit();
    }

    /// The number of what is sent next.
    pub(super) fn position(&self) -> u64 {
        self.next
    }

    /// Whether there is room for [`SendHalf::write`].
    pub(super) fn has_room(&self) -> bool {
        !self.finishing && self.kept.len() < self.most
    }

    /// Whether the other end has everything, the end included.
    pub(super) fn is_finished(&self) -> bool {
        self.finished
    }

    /// When something is sent again.
    pub(super) fn repeats_at(&self) -> Option<Time> {
        self.repeat
    }

    /// Since when nothing was acknowledged, although something waits for it.
    pub(super) fn stuck_since(&self) -> Option<Time> {
        self.stuck
    }

    /// Whether something was sent and not acknowledged.
    fn is_waiting(&self) -> bool {
        self.fresh > self.base + u64::from(self.finished)
    }

    /// Whether the window is closed, and nothing on its way will open it.
    fn is_blocked(&self) -> bool {
        self.next < self.last() && self.next >= self.limit && self.in_flight.is_empty()
    }

    /// The number behind the last byte, which is that of the end.
    fn last(&self) -> u64 {
        self.base + self.kept.len() as u64
    }

    fn go_back(&mut self) {
        self.next = self.base + u64::from(self.finished);
        self.in_flight.clear();
    }
}
