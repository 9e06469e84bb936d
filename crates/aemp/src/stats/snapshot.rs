//! The snapshot as it is shown, and as it travels.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::descriptors::Descriptors;
use super::handlers::HandlerStats;

/// The form of [`Stats`]. It is raised when a field changes its meaning; new fields do not count.
pub const VERSION: u32 = 1;

/// A snapshot of a node. Counters begin with the node and only grow. A field that a node does not
/// know is 0 or `None`, and one that is not known here is left out when the snapshot is read.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
#[serde(default)]
pub struct Stats {
    /// The form of the snapshot: [`VERSION`].
    pub version: u32,
    /// The node ID.
    pub node: String,
    /// The version of this library.
    pub program: String,
    /// When the snapshot was taken, in seconds since 1970 by the clock of the node.
    pub time: f64,
    /// How long the node has been running, in seconds.
    pub uptime: f64,
    /// Whether the shared database is merged here: a global node, or one without a network.
    pub merges_database: bool,
    /// The other nodes that it has had a connection to, by node ID. Those that were clients or have
    /// been away for long are in `former_peers`.
    pub peers: BTreeMap<String, PeerStats>,
    /// What `peers` does not have any more, together.
    pub former_peers: PeerStats,
    /// How many ports there are, those for the answers to calls included.
    pub ports: u64,
    /// How many monitors are set on these; of another node one for each port.
    pub monitors: u64,
    /// What waits in the mailboxes.
    pub mailboxes: MailboxStats,
    /// Ports that died of something, by the first word of the reason. After the first 64 words the
    /// others are counted as `other`.
    pub kills: BTreeMap<String, u64>,
    /// Handlers that blocked their thread, and were logged.
    pub blocked_handlers: u64,
    /// How long handlers took, and which blocked their thread last.
    pub handlers: HandlerStats,
    /// Messages that were not delivered, by reason: `no_such_port` (the port is dead or has never
    /// been), `connection_lost` (queued when a connection was lost or could not be made), `gated`
    /// (sent before the monitors of the port had told of an earlier loss), `queue_full` (sent after
    /// the queue for a node had passed its limit). Requests count like messages.
    pub undeliverable: BTreeMap<String, u64>,
    /// The families of the shared database as far as this node has them: all where the database is
    /// merged, else those that have entries of this node.
    pub families: BTreeMap<String, FamilyStats>,
    /// Connections that did not come to be, by cause, such as `wrong_secret`.
    pub handshake_failures: BTreeMap<String, u64>,
    /// Files and sockets of the process, where the system tells.
    pub descriptors: Option<Descriptors>,
}

/// What is known of another node.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
#[serde(default)]
pub struct PeerStats {
    /// The connection that there is now.
    pub connection: Option<ConnectionStats>,
    /// What was written to it.
    pub sent: Traffic,
    /// What was read from it.
    pub received: Traffic,
    /// Bytes that wait for it or are being written, counting 64 a message.
    pub queue_bytes: u64,
    /// Seconds that the oldest of them has waited at most: for a connection, or for the connection
    /// to take it. `None` if nothing is held up.
    pub queue_age: Option<f64>,
    /// Seconds that an answer to a sign of life took last. Signs of life are exchanged while a
    /// connection is idle, between nodes of this kind.
    pub round_trip: Option<f64>,
    /// How often it was connected.
    pub connects: u64,
    /// How often a connection was lost or could not be made, by cause: `closed`, `socket`,
    /// `malformed`, `silent`, `shut_down` (the other node did so), `replaced`, `overflow`,
    /// `unreachable`, `here` (this node gave it up).
    pub breaks: BTreeMap<String, u64>,
    /// Messages and requests that were queued and are lost.
    pub lost: u64,
    /// Messages that were lost at gates; see [`Stats::undeliverable`].
    pub gated: u64,
    /// Messages that were lost because the queue was full.
    pub refused: u64,
}

/// A connection.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
#[serde(default)]
pub struct ConnectionStats {
    /// The framing that the peer reads.
    pub framing: String,
    /// Whether it is encrypted.
    pub tls: bool,
    /// Whether the peer is a client: a tool that comes, asks and goes.
    pub client: bool,
    /// The node that relays it; `None` if it is direct.
    pub relay: Option<String>,
}

/// What went one way between two nodes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
#[serde(default)]
pub struct Traffic {
    /// Bytes behind the handshake, before encryption.
    pub bytes: u64,
    /// Messages to ports.
    pub messages: u64,
    /// Requests of the nodes: kills, monitors, deaths, spawns, the database, relayed connections.
    pub requests: u64,
}

/// What waits in mailboxes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
#[serde(default)]
pub struct MailboxStats {
    /// Bytes in all of them.
    pub bytes: u64,
    /// The fullest one, unless all are empty.
    pub largest: Option<PortStats>,
}

/// A port.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
#[serde(default)]
pub struct PortStats {
    /// Its ID.
    pub port: String,
    /// Bytes that wait in its mailbox.
    pub bytes: u64,
    /// How many monitors are set on it; of another node one.
    pub monitors: u64,
    /// What it is doing: `idle`, `queued`, `running`, `parked` (it waits until a receiver has
    /// drained), `task` (an async port), `answer` (it waits for the answer to a call).
    pub state: String,
}

/// A family of the shared database.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
#[serde(default)]
pub struct FamilyStats {
    /// How many entries it has.
    pub entries: u64,
    /// About how many bytes these have on the wire.
    pub bytes: u64,
}
