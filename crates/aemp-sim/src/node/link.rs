//! One connection: its handshake, what is written to it, and its end.

use std::net::SocketAddr;
use std::time::Duration;

use aemp_proto::history::Mark;
use aemp_proto::kernel::{LinkId, Time};
use aemp_proto::link::{Handshake, HandshakeEvent, Liveness, Side, Terms};
use aemp_proto::relay::{EndId, Relay};
use aemp_proto::wire::native::{self, Control};
use aemp_proto::wire::{FrameReader, Limits, Records};
use aemp_proto::{Framing, NodeId};
use bytes::BytesMut;

use super::driver::Told;
use super::{Node, Remote, host};
use crate::cx::{Cx, Happening};
use crate::options::Sabotage;

/// How long a handshake may take.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);

/// How long what is queued may take to be written when we close.
const CLOSE_LIMIT: Duration = Duration::from_secs(1);

/// One connection of a node.
pub(super) struct Link {
    pub(super) line: Line,
    /// What the connection is called in the history.
    pub(super) conn: u64,
    pub(super) phase: Phase,
    /// Bytes for the socket, of which it has taken this many.
    pub(super) out: Vec<u8>,
    pub(super) taken: usize,
    /// When the socket last took some.
    pub(super) sent: Time,
    /// It is closed, but a bug lets what it brings be delivered.
    pub(super) undead: bool,
}

/// What the bytes travel over.
#[derive(Clone, Copy)]
pub(super) enum Line {
    /// A wire, of which this is the side.
    Wire(u64, usize),
    /// Another node.
    Relayed(EndId),
}

pub(super) enum Phase {
    Shaking {
        machine: Box<Handshake>,
        read: BytesMut,
        until: Time,
    },
    /// Established; whether it is the one to the peer is the kernel's decision.
    Waiting {
        terms: Box<Terms>,
        read: BytesMut,
    },
    Open(Box<Open>),
    /// Closed by us; what is left is written.
    Closing {
        until: Time,
    },
    /// We have written the end, and read on until the other side has done so: what nobody reads
    /// would be answered by a reset, and what the other side has not read yet would be lost.
    Ending {
        until: Time,
    },
}

/// An open connection.
pub(super) struct Open {
    pub(super) peer: NodeId,
    pub(super) send: Framing,
    pub(super) frames: FrameReader,
    pub(super) live: Liveness,
    /// Frames of the link itself, which stand in no outbox.
    pub(super) control: Vec<u8>,
    /// Until when the kernel waits for a sign of life.
    pub(super) asked: Option<Time>,
    /// How many messages and requests have come and were taken, and the number of the last one.
    pub(super) came: u64,
    pub(super) last: Option<u64>,
}

impl Node {
    /// The connection that was dialled or accepted is there. `port` is that of the dialler's end.
    pub(crate) fn opened(&mut self, link: LinkId, wire: u64, other: usize, port: u16, cx: &mut Cx) {
        let dialled = link.is_dialled();
        if dialled && !self.dialling.remove(&link) {
            return cx.close(wire, 0);
        }
        let (side, own_port, other_port) =
            if dialled { (Side::Dialler, port, 4040) } else { (Side::Acceptor, 4040, port) };
        let (local, remote) = (socket(self.index, own_port), socket(other, other_port));
        let machine = Handshake::new(self.shared.clone(), side, local, remote, cx.random.bytes());
        self.begin(link, Line::Wire(wire, usize::from(!dialled)), wire, machine, cx);
        self.settle(cx);
    }

    /// The handshake on a connection begins.
    pub(super) fn begin(&mut self, link: LinkId, line: Line, conn: u64, machine: Handshake, cx: &mut Cx) {
        let phase = Phase::Shaking {
            machine: Box::new(machine),
            read: BytesMut::new(),
            until: cx.now + HANDSHAKE_LIMIT,
        };
        self.links
            .insert(link, Link { line, conn, phase, out: Vec::new(), taken: 0, sent: cx.now, undead: false });
    }

    /// A name for a connection that somebody else has dialled.
    pub(crate) fn accept(&mut self) -> LinkId {
        self.accepted += 1;
        LinkId::accepted(self.accepted)
    }

    /// Whether this connection is still being dialled.
    pub(crate) fn dials(&self, link: LinkId) -> bool {
        self.dialling.contains(&link)
    }

    /// The host there has refused.
    pub(crate) fn refused(&mut self, link: LinkId, cx: &mut Cx) {
        if self.dialling.remove(&link) {
            self.tell(Told::Closed(link, "connection refused".into()), cx);
        }
    }

    /// Bytes have come.
    pub(crate) fn bytes(&mut self, link: LinkId, bytes: &[u8], cx: &mut Cx) {
        self.take_bytes(link, bytes, cx);
        self.settle(cx);
    }

    pub(super) fn take_bytes(&mut self, link: LinkId, bytes: &[u8], cx: &mut Cx) {
        let Some(known) = self.links.get_mut(&link) else { return };
        let outcome = match &mut known.phase {
            Phase::Shaking { machine, read, .. } => {
                read.extend_from_slice(bytes);
                machine.input(read).map_err(|error| error.to_string())
            }
            Phase::Waiting { read, .. } => {
                read.extend_from_slice(bytes);
                Ok(())
            }
            Phase::Open(open) => {
                open.frames.buffer().extend_from_slice(bytes);
                self.heard(link, cx);
                self.read_frames(link, cx)
            }
            Phase::Closing { .. } | Phase::Ending { .. } => Ok(()),
        };
        match outcome {
            Ok(()) => self.shake(link, cx),
            Err(reason) => self.lose_link(link, &reason, cx),
        }
    }

    /// The stream has ended, or the connection is reset.
    pub(crate) fn ended(&mut self, link: LinkId, reason: &str, cx: &mut Cx) {
        match self.links.get(&link) {
            Some(known) if known.undead => {
                let line = known.line;
                self.links.remove(&link);
                self.let_go(line, cx);
            }
            Some(_) => self.lose_link(link, reason, cx),
            None => {}
        }
        self.settle(cx);
    }

    /// Our authentication line may be sent.
    pub(super) fn proceed(&mut self, link: LinkId, cx: &mut Cx) {
        let Some(Link { phase: Phase::Shaking { machine, .. }, .. }) = self.links.get_mut(&link) else {
            return;
        };
        match machine.proceed() {
            Ok(()) => self.shake(link, cx),
            Err(error) => self.lose_link(link, &error.to_string(), cx),
        }
    }

    /// Tells what the handshake has come to.
    fn shake(&mut self, link: LinkId, cx: &mut Cx) {
        while let Some(known) = self.links.get_mut(&link) {
            let Phase::Shaking { machine, read, .. } = &mut known.phase else { return };
            known.out.extend(machine.output());
            match machine.poll() {
                None | Some(HandshakeEvent::StartTls { .. }) => return,
                // Nobody here dials a data connection.
                Some(HandshakeEvent::Suspicious(_) | HandshakeEvent::StreamGreeted { .. }) => {}
                Some(HandshakeEvent::Greeted(peer)) => self.tell(Told::Greeted(link, peer), cx),
                Some(HandshakeEvent::Verified) => self.tell(Told::Verified(link), cx),
                Some(HandshakeEvent::Established(terms)) => {
                    let inc = terms.peer.incarnation.unwrap_or_default() as u64;
                    self.conns.insert(link, (known.conn, inc));
                    let read = std::mem::take(read);
                    known.phase = Phase::Waiting { terms: Box::new(terms), read };
                    return self.tell(Told::Established(link), cx);
                }
            }
        }
    }

    /// The framing in which a link that is ready will write.
    pub(super) fn sends_in(&mut self, link: LinkId) -> Framing {
        match self.links.get_mut(&link).map(|known| &known.phase) {
            Some(Phase::Waiting { terms, .. }) => terms.send,
            _ => Framing::Native,
        }
    }

    /// From now on this connection is the one to the node.
    pub(super) fn attach(&mut self, link: LinkId, node: &NodeId, cx: &mut Cx) {
        let limit = self.shared.monitor_timeout;
        let Some(known) = self.links.get_mut(&link) else { return };
        let Phase::Waiting { terms, read } = &mut known.phase else { return };
        let mut frames = FrameReader::new(terms.receive, Limits::default());
        frames.buffer().unsplit(std::mem::take(read));
        let live = Liveness::new(limit, terms.heartbeat, cx.now);
        let (peer, send, parts) = (node.clone(), terms.send, terms.parts);
        let (came, last) = (0, None);
        known.phase = Phase::Open(Box::new(Open {
            peer,
            send,
            frames,
            live,
            control: Vec::new(),
            asked: None,
            came,
            last,
        }));
        known.sent = cx.now;
        if parts && let Some(remote) = self.remotes.get_mut(node) {
            remote.outbox.send_parts(link);
        }
        if let Err(reason) = self.read_frames(link, cx) {
            self.lose_link(link, &reason, cx);
        }
    }

    /// The connection is broken, not by us.
    pub(super) fn lose_link(&mut self, link: LinkId, reason: &str, cx: &mut Cx) {
        if self.lingers(link, cx) {
            return self.tell(Told::Closed(link, reason.into()), cx);
        }
        self.note_taken(link, Mark::Break, cx);
        if let Some(known) = self.links.remove(&link) {
            self.let_go(known.line, cx);
            self.tell(Told::Closed(link, reason.into()), cx);
        }
    }

    /// We close a connection, after what is queued if it is open.
    pub(super) fn close_link(&mut self, link: LinkId, reason: &str, cx: &mut Cx) {
        if self.dialling.remove(&link) {
            return self.tell(Told::Closed(link, reason.into()), cx);
        }
        if self.lingers(link, cx) {
            return;
        }
        self.flush(link, cx);
        let Some(known) = self.links.get_mut(&link) else { return };
        match &known.phase {
            Phase::Closing { .. } | Phase::Ending { .. } => {}
            Phase::Shaking { .. } | Phase::Waiting { .. } => self.lose_link(link, reason, cx),
            Phase::Open(open) => {
                let send = open.send;
                // The socket may be full; what is queued goes before the end all the same.
                if let Err(reason) = self.take_all(link) {
                    return self.lose_link(link, &reason, cx);
                }
                self.note_sent(link, cx);
                let Some(known) = self.links.get_mut(&link) else { return };
                if send == Framing::Native {
                    native::write_control(&mut known.out, Control::Bye);
                }
                known.phase = Phase::Closing { until: cx.now + CLOSE_LIMIT };
            }
        }
    }

    /// Takes everything that the outbox of an open connection has, to be written next.
    fn take_all(&mut self, link: LinkId) -> Result<(), String> {
        let Some(known) = self.links.get_mut(&link) else { return Ok(()) };
        let Phase::Open(open) = &mut known.phase else { return Ok(()) };
        loop {
            let before = known.out.len();
            take(open, self.remotes.get_mut(&open.peer), link, &mut known.out)?;
            if known.out.len() == before {
                return Ok(());
            }
        }
    }

    /// Whether a closed connection is kept by the bug that is built in: what it brings is delivered
    /// until the peer closes.
    fn lingers(&mut self, link: LinkId, cx: &mut Cx) -> bool {
        let Some(known) = self.links.get_mut(&link) else { return false };
        if let Line::Wire(wire, side) = known.line
            && !known.undead
            && matches!(known.phase, Phase::Open(_))
            && cx.sabotage(Sabotage::LateFrames, 1)
        {
            known.undead = true;
            cx.shut(wire, side);
        }
        known.undead
    }

    /// Writes what is there, on every connection that may have something.
    pub(super) fn flush_all(&mut self, cx: &mut Cx) {
        // What is written to a relayed connection goes into the outbox of its relay.
        loop {
            // A relay that has room again does not say so.
            for link in self.ends.values() {
                self.links.touch(*link);
            }
            let mut last = None;
            while let Some(link) = self.links.touched_after(last) {
                self.flush(link, cx);
                last = Some(link);
            }
            if !self.go_on(cx) {
                return;
            }
        }
    }

    fn flush(&mut self, link: LinkId, cx: &mut Cx) {
        loop {
            let Some(known) = self.links.get_mut(&link) else { return };
            if known.has_more() {
                let rest = &known.out[known.taken..];
                let count = match known.line {
                    Line::Wire(wire, side) => cx.write(wire, side, rest),
                    Line::Relayed(end) => write_relayed(&mut self.relay, end, rest),
                };
                if count > 0 {
                    known.sent = cx.now;
                }
                known.taken += count;
                if known.has_more() {
                    return;
                }
                known.clear();
                if let Phase::Open(open) = &known.phase
                    && let Some(remote) = self.remotes.get_mut(&open.peer)
                {
                    remote.outbox.written(link, 0);
                }
            }
            match &mut known.phase {
                Phase::Closing { .. } => {
                    let line = known.line;
                    if let Line::Wire(wire, side) = line {
                        if !cx.sabotage(Sabotage::ResetAtEnd, 1) {
                            known.phase = Phase::Ending { until: cx.now + CLOSE_LIMIT };
                            return cx.shut(wire, side);
                        }
                        // It overtakes what the other side has not read yet.
                        cx.after(Duration::ZERO, Happening::Reset { wire, side: 1 - side });
                    }
                    self.links.remove(&link);
                    return self.let_go(line, cx);
                }
                Phase::Ending { .. } => return,
                Phase::Shaking { machine, .. } => known.out = machine.output(),
                Phase::Waiting { .. } => {}
                Phase::Open(open) => {
                    if let Err(reason) = take(open, self.remotes.get_mut(&open.peer), link, &mut known.out) {
                        return self.lose_link(link, &reason, cx);
                    }
                }
            }
            if self.links.get(&link).is_some_and(|link| !link.has_more()) {
                return;
            }
        }
    }
}

impl Link {
    /// Whether there are bytes that the socket has not taken yet.
    pub(super) fn has_more(&self) -> bool {
        self.taken < self.out.len()
    }

    /// Forgets what is to be written.
    pub(super) fn clear(&mut self) {
        self.out.clear();
        self.taken = 0;
    }
}

/// Gives bytes to the relay, as many as it may get.
fn write_relayed(relay: &mut Relay, end: EndId, bytes: &[u8]) -> usize {
    let mut count = 0;
    loop {
        match relay.write(end, &bytes[count..]) {
            0 => return count,
            more => count += more,
        }
    }
}

/// Takes what is to be written next: signs of life, then what the outbox has.
fn take(open: &mut Open, remote: Option<&mut Remote>, link: LinkId, out: &mut Vec<u8>) -> Result<(), String> {
    out.append(&mut open.control);
    let mut records = Records::default();
    if !remote.is_some_and(|remote| remote.outbox.take(link, &mut records)) {
        return Ok(());
    }
    records.reframe(open.send, out).map_err(|error| error.to_string())
}

fn socket(index: usize, port: u16) -> SocketAddr {
    SocketAddr::new(host(index).into(), port)
}
