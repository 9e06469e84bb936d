//! Where the node meets the world: sockets, TLS, clock. Thin on purpose: decisions are the
//! kernel's, rules the protocol crate's.
//!
//! [`driver`] is the only loop around the kernel; [`listen`] accepts connections, as many as
//! [`admission`] lets in, and [`dial`] makes them, to all addresses that a name has ([`resolve`]);
//! [`link`] is a connection's task, [`dialled`] that of one that is dialled, [`handshake`] its
//! beginning, [`pump`] its life with a reader and a writer, [`runner`] what runs ports,
//! [`shutdown`] the end of the node; [`relay`] has the connections that are relayed; [`request`]
//! answers what comes for the node port, [`evaluation`] what it asks to be evaluated.

pub(crate) mod admission;
mod announce;
pub(crate) mod backlog;
pub(crate) mod dial;
pub(crate) mod dialled;
pub(crate) mod driver;
pub(crate) mod ending;
pub(crate) mod evaluation;
pub(crate) mod handshake;
pub(crate) mod link;
pub(crate) mod listen;
mod machine;
#[cfg(not(feature = "tls"))]
pub(crate) mod no_tls;
pub(crate) mod node_events;
pub(crate) mod prefixed;
pub(crate) mod pump;
pub(crate) mod ration;
pub(crate) mod relay;
pub(crate) mod request;
pub(crate) mod resolve;
pub(crate) mod runner;
pub(crate) mod seeds;
pub(crate) mod sender;
pub(crate) mod shutdown;
mod streak;
pub(crate) mod tcp;
#[cfg(feature = "tls")]
pub(crate) mod tls;
mod write_turn;
pub(crate) mod writer;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use aemp_proto::budget::PeerBudgets;
use aemp_proto::kernel::{DbCommand, KernelLimits, LinkId, Peer, QueryKind, Route, Time};
use aemp_proto::link::LinkConfig;
use aemp_proto::wire::Limits as FrameLimits;
use aemp_proto::{Framing, NodeId, Value};
use parking_lot::{Mutex, RwLock};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::database::WatchSender;
use crate::node::Node;
use crate::remote::Remote;
use crate::stats::counts::{BreakCause, KernelStats, NodeCounts};
use crate::stream::Streams;
use crate::tombstones::Tombstones;
#[cfg(not(feature = "tls"))]
pub(crate) use no_tls as tls;
use node_events::Followers;
pub use node_events::{NodeEvent, NodeEvents};
use shutdown::ShutdownRequest;

/// What the driver is told.
pub(crate) enum Event {
    /// An outbox wants a connection.
    Wanted(NodeId),
    /// An outbox has passed its limit.
    Overflow(NodeId),
    /// A connection was accepted; commands for it go here.
    Accepted(LinkId, mpsc::UnboundedSender<Command>),
    /// A link has read the peer's greeting.
    Greeted(LinkId, Peer),
    /// An accepted link has verified the peer.
    Verified(LinkId),
    /// A link's handshake is done.
    Established {
        link: LinkId,
        /// What the peer reads.
        framing: Framing,
        /// Whether it reads messages in parts.
        parts: bool,
    },
    /// A probe was answered, or was not.
    ProbeDone(LinkId, bool),
    /// A link is over.
    Closed(LinkId, Ended),
    /// The addresses that this node advertises have changed, or who can dial them.
    Binds {
        /// `host:port` each.
        binds: Vec<String>,
        /// Some nodes can dial none of them.
        unreachable: bool,
    },
    /// A name was looked up.
    Resolved(String, Vec<String>),
    /// A change of the own database.
    Db(DbCommand),
    /// A question to the database.
    Query {
        /// Its number.
        id: u64,
        /// What is asked.
        kind: QueryKind,
        /// Of which family.
        family: String,
        /// Where the answer goes.
        answer: oneshot::Sender<Value>,
    },
    /// A new watch.
    Watch {
        /// Its number.
        id: u64,
        /// Of which family.
        family: String,
        /// Where the changes go.
        sender: WatchSender,
    },
    /// The end of a watch.
    Unwatch(u64),
    /// A link that was told to shut down has delivered all that was queued; `Closed` follows.
    Delivered(LinkId),
    /// More was sent to a gated port of this node than may be held.
    Refused(NodeId),
    /// The callbacks of monitors that fired because this node was lost have run.
    Told(NodeId),
    /// What the kernel knows, for people.
    Stats(oneshot::Sender<KernelStats>),
    /// End everything, and say so.
    Shutdown(ShutdownRequest),
}

/// What a link's task is told.
pub(crate) enum Command {
    /// Send our authentication line.
    Proceed,
    /// Drain this outbox, deliver what comes.
    Attach(Arc<Remote>),
    /// Find out whether the peer lives.
    Probe,
    /// Close the connection, after what is queued if it is open.
    Close(String),
    /// Deliver what is queued, and close the connection when the peer has read it, at the latest at
    /// this time.
    Shutdown(Instant),
}

/// How a connection ended.
pub(crate) struct Ended {
    /// For people.
    pub(crate) reason: String,
    /// What it is counted by.
    pub(crate) cause: BreakCause,
}

/// What all links of a node share.
pub(crate) struct Shared {
    pub(crate) link: Arc<LinkConfig>,
    pub(crate) tls: Option<Arc<tls::Tls>>,
    pub(crate) frames: FrameLimits,
    /// What the database takes from the program.
    pub(crate) database: KernelLimits,
    pub(crate) handshake_limit: Duration,
    /// `TCP_NODELAY` on connections.
    pub(crate) nodelay: bool,
    /// Requests of the shared database that the driver has not seen yet.
    pub(crate) requests: backlog::Backlog,
    /// How much is kept for each other node.
    pub(crate) budgets: PeerBudgets,
    /// What ports died of that other nodes have named.
    pub(crate) tombstones: Tombstones,
    /// Code that other nodes have evaluated here.
    pub(crate) evaluations: evaluation::Evaluations,
    pub(crate) up: RwLock<BTreeMap<NodeId, Route>>,
    pub(crate) relaying: relay::Relaying,
    pub(crate) listening: listen::Listening,
    pub(crate) failed_addresses: dial::FailedAddresses,
    pub(crate) unreached_seeds: seeds::UnreachedSeeds,
    /// Gone when the node has ended.
    pub(crate) events: Mutex<Option<Followers>>,
    pub(crate) accepted: AtomicU64,
    /// Data connections: what they may call, and which are awaited.
    pub(crate) streams: Streams,
    /// Lines about connections that did not come to be, that are not encrypted or not quite right,
    /// and about requests that were refused.
    pub(crate) failures: ration::Ration,
    pub(crate) unencrypted: ration::Ration,
    pub(crate) suspicious: ration::Ration,
    pub(crate) refusals: ration::Ration,
    /// Lines about nodes that come and go.
    pub(crate) coming: ration::NodeRations,
    /// Lines about nodes and seeds that cannot be reached.
    pub(crate) unreachable: ration::Rations,
    /// By the clock of the runtime, as all timers: a test may pause it.
    /// What is counted for people.
    pub(crate) counts: NodeCounts,
    pub(crate) started: Instant,
    pub(crate) ending: ending::Ending,
}

impl Shared {
    /// How long the node has been running: the time of its machines.
    pub(crate) fn now(&self) -> Time {
        self.started.elapsed()
    }
}

impl Node {
    /// The nodes that are connected now; [`Node::route`] says of each one how.
    pub fn connected_nodes(&self) -> Vec<NodeId> {
        self.inner().shared.up.read().keys().cloned().collect()
    }

    /// Nodes that come and go from now on. It ends when the node has been shut down.
    ///
    /// A seed may have come up before the first call, so subscribe first and then look at
    /// [`Node::connected_nodes`].
    pub fn node_events(&self) -> NodeEvents {
        let mut events = self.inner().shared.events.lock();
        // Of a node that has ended, those of nobody: they end at once.
        events.as_mut().map_or_else(|| Followers::default().add(), Followers::add)
    }

    /// The addresses that the node listens on now. What others are told may differ, see
    /// [`Builder::advertise`](crate::Builder::advertise).
    pub fn local_addrs(&self) -> Vec<SocketAddr> {
        self.inner().shared.listening.addresses()
    }
}

#[cfg(test)]
mod tests;
