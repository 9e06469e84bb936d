//! What a node's machine wants done.

use std::sync::Arc;

use crate::link_id::LinkId;
use crate::peer::Peer;
use crate::wire::MeshRequest;
use crate::wire::request::Family;
use crate::{NodeId, Value};

/// One thing to be done. Actions are to be carried out in the order in which they come.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Connect to `host:port`, at whichever address of the host the expected node greets first, or
    /// to what [`broker::is_address`](crate::broker::is_address) knows.
    /// [`Input::Greeted`](super::Input::Greeted) or [`Input::Closed`](super::Input::Closed)
    /// follows.
    Dial {
        /// The new link.
        link: LinkId,
        /// Where to.
        address: String,
        /// The node that is expected there; `None` for a seed, which may be any node.
        expected: Option<NodeId>,
    },
    /// Find the addresses of a `host:port` that stands for this node among others, or of all other
    /// global nodes at the broker ([`ANY_GLOBAL`](crate::broker::ANY_GLOBAL)); answer by
    /// [`Input::Resolved`](super::Input::Resolved).
    Resolve {
        /// The name and the port.
        name: String,
    },
    /// This node is a global one from now on, and the broker is to say so to those who ask. Comes
    /// only if there is a broker.
    BecameGlobal,
    /// As `Dial`, but through another node, which is up: let it relay a connection to `to`.
    DialThrough {
        /// The new link.
        link: LinkId,
        /// Who carries it.
        via: NodeId,
        /// Who is to be at the other end.
        to: NodeId,
    },
    /// Send our authentication line now.
    Proceed {
        /// The link.
        link: LinkId,
    },
    /// Close the connection. The kernel has forgotten it: what is still reported of it does
    /// nothing.
    Close {
        /// The link.
        link: LinkId,
        /// Why, for people.
        reason: String,
    },
    /// Find out whether the other end is alive, within a second; answer by
    /// [`Input::ProbeDone`](super::Input::ProbeDone).
    Probe {
        /// The link.
        link: LinkId,
    },
    /// The node is up: from now on this link drains its outbox, everybody can see that it is up,
    /// and then what the link brings is delivered.
    Up {
        /// The link.
        link: LinkId,
        /// The node, and how it is reached.
        peer: Peer,
    },
    /// Break the outbox: its monitors fire with `transport_error, node, reason`.
    Break {
        /// The node.
        node: NodeId,
        /// Why, for people.
        reason: String,
    },
    /// Put this request into the outbox of a node. The node is up.
    Send {
        /// The node.
        to: NodeId,
        /// The request.
        request: MeshRequest,
    },
    /// The node is down, and why; comes after its `Break`.
    NodeDown(NodeId, String),
    /// The answer to a query.
    QueryAnswer {
        /// Which query.
        id: u64,
        /// A map for [`QueryKind::Family`](super::QueryKind::Family), else a list. Subkeys are
        /// names.
        result: Value,
    },
    /// A watched family is known for the first time, or has changed. The three lists of subkeys are
    /// disjoint, and all empty only in the first event of a watch.
    Watch {
        /// Which watch.
        id: u64,
        /// Subkeys that were absent.
        added: Vec<String>,
        /// Subkeys that have another value now.
        changed: Vec<String>,
        /// Subkeys that are gone.
        deleted: Vec<String>,
        /// All that was added or changed, with its value; it may name what is as it was. Without
        /// what was deleted, and with this put in, the family before is the family now. Shared, so
        /// that ten watches do not copy it ten times.
        set: Arc<Family>,
    },
    /// Something was refused; to be logged, at a limited rate.
    Refused {
        /// What, and why.
        what: String,
    },
}
