//! Who is answered. A browser lets every page of the world ask this machine; what tells ours from
//! the others are the name that was asked for, the origin and the token.

use std::net::{IpAddr, SocketAddr};

use crate::http::{Answer, Request, Status};

/// What is asked of those who ask.
pub(super) struct Guard {
    token: String,
    is_loopback: bool,
    /// Names under which the page is asked for, in small letters.
    hosts: Vec<String>,
}

impl Guard {
    pub(super) fn new(token: String, address: SocketAddr, hosts: &[String]) -> Guard {
        let hosts = hosts.iter().map(|host| host.to_ascii_lowercase()).chain(["localhost".into()]);
        Guard { token, is_loopback: address.ip().is_loopback(), hosts: hosts.collect() }
    }

    /// Refuses those who have come under another name: one that an attacker owns may lead here
    /// (DNS rebinding), and for a browser the page would be his.
    pub(super) fn check_host(&self, request: &Request) -> Result<(), Answer> {
        let host = request.header("host").unwrap_or_default().to_ascii_lowercase();
        if self.is_ours(&host) {
            return Ok(());
        }
        let why = "this page is not served under this name; `aemp web --host NAME` allows one";
        Err(Answer::refusal(Status::MisdirectedRequest, why))
    }

    fn is_ours(&self, host: &str) -> bool {
        let Some((name, port)) = split(host) else { return false };
        // A port may be another one behind a tunnel.
        let is_port = port.is_none_or(|port| port.parse::<u16>().is_ok());
        let is_address = name.parse().is_ok_and(|ip: IpAddr| !self.is_loopback || ip.is_loopback());
        is_port && (is_address || self.hosts.iter().any(|known| known == name))
    }

    /// Refuses those who have not the token, or who ask from another page.
    pub(super) fn check_data(&self, request: &Request) -> Result<(), Answer> {
        self.check_origin(request)?;
        let bearer = request.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
        if bearer.is_some_and(|token| is_same(token.as_bytes(), self.token.as_bytes())) {
            return Ok(());
        }
        let why =
            "the token is missing or wrong; it stands behind the # of the address that `aemp web` prints";
        Err(Answer::refusal(Status::Unauthorized, why).with("www-authenticate", "Bearer"))
    }

    fn check_origin(&self, request: &Request) -> Result<(), Answer> {
        let host = request.header("host").unwrap_or_default();
        let is_own = |origin: &str| {
            let authority = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
            authority.is_some_and(|authority| authority.eq_ignore_ascii_case(host))
        };
        let is_from_here = request.header("origin").is_none_or(is_own);
        // Programs that are no browsers say nothing.
        let site = request.header("sec-fetch-site").unwrap_or("none");
        if is_from_here && matches!(site, "same-origin" | "none") {
            return Ok(());
        }
        Err(Answer::refusal(Status::Forbidden, "other pages are not answered"))
    }
}

/// Name and port of a host; of an address of IPv6 without its brackets.
fn split(host: &str) -> Option<(&str, Option<&str>)> {
    if let Some(rest) = host.strip_prefix('[') {
        let (ip, rest) = rest.split_once(']')?;
        return if rest.is_empty() { Some((ip, None)) } else { Some((ip, Some(rest.strip_prefix(':')?))) };
    }
    Some(host.split_once(':').map_or((host, None), |(name, port)| (name, Some(port))))
}

/// In a time that does not tell where they differ.
fn is_same(one: &[u8], other: &[u8]) -> bool {
    let differing = one.iter().zip(other).fold(0, |sum, (one, other)| sum | (one ^ other));
    one.len() == other.len() && std::hint::black_box(differing) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_ours(address: &str, hosts: &[&str], host: &str) -> bool {
        let hosts: Vec<String> = hosts.iter().map(ToString::to_string).collect();
        Guard::new("t".into(), address.parse().unwrap(), &hosts).is_ours(host)
    }

    #[test]
    fn names_that_an_attacker_may_own_are_refused() {
        for host in ["127.0.0.1:4041", "localhost:8080", "localhost", "[::1]:4041", "127.1.2.3"] {
            assert!(is_ours("127.0.0.1:4041", &[], host), "{host}");
        }
        let others = [
            "",
            "evil.example",
            "127.0.0.1.evil.example:4041",
            "localhost.evil.example",
            "10.0.0.1",
            "[::1]x",
            "[::1",
            "localhost:x",
        ];
        for host in others {
            assert!(!is_ours("127.0.0.1:4041", &[], host), "{host}");
        }
        assert!(is_ours("0.0.0.0:4041", &[], "10.0.0.1:4041"));
        assert!(!is_ours("0.0.0.0:4041", &[], "aemp.example:4041"));
        assert!(is_ours("0.0.0.0:4041", &["AEMP.example"], "aemp.example:4041"));
    }

    #[test]
    fn tokens_are_compared_whole() {
        assert!(is_same(b"abc", b"abc"));
        for other in ["abd", "ab", "abcd", ""] {
            assert!(!is_same(b"abc", other.as_bytes()), "{other}");
        }
    }
}
