//! What an outbox holds back while large messages travel in parts.
//!
//! Of everything that is appended only its size is compared with one number, [`Outbox::cut_from`]. It is 0 as long as something is
//! held, and larger than any message where the peer reads no parts.

use super::lanes::Stream;
use super::{Outbox, Queued};
use crate::PortId;
use crate::kernel::LinkId;
use crate::wire::{Body, Records, Request};

/// A message that is at least as long as so many parts is sent in parts.
const WHOLE: usize = 4;

impl<M> Outbox<M> {
    /// From now on large messages go in parts, between others, if this link drains the outbox: its peer reads parts. What was
    /// appended before goes whole.
    pub fn send_parts(&mut self, link: LinkId) {
        if self.link() == Some(link) && self.lanes.is_empty() {
            self.cut_from = self.large();
        }
    }

    /// Says who sends what is appended next, which has so many octets. Whatever one sender sends to this node keeps its order. It
    /// is asked only if that matters: mostly nothing is held, and what is appended is small.
    pub fn by(&mut self, octets: usize, sender: impl FnOnce() -> u64) -> &mut Outbox<M> {
        if octets >= self.cut_from {
            self.sender = Some(sender());
        }
        self
    }

    /// Adds to what is to be written the next parts, and what waited for a large message that ends with them.
    #[cold]
    pub(super) fn cut(&mut self, into: &mut Records) {
        self.lanes.cut(self.limits.part, self.limits.message, into, &mut self.next_seq);
        if self.lanes.is_empty() {
            self.cut_from = self.large();
        }
    }

    /// From this size on a message is large.
    fn large(&self) -> usize {
        self.limits.part.max(1).saturating_mul(WHOLE)
    }

    /// Appends a message while something is held, or a large one. With a `request` it is that.
    #[cold]
    pub(super) fn append_aside(&mut self, port: &PortId, body: &Body, request: Option<&Request>) -> Queued {
        let name = port.name().to_string();
        let stream = request.map_or(Stream::Port(&name), stream_of);
        let sender = self.sender.take();
        if self.condemned {
            return Queued::Dropped;
        }
        let idle = self.records.is_empty() && self.lanes.is_empty();
        let large = body.items().len() >= self.large();
        match self.lanes.hold(stream, sender, &name, body, large) {
            Ok(true) => self.cut_from = 0,
            Ok(false) => {
                return self.append(port, |records, seq, name| records.push(seq, name, body));
            }
            Err(_) => {
                self.condemned = true;
                return Queued::Overflow;
            }
        }
        if self.backlog() > self.limits.connected {
            self.condemned = true;
            return Queued::Overflow;
        }
        match (idle, large) {
            (true, _) => Queued::Wake,
            (false, true) => Queued::Bulk,
            (false, false) => Queued::Behind,
        }
    }
}

/// What concerns one port belongs to the messages for it. Requests of the node itself keep their order among themselves.
fn stream_of(request: &Request) -> Stream<'_> {
    match request {
        Request::Monitor(name) | Request::Unmonitor(name) | Request::Kill(name, _) => Stream::Port(name),
        Request::Spawn { name, .. } => Stream::Port(name),
        Request::Died(..) => Stream::All,
        _ => Stream::Port(""),
    }
}
