//! What an outbox holds back while large messages travel in parts.
//!
//! Of everything that is appended only its size is compared with one number, [`Outbox::cut_from`].
//! It is 0 as long as something is held, and larger than any message where the peer reads no parts.

use super::lanes::{Stream, push};
use super::monitors::Monitor;
use super::{Outbox, Queued, Refused};
use crate::link_id::LinkId;
use crate::wire::{Body, Records, Request};
use crate::{PortId, Reason, TraceContext};

/// A message that is at least as long as this many parts is sent in parts.
const WHOLE: usize = 4;

impl<M> Outbox<M> {
    /// From now on large messages go in parts, between others, if this link drains the outbox: its
    /// peer reads parts. What was appended before goes whole.
    pub fn send_parts(&mut self, link: LinkId) {
        if self.link() == Some(link) && self.lanes.is_empty() {
            self.cut_from = self.large();
        }
    }

    /// What is appended next is sent by `sender`: all that one sender sends to this node keeps its
    /// order. It is asked for only if that matters: mostly nothing is held or gated, and what is
    /// appended is small. A sender that has not been told of a loss sends nothing to the port where
    /// it was.
    pub fn by<S: FnOnce() -> u64>(&mut self, sender: S) -> Sender<'_, M, S> {
        Sender { outbox: self, sender }
    }

    /// Adds to what is to be written the next parts, and what waited for a large message that ends
    /// with them.
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
    pub(super) fn append_aside(
        &mut self,
        port: &PortId,
        body: &Body,
        request: Option<&Request>,
        (sender, trace): (Option<u64>, Option<TraceContext>),
    ) -> Queued {
        let name = port.name().to_string();
        let stream = request.map_or(Stream::Port(&name), stream_of);
        if self.condemned {
            self.counting.refuse(port);
            return Queued::Dropped;
        }
        let idle = self.records.is_empty() && self.lanes.is_empty();
        let large = body.items().len() >= self.large();
        match self.lanes.hold(stream, sender, &name, (body, trace), large) {
            Ok(true) => self.cut_from = 0,
            Ok(false) => {
                return self.append(port, |records, seq, name| push(records, seq, name, body, trace));
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

/// The outbox on behalf of a port, a task or a thread. Only the outbox knows whether what is
/// appended may have to stay behind something: that depends on its size as it is appended, so each
/// method asks for the sender when it knows that.
pub struct Sender<'o, M, S> {
    pub(super) outbox: &'o mut Outbox<M>,
    pub(super) sender: S,
}

impl<M, S: FnOnce() -> u64> Sender<'_, M, S> {
    /// As [`Outbox::send`].
    #[inline]
    pub fn send(self, port: &PortId, body: &Body) -> Queued {
        self.outbox.send_from(port, body, || Some((self.sender)()))
    }

    /// As [`Outbox::send_items`].
    #[inline]
    pub fn send_items(self, port: &PortId, count: u32, items: &[u8]) -> Queued {
        self.outbox.send_items_from(port, count, items, || Some((self.sender)()))
    }

    /// As [`Outbox::kill`].
    pub fn kill(self, port: &PortId, reason: &Reason) -> Queued {
        self.outbox.kill_from(port, reason, || Some((self.sender)()))
    }

    /// As [`Outbox::request`], for a request that a program makes.
    ///
    /// # Errors
    ///
    /// The peer cannot read it, or it is too large; nothing was appended.
    pub fn request(self, request: &Request) -> Result<Queued, Refused> {
        let body = self.outbox.encode(request)?;
        Ok(self.outbox.append_request(request, &body, || Some((self.sender)())))
    }

    /// Tells the node that the sender, a port with this name, is dead: behind all that it has sent.
    pub fn died(self, name: String, reason: &Reason) -> Queued {
        self.outbox.request_from(&Request::Died(name, reason.clone()), || Some((self.sender)()))
    }

    /// As [`Outbox::monitor`].
    pub fn monitor(self, port: &PortId, id: u64, owner: u64, monitor: M) -> Queued {
        self.outbox.monitor_from(port, id, Monitor { owner, monitor }, || Some((self.sender)()))
    }

    /// As [`Outbox::unmonitor`].
    pub fn unmonitor(self, port: &PortId, id: u64) -> Option<(M, Queued)> {
        self.outbox.unmonitor_from(port, id, || Some((self.sender)()))
    }
}

/// What concerns one port belongs to the messages for it. Requests of the node itself keep their
/// order among themselves.
fn stream_of(request: &Request) -> Stream<'_> {
    match request {
        Request::Monitor(name) | Request::Unmonitor(name) | Request::Kill(name, _) => Stream::Port(name),
        Request::Spawn { name, .. } => Stream::Port(name),
        Request::Died(..) => Stream::All,
        _ => Stream::Port(""),
    }
}
