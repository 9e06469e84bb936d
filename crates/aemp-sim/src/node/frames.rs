//! An open connection: the frames that come, and the signs of life on both sides.

use std::time::Duration;

use aemp_proto::kernel::{LinkId, Time};
use aemp_proto::link::Pulse;
use aemp_proto::wire::native::{self, Control};
use aemp_proto::wire::{Body, Frame, Request, reframe};
use aemp_proto::{Framing, NodeId, Value, name};

use super::Node;
use super::driver::Told;
use super::link::{Link, Open, Phase};
use super::ports::Post;
use crate::cx::Cx;
use crate::history::{Direction, Event, Mark};
use crate::options::Sabotage;

/// The name of the port that answers to our probes come to.
const PROBE_PORT: &str = "aemp::alive";

/// How long a peer may take to answer when the kernel asks whether it lives.
const PROBE_LIMIT: Duration = Duration::from_secs(1);

impl Node {
    /// Something came from the peer.
    pub(super) fn heard(&mut self, link: LinkId, cx: &mut Cx) {
        let Some(open) = self.open_link(link) else { return };
        open.live.received(cx.now);
        if open.asked.take().is_some() {
            self.tell(Told::ProbeDone(link, true), cx);
        }
    }

    /// The kernel wants to know whether the peer lives.
    pub(super) fn probe(&mut self, link: LinkId, cx: &mut Cx) {
        let id = self.id.clone();
        let Some(open) = self.open_link(link) else { return };
        open.asked = Some(cx.now + PROBE_LIMIT);
        open.ask(0, &id);
    }

    /// Delivers the frames that are complete.
    pub(super) fn read_frames(&mut self, link: LinkId, cx: &mut Cx) -> Result<(), String> {
        while let Some(open) = self.open_link(link) {
            let frame =
                open.frames.next().map_err(|error| format!("peer sent a malformed frame: {error}"))?;
            match frame {
                None => return Ok(()),
                Some(Frame::Message { seq, port, body, .. }) => {
                    open.last = seq;
                    if cx.sabotage(Sabotage::DropFrame, 60) {
                        continue;
                    }
                    open.came += 1;
                    let peer = open.peer.clone();
                    self.message(link, &peer, &port, body, cx);
                }
                Some(Frame::Ping(number)) => native::write_control(&mut open.control, Control::Pong(number)),
                Some(Frame::Bye) => {
                    self.note_taken(link, Mark::End, cx);
                    return Err("the node has shut down".into());
                }
                Some(Frame::Ack(_) | Frame::Credit(_) | Frame::Pong(_) | Frame::KeepAlive) => {}
            }
        }
        Ok(())
    }

    /// Records how much has come over a connection when a mark was passed.
    pub(super) fn note_taken(&self, link: LinkId, mark: Mark, cx: &mut Cx) {
        let Some(Link { conn, phase: Phase::Open(open), .. }) = self.links.get(&link) else { return };
        let (peer, conn, dir) = (open.peer.to_string(), *conn, Direction::Taken);
        self.record(Event::Frames { peer, conn, dir, n: open.came, last: open.last, mark }, cx);
    }

    /// Records how much was written to a connection that ends in order, where the peer will say
    /// that it has read it.
    pub(super) fn note_sent(&self, link: LinkId, cx: &mut Cx) {
        let Some(Link { conn, phase: Phase::Open(open), .. }) = self.links.get(&link) else { return };
        let outbox = self.remotes.get(&open.peer).map(|remote| &remote.outbox);
        if let Some(outbox) =
            outbox.filter(|outbox| outbox.link() == Some(link) && open.send == Framing::Native)
        {
            let (peer, conn, dir) = (open.peer.to_string(), *conn, Direction::Sent);
            self.record(
                Event::Frames { peer, conn, dir, n: outbox.taken(), last: None, mark: Mark::End },
                cx,
            );
        }
    }

    fn message(&mut self, link: LinkId, peer: &NodeId, port: &str, body: Body, cx: &mut Cx) {
        if port.is_empty() {
            return self.remote_request(peer, link, &body, cx);
        }
        if port == PROBE_PORT {
            if let Some(open) = self.open_link(link) {
                open.live.answered();
            }
            return;
        }
        let (head, number) = name::split_name(port);
        match self.ports.number(head, number) {
            Some(number) => {
                self.ports.came(&body);
                self.deliver(number, Post::Remote(body), cx);
            }
            None => self.astray(port, &body, cx),
        }
    }

    /// What the clock says on every connection.
    pub(super) fn pulses(&mut self, cx: &mut Cx) {
        for link in self.links.due(cx.now) {
            if let Err(reason) = self.pulse(link, cx) {
                self.lose_link(link, &reason, cx);
            }
        }
    }

    fn pulse(&mut self, link: LinkId, cx: &mut Cx) -> Result<(), String> {
        let id = self.id.clone();
        let Some(known) = self.links.get_mut(&link) else { return Ok(()) };
        let open = match &mut known.phase {
            Phase::Open(open) => open,
            Phase::Shaking { .. } => return Err("the handshake took too long".into()),
            Phase::Waiting { .. } => return Ok(()),
            Phase::Closing { .. } => {
                known.clear(); // it took too long: the end follows at once
                return Ok(());
            }
            Phase::Ending { .. } => return Err("the other side did not end".into()),
        };
        let silent = open.asked.is_some_and(|until| cx.now >= until);
        if silent {
            open.asked = None;
        }
        open.live.sent(known.sent);
        open.live.progress(known.sent);
        while let Some(pulse) = open.live.poll(cx.now) {
            match pulse {
                Pulse::Dead => return Err("nothing was heard of the node for too long".into()),
                Pulse::Probe(number) => open.ask(number, &id),
                Pulse::KeepAlive if open.send == Framing::Native => {
                    native::write_control(&mut open.control, Control::Ping(0));
                }
                Pulse::KeepAlive => open.aside(&Request::Nothing),
            }
        }
        if silent {
            self.tell(Told::ProbeDone(link, false), cx);
        }
        Ok(())
    }

    pub(super) fn open_link(&mut self, link: LinkId) -> Option<&mut Open> {
        match self.links.get_mut(&link).map(|link| &mut link.phase) {
            Some(Phase::Open(open)) => Some(open),
            _ => None,
        }
    }
}

impl Link {
    /// When it has something due.
    pub(super) fn next(&self) -> Time {
        match &self.phase {
            _ if self.undead => Time::MAX,
            Phase::Shaking { until, .. } | Phase::Closing { until } | Phase::Ending { until } => *until,
            Phase::Waiting { .. } => Time::MAX,
            Phase::Open(open) => open.asked.unwrap_or(Time::MAX).min(open.live.next()),
        }
    }
}

impl Open {
    /// Asks for an answer that every peer gives.
    fn ask(&mut self, number: u64, own: &NodeId) {
        if self.send == Framing::Native {
            return native::write_control(&mut self.control, Control::Ping(number));
        }
        if let Ok(body) = Body::encode(&[Value::from(number)]) {
            self.aside(&Request::Send(own.named(PROBE_PORT), body));
        }
    }

    /// Queues a request that belongs to no epoch.
    fn aside(&mut self, request: &Request) {
        let mut record = Vec::new();
        let body = request.encode().expect("signs of life have a wire form");
        native::write_message(&mut record, 1, "", &body).expect("signs of life are short");
        reframe(&record, self.send, &mut self.control).expect("signs of life have a form in every framing");
    }
}
