//! Which addresses a node advertises: those at which others can reach it, out of those on which it
//! listens, the addresses that the machine has at the moment, and what the operator says.

use core::net::{IpAddr, SocketAddr};

/// A socket that listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listener {
    /// Where.
    pub address: SocketAddr,
    /// Whether it also accepts IPv4, being bound to `[::]`.
    pub dual_stack: bool,
    /// Whether it is there because the machine has this address, so that it is of no use while the
    /// machine does not.
    pub follows_machine: bool,
}

/// How far the advertised addresses reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// There are none: the node listens nowhere.
    Nowhere,
    /// They are loopback addresses: only nodes on the same host can use them.
    Host,
    /// Others can use them, as far as can be told from here.
    Network,
}

/// What a node says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advertised {
    /// `host:port` each, best first.
    pub addresses: Vec<String>,
    /// How far they reach.
    pub reach: Reach,
}

/// The addresses to advertise. `machine` has the addresses of the machine that others can use, best
/// first; `configured` is what the operator says: `host:port` each, where the host `*` stands for
/// all of `machine`, and the port 0 for the ports that the node listens on. Without that, wildcards
/// stand for the addresses of the machine, and loopback and IPv6 link-local addresses (which mean
/// nothing without a zone of the reader's own) are left out if there are others.
pub fn advertised(listeners: &[Listener], machine: &[IpAddr], configured: &[String]) -> Advertised {
    if listeners.is_empty() {
        return Advertised { addresses: Vec::new(), reach: Reach::Nowhere };
    }
    if !configured.is_empty() {
        return with_reach(configured.iter().flat_map(|text| as_configured(text, listeners, machine)));
    }
    let found: Vec<SocketAddr> = listeners.iter().flat_map(|listener| expand(listener, machine)).collect();
    let (local, network): (Vec<SocketAddr>, Vec<SocketAddr>) =
        found.into_iter().partition(|address| address.ip().to_canonical().is_loopback());
    let chosen = if network.is_empty() { local } else { network };
    with_reach(chosen.iter().map(ToString::to_string))
}

/// Whether a peer with this address is on another host. `own` is the address of the same socket on
/// this side: the kernel connects a host to itself from the very address that was dialled.
pub fn is_elsewhere(peer: IpAddr, own: IpAddr) -> bool {
    let peer = peer.to_canonical();
    !peer.is_loopback() && peer != own.to_canonical()
}

fn with_reach(texts: impl Iterator<Item = String>) -> Advertised {
    let mut addresses: Vec<String> = Vec::new();
    for text in texts {
        if !addresses.contains(&text) {
            addresses.push(text);
        }
    }
    let reach = match addresses.iter().all(|text| is_loopback(text)) {
        _ if addresses.is_empty() => Reach::Nowhere,
        true => Reach::Host,
        false => Reach::Network,
    };
    Advertised { addresses, reach }
}

fn is_loopback(text: &str) -> bool {
    let host = text.rsplit_once(':').map_or(text, |(host, _)| host);
    host == "localhost"
        || text.parse::<SocketAddr>().is_ok_and(|address| address.ip().to_canonical().is_loopback())
}

/// What one configured address stands for.
fn as_configured(text: &str, listeners: &[Listener], machine: &[IpAddr]) -> Vec<String> {
    let (host, port) = text.rsplit_once(':').unwrap_or((text, "0"));
    let ports: Vec<u16> = match port.parse() {
        Ok(0) | Err(_) => listeners.iter().map(|listener| listener.address.port()).collect(),
        Ok(port) => vec![port],
    };
    let with_port = |port: u16| match host {
        "*" => machine.iter().map(|ip| SocketAddr::new(*ip, port).to_string()).collect(),
        host => vec![format!("{host}:{port}")],
    };
    ports.into_iter().flat_map(with_port).collect()
}

/// The addresses at which a listener accepts.
fn expand(listener: &Listener, machine: &[IpAddr]) -> Vec<SocketAddr> {
    let Listener { address, dual_stack, follows_machine } = *listener;
    let (ip, port) = (address.ip(), address.port());
    if !ip.is_unspecified() {
        let is_gone = follows_machine && !ip.is_loopback() && !machine.contains(&ip);
        return if is_gone || is_zoned(ip) { Vec::new() } else { vec![address] };
    }
    let accepts = |other: &&IpAddr| other.is_ipv6() == ip.is_ipv6() || dual_stack;
    let all: Vec<SocketAddr> = machine.iter().filter(accepts).map(|ip| SocketAddr::new(*ip, port)).collect();
    let loopback = if ip.is_ipv4() || dual_stack { IpAddr::from([127, 0, 0, 1]) } else { IPV6_LOOPBACK };
    if all.is_empty() { vec![SocketAddr::new(loopback, port)] } else { all }
}

const IPV6_LOOPBACK: IpAddr = IpAddr::V6(core::net::Ipv6Addr::LOCALHOST);

/// IPv6 link-local: each host numbers its links as it likes.
fn is_zoned(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(v6) if v6.is_unicast_link_local())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listener(address: &str) -> Listener {
        let address: SocketAddr = address.parse().unwrap();
        let dual_stack = address.ip().is_unspecified() && address.is_ipv6();
        Listener { address, dual_stack, follows_machine: false }
    }

    fn tell(listeners: &[&str], machine: &[&str], configured: &[&str]) -> (Vec<String>, Reach) {
        let listeners: Vec<Listener> = listeners.iter().map(|text| listener(text)).collect();
        let machine: Vec<IpAddr> = machine.iter().map(|text| text.parse().unwrap()).collect();
        let configured: Vec<String> = configured.iter().map(ToString::to_string).collect();
        let Advertised { addresses, reach } = advertised(&listeners, &machine, &configured);
        (addresses, reach)
    }

    fn texts(list: &[&str]) -> Vec<String> {
        list.iter().map(ToString::to_string).collect()
    }

    const MACHINE: [&str; 2] = ["192.0.2.2", "2001:db8::2"];

    #[test]
    fn a_wildcard_is_every_address_of_the_machine_that_it_accepts_on() {
        let v4 = tell(&["0.0.0.0:4050"], &MACHINE, &[]);
        assert_eq!(v4, (texts(&["192.0.2.2:4050"]), Reach::Network));
        let both = tell(&["[::]:4050"], &MACHINE, &[]);
        assert_eq!(both, (texts(&["192.0.2.2:4050", "[2001:db8::2]:4050"]), Reach::Network));
        let v6 = Listener { dual_stack: false, ..listener("[::]:1") };
        let machine: Vec<IpAddr> = MACHINE.iter().map(|text| text.parse().unwrap()).collect();
        assert_eq!(advertised(&[v6], &machine, &[]).addresses, ["[2001:db8::2]:1"]);
    }

    #[test]
    fn loopback_is_advertised_only_by_a_node_that_has_nothing_else() {
        let both = tell(&["127.0.1.1:1", "192.0.2.2:1"], &MACHINE, &[]);
        assert_eq!(both, (texts(&["192.0.2.2:1"]), Reach::Network));
        for alone in ["127.0.1.1:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
            assert_eq!(tell(&[alone], &MACHINE, &[]), (texts(&[alone]), Reach::Host));
        }
        assert_eq!(tell(&["0.0.0.0:1"], &[], &[]), (texts(&["127.0.0.1:1"]), Reach::Host));
        assert_eq!(tell(&[], &MACHINE, &["a:1"]), (texts(&[]), Reach::Nowhere));
    }

    #[test]
    fn a_link_local_address_means_nothing_elsewhere() {
        assert_eq!(tell(&["[fe80::1%3]:1", "192.0.2.2:1"], &MACHINE, &[]).0, ["192.0.2.2:1"]);
        assert_eq!(tell(&["[fe80::1%3]:1"], &MACHINE, &[]), (texts(&[]), Reach::Nowhere));
    }

    #[test]
    fn what_the_operator_says_counts() {
        let mapped = tell(&["0.0.0.0:4040"], &MACHINE, &["203.0.113.7:14040"]);
        assert_eq!(mapped, (texts(&["203.0.113.7:14040"]), Reach::Network));
        let named = tell(&["0.0.0.0:4040", "127.0.0.1:4041"], &MACHINE, &["node.example:0"]);
        assert_eq!(named.0, ["node.example:4040", "node.example:4041"]);
        let every = tell(&["127.0.0.1:1"], &MACHINE, &["*:7", "[2001:db8::9]:0"]);
        assert_eq!(every.0, ["192.0.2.2:7", "[2001:db8::2]:7", "[2001:db8::9]:1"]);
        assert_eq!(tell(&["192.0.2.2:1"], &MACHINE, &["localhost:1", "127.0.0.1:1"]).1, Reach::Host);
    }

    #[test]
    fn an_address_that_the_machine_has_lost_is_not_advertised_any_more() {
        let lost = Listener { follows_machine: true, ..listener("192.0.2.9:1") };
        let machine: Vec<IpAddr> = MACHINE.iter().map(|text| text.parse().unwrap()).collect();
        assert_eq!(advertised(&[lost], &machine, &[]).reach, Reach::Nowhere);
        assert_eq!(advertised(&[lost, listener("127.0.0.1:1")], &machine, &[]).addresses, ["127.0.0.1:1"]);
    }

    #[test]
    fn a_peer_is_elsewhere_if_its_address_is_not_ours() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        assert!(is_elsewhere(ip("192.0.2.9"), ip("192.0.2.2")));
        assert!(!is_elsewhere(ip("192.0.2.2"), ip("::ffff:192.0.2.2")));
        assert!(!is_elsewhere(ip("::ffff:127.0.0.1"), ip("127.0.0.1")));
    }
}
