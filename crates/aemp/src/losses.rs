//! The connections of outboxes, as far as ports and monitors are concerned: attached, broken, and
//! what was lost.

use std::fmt;
use std::sync::{Arc, Weak};

use aemp_ports::monitor::{Monitor, Telling as NewsTelling};
use aemp_ports::pressure::unpark;
use aemp_proto::kernel::LinkId;
use aemp_proto::outbox::{Loss, LostPort};
use aemp_proto::{Framing, NodeId, Reason};

use crate::gate::Gate;
use crate::node::Node;
use crate::port::wake::wake_all;
use crate::remote::Remote;
use crate::runtime::Event;
use crate::telling::Telling;

/// What breaking an outbox leaves to be done.
pub(crate) struct Reset {
    /// The link that drained it, to be closed.
    pub(crate) link: Option<LinkId>,
    /// Which epoch ended.
    pub(crate) epoch: u64,
    /// How many messages and requests were taken in it to be written.
    pub(crate) written: u64,
    /// How many were queued and are lost.
    pub(crate) lost: u64,
    /// How many monitors fire.
    pub(crate) fires: u64,
    /// Alive until all callbacks of monitors have run.
    pub(crate) telling: Weak<Telling>,
}

impl Node {
    /// From now on this link drains the outbox of a node, and what it brings is delivered.
    pub(crate) fn attach_remote(&self, remote: &Arc<Remote>, link: LinkId, framing: Framing) {
        *remote.delivering.lock() = Some(link);
        let attached = remote.outbox.lock().attach(link, framing);
        remote.forwarded();
        if framing != Framing::Native {
            self.remotes().foreign_node(true);
        }
        for LostPort { port, why, fires } in attached.lost {
            self.lost(remote, &port, fires, &why);
        }
        self.left_out(&remote.node, attached.left_out);
    }

    /// This many entries of the database were not told to a node.
    pub(crate) fn left_out(&self, node: &NodeId, entries: usize) {
        if entries > 0
            && let Some(withheld) = self.may_complain()
        {
            tracing::warn!(peer = %node, entries, withheld, "database entries were left out that the node cannot read");
        }
    }

    /// Breaks the outbox of a node: its monitors fire, what it monitors here is forgotten.
    pub(crate) fn break_remote(&self, remote: &Arc<Remote>, reason: &str) -> Reset {
        // Its reader may not have heard yet: what it still has came before the break, and would
        // arrive after it.
        *remote.delivering.lock() = None;
        let (epoch, broken) = {
            let mut outbox = remote.outbox.lock();
            if outbox.framing() != Framing::Native {
                self.remotes().foreign_node(false);
            }
            (outbox.epoch(), outbox.break_now())
        };
        self.not_sent(broken.dropped());
        remote.counts.broke(broken.counts);
        remote.forwarded();
        self.inner().shared.relaying.down(self, &remote.node, reason);
        self.forget_watchers(remote);
        self.inner().shared.tombstones.forget(&remote.node);
        let telling = remote.telling.lose(|| self.end_of_telling(remote));
        let (link, counts, fires) = (broken.link, broken.counts, broken.fires.len() as u64);
        self.fire_losses(remote, broken.fires, reason, &telling);
        wake_all(&remote.drained);
        let blocked = std::mem::take(&mut *remote.blocked.lock());
        unpark(self, blocked);
        let written = counts.messages + counts.requests;
        Reset { link, epoch, written, lost: counts.lost, fires, telling: Arc::downgrade(&telling) }
    }

    /// More was sent to gated ports of a node than may be held: what was held is lost, and its
    /// monitors fire.
    pub(crate) fn fire_refused(&self, remote: &Arc<Remote>) {
        let (losses, lost) = remote.outbox.lock().refused();
        drop(lost);
        let reason = "more was sent to the port than may wait while earlier monitors are told of a loss";
        self.fire_losses(remote, losses, reason, &self.telling(remote));
    }

    /// What lives until the callbacks have run that are told now of ports of a node.
    pub(crate) fn telling(&self, remote: &Remote) -> Arc<Telling> {
        remote.telling.current(|| self.end_of_telling(remote))
    }

    fn end_of_telling(&self, remote: &Remote) -> Box<dyn FnOnce() + Send + Sync> {
        let (node, of) = (self.weak(), remote.node.clone());
        Box::new(move || {
            if let Some(node) = node.upgrade() {
                Node::from_inner(node).event(Event::Told(of));
            }
        })
    }

    pub(crate) fn fire_losses(
        &self,
        remote: &Arc<Remote>,
        losses: Vec<Loss<Arc<Monitor<Node>>>>,
        reason: impl fmt::Display,
        telling: &Arc<Telling>,
    ) {
        let telling: NewsTelling = telling.clone();
        let reason = Reason::transport(&remote.node, reason);
        for Loss { port, id, monitor } in losses {
            let gate = Gate::new(self, remote, port, id);
            monitor.fire_there(self, reason.clone(), Some(Box::new(gate)), &telling);
        }
    }
}
