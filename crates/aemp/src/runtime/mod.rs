//! Where the node meets the world: sockets, TLS, clock. Thin on purpose: decisions are the
//! kernel's, rules the protocol crate's.
//!
//! [`driver`] is the only loop around the kernel; [`listen`] accepts connections, as many as
//! [`admission`] lets in, and [`dial`] makes them, to all addresses that a name has ([`resolve`]);
//! [`link`] is a connection's task, [`dialled`] that of one that is dialled, [`handshake`] its
//! beginning, [`pump`] its life with a reader and a writer, `parting` its end in order, [`runner`]
//! what runs ports, [`shutdown`] the end of the node; [`relay`] has the connections that are
//! relayed, [`brokered`] those through a broker; [`request`] answers what comes for the node port,
//! [`evaluation`] what it asks to be evaluated. `marks` and `noting` have what connections and the
//! driver record.

pub(crate) mod admission;
mod announce;
pub(crate) mod backlog;
pub(crate) mod broker_link;
pub(crate) mod dial;
pub(crate) mod dialled;
pub(crate) mod driver;
mod driver_records;
pub(crate) mod ending;
pub(crate) mod evaluation;
pub(crate) mod evaluations;
pub(crate) mod event;
pub(crate) mod failed_addresses;
pub(crate) mod handshake;
pub(crate) mod leaving;
pub(crate) mod link;
pub(crate) mod listen;
pub(crate) mod listening;
mod machine;
mod marks;
#[cfg(not(feature = "tls"))]
pub(crate) mod no_tls;
pub(crate) mod node_events;
mod orderly_end;
pub(crate) mod outgoing;
pub(crate) mod prefixed;
pub(crate) mod pump;
pub(crate) mod ration;
pub(crate) mod relay;
pub(crate) mod relaying;
pub(crate) mod report;
pub(crate) mod request;
pub(crate) mod resolve;
pub(crate) mod runner;
pub(crate) mod runners;
pub(crate) mod seeds;
pub(crate) mod sender;
pub(crate) mod shared;
pub(crate) mod shutdown;
pub(crate) mod socket;
mod streak;
pub(crate) mod tcp;
#[cfg(feature = "tls")]
pub(crate) mod tls;
mod write_turn;
pub(crate) mod writer;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use aemp_proto::NodeId;

use crate::node::Node;
pub(crate) use event::{Command, Ended, Event};
#[cfg(not(feature = "tls"))]
pub(crate) use no_tls as tls;
use node_events::Followers;
pub use node_events::{NodeEvent, NodeEvents};
pub(crate) use shared::Shared;

impl Node {
    /// The seeds that are not connected, and why as far as is known: each of their addresses with
    /// what went wrong there. A seed that has not been dialled yet is missing.
    pub fn unreached_seeds(&self) -> BTreeMap<String, String> {
        self.inner().shared.unreached_seeds.all()
    }

    /// The nodes that are connected now; [`Node::route`] says of each one how.
    pub fn connected_nodes(&self) -> Vec<NodeId> {
        self.inner().shared.up.read().keys().cloned().collect()
    }

    /// Nodes that come and go from now on. It ends when the node has been shut down.
    ///
    /// A seed may have come up before the first call, so subscribe first and then look at
    /// [`Node::connected_nodes`]. Who has seen there that a node is connected, and subscribes then,
    /// is not told so once more.
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
