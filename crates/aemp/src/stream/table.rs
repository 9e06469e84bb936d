//! Which data connections are awaited, and how many there may be.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use aemp_proto::NodeId;
use aemp_proto::link::Terms;
use bytes::BytesMut;
use parking_lot::Mutex;
use thiserror::Error;
use tokio::sync::{Semaphore, oneshot, watch};

use super::io::Stream;
use super::serve::StreamFunctions;
use crate::node::Node;
use crate::runtime::handshake;
use aemp_ports::Host as _;

/// Data connections that this node dials at once. A listener that has many unproven connections
/// lets no more than sixteen of one address in, and that address may be the host of several nodes.
const DIALS: usize = 4;

/// All data connections of a node that are not in somebody's hands yet, and the functions that they
/// may lead to.
pub(crate) struct Streams {
    pub(super) functions: StreamFunctions,
    awaited: Mutex<HashMap<String, Awaited>>,
    served: Mutex<Served>,
    /// Places for those who dial.
    pub(super) dials: Semaphore,
    /// Places for dialling that other nodes have asked for.
    pub(super) dials_back: Semaphore,
    ended: watch::Sender<bool>,
}

/// A data connection that is awaited.
struct Awaited {
    /// The ID may come into use again; the number does not.
    number: u64,
    /// From this node, and no other.
    from: NodeId,
    /// The other node asks for being dialled, once.
    asked: Option<oneshot::Sender<()>>,
    arrival: oneshot::Sender<Arrival>,
    /// The arguments of its function have been read; closed if they cannot be.
    prepared: watch::Receiver<bool>,
}

/// What came of it: the stream, or why there is no stream.
pub(super) type Arrival = Result<Stream, String>;

/// Data connections that functions of this node have or wait for.
#[derive(Default)]
struct Served {
    total: usize,
    by_node: HashMap<NodeId, usize>,
}

/// Why a data connection is refused whose dialler is proven.
#[derive(Debug, Error)]
pub(crate) enum Unawaited {
    #[error("node {0} dialled a data connection that is unknown, was used already or came too late")]
    Unknown(NodeId),
    #[error("node {0} dialled a data connection that is another node's")]
    OtherNode(NodeId),
}

impl Streams {
    pub(crate) fn new(functions: StreamFunctions) -> Streams {
        Streams {
            functions,
            awaited: Mutex::default(),
            served: Mutex::default(),
            dials: Semaphore::new(DIALS),
            dials_back: Semaphore::new(DIALS),
            ended: watch::Sender::new(false),
        }
    }

    /// Waits until it is known whether a data connection is wanted: the arguments of its function
    /// are read meanwhile.
    pub(crate) async fn prepared(&self, id: &str) {
        let prepared = self.awaited.lock().get(id).map(|awaited| awaited.prepared.clone());
        if let Some(mut prepared) = prepared {
            // If it is closed the entry is gone.
            let _ = prepared.wait_for(|prepared| *prepared).await;
        }
    }

    /// A proven node has this data connection for us: takes it from the list, once and for all.
    pub(crate) fn claim(&self, id: &str, from: &NodeId) -> Result<Claim, Unawaited> {
        match self.awaited.lock().entry(id.into()) {
            Entry::Vacant(_) => Err(Unawaited::Unknown(from.clone())),
            Entry::Occupied(entry) if entry.get().from != *from => Err(Unawaited::OtherNode(from.clone())),
            Entry::Occupied(entry) => {
                let Awaited { from, arrival, .. } = entry.remove();
                Ok(Claim { from, arrival })
            }
        }
    }

    /// The node of this awaited connection asks for being dialled. `false` if it may not, or has
    /// done so before.
    pub(super) fn ask_for_dial(&self, id: &str, from: &NodeId) -> bool {
        let mut awaited = self.awaited.lock();
        let entry = awaited.get_mut(id).filter(|entry| entry.from == *from);
        entry.and_then(|entry| entry.asked.take()).is_some_and(|asked| asked.send(()).is_ok())
    }

    /// The node has ended: anyone who waits need not.
    pub(crate) fn end(&self) {
        self.ended.send_replace(true);
    }

    /// Whether the node has ended.
    pub(super) fn has_ended(&self) -> bool {
        *self.ended.borrow()
    }

    /// Waits for the end of the node.
    pub(super) async fn ended(&self) {
        // The sender is our own.
        let _ = self.ended.subscribe().wait_for(|ended| *ended).await;
    }
}

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

/// An awaited data connection whose dialler is proven.
pub(crate) struct Claim {
    from: NodeId,
    arrival: oneshot::Sender<Arrival>,
}

impl Claim {
    /// The stream is there.
    pub(crate) fn arrived(self, terms: Terms, stream: handshake::Stream, read: BytesMut) {
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
