//! The outbox: the one ordered way from this node to another, and the place where the promise
//! lives.
//!
//! Everything for a remote node, messages, kills, monitors and requests, is appended here, by
//! whichever thread sends it, under one lock that the caller holds. The entries are kept as
//! numbered `aemp1` frames ([`Records`]), so that a native peer gets them as they are; other
//! framings are made from them by the writer.
//!
//! An outbox ends in one way only: it *breaks*. Then the queue is dropped, every monitor on a port
//! of that node is handed back to be fired, and these ports are *gated*: what is sent to them is
//! dropped until each of these fires was reported as done ([`Outbox::fired`]). That is how no
//! message overtakes the news of a loss. Who has been told already may monitor such a port anew and
//! send to it: that is held until the gate opens (`gates`).
//!
//! To a peer that reads parts a large message goes in parts, between others: the outbox holds it,
//! and what has to stay behind it, in `lanes`, and cuts off as much as is to be written next.
//!
//! Nothing stands in the outbox of an attached link that its peer cannot read: `forms` checks it
//! against the framing of the peer.
//!
//! This is not: the choice of a connection (the kernel's), writing (the link's), firing (the
//! node's).

mod counts;
mod forms;
mod gates;
mod held;
mod lanes;
mod monitors;
mod traced;
mod watch;

use bytes::Bytes;

use self::counts::Counting;
pub use self::counts::{Counts, Dropped, Why, tag_of};
pub use self::forms::{Attached, LostPort, Refused};
use self::gates::{Gates, Signal};
pub use self::held::Sender;
use self::lanes::Lanes;
use self::monitors::{Monitor, Monitors};
pub use self::watch::Loss;
use self::watch::losses;
use crate::link_id::LinkId;
use crate::wire::records::SHARED_FROM;
use crate::wire::{Body, EncodeError, Framing, Records, Request};
use crate::{NodeId, PortId, Reason};

/// What a frame costs beside its bytes, so that a flood of empty messages is bounded too.
const FRAME_COST: usize = 64;

/// Each time this many bytes more wait, the one who added the last one is told: written soon, they
/// are still in the cache.
const BULK: usize = 128 << 10;

/// How much an outbox may hold, in bytes, counting 64 a frame.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct OutboxLimits {
    /// While a connection drains it: a peer that reads nothing for this long is as good as lost.
    pub connected: usize,
    /// While it waits for a connection: the node may never be reached. The message that passes this
    /// is still taken, no matter what its size; what follows it is not.
    pub waiting: usize,
    /// One message: the peer's frame limit; a larger one is refused before anything is queued.
    pub message: usize,
    /// Bytes of one part of a large message, which is one that is four times as long. Another node
    /// that reads parts gets it piece by piece, between what others send to other ports there.
    pub part: usize,
}

impl OutboxLimits {
    /// The same with this [`OutboxLimits::connected`].
    #[must_use]
    pub const fn connected(mut self, connected: usize) -> OutboxLimits {
        self.connected = connected;
        self
    }

    /// The same with this [`OutboxLimits::waiting`].
    #[must_use]
    pub const fn waiting(mut self, waiting: usize) -> OutboxLimits {
        self.waiting = waiting;
        self
    }

    /// The same with this [`OutboxLimits::message`].
    #[must_use]
    pub const fn message(mut self, message: usize) -> OutboxLimits {
        self.message = message;
        self
    }

    /// The same with this [`OutboxLimits::part`].
    #[must_use]
    pub const fn part(mut self, part: usize) -> OutboxLimits {
        self.part = part;
        self
    }
}

impl Default for OutboxLimits {
    fn default() -> OutboxLimits {
        OutboxLimits { connected: 128 << 20, waiting: 16 << 20, message: (64 << 20) - 8192, part: 512 << 10 }
    }
}

/// What became of something that was put into an outbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Queued {
    /// It was dropped: the port is gated until its monitors fired, or the outbox is about to break,
    /// or it is a request that fits into no message.
    Dropped,
    /// It stands behind others; anyone who writes them will write it.
    Behind,
    /// It is the first for the attached link, whose writer has to be woken.
    Wake,
    /// It stands behind others, and a good deal waits by now: anyone who can write should do so.
    Bulk,
    /// It is the first while no link is there: a connection is wanted.
    Wanted,
    /// The limit is passed: from now on everything is dropped, and the outbox has to be broken.
    /// Said once.
    Overflow,
    /// A gated port has lost what was held for it: monitors have to be fired, see
    /// [`Outbox::refused`]. A writer or a connection ([`Outbox::is_wanted`]) may be asked for as
    /// well.
    Refused,
}

impl Queued {
    /// What has to be done if several things were appended: the most urgent of it.
    fn and(self, other: Queued) -> Queued {
        let urgency = |queued: Queued| match queued {
            Queued::Dropped => 0,
            Queued::Behind => 1,
            Queued::Bulk => 2,
            Queued::Wake => 3,
            Queued::Wanted => 4,
            Queued::Refused => 5,
            Queued::Overflow => 6,
        };
        if urgency(other) > urgency(self) { other } else { self }
    }
}

/// A broken outbox's leavings.
#[derive(Debug)]
pub struct Broken<M> {
    /// The node that it led to.
    node: NodeId,
    /// The link that drained it, to be closed.
    pub link: Option<LinkId>,
    /// What was written in this epoch, and what is lost with its end.
    pub counts: Counts,
    /// The monitors to fire.
    pub fires: Vec<Loss<M>>,
    /// What was queued and is lost; it may share bytes with others, whose code must not run under
    /// the lock of the outbox.
    pub lost: Records,
    /// The same of what was held: large messages, or what is left of them, what had to stay behind
    /// them, and what waited for gates.
    pub held: Vec<Bytes>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing is queued or monitored that needs a connection.
    Idle,
    /// A connection was asked for.
    Wanted,
    /// This link drains the outbox.
    Attached(LinkId),
}

/// The sender of what no port or task sends: requests of the node itself.
fn nobody() -> Option<u64> {
    None
}

/// The ordered way to one node. `M` is what the caller keeps for a monitor; `Outbox` never looks
/// inside.
pub struct Outbox<M> {
    node: NodeId,
    limits: OutboxLimits,
    state: State,
    /// The limit was passed, or the node ends; what comes is lost until the break.
    condemned: bool,
    epoch: u64,
    records: Records,
    /// From this size on a message is not simply appended to the records.
    cut_from: usize,
    lanes: Lanes,
    /// What the peer of the attached link reads.
    framing: Framing,
    /// The port of the last frame, and its name: the next one is often for the same.
    last: Option<PortId>,
    name: String,
    frames: usize,
    /// From this many bytes on the next [`Queued::Bulk`] is due.
    bulk: usize,
    in_flight: usize,
    next_seq: u64,
    monitors: Monitors<M>,
    gates: Gates<M>,
    counting: Counting,
}

impl<M> Outbox<M> {
    /// An empty outbox for this node.
    pub fn new(node: NodeId, limits: OutboxLimits) -> Outbox<M> {
        Outbox {
            node,
            limits,
            state: State::Idle,
            condemned: false,
            epoch: 0,
            records: Records::default(),
            cut_from: usize::MAX,
            lanes: Lanes::default(),
            framing: Framing::Native,
            last: None,
            name: String::new(),
            frames: 0,
            bulk: BULK,
            in_flight: 0,
            next_seq: 1,
            monitors: Monitors::new(),
            gates: Gates::new(),
            counting: Counting::default(),
        }
    }

    /// Appends a message to a port, without a [sender](Outbox::by). The bytes of a large one are
    /// shared, not copied. The caller has [checked](Outbox::check) it.
    pub fn send(&mut self, port: &PortId, body: &Body) -> Queued {
        self.send_from(port, body, nobody)
    }

    fn send_from(&mut self, port: &PortId, body: &Body, sender: impl FnOnce() -> Option<u64>) -> Queued {
        if self.gates.is_closed(port) {
            return self.at_gate(port, sender(), || Signal::Message(body.clone(), None));
        }
        if body.items().len() >= self.cut_from {
            return self.append_aside(port, body, None, (sender(), None));
        }
        self.append(port, |records, seq, name| records.push(seq, name, body))
    }

    /// Appends a message to a port: `count` values, joined in `items`, which are copied. For those
    /// that are not [large](Outbox::shares). Otherwise as [`Outbox::send`].
    pub fn send_items(&mut self, port: &PortId, count: u32, items: &[u8]) -> Queued {
        self.send_items_from(port, count, items, nobody)
    }

    fn send_items_from(
        &mut self,
        port: &PortId,
        count: u32,
        items: &[u8],
        sender: impl FnOnce() -> Option<u64>,
    ) -> Queued {
        if self.gates.is_closed(port) {
            let body = || Signal::Message(Body::new(count, Bytes::copy_from_slice(items)), None);
            return self.at_gate(port, sender(), body);
        }
        if items.len() >= self.cut_from {
            let body = Body::new(count, Bytes::copy_from_slice(items));
            return self.append_aside(port, &body, None, (sender(), None));
        }
        self.append(port, |records, seq, name| records.push_items(seq, name, count, items))
    }

    /// Whether a message with values of this many bytes is shared by [`Outbox::send`].
    pub fn shares(bytes: usize) -> bool {
        bytes >= SHARED_FROM
    }

    /// Appends a kill of a port, without a [sender](Outbox::by).
    pub fn kill(&mut self, port: &PortId, reason: &Reason) -> Queued {
        self.kill_from(port, reason, nobody)
    }

    fn kill_from(&mut self, port: &PortId, reason: &Reason, sender: impl FnOnce() -> Option<u64>) -> Queued {
        if self.gates.is_closed(port) {
            return self.at_gate(port, sender(), || Signal::Kill(reason.clone()));
        }
        self.request_from(&Request::Kill(port.name().to_string(), reason.clone()), sender)
    }

    /// Appends a request of the node itself (database, `kil0`), which no gate holds back. One that
    /// the peer cannot read or that is over the limit of a message is dropped; of a death, only the
    /// reason is replaced.
    pub fn request(&mut self, request: &Request) -> Queued {
        self.request_from(request, nobody)
    }

    fn request_from(&mut self, request: &Request, sender: impl FnOnce() -> Option<u64>) -> Queued {
        let Ok(body) = self.encode(request) else { return Queued::Dropped };
        self.append_request(request, &body, sender)
    }

    fn append_request(
        &mut self,
        request: &Request,
        body: &Body,
        sender: impl FnOnce() -> Option<u64>,
    ) -> Queued {
        if let Request::Died(name, reason) = request
            && !self.gates.is_empty()
        {
            let sender = sender();
            return match self.gates.keep_death(sender, name, reason) {
                true => Queued::Behind,
                false => self.append_body(request, body, || sender),
            };
        }
        self.append_body(request, body, sender)
    }

    fn append_body(
        &mut self,
        request: &Request,
        body: &Body,
        sender: impl FnOnce() -> Option<u64>,
    ) -> Queued {
        let node_port = self.node.control_port();
        self.counting.requests += 1;
        if body.items().len() >= self.cut_from {
            return self.append_aside(&node_port, body, Some(request), (sender(), None));
        }
        self.append(&node_port, |records, seq, name| records.push(seq, name, body))
    }

    /// What is to be written, into `into` (which must be empty, and whose memory is reused). False
    /// if the outbox is not this link's any more.
    pub fn take(&mut self, link: LinkId, into: &mut Records) -> bool {
        debug_assert!(into.is_empty());
        if self.state != State::Attached(link) {
            return false;
        }
        std::mem::swap(&mut self.records, into);
        if self.cut_from == 0 {
            self.cut(into);
        }
        self.in_flight = into.len() + self.frames * FRAME_COST;
        self.frames = 0;
        self.bulk = BULK;
        self.counting.take();
        true
    }

    /// Nothing more is taken from now on: what comes is lost, as the monitors tell that fire at the
    /// break, which has to follow. What is queued can still be taken and written.
    pub fn seal(&mut self) {
        self.condemned = true;
    }

    /// Whether a gate holds something for the node until all have been told of a loss.
    pub fn holds(&self) -> bool {
        self.gates.holds()
    }

    /// The same of what this sender has sent.
    pub fn holds_of(&self, sender: u64) -> bool {
        self.gates.holds() && self.gates.holds_of(sender)
    }

    /// Of what was taken all but this many bytes have been written.
    pub fn written(&mut self, link: LinkId, left: usize) {
        if self.state == State::Attached(link) {
            self.in_flight = self.in_flight.min(left);
        }
    }

    /// Breaks the outbox: its queue is lost, its monitors fire, a new epoch begins.
    pub fn break_now(&mut self) -> Broken<M> {
        let link = match std::mem::replace(&mut self.state, State::Idle) {
            State::Attached(link) => Some(link),
            State::Idle | State::Wanted => None,
        };
        let taken = self.taken();
        let (lost, mut held) = (std::mem::take(&mut self.records), self.lanes.give_up());
        let queued = self.frames + held.len();
        (self.cut_from, self.framing) = (usize::MAX, Framing::Native);
        (self.frames, self.in_flight, self.next_seq, self.bulk) = (0, 0, 1, BULK);
        self.condemned = false;
        self.epoch += 1;
        let (mut fires, waited) = losses(self.gates.fire_waiting());
        self.counting.lost += (queued + waited.len()) as u64;
        held.extend(waited);
        let counts = self.counting.end(taken);
        for (port, id, Monitor { owner, monitor }) in self.monitors.drain() {
            self.gates.close(&port, id, owner);
            fires.push(Loss { port, id, monitor });
        }
        Broken { node: self.node.clone(), link, counts, fires, lost, held }
    }

    /// How often the outbox broke. Everything of one epoch arrives as a prefix of what was sent in
    /// it.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The link that drains the outbox.
    pub fn link(&self) -> Option<LinkId> {
        match self.state {
            State::Attached(link) => Some(link),
            State::Idle | State::Wanted => None,
        }
    }

    /// Whether something waits for a connection.
    pub fn is_wanted(&self) -> bool {
        self.state == State::Wanted
    }

    /// Whether the limit was passed, and the break that has to follow has not come yet.
    pub fn is_condemned(&self) -> bool {
        self.condemned
    }

    /// Bytes that wait or are being written, counting 64 a frame.
    pub fn backlog(&self) -> usize {
        self.records.len() + self.frames * FRAME_COST + self.in_flight + self.lanes.bytes()
    }

    /// The limits.
    pub fn limits(&self) -> &OutboxLimits {
        &self.limits
    }

    /// Whether nothing is queued, monitored or gated, so that the outbox could be forgotten.
    pub fn is_idle(&self) -> bool {
        self.state == State::Idle && self.monitors.is_empty() && self.gates.is_empty()
    }

    /// How many ports of that node are monitored from here.
    pub fn watched_ports(&self) -> usize {
        self.monitors.len()
    }

    /// Whether a port of that node is gated.
    pub fn is_gated(&self, port: &PortId) -> bool {
        self.gates.is_closed(port)
    }

    /// How many ports of that node are gated.
    pub fn gated_ports(&self) -> usize {
        self.gates.len()
    }

    fn append(
        &mut self,
        port: &PortId,
        push: impl FnOnce(&mut Records, u64, &str) -> Result<(), EncodeError>,
    ) -> Queued {
        if self.condemned {
            self.counting.refuse(port);
            return Queued::Dropped;
        }
        let first = self.records.is_empty();
        let before = self.backlog();
        if self.last.as_ref() != Some(port) {
            self.name.clear();
            port.name().write_to(&mut self.name);
            self.last = Some(port.clone());
        }
        // Senders have checked the size, and names are limited; what fits into no frame all the
        // same is a loss, never a hole.
        if push(&mut self.records, self.next_seq, &self.name).is_err() {
            self.condemned = true;
            return Queued::Overflow;
        }
        self.next_seq += 1;
        self.frames += 1;
        let over = match self.state {
            State::Attached(_) => self.backlog() > self.limits.connected,
            // Not yet the message that passes it: one that is larger than all that may wait could
            // never be sent.
            State::Idle | State::Wanted => before > self.limits.waiting,
        };
        if over {
            self.condemned = true;
            return Queued::Overflow;
        }
        match self.state {
            State::Idle => self.want(),
            State::Attached(_) if first => Queued::Wake,
            State::Attached(_) if self.records.len() >= self.bulk => {
                self.bulk = self.records.len() + BULK;
                Queued::Bulk
            }
            State::Attached(_) | State::Wanted => Queued::Behind,
        }
    }

    fn want(&mut self) -> Queued {
        if self.state == State::Idle {
            self.state = State::Wanted;
            return Queued::Wanted;
        }
        Queued::Behind
    }
}
