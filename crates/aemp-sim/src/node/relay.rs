//! Connections that are carried: as one of the ends, or as the node in between.

use aemp_proto::kernel::LinkId;
use aemp_proto::link::{Handshake, Side};
use aemp_proto::relay::RelayAction;
use aemp_proto::wire::{RelayRequest, Request};
use aemp_proto::{NodeId, relay::EndId};

use super::Node;
use super::link::Line;
use crate::cx::Cx;
use crate::history::Event;

impl Node {
    /// Lets a node that is up relay a connection to another one.
    pub(super) fn dial_through(&mut self, link: LinkId, via: &NodeId, to: &NodeId, cx: &mut Cx) {
        self.record(Event::Dial { address: format!("via:{via}#{to}") }, cx);
        let conn = cx.name_relayed(&self.id, via, to);
        let end = self.relay.dial(via, to);
        self.begin_relayed(link, end, via, conn, cx);
        self.go_on(cx);
    }

    /// This side of a connection is closed.
    pub(super) fn let_go(&mut self, line: Line, cx: &mut Cx) {
        match line {
            Line::Wire(wire, side) => cx.close(wire, side),
            Line::Relayed(end) => {
                self.ends.remove(&end);
                self.relay.close(end, "closed by the node");
                self.go_on(cx);
            }
        }
    }

    /// Does what must be done for relayed connections. Gives whether there was anything.
    pub(super) fn go_on(&mut self, cx: &mut Cx) -> bool {
        if std::mem::replace(&mut self.relaying, true) {
            return false; // the one who does it already will do this too
        }
        let mut any = false;
        while let Some(action) = self.relay.poll() {
            any = true;
            match action {
                RelayAction::Send { to, request } => self.send_relayed(&to, request, cx),
                RelayAction::Called { end, via, from } => {
                    let link = self.accept();
                    let conn = cx.relayed_name(&from, &via, &self.id);
                    self.begin_relayed(link, end, &via, conn, cx);
                }
                RelayAction::Came { end, bytes } => {
                    if let Some(link) = self.ends.get(&end).copied() {
                        self.take_bytes(link, &bytes, cx);
                        self.relay.read(end, bytes.len());
                    }
                }
                // What waits is written after every step.
                RelayAction::Room { .. } => {}
                RelayAction::Ended { end, reason } => {
                    if let Some(link) = self.ends.remove(&end) {
                        self.lose_link(link, &reason, cx);
                    }
                }
            }
        }
        self.relaying = false;
        any
    }

    fn begin_relayed(&mut self, link: LinkId, end: EndId, via: &NodeId, conn: u64, cx: &mut Cx) {
        let side = if link.is_dialled() { Side::Dialler } else { Side::Acceptor };
        let machine = Handshake::relayed(self.shared.clone(), side, via, cx.random.bytes());
        self.ends.insert(end, link);
        self.begin(link, Line::Relayed(end), conn, machine, cx);
    }

    /// Puts a request into the outbox of a node, if that has the connection that it is meant for.
    fn send_relayed(&mut self, to: &NodeId, request: RelayRequest, cx: &mut Cx) {
        let outbox = &mut self.remote(to, cx).outbox;
        if outbox.link().is_some() {
            let queued = outbox.request(&Request::Relay(request));
            self.queued(to, queued, cx);
        }
    }
}
