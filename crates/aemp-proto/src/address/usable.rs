//! Which addresses of a machine others can use.

use core::net::IpAddr;

/// The addresses that others can use: neither loopback nor link-local nor otherwise special ones.
/// IPv4 comes first: a peer tries the addresses in this order, and IPv4 is the one that works more
/// often inside a network.
pub fn usable(addresses: impl Iterator<Item = IpAddr>) -> Vec<IpAddr> {
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
}
