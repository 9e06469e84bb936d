//! What the driver records: nodes that come and go, outboxes that break, addresses that are
//! dialled.

use std::sync::Arc;

use aemp_proto::NodeId;
use aemp_proto::history::{Direction, Mark};
use aemp_proto::kernel::Peer;

use super::Command;
use super::dialled::Target;
use super::driver::Driver;
use crate::losses::Reset;
use crate::recorder::compact::{CompactEvent, text};
use crate::recorder::pending_mark::PendingMark;

impl Driver {
    pub(super) fn note(&self, event: impl FnOnce() -> CompactEvent) {
        self.node.inner().shared.note(event);
    }

    /// Has both ends of every connection record how far they are.
    pub(super) fn mark(&self, number: u64, asker: &Arc<PendingMark>) {
        for link in self.links.keys() {
            self.command(*link, Command::Mark(number, asker.clone()));
        }
    }

    pub(super) fn note_up(&mut self, peer: &Peer, conn: u64) {
        self.conns.insert(peer.node.clone(), conn);
        let run = peer.incarnation.unwrap_or_default() as u64;
        self.note(|| CompactEvent::Up { peer: peer.node.clone(), run, conn });
    }

    pub(super) fn note_down(&mut self, node: &NodeId, reason: &str) {
        let conn = self.conns.remove(node).unwrap_or_default();
        self.note(|| CompactEvent::Down { peer: node.clone(), conn, reason: text(reason) });
    }

    /// An outbox broke. Of one that nothing went through there is nothing to tell.
    pub(super) fn note_broke(&self, node: &NodeId, reset: &Reset) {
        let Reset { link, epoch, written, lost, fires, .. } = *reset;
        if let (Some(_), Some(conn)) = (link, self.conns.get(node)) {
            let (peer, dir, mark) = (node.clone(), Direction::Sent, Mark::Break);
            self.note(|| CompactEvent::Frames { peer, conn: *conn, dir, n: written, last: None, mark });
        }
        if link.is_some() || lost > 0 || fires > 0 {
            self.note(|| CompactEvent::Broke { peer: node.clone(), epoch, lost, fires });
        }
    }

    pub(super) fn note_dial(&self, target: &Target) {
        self.note(|| CompactEvent::Dial(text(&target.address)));
    }
}
