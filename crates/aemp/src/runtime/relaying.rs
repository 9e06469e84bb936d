//! The state of relayed connections: the machine under a lock, and what has come for its ends.

use std::collections::{HashMap, VecDeque};
use std::task::Waker;

use aemp_ports::lock_order::{Ordered, RELAYING};
use aemp_proto::NodeId;
use aemp_proto::relay::{EndId, Relay};
use bytes::Bytes;

/// The relayed connections of a node.
pub(crate) struct Relaying(pub(super) Ordered<State, RELAYING>);

pub(super) struct State {
    pub(super) relay: Relay,
    pub(super) pipes: HashMap<EndId, Pipe>,
    /// Connections that have come and that nobody has taken yet.
    pub(super) calls: Vec<Call>,
}

pub(super) struct Call {
    pub(super) end: EndId,
    pub(super) via: NodeId,
    pub(super) from: NodeId,
}

/// What has come for one end, and who waits.
#[derive(Default)]
pub(super) struct Pipe {
    pub(super) came: VecDeque<Piece>,
    pub(super) ended: Option<String>,
    pub(super) reader: Option<Waker>,
    pub(super) writer: Option<Waker>,
}

pub(super) struct Piece {
    pub(super) left: Bytes,
    /// How long it was.
    pub(super) bytes: usize,
}

impl Pipe {
    pub(super) fn end(&mut self, reason: String) {
        self.ended.get_or_insert(reason);
        self.reader.take().into_iter().chain(self.writer.take()).for_each(Waker::wake);
    }
}

impl Relaying {
    pub(crate) fn new(relay: Relay) -> Relaying {
        Relaying(Ordered::new(State { relay, pipes: HashMap::new(), calls: Vec::new() }))
    }

    /// A native node is up, over a connection that is not carried itself.
    pub(crate) fn up(&self, node: &NodeId) {
        self.0.lock().relay.up(node);
    }

    /// Connections that this node carries for others.
    pub(crate) fn relayed(&self) -> usize {
        self.0.lock().relay.relayed()
    }
}
