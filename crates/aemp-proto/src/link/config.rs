//! What is the same for all connections of a node, and the greeting that follows from it.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::fmt;
use std::time::Duration;

use super::auth::Method;
use super::hello::Greeting;
use crate::{Framing, NodeId};

/// The protocol of data connections in the dialler's greeting.
pub(super) const STREAM_PROTOCOL: &str = "aemp-dataconn";

/// The greeting key that names a data connection.
pub(super) const STREAM_ID: &str = "dataconn_id";

/// Which end of the connection we are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// We dialled.
    Dialler,
    /// We accepted.
    Acceptor,
}

/// How the address that the peer sees of us is held against the one we have (`reliability` §1: a
/// relay that joins two listeners shows by it).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PeerAddress {
    /// Strict for a peer that gives no role, off for one that does (its role is checked).
    #[default]
    Auto,
    /// Must be there and be right.
    Strict,
    /// What does not fit is reported,
    /// [`HandshakeEvent::Suspicious`](super::HandshakeEvent::Suspicious), and accepted.
    Warn,
    /// Not checked.
    Off,
}

/// What is the same for all connections of a node.
#[derive(Clone)]
pub struct LinkConfig {
    /// Our node ID.
    pub node: NodeId,
    /// 128 random bits that tell this run of the node from others.
    pub incarnation: u128,
    /// How long silence may last.
    pub monitor_timeout: Duration,
    /// The shared secret; an empty one counts as none.
    pub secret: Option<Vec<u8>>,
    /// Whether a certificate is configured.
    pub tls: bool,
    /// The methods that we are willing to prove ourselves with.
    pub offer: Vec<Method>,
    /// The methods that we accept, as far as they are possible here. Without one that works in
    /// plain text, peers need TLS.
    pub accept: Vec<Method>,
    /// The framings that we speak, best first.
    pub framings: Vec<Framing>,
    /// See [`PeerAddress`].
    pub verify_peeraddr: PeerAddress,
    /// Where others may see us instead of where we are, because addresses are translated on the
    /// way. Port 0 stands for any.
    pub advertised: Vec<SocketAddr>,
    /// The host names among what we advertise, with their ports. AnyEvent::MP says the name that it
    /// has dialled, not the address behind it.
    pub advertised_names: Vec<(String, u16)>,
    /// Whether we relay connections for nodes that cannot be dialled, and say so.
    pub can_relay: bool,
    /// Whether we say that we are a client: a tool that comes, asks and goes.
    pub client: bool,
    /// Whether we say that we read large messages in parts. Otherwise peers send them whole.
    pub parts: bool,
}

impl LinkConfig {
    /// The settings of a node that has this secret, and else the defaults.
    pub fn with_secret(node: NodeId, incarnation: u128, secret: &[u8]) -> LinkConfig {
        LinkConfig {
            node,
            incarnation,
            monitor_timeout: Duration::from_secs(30),
            secret: Some(secret.to_vec()),
            tls: false,
            offer: Method::PROOFS.to_vec(),
            accept: Method::PROOFS.to_vec(),
            framings: Framing::ALL.to_vec(),
            verify_peeraddr: PeerAddress::Auto,
            advertised: Vec::new(),
            advertised_names: Vec::new(),
            can_relay: true,
            client: false,
            parts: true,
        }
    }

    pub(super) fn secret(&self) -> Option<&[u8]> {
        self.secret.as_deref().filter(|secret| !secret.is_empty())
    }

    pub(super) fn is_possible(&self, method: Method) -> bool {
        match method {
            Method::TlsSha3 | Method::TlsAnon => self.tls,
            Method::HmacSha3 | Method::Cleartext => self.secret().is_some(),
        }
    }

    /// Whether the peer may see us there: where we say that we can be dialled. A dialler has a port
    /// of its own for each connection.
    pub(super) fn is_advertised(&self, side: Side, seen: &str) -> bool {
        if let Ok(seen) = seen.parse().map(canonical) {
            let own = self.advertised.iter().map(|own| canonical(*own)).filter(|own| own.ip() == seen.ip());
            let mut ports = own.map(|own| own.port());
            return ports.any(|port| side == Side::Dialler || port == 0 || port == seen.port());
        }
        let Some((host, port)) = seen.rsplit_once(':') else { return false };
        let named = self.advertised_names.iter().filter(|(name, _)| name.eq_ignore_ascii_case(host));
        side == Side::Acceptor && named.map(|(_, own)| own).any(|own| *own == 0 || own.to_string() == port)
    }

    pub(super) fn accepts(&self, method: Method) -> bool {
        self.accept.contains(&method) && self.is_possible(method)
    }

    pub(super) fn greeting(&self, side: Side, remote: &Place) -> Greeting {
        let mut greeting = self.plain_greeting("aemp", side, remote);
        let pairs = [
            ("mproto", "1".into()),
            ("gproto", "1".into()),
            ("hb", self.monitor_timeout.as_secs_f64().to_string()),
            ("caps", self.capabilities()),
        ];
        greeting.pairs.extend(pairs.map(|(key, value)| (key.into(), value)));
        greeting
    }

    fn capabilities(&self) -> String {
        let mut names = vec!["ack"];
        names.extend(self.parts.then_some("part"));
        names.extend(self.can_relay.then_some("carry"));
        names.extend(self.client.then_some("client"));
        names.join(",")
    }

    /// The greeting of the dialler of a data connection.
    pub(super) fn stream_greeting(&self, remote: &Place, id: &str) -> Greeting {
        let mut greeting = self.plain_greeting(STREAM_PROTOCOL, Side::Dialler, remote);
        greeting.pairs.insert(STREAM_ID.into(), id.into());
        greeting
    }

    /// What every greeting has.
    fn plain_greeting(&self, protocol: &str, side: Side, remote: &Place) -> Greeting {
        let mut pairs: Vec<(&str, String)> = vec![
            ("provider", format!("aemp-{}", env!("CARGO_PKG_VERSION"))),
            ("peeraddr", remote.to_string()),
            ("role", if side == Side::Dialler { "c" } else { "s" }.into()),
            ("inc", format!("{:032x}", self.incarnation)),
        ];
        if self.tls {
            pairs.push(("tls", "1.0".into()));
        }
        let offered = Method::ALL.into_iter().filter(|method| self.accepts(*method));
        Greeting {
            protocol: protocol.into(),
            node: self.node.clone(),
            methods: offered.map(|method| method.as_str().into()).collect(),
            framings: self.framings.iter().map(|framing| framing.as_str().into()).collect(),
            pairs: pairs.into_iter().map(|(key, value)| (key.into(), value)).collect(),
        }
    }
}

/// The place of one end of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// A socket has this address.
    Socket(SocketAddr),
    /// It is reached through this node.
    Behind(NodeId),
    /// It is reached through a broker.
    Broker,
}

impl Place {
    /// Whether this is what the peer says that it sees.
    pub(super) fn is(&self, seen: &str) -> bool {
        match self {
            Place::Socket(address) => seen.parse().map(reached) == Ok(canonical(*address)),
            Place::Behind(_) | Place::Broker => seen == self.to_string(),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Socket(address) => write!(f, "{}", canonical(*address)),
            Place::Behind(via) => write!(f, "via:{via}"),
            Place::Broker => f.write_str("broker"),
        }
    }
}

/// Who dials the address that means all of a host reaches its loopback address.
fn reached(dialled: SocketAddr) -> SocketAddr {
    let dialled = canonical(dialled);
    match dialled.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => (Ipv4Addr::LOCALHOST, dialled.port()).into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => (Ipv6Addr::LOCALHOST, dialled.port()).into(),
        _ => dialled,
    }
}

/// An IPv4 address that came through an IPv6 socket is the same address.
fn canonical(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V6(ip) => SocketAddr::new(ip.to_canonical(), address.port()),
        IpAddr::V4(_) => address,
    }
}
