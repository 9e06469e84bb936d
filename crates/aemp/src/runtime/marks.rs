//! What a connection records of itself: how many frames had gone over it when the same mark was
//! passed at both ends.

use std::sync::Arc;

use aemp_proto::history::{Direction, Mark, RELAYED};
use aemp_proto::link::Terms;
use aemp_proto::wire::Request;
use aemp_proto::wire::native::Control;
use aemp_proto::{Body, Framing, Value};

use super::pump::{End, PROBE_PORT, Pump};
use crate::recorder::compact::{CompactEvent, MARKED, text};
use crate::recorder::pending_mark::PendingMark;
use crate::stats::counts::BreakCause;

/// Marks that may be waited for at once.
const MARKS_MAX: usize = 16;

/// The number of a mark, if the message has that of one.
fn marked(body: &Body) -> Option<u64> {
    let Some(Value::Int(number)) = body.first() else { return None };
    u64::try_from(number).ok().filter(|number| number & MARKED != 0)
}

/// What both ends of a connection call it when they record something of it.
pub(super) fn conn_of(terms: &Terms) -> u64 {
    if terms.peer.via.is_some() { terms.connection | RELAYED } else { terms.connection }
}

impl Pump {
    /// Sends a sign of life that both ends record, if the peer knows any. `asker` is dropped when
    /// it has answered.
    pub(super) fn mark(&mut self, number: u64, asker: Arc<PendingMark>) {
        if !self.knows_marks || self.marks.len() >= MARKS_MAX {
            return;
        }
        self.marks.push((number, asker));
        if self.outgoing.framing() == Framing::Native {
            return self.outgoing.control(&self.remote, Control::Ping(number));
        }
        let to = self.node.id().named(PROBE_PORT);
        if let Ok(body) = Body::encode(&[Value::from(number)]) {
            self.aside(&Request::Send(to, body), Some(Mark::Ping(number)));
        }
    }

    /// Records a request of the peer that is a mark, where signs of life are requests.
    pub(super) fn note_mark(&self, request: &Body) {
        if !self.knows_marks || request.first_name().as_deref() != Some("snd") {
            return;
        }
        if let Ok(Request::Send(to, body)) = Request::decode(request)
            && to == self.remote.node.named(PROBE_PORT)
            && let Some(number) = marked(&body)
        {
            self.note(Mark::Ping(number), self.taken() - 1);
        }
    }

    /// Records the answer to a mark, if this is one, where answers are messages.
    pub(super) fn note_answer(&mut self, body: &Body) {
        if let Some(number) = marked(body) {
            self.note(Mark::Pong(number), self.taken() - 1);
            self.marks.retain(|(asked, _)| *asked != number);
        }
    }

    /// The peer has answered.
    pub(super) fn marked(&mut self, number: u64) {
        self.note_taken(Mark::Pong(number));
        self.marks.retain(|(asked, _)| *asked != number);
    }

    /// Records how many frames have come when a mark was passed.
    pub(super) fn note_taken(&self, mark: Mark) {
        self.note(mark, self.taken());
    }

    /// How many messages and requests have come, and were given to those they are for.
    fn taken(&self) -> u64 {
        self.streak.delivered() + self.single
    }

    fn note(&self, mark: Mark, n: u64) {
        let (peer, conn, dir) = (self.remote.node.clone(), self.outgoing.conn, Direction::Taken);
        let last = self.numbered.then_some(self.received);
        self.node.inner().shared.note(|| CompactEvent::Frames { peer, conn, dir, n, last, mark });
    }

    /// Nothing more comes, as the peer has said.
    pub(super) fn note_end(&mut self) {
        self.note_taken(Mark::End);
        self.ended = true;
    }

    /// The stream has ended. In framings without a goodbye that is one.
    pub(super) fn closed(&mut self) {
        if !self.numbered && !self.ended {
            self.note_end();
        }
    }

    /// The connection is lost, or is to be closed: from a loss on nothing is taken.
    pub(super) fn note_loss(&mut self, end: &End) {
        if let End::Lost(BreakCause::Malformed, what) = end {
            let (peer, conn) = (self.remote.node.clone(), self.outgoing.conn);
            let what = text(what);
            self.node.inner().shared.note(|| CompactEvent::Malformed { peer, conn, what });
        }
        if !self.ended && !matches!(end, End::Shutdown(_)) {
            self.note_taken(Mark::Break);
            self.ended = true;
        }
    }

    /// All that was sent is written, and the peer has read it.
    pub(super) fn note_delivered(&self) {
        let taken = {
            let outbox = self.remote.outbox.lock();
            (outbox.link() == Some(self.link)).then(|| outbox.taken())
        };
        if let Some(taken) = taken {
            let n = taken + self.outgoing.asides();
            self.outgoing.note_sent(&self.node, &self.remote, n, Mark::End);
        }
    }
}
