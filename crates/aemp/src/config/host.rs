//! What the configuration asks of the machine: its name and its addresses.

use std::net::IpAddr;

/// The machine that a node runs on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// The node name of the system (`uname -n`): the default profile, and `%n` in a node ID.
    pub name: String,
    /// The addresses that others can use: IPv4 first, without loopback, link-local and other special ones.
    pub addresses: Vec<IpAddr>,
}

impl Host {
    /// This machine, now.
    pub fn current() -> Host {
        let found = if_addrs::get_if_addrs().unwrap_or_else(|error| {
            tracing::warn!(%error, "the addresses of this machine are not known, so `*` stands for loopback");
            Vec::new()
        });
        Host {
            name: Host::current_name(),
            addresses: usable(found.into_iter().map(|interface| interface.ip())),
        }
    }

    /// The addresses of this machine that others can use now; none if the system does not say.
    pub(crate) fn usable_addresses() -> Vec<IpAddr> {
        let found = if_addrs::get_if_addrs().unwrap_or_default();
        usable(found.into_iter().map(|interface| interface.ip()))
    }

    pub(crate) fn current_name() -> String {
        let name = hostname::get().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if name.is_empty() { "localhost".into() } else { name }
    }
}

/// IPv4 first: a peer tries the addresses in this order, and IPv4 is the one that works more often inside a network.
fn usable(addresses: impl Iterator<Item = IpAddr>) -> Vec<IpAddr> {
    let mut usable: Vec<IpAddr> = addresses.filter(is_usable).collect();
    usable.sort_by_key(IpAddr::is_ipv6);
    usable
}

fn is_usable(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => !v4.is_loopback() && !v4.is_unspecified() && !v4.is_link_local(),
        // Global unicast 2000::/3 and unique local fc00::/7.
        IpAddr::V6(v6) => v6.segments()[0] >> 13 == 1 || v6.is_unique_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_that_others_can_use_are_kept_ipv4_first() {
        let found = ["::1", "fe80::1", "fd00::2", "2001:db8::1", "127.0.0.1", "169.254.0.1", "192.0.2.2"];
        let kept = usable(found.iter().map(|text| text.parse().unwrap()));
        let expected: Vec<IpAddr> =
            ["192.0.2.2", "fd00::2", "2001:db8::1"].map(|text| text.parse().unwrap()).into();
        assert_eq!(kept, expected);
    }

    #[test]
    fn this_machine_has_a_name() {
        assert!(!Host::current().name.is_empty());
    }
}
