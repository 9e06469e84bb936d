//! Who is at the other end of a connection, and how that is reached.

use crate::NodeId;

/// Who is at the other end of a connection, as its greeting says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// The node ID.
    pub node: NodeId,
    /// Random bits that tell one run of the node from the next; Perl nodes have none.
    pub incarnation: Option<u128>,
    /// Whether it is one of ours, which understand `role=` and `inc=`.
    pub native: bool,
    /// Whether it relays connections for nodes that cannot be dialled.
    pub can_relay: bool,
    /// Whether it is a client: a tool that comes, asks and goes.
    pub client: bool,
    /// The node that carries the connection; `None` if that is direct.
    pub via: Option<NodeId>,
}

impl Peer {
    /// How the node is reached.
    pub fn route(&self) -> Route {
        self.via.clone().map_or(Route::Direct, Route::Through)
    }

    /// Whether connections can be carried over this one: those between our own kind, and not such
    /// as are carried themselves.
    pub fn is_neighbour(&self) -> bool {
        self.native && self.via.is_none()
    }
}

/// How a node that is up is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// Over a connection of its own.
    Direct,
    /// Through this node, which carries the connection.
    Through(NodeId),
}
