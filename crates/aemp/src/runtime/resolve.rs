//! Names of hosts: all addresses that a `host:port` stands for.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;

use super::machine::{is_own_name, usable_addresses};

/// The host that stands for every address of the machine.
pub(crate) const EVERY: &str = "*";

/// The addresses of `host:port`, those first that the system prefers. An IPv6 link-local address
/// has its zone behind a `%`: `[fe80::1%eth0]:4040`.
///
/// # Errors
///
/// The text is not of this form, or the host is not known.
pub(crate) async fn resolve(address: &str) -> io::Result<Vec<SocketAddr>> {
    if let Ok(address) = address.parse() {
        return Ok(vec![address]);
    }
    let (host, port) = split(address)
        .ok_or_else(|| io::Error::new(ErrorKind::InvalidInput, format!("{address:?} is not HOST:PORT")))?;
    let mut found: Vec<SocketAddr> = Vec::new();
    for address in tokio::net::lookup_host((host, port)).await? {
        if !found.contains(&address) {
            found.push(address);
        }
    }
    if found.is_empty() {
        return Err(io::Error::new(ErrorKind::NotFound, format!("{host:?} has no address")));
    }
    Ok(found)
}

/// The addresses at which `host:port` may be dialled. Many systems name 127.0.1.1 as the address of
/// their own name, at which nobody listens who listens on the network: then these are the addresses
/// of the machine, too.
///
/// # Errors
///
/// As [`resolve`].
pub(crate) async fn resolve_to_dial(address: &str) -> io::Result<Vec<SocketAddr>> {
    let mut found = resolve(address).await?;
    let own = split(address).filter(|(host, _)| is_own_name(host));
    if let Some((_, port)) = own.filter(|_| found.iter().all(|address| address.ip().is_loopback())) {
        found.extend(usable_addresses().into_iter().map(|ip| SocketAddr::new(ip, port)));
    }
    Ok(found)
}

/// Host, without the brackets of an IPv6 address, and port.
pub(crate) fn split(address: &str) -> Option<(&str, u16)> {
    let (host, port) = address.rsplit_once(':')?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    Some((host, port.parse().ok()?))
}

/// Whether all that `host:port` stands for is on this machine only.
pub(crate) async fn is_loopback(address: &str) -> bool {
    if split(address).is_some_and(|(host, _)| host == EVERY) {
        return usable_addresses().is_empty();
    }
    match resolve(address).await {
        Ok(found) => found.iter().all(|address| address.ip().to_canonical().is_loopback()),
        // Binding it will fail and say why.
        Err(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn literal_addresses_need_no_resolver() {
        for text in ["192.0.2.1:4040", "[2001:db8::1]:1", "[fe80::1%1]:4040"] {
            assert_eq!(resolve(text).await.unwrap(), [text.parse().unwrap()]);
        }
    }

    #[tokio::test]
    async fn a_zone_may_be_named() {
        let found = resolve("[fe80::1%lo]:4040").await.unwrap();
        assert_eq!(found, ["[fe80::1%1]:4040".parse().unwrap()]);
    }

    #[tokio::test]
    async fn what_is_not_host_and_port_is_an_error_that_shows_it() {
        for text in ["", "nowhere", "a:b", "a:70000"] {
            assert!(resolve(text).await.unwrap_err().to_string().contains(&format!("{text:?}")), "{text}");
        }
    }
}
