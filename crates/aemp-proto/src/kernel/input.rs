//! What a node's machine is told.

use crate::db::QueryKind;
use crate::link_id::LinkId;
use crate::peer::Peer;
use crate::wire::MeshRequest;
use crate::{NodeId, Value};

/// Something that happened to the node. `Tick` fires what is due.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// The outbox of this node got its first entry, or its node port is monitored, and no link is
    /// there.
    Wanted(NodeId),
    /// The addresses at which others can dial us. Replaces what was said before.
    Binds {
        /// `host:port` each.
        binds: Vec<String>,
        /// Whether there are nodes that can dial none of these, so that ways through other nodes
        /// are needed.
        unreachable: bool,
    },
    /// The answer to [`Action::Resolve`](super::Action::Resolve).
    Resolved {
        /// What was asked for.
        name: String,
        /// Its addresses, as `IP:PORT`; none if the name cannot be resolved at the moment.
        addresses: Vec<String>,
    },
    /// The addresses of the seeds from now on, in order of preference. Who is connected stays so.
    Seeds(Vec<String>),
    /// The peer's greeting was read on this link; nothing in it can be trusted yet.
    Greeted {
        /// The link; an accepted one is new to the kernel.
        link: LinkId,
        /// What the greeting says.
        peer: Peer,
    },
    /// On an accepted link the peer's authentication line is right, and ours is not sent yet.
    Verified {
        /// The link.
        link: LinkId,
    },
    /// Both authentication lines are exchanged and right.
    Established {
        /// The link.
        link: LinkId,
    },
    /// The answer to [`Action::Probe`](super::Action::Probe).
    ProbeDone {
        /// The link.
        link: LinkId,
        /// Whether the other end gave a sign of life.
        alive: bool,
    },
    /// The connection is over, or could not be made.
    Closed {
        /// The link.
        link: LinkId,
        /// Why, for people.
        reason: String,
    },
    /// The outbox of this node has passed a limit, and drops what is sent: it has to be broken,
    /// which [`Action::Break`](super::Action) asks for, at once or a little later.
    Overflow(NodeId),
    /// A request of the global service came in over the link that is attached to `from`.
    Request {
        /// Who sent it.
        from: NodeId,
        /// What it asks.
        request: MeshRequest,
    },
    /// Something is wanted from the database by the program on this node.
    Db(DbCommand),
    /// Time has passed.
    Tick,
}

/// What a program wants from the shared database.
#[derive(Debug, Clone, PartialEq)]
pub enum DbCommand {
    /// Add or replace an own entry.
    Set {
        /// The family.
        family: String,
        /// The subkey.
        key: String,
        /// The value.
        value: Value,
        /// Names this command; no other `Set` of the node has the same number.
        id: u64,
    },
    /// Take an own entry back. That of another node stays.
    Delete {
        /// The family.
        family: String,
        /// The subkey.
        key: String,
    },
    /// Take an own entry back if the `Set` with this number was the last one for it: what was set
    /// anew since belongs to the one who did so.
    Release {
        /// The family.
        family: String,
        /// The subkey.
        key: String,
        /// The number of the `Set`.
        id: u64,
    },
    /// Take back all entries that the program has set. What it sets from now on is not shown to
    /// anybody: the node is about to leave.
    Withdraw,
    /// Ask once; [`Action::QueryAnswer`](super::Action::QueryAnswer) comes exactly once,
    /// unless the query is taken back.
    Query {
        /// Chosen by the asker; not in use for another unanswered query.
        id: u64,
        /// What is asked for.
        kind: QueryKind,
        /// The family.
        family: String,
    },
    /// Nobody waits for the answer to this query any more.
    Unquery {
        /// The query.
        id: u64,
    },
    /// Watch a family: [`Action::Watch`](super::Action::Watch) brings its content once, and then
    /// every change.
    Watch {
        /// Chosen by the watcher; not in use for another watch.
        id: u64,
        /// The family.
        family: String,
    },
    /// Stop a watch.
    Unwatch {
        /// The watch.
        id: u64,
    },
}
