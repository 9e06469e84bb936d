//! Which data connections are awaited, and how many there may be.

use std::collections::hash_map::Entry;

use aemp_proto::NodeId;
use aemp_proto::link::Terms;
use bytes::BytesMut;
use tokio::sync::{oneshot, watch};

use super::io::Stream;
use super::streams::{Arrival, Awaited, Claim};
use crate::node::Node;
use crate::runtime::socket;
use aemp_ports::Host as _;

/// Waits for a data connection; dropping it ends that.
pub(super) struct Arriving {
    pub(super) expected: Expected,
    pub(super) arrival: Arrivals,
    /// The other node asks for being dialled.
    pub(super) asked: oneshot::Receiver<()>,
    prepared: watch::Sender<bool>,
}

/// What stands in the list of those that are awaited, until this is dropped.
pub(super) struct Expected {
    node: Node,
    id: String,
    number: u64,
}

/// Where the stream arrives.
pub(super) struct Arrivals(oneshot::Receiver<Arrival>);

impl Arriving {
    /// Awaits the data connection with this ID from this node; `None` if the ID is taken.
    pub(super) fn new(node: &Node, from: &NodeId, id: &str) -> Option<Arriving> {
        let number = node.next_id();
        let (sender, arrival) = oneshot::channel();
        let (ask, asked) = oneshot::channel();
        let (prepared, waits) = watch::channel(false);
        match node.streams().awaited.lock().entry(id.into()) {
            Entry::Occupied(_) => return None,
            Entry::Vacant(entry) => {
                let from = from.clone();
                entry.insert(Awaited { number, from, asked: Some(ask), arrival: sender, prepared: waits })
            }
        };
        let expected = Expected { node: node.clone(), id: id.into(), number };
        Some(Arriving { expected, arrival: Arrivals(arrival), asked, prepared })
    }

    /// Lets the connection be made: its function can be run.
    pub(super) fn prepared(&self) {
        self.prepared.send_replace(true);
    }
}

impl Arrivals {
    /// The stream, or why it could not be made.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the future is dropped.
    pub(super) async fn next(&mut self) -> Arrival {
        let failed = |_| Err("the connection ended in its handshake".into());
        (&mut self.0).await.unwrap_or_else(failed)
    }
}

impl Expected {
    /// The ID of the data connection.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// From now on nobody can claim it. `false` if somebody has: then it arrives yet, or has
    /// failed.
    pub(super) fn withdraw(&self) -> bool {
        let mut awaited = self.node.streams().awaited.lock();
        let ours = awaited.get(&self.id).is_some_and(|entry| entry.number == self.number);
        if ours {
            awaited.remove(&self.id);
        }
        ours
    }
}

impl Drop for Expected {
    fn drop(&mut self) {
        self.withdraw();
    }
}

impl Claim {
    /// The stream is there.
    pub(crate) fn arrived(self, terms: Terms, stream: socket::Stream, read: BytesMut) {
        tracing::debug!(peer = %self.from, tls = terms.tls, "data connection");
        let stream = Stream::new(self.from.clone(), stream.into(), read);
        self.made(stream);
    }

    /// It was made by a handshake of our own.
    pub(super) fn made(self, stream: Stream) {
        // Anyone who waited may have given up.
        let _ = self.arrival.send(Ok(stream));
    }

    /// It could not be made.
    pub(super) fn failed(self, error: String) {
        let _ = self.arrival.send(Err(error));
    }
}

/// The place of one data connection that another node has here; given back when it is dropped.
pub(super) struct Place {
    node: Node,
    from: NodeId,
}

impl Place {
    /// A place for a data connection of this node; `None` if all are taken.
    pub(super) fn take(node: &Node, from: &NodeId) -> Option<Place> {
        let limits = node.limits();
        let mut served = node.streams().served.lock();
        let here = served.by_node.get(from).copied().unwrap_or_default();
        if served.total >= limits.streams || here >= limits.peer_streams {
            return None;
        }
        served.total += 1;
        served.by_node.insert(from.clone(), here + 1);
        Some(Place { node: node.clone(), from: from.clone() })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut served = self.node.streams().served.lock();
        served.total -= 1;
        if let Some(here) = served.by_node.get_mut(&self.from) {
            *here -= 1;
            if *here == 0 {
                served.by_node.remove(&self.from);
            }
        }
    }
}
