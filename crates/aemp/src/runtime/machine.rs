//! The machine that the node runs on: its name, and its addresses as they are now.

use std::net::IpAddr;

use aemp_proto::address::usable;

/// The addresses of this machine that others can use now; none if the system does not say.
pub(crate) fn usable_addresses() -> Vec<IpAddr> {
    let found = if_addrs::get_if_addrs().unwrap_or_default();
    usable(found.into_iter().map(|interface| interface.ip()))
}

/// Whether this is the name of this machine (`uname -n`).
pub(crate) fn is_own_name(host: &str) -> bool {
    let name = hostname::get().unwrap_or_default();
    let name = if name.is_empty() { "localhost".into() } else { name.to_string_lossy() };
    host.eq_ignore_ascii_case(&name)
}
