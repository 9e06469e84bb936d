//! Addresses as they are configured (`PROTOCOL.md` §1), expanded to `host:port`.
//!
//! | written | as a bind | as a seed |
//! |---|---|---|
//! | `host:4040` | this address and port | the same |
//! | `host` or `host:*` | a port that the system chooses | port 4040 |
//! | `*:4040`, `*`, `*:*` | every address of the machine that others can use, now and later | every one that it has now |
//! | `4040`, empty | the host's own name with this or a chosen port | the same with port 4040 |
//!
//! What is advertised is written as a bind, where a port that is left out is the one that the node
//! listens on.
//!
//! IPv6 addresses are written `[2001:db8::1]:4040`, link-local ones with their zone:
//! `[fe80::1%eth0]:4040`. A text may hold several, separated by commas. Names are not resolved here
//! but where they are used.

use std::net::IpAddr;

use super::{ConfigError, Host};

/// The customary port, for seeds that name none.
pub const DEFAULT_PORT: u16 = 4040;

/// The host that stands for every address of the machine.
const EVERY: &str = "*";

/// The addresses to listen on that a configured bind stands for; port 0 means that the system
/// chooses.
///
/// # Errors
///
/// A part is no address.
pub fn expand_bind(text: &str, host: &Host) -> Result<Vec<String>, ConfigError> {
    let parts = split("binds", text, host, 0)?.into_iter();
    Ok(parts.map(|(name, port)| join(&name, port)).collect())
}

/// The addresses that a configured text tells others to dial; port 0 stands for the port that the
/// node listens on.
///
/// # Errors
///
/// A part is no address.
pub fn expand_advertise(text: &str, host: &Host) -> Result<Vec<String>, ConfigError> {
    let parts = split("advertise", text, host, 0)?.into_iter();
    Ok(parts.map(|(name, port)| join(&name, port)).collect())
}

/// The addresses to dial that a configured seed stands for.
///
/// # Errors
///
/// A part is no address, or its port is 0.
pub fn expand_seed(text: &str, host: &Host) -> Result<Vec<String>, ConfigError> {
    let mut addresses = Vec::new();
    for (name, port) in split("seeds", text, host, DEFAULT_PORT)? {
        if name == EVERY {
            addresses.extend(every(host).into_iter().map(|address| join(&address.to_string(), port)));
        } else {
            addresses.push(join(&name, port));
        }
    }
    Ok(addresses)
}

/// Host and port of each part.
fn split(key: &str, text: &str, host: &Host, default_port: u16) -> Result<Vec<(String, u16)>, ConfigError> {
    let parts = text.split(',').map(str::trim);
    parts
        .map(|part| {
            parse(part, host, default_port)
                .filter(|(_, port)| *port != 0 || default_port == 0)
                .ok_or_else(|| unparsable(key, part))
        })
        .collect()
}

/// A machine without any network still has itself.
fn every(host: &Host) -> Vec<IpAddr> {
    match host.addresses.as_slice() {
        [] => vec![IpAddr::from([127, 0, 0, 1])],
        addresses => addresses.to_vec(),
    }
}

/// Host and port of one part; IPv6 addresses without their brackets.
fn parse(part: &str, host: &Host, default_port: u16) -> Option<(String, u16)> {
    if part.bytes().all(|b| b.is_ascii_digit()) {
        return Some((host.name.clone(), parse_port(part, default_port)?));
    }
    let (name, port) = if let Some(rest) = part.strip_prefix('[') {
        let (name, rest) = rest.split_once(']')?;
        is_ipv6(name).then_some(())?;
        (name, if rest.is_empty() { "" } else { rest.strip_prefix(':')? })
    } else if is_ipv6(part) {
        (part, "")
    } else {
        part.split_once(':').unwrap_or((part, ""))
    };
    let bad = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '/' | '#' | ';' | '[' | ']');
    if name.is_empty() || name.contains(bad) || (name.contains('*') && name != EVERY) {
        return None;
    }
    Some((name.to_owned(), parse_port(port, default_port)?))
}

/// An IPv6 address, and behind a `%` the zone of a link-local one: the name or number of an
/// interface.
pub(crate) fn is_ipv6(text: &str) -> bool {
    let (address, zone) = text.split_once('%').unwrap_or((text, "0"));
    let is_zone = !zone.is_empty() && zone.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-@".contains(&b));
    is_zone && address.parse::<std::net::Ipv6Addr>().is_ok()
}

fn parse_port(text: &str, default_port: u16) -> Option<u16> {
    match text {
        "" | "*" => Some(default_port),
        digits if digits.bytes().all(|b| b.is_ascii_digit()) => digits.parse().ok(),
        _ => None,
    }
}

fn join(name: &str, port: u16) -> String {
    if name.contains(':') { format!("[{name}]:{port}") } else { format!("{name}:{port}") }
}

fn unparsable(key: &str, part: &str) -> ConfigError {
    ConfigError::BadValue {
        key: key.into(),
        expected: "HOST:PORT, where HOST may be `*` (and the port of a bind too)".into(),
        found: format!("{part:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(addresses: &[&str]) -> Host {
        Host {
            name: "doomed".into(),
            addresses: addresses.iter().map(|text| text.parse().unwrap()).collect(),
        }
    }

    fn bind(text: &str) -> Vec<String> {
        expand_bind(text, &host(&["192.0.2.2", "fd00::2"])).unwrap()
    }

    fn seed(text: &str) -> Vec<String> {
        expand_seed(text, &host(&["192.0.2.2"])).unwrap()
    }

    #[test]
    fn addresses_with_port_stay_as_they_are() {
        for text in ["127.0.0.1:4040", "doomed.example:0", "[fd00::1]:4040"] {
            assert_eq!(bind(text), [text]);
        }
    }

    #[test]
    fn without_a_port_the_system_chooses_for_a_bind_and_4040_is_meant_for_a_seed() {
        assert_eq!(bind("doomed"), ["doomed:0"]);
        assert_eq!(bind("doomed:*"), ["doomed:0"]);
        assert_eq!(bind("fd00::1"), ["[fd00::1]:0"]);
        assert_eq!(bind("[fd00::1]"), ["[fd00::1]:0"]);
        assert_eq!(seed("doomed"), ["doomed:4040"]);
        assert_eq!(seed("[fd00::1]"), ["[fd00::1]:4040"]);
    }

    #[test]
    fn a_star_is_every_address_of_the_machine() {
        assert_eq!(bind("*"), ["*:0"]);
        assert_eq!(bind("*:*"), ["*:0"]);
        assert_eq!(bind("*:4040"), ["*:4040"], "a listener follows the machine");
        assert_eq!(
            expand_seed("*:7", &host(&["192.0.2.2", "fd00::2"])).unwrap(),
            ["192.0.2.2:7", "[fd00::2]:7"]
        );
        assert_eq!(expand_seed("*:7", &host(&[])).unwrap(), ["127.0.0.1:7"]);
    }

    #[test]
    fn a_link_local_address_has_a_zone() {
        for text in ["[fe80::1%eth0]:4040", "[fe80::1%3]:4040"] {
            assert_eq!((bind(text), seed(text)), (vec![text.to_owned()], vec![text.to_owned()]));
        }
        assert_eq!(seed("fe80::1%eth0.7"), ["[fe80::1%eth0.7]:4040"]);
        for bad in ["[fe80::1%]:1", "[fe80::1%a b]:1", "[%eth0]:1"] {
            assert!(expand_bind(bad, &host(&[])).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_advertised_may_leave_the_port_to_the_listener() {
        let advertise = |text| expand_advertise(text, &host(&[])).unwrap();
        assert_eq!(
            advertise("203.0.113.7:14040,node.example,*"),
            ["203.0.113.7:14040", "node.example:0", "*:0"]
        );
    }

    #[test]
    fn a_number_alone_is_a_port_of_the_own_name() {
        assert_eq!(bind("4040,4041"), ["doomed:4040", "doomed:4041"]);
        assert_eq!(bind(""), ["doomed:0"]);
        assert_eq!(seed(""), ["doomed:4040"]);
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for bad in
            ["a:b", "a:70000", ":4040", "[fd00::1", "[x]:1", "a b:1", "a*:1", "http://a", "a:1:2", "a:+5"]
        {
            assert!(expand_bind(bad, &host(&[])).is_err(), "{bad}");
        }
        assert!(expand_seed("a:0", &host(&[])).is_err());
    }
}
