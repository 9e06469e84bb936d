//! What all links of a node share.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use aemp_proto::NodeId;
use aemp_proto::budget::PeerBudgets;
use aemp_proto::kernel::{KernelLimits, Route, Time};
use aemp_proto::link::LinkConfig;
use aemp_proto::wire::Limits as FrameLimits;
use parking_lot::{Mutex, RwLock};
use tokio::time::Instant;

use super::backlog::Backlog;
use super::ending::Ending;
use super::evaluations::Evaluations;
use super::failed_addresses::FailedAddresses;
use super::leaving::Leaving;
use super::listening::Listening;
use super::node_events::Followers;
use super::ration::{NodeRations, Ration, Rations};
use super::relaying::Relaying;
use super::seeds::UnreachedSeeds;
use super::tls::Tls;
use crate::broker::Broker;
use crate::follow::Tracer;
use crate::recorder::compact::CompactEvent;
use crate::recorder::ring::Recorder;
use crate::stats::counts::NodeCounts;
use crate::stream::Streams;
use crate::tombstones::Tombstones;

/// What all links of a node share.
pub(crate) struct Shared {
    pub(crate) greeting: Greeting,
    pub(crate) frames: FrameLimits,
    /// What the kernel refuses to hold, and the database to take from the program.
    pub(crate) kernel: KernelLimits,
    pub(crate) handshake_limit: Duration,
    /// `TCP_NODELAY` on connections.
    pub(crate) nodelay: bool,
    /// Requests of the shared database that the driver has not seen yet.
    pub(crate) requests: Backlog,
    /// How much is kept for each other node.
    pub(crate) budgets: PeerBudgets,
    /// What ports died of that other nodes have named.
    pub(crate) tombstones: Tombstones,
    /// Code that other nodes have evaluated here.
    pub(crate) evaluations: Evaluations,
    pub(crate) up: RwLock<BTreeMap<NodeId, Route>>,
    pub(crate) relaying: Relaying,
    /// What nodes are reached through that cannot be dialled.
    pub(crate) broker: Option<Arc<dyn Broker>>,
    pub(crate) listening: Listening,
    pub(crate) failed_addresses: FailedAddresses,
    pub(crate) unreached_seeds: UnreachedSeeds,
    /// Gone when the node has ended.
    pub(crate) events: Mutex<Option<Followers>>,
    pub(crate) accepted: AtomicU64,
    /// Data connections: what they may call, and which are awaited.
    pub(crate) streams: Streams,
    /// Lines about connections that did not come to be, that are not encrypted or not quite right,
    /// and about requests that were refused.
    pub(crate) failures: Ration,
    pub(crate) unencrypted: Ration,
    pub(crate) suspicious: Ration,
    pub(crate) refusals: Ration,
    /// Lines about actors that died: other nodes may spawn and kill them as they like.
    pub(crate) actors: Ration,
    /// Lines about nodes that come and go.
    pub(crate) coming: NodeRations,
    /// Lines about nodes and seeds that cannot be reached.
    pub(crate) unreachable: Rations,
    /// The messages that are followed.
    pub(crate) tracer: Tracer,
    /// What is counted for people.
    pub(crate) counts: NodeCounts,
    /// What happened last.
    pub(crate) recorder: Recorder,
    /// By the clock of the runtime, as all timers: a test may pause it.
    pub(crate) started: Instant,
    pub(crate) ending: Ending,
    /// Whether the node takes no new work, and what has to be finished first.
    pub(crate) leaving: Leaving,
}

impl Shared {
    /// How long the node has been running: the time of its machines.
    pub(crate) fn now(&self) -> Time {
        self.started.elapsed()
    }

    /// Records something, unless the recorder is off.
    pub(crate) fn note(&self, event: impl FnOnce() -> CompactEvent) {
        self.recorder.note(self.now(), event);
    }

    /// What is said in the handshake of a connection that is made now.
    pub(crate) fn link(&self) -> Arc<LinkConfig> {
        self.greeting.link.read().clone()
    }

    /// With what such a connection is encrypted.
    pub(crate) fn tls(&self) -> Option<Arc<Tls>> {
        self.greeting.tls.read().clone()
    }
}

/// What all handshakes are made with. A connection keeps what it was begun with.
pub(crate) struct Greeting {
    pub(crate) link: RwLock<Arc<LinkConfig>>,
    pub(crate) tls: RwLock<Option<Arc<Tls>>>,
}
