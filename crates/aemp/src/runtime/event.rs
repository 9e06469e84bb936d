//! What the driver and the tasks of links are told, and what those hear who follow the nodes.

use std::sync::Arc;

use aemp_proto::kernel::{DbCommand, LinkId, Peer, QueryKind};
use aemp_proto::{Framing, NodeId, Value};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::report::ShutdownRequest;
use crate::database::WatchSender;
use crate::recorder::pending_mark::PendingMark;
use crate::remote::Remote;
use crate::stats::counts::{BreakCause, KernelStats};

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
        /// What both ends call the connection when they record something of it.
        conn: u64,
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
    /// The addresses of the seeds are others now.
    Seeds(Vec<String>),
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
    /// Nobody waits for the answer to this query any more.
    Unquery(u64),
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
    /// Have both ends of each connection record how far they are when a sign of life with this
    /// number is passed.
    Mark(u64, Arc<PendingMark>),
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
    /// Have both ends record how far they are; this is dropped when the peer has answered.
    Mark(u64, Arc<PendingMark>),
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
