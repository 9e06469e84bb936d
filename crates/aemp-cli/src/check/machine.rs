//! What this machine does not let a node do.

use std::io::ErrorKind;

use aemp_config::Settings;
use nix::sys::resource::{Resource, getrlimit};
use tokio::net::{TcpListener, lookup_host};

use super::finding::{Finding, Findings};

/// Descriptors below which a node is soon short of them.
const FEW_DESCRIPTORS: u64 = 1024;

/// Binds each address for a moment, and looks at the limits of the process.
pub(super) async fn check(settings: &Settings, findings: &mut Findings) {
    for bind in &settings.binds {
        listen("binds", bind, findings).await;
    }
    for (key, address) in [("ws", &settings.ws), ("metrics", &settings.metrics)] {
        if let Some(address) = address {
            listen(key, address, findings).await;
        }
    }
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let needed = FEW_DESCRIPTORS.max(4 * settings.seeds.len() as u64);
        if hard < needed {
            findings.add(Finding::warning(
                "descriptors",
                format_args!("{hard} files and connections may be open, and {needed} are soon needed"),
                "raise the hard limit (ulimit -Hn, LimitNOFILE= of systemd)",
            ));
        }
    }
}

async fn listen(key: &str, address: &str, findings: &mut Findings) {
    // `*` is every address that the machine has.
    let dialled =
        address.strip_prefix("*:").map_or_else(|| address.to_owned(), |port| format!("0.0.0.0:{port}"));
    let found: Vec<_> = match lookup_host(&dialled).await {
        Ok(found) => found.collect(),
        Err(error) => {
            findings.add(Finding::error(
                key,
                format_args!("{address}: {error}"),
                "name an address of this machine",
            ));
            return;
        }
    };
    let mut failed = None;
    for socket in found {
        match TcpListener::bind(socket).await {
            Ok(_) => return,
            Err(error) => failed = Some(error),
        }
    }
    let Some(error) = failed else { return };
    let remedy = match error.kind() {
        ErrorKind::AddrInUse => "end the program that has it (the node itself?), or choose another port",
        ErrorKind::AddrNotAvailable => "name an address that this machine has",
        ErrorKind::PermissionDenied => "choose a port above 1023",
        _ => "name an address of this machine",
    };
    findings.add(Finding::error(key, format_args!("{address} cannot be listened on: {error}"), remedy));
}
