//! Addresses as they are configured (`PROTOCOL.md` §1), expanded to `host:port`.
//!
//! | written | as a bind | as a seed |
//! |---|---|---|
//! | `host:4040` | this address and port | the same |
//! | `host` or `host:*` | a port that the system chooses | port 4040 |
//! | `*:4040`, `*`, `*:*` | every address of the machine that others can use | the same |
//! | `4040`, empty | the host's own name with this or a chosen port | the same with port 4040 |
//!
//! IPv6 addresses are written `[2001:db8::1]:4040`. A text may hold several, separated by commas. Names are not resolved
//! here but where they are used.

use std::net::IpAddr;

use super::{ConfigError, Host};

/// The customary port, for seeds that name none.
pub const DEFAULT_PORT: u16 = 4040;

/// The addresses to listen on that a configured bind stands for; port 0 means that the system chooses.
///
/// # Errors
///
/// A part is no address.
pub fn expand_bind(text: &str, host: &Host) -> Result<Vec<String>, ConfigError> {
    expand("binds", text, host, 0)
}

/// The addresses to dial that a configured seed stands for.
///
/// # Errors
///
/// A part is no address, or its port is 0.
pub fn expand_seed(text: &str, host: &Host) -> Result<Vec<String>, ConfigError> {
    expand("seeds", text, host, DEFAULT_PORT)
}

fn expand(key: &str, text: &str, host: &Host, default_port: u16) -> Result<Vec<String>, ConfigError> {
    let mut addresses = Vec::new();
    for part in text.split(',').map(str::trim) {
        let (name, port) = parse(part, host, default_port).ok_or_else(|| unparsable(key, part))?;
        if port == 0 && default_port != 0 {
            return Err(unparsable(key, part));
        }
        if name == "*" {
            addresses.extend(every(host).into_iter().map(|address| join(&address.to_string(), port)));
        } else {
            addresses.push(join(&name, port));
        }
    }
    Ok(addresses)
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
        name.parse::<std::net::Ipv6Addr>().ok()?;
        (name, if rest.is_empty() { "" } else { rest.strip_prefix(':')? })
    } else if part.parse::<std::net::Ipv6Addr>().is_ok() {
        (part, "")
    } else {
        part.split_once(':').unwrap_or((part, ""))
    };
    let bad = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '/' | '#' | ';' | '[' | ']');
    if name.is_empty() || name.contains(bad) || (name.contains('*') && name != "*") {
        return None;
    }
    Some((name.to_owned(), parse_port(port, default_port)?))
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
        assert_eq!(bind("*"), ["192.0.2.2:0", "[fd00::2]:0"]);
        assert_eq!(bind("*:*"), ["192.0.2.2:0", "[fd00::2]:0"]);
        assert_eq!(bind("*:4040"), ["192.0.2.2:4040", "[fd00::2]:4040"]);
        assert_eq!(expand_bind("*:7", &host(&[])).unwrap(), ["127.0.0.1:7"]);
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
