//! The data connections of a node that are not in somebody's hands yet.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use aemp_proto::NodeId;
use parking_lot::Mutex;
use thiserror::Error;
use tokio::sync::{Semaphore, oneshot, watch};

use super::functions::StreamFunctions;
use super::io::Stream;

/// Data connections that this node dials at once. A listener that has many unproven connections
/// lets no more than sixteen of one address in, and that address may be the host of several nodes.
const DIALS: usize = 4;

/// All data connections of a node that are not in somebody's hands yet, and the functions that they
/// may lead to.
pub(crate) struct Streams {
    pub(super) functions: StreamFunctions,
    pub(super) awaited: Mutex<HashMap<String, Awaited>>,
    pub(super) served: Mutex<Served>,
    /// Places for those who dial.
    pub(super) dials: Semaphore,
    /// Places for dialling that other nodes have asked for.
    pub(super) dials_back: Semaphore,
    ended: watch::Sender<bool>,
}

/// A data connection that is awaited.
pub(super) struct Awaited {
    /// The ID may come into use again; the number does not.
    pub(super) number: u64,
    /// From this node, and no other.
    pub(super) from: NodeId,
    /// The other node asks for being dialled, once.
    pub(super) asked: Option<oneshot::Sender<()>>,
    pub(super) arrival: oneshot::Sender<Arrival>,
    /// The arguments of its function have been read; closed if they cannot be.
    pub(super) prepared: watch::Receiver<bool>,
}

/// What came of it: the stream, or why there is no stream.
pub(super) type Arrival = Result<Stream, String>;

/// Data connections that functions of this node have or wait for.
#[derive(Default)]
pub(super) struct Served {
    pub(super) total: usize,
    pub(super) by_node: HashMap<NodeId, usize>,
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

    /// How many data connections other nodes have here.
    pub(crate) fn served(&self) -> usize {
        self.served.lock().total
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

/// An awaited data connection whose dialler is proven.
pub(crate) struct Claim {
    pub(super) from: NodeId,
    pub(super) arrival: oneshot::Sender<Arrival>,
}
