//! One end of a stream.

use super::chunk::{Chunk, Data};
use super::receiving::ReceiveHalf;
use super::sending::SendHalf;
use super::{EndReason, FIRST_REPEAT, HEADER_LEN, LAST_REPEAT, Session, StreamLimits};
use crate::NodeId;
use crate::time::Time;

/// One end of a stream. See the [module](super).
///
/// Its owner gives it what comes ([`Stream::input`]), sends what [`Stream::poll`] gives until
/// that is nothing, and does so again after each call that changes the stream and at
/// [`Stream::next_timeout`].
#[derive(Debug)]
pub struct Stream {
    own: Session,
    peer: Option<Session>,
    opening: Option<Opening>,
    limits: StreamLimits,
    sending: SendHalf,
    receiving: ReceiveHalf,
    /// When something was heard of the other end, or the stream began.
    heard: Time,
    /// Whether the other end has shown that it knows our session.
    confirmed: bool,
    /// When the other end is asked whether it lives.
    ask: Time,
    /// Whether the next chunk asks for an answer.
    asking: bool,
    /// What the other end is to be told, once.
    pending_reset: Option<String>,
    ended: Option<EndReason>,
}

/// A stream that nobody has answered for.
#[derive(Debug)]
struct Opening {
    message: Vec<u8>,
    next: Time,
    wait: Time,
}

impl Stream {
    /// Begins a stream. `own` must be fresh; `node` is this node, which the other end answers to.
    pub fn open(limits: StreamLimits, own: Session, node: &NodeId, now: Time) -> Stream {
        let limits = limits.usable();
        let message = Chunk::open(own, limits.window, node);
        let opening = Opening { message, next: now, wait: FIRST_REPEAT };
        Stream { opening: Some(opening), ..Stream::new(limits, own, None, 0, now) }
    }

    /// Takes a stream that somebody wants, as the fields of [`Chunk::Open`] say. `own` must be
    /// fresh.
    pub fn accept(limits: StreamLimits, own: Session, peer: Session, limit: u64, now: Time) -> Stream {
        let limits = limits.usable();
        let mut stream = Stream::new(limits, own, Some(peer), 0, now);
        match stream.sending.acknowledged(0, limit, now) {
            Ok(()) => stream.receiving.acknowledge(now),
            Err(violation) => stream.give_up(EndReason::Violation(violation)),
        }
        stream
    }

    fn new(limits: StreamLimits, own: Session, peer: Option<Session>, limit: u64, now: Time) -> Stream {
        Stream {
            own,
            peer,
            opening: None,
            limits,
            sending: SendHalf::new(limits.window, limit, limits.message - HEADER_LEN),
            receiving: ReceiveHalf::new(limits.window),
            heard: now,
            confirmed: false,
            ask: now + limits.timeout / 4,
            asking: false,
            pending_reset: None,
            ended: None,
        }
    }

    /// Something came from the broker. What is not of this stream is ignored.
    pub fn input(&mut self, chunk: &Chunk<'_>, now: Time) {
        if self.ended.is_some() || chunk.to() != Some(self.own) {
            return;
        }
        match chunk {
            Chunk::Open { .. } => {}
            Chunk::Data(data) if self.is_peer(data.from) => {
                (self.peer, self.opening) = (Some(data.from), None);
                (self.heard, self.confirmed) = (now, true);
                self.ask = now + self.limits.timeout / 4;
                if let Err(violation) = self.data(data, now) {
                    self.give_up(EndReason::Violation(violation));
                } else if self.sending.is_finished() && self.receiving.has_ended() {
                    self.ended = Some(EndReason::Closed);
                }
            }
            Chunk::Reset { from, reason, .. } if self.is_peer(*from) => {
                self.ended = Some(EndReason::Reset(reason.clone()));
            }
            Chunk::Data(_) | Chunk::Reset { .. } => {}
        }
    }

    /// The request for this stream came once more: the other end may not know our session.
    pub fn opened_again(&mut self, now: Time) {
        if !self.confirmed {
            self.receiving.acknowledge(now);
        }
    }

    /// The broker is there again after it was not: what was sent meanwhile is lost, most likely,
    /// and is sent again without waiting for the time to do so.
    pub fn resumed(&mut self, now: Time) {
        if let Some(opening) = &mut self.opening {
            opening.next = now;
        }
        self.sending.again(now);
        self.asking = true;
    }

    /// The longest message that the broker takes has changed.
    pub fn set_message_limit(&mut self, message: usize) {
        self.limits = self.limits.message(message).usable();
        self.sending.set_chunk(self.limits.message - HEADER_LEN);
    }

    /// Writes bytes; gives how many were taken, which is 0 while there is no room.
    pub fn write(&mut self, bytes: &[u8]) -> usize {
        if self.ended.is_some() { 0 } else { self.sending.write(bytes) }
    }

    /// Nothing more will be written: the other end reads the end behind the last byte.
    pub fn finish(&mut self) {
        self.sending.finish();
    }

    /// Reads bytes; gives how many there were. What came before the stream ended can be read then,
    /// too.
    pub fn read(&mut self, out: &mut [u8], now: Time) -> usize {
        self.receiving.read(out, now)
    }

    /// Ends the stream at once. What the other end has not got is lost; it is told the reason.
    pub fn reset(&mut self, reason: &str) {
        if self.ended.is_none() {
            self.give_up(EndReason::GivenUp(reason.into()));
        }
    }

    /// The next message for the other end; `None` if there is nothing to be sent now.
    pub fn poll(&mut self, now: Time) -> Option<Vec<u8>> {
        self.pass_time(now);
        if let (Some(reason), Some(peer)) = (self.pending_reset.take(), self.peer) {
            return Some(Chunk::reset(peer, self.own, &reason));
        }
        let acknowledges = self.receiving.due().is_some_and(|due| due <= now);
        match &self.ended {
            None => {}
            // The other end may still wait for our acknowledgement.
            Some(EndReason::Closed) if acknowledges => return self.message(now),
            Some(_) => return None,
        }
        if let Some(opening) = &mut self.opening {
            if opening.next > now {
                return None;
            }
            opening.next = now + opening.wait;
            opening.wait = (opening.wait * 2).min(LAST_REPEAT);
            return Some(opening.message.clone());
        }
        self.message(now)
    }

    /// When [`Stream::poll`] has something to do if nothing happens before.
    pub fn next_timeout(&self) -> Option<Time> {
        if self.pending_reset.is_some() && self.peer.is_some() {
            return Some(self.heard);
        }
        match &self.ended {
            None => {}
            Some(EndReason::Closed) => return self.receiving.due(),
            Some(_) => return None,
        }
        let timeout = self.limits.timeout;
        let times = match &self.opening {
            Some(opening) => [Some(opening.next), None, None, None],
            None => [
                self.receiving.due(),
                self.sending.repeats_at(),
                self.sending.stuck_since().map(|since| since + timeout),
                Some(self.ask),
            ],
        };
        times.into_iter().flatten().chain([self.heard + timeout]).min()
    }

    /// This end.
    pub fn session(&self) -> Session {
        self.own
    }

    /// The other end, once it is known.
    pub fn peer(&self) -> Option<Session> {
        self.peer
    }

    /// Whether [`Stream::read`] would give something.
    pub fn is_readable(&self) -> bool {
        self.receiving.is_readable()
    }

    /// Whether all was read that the other end has written, and it has said that this is all.
    pub fn is_at_end(&self) -> bool {
        self.receiving.has_ended() && !self.receiving.is_readable()
    }

    /// Whether [`Stream::write`] would take something.
    pub fn has_room(&self) -> bool {
        self.ended.is_none() && self.sending.has_room()
    }

    /// Whether the other end has all that was written, and the end.
    pub fn is_finished(&self) -> bool {
        self.sending.is_finished()
    }

    /// Why the stream has ended; `None` if it has not.
    pub fn ended(&self) -> Option<&EndReason> {
        self.ended.as_ref()
    }

    fn is_peer(&self, from: Session) -> bool {
        self.peer.map_or(self.opening.is_some(), |peer| peer == from)
    }

    fn data(&mut self, data: &Data<'_>, now: Time) -> Result<(), super::Violation> {
        self.sending.acknowledged(data.ack, data.limit, now)?;
        if data.missing {
            self.sending.is_missing(data.ack);
        }
        self.receiving.data(data, now)?;
        if data.answer {
            self.receiving.acknowledge(now);
        }
        Ok(())
    }

    /// Does what is due: gives up, asks for a sign of life.
    fn pass_time(&mut self, now: Time) {
        if self.ended.is_some() {
            return;
        }
        let timeout = self.limits.timeout;
        if now >= self.heard + timeout {
            let unanswered = self.opening.is_some();
            return self.give_up(if unanswered {
                EndReason::NoAnswer(timeout)
            } else {
                EndReason::Silent(timeout)
            });
        }
        if self.opening.is_some() {
            return;
        }
        if self.sending.stuck_since().is_some_and(|since| now >= since + timeout) {
            return self.give_up(EndReason::Unacknowledged(timeout));
        }
        self.asking |= self.sending.repeat(now);
        if now >= self.ask {
            // A question or its answer may be lost: ask more often then.
            (self.asking, self.ask) = (true, now + timeout / 16);
            // It is quiet: what was used in busier times is not needed now.
            self.sending.shrink();
            self.receiving.shrink();
        }
    }

    /// Data, if there are bytes to be sent or there is something to be told.
    fn message(&mut self, now: Time) -> Option<Vec<u8>> {
        let peer = self.peer?;
        let segment = self.sending.next(now);
        let acknowledges = self.receiving.due().is_some_and(|due| due <= now);
        if segment.is_none() && !acknowledges && !self.asking {
            return None;
        }
        let mut data = Data {
            to: peer,
            from: self.own,
            ack: 0,
            limit: 0,
            offset: segment.map_or(self.sending.position(), |segment| segment.offset),
            end: segment.is_some_and(|segment| segment.end),
            missing: false,
            answer: std::mem::take(&mut self.asking),
            bytes: &[],
        };
        self.receiving.report(&mut data);
        let bytes = segment.map(|segment| self.sending.bytes(segment)).unwrap_or_default();
        Some(data.encode(bytes))
    }

    fn give_up(&mut self, why: EndReason) {
        self.pending_reset = Some(match &why {
            EndReason::GivenUp(reason) => reason.clone(),
            why => why.to_string(),
        });
        self.ended = Some(why);
    }
}
