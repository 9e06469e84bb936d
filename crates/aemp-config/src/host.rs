//! What the configuration asks of the machine: its name and its addresses.

use std::net::IpAddr;

use aemp_proto::address::usable;

/// The machine that a node runs on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// The node name of the system (`uname -n`): the default profile, and `%n` in a node ID.
    pub name: String,
    /// The addresses that others can use: IPv4 first, without loopback, link-local and other
    /// special ones.
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

    pub(crate) fn current_name() -> String {
        let name = hostname::get().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if name.is_empty() { "localhost".into() } else { name }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_a_name() {
        assert!(!Host::current().name.is_empty());
    }
}
