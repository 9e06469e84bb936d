//! What is wrong in the settings themselves.

use aemp_config::Settings;

use super::finding::{Finding, Findings};
use crate::gate::Gate;
use crate::scripts::Scripting;
use crate::services;

/// Looks at the settings alone.
pub(super) fn check(settings: &Settings, findings: &mut Findings) {
    secret(settings, findings);
    times(settings, findings);
    code(settings, findings);
    if settings.seeds.is_empty() {
        findings.add(Finding::warning(
            "seeds",
            "there are none, so the node is alone until others dial it",
            "aemp setseeds HOST[:PORT],… on all nodes",
        ));
    }
    if settings.behind_nat && settings.seeds.is_empty() {
        findings.add(Finding::warning(
            "behind_nat",
            "a node that cannot be dialled, and dials nobody, is never connected",
            "name seeds that it can dial",
        ));
    }
    for (key, addresses) in [("seeds", &settings.seeds), ("advertise", &settings.advertise)] {
        for address in addresses {
            let port = address.rsplit_once(':').and_then(|(host, port)| {
                let plain = !host.is_empty() && (host.starts_with('[') || !host.contains(':'));
                port.parse::<u16>().ok().filter(|_| plain)
            });
            if port.is_none() || key == "seeds" && port == Some(0) {
                findings.add(Finding::error(
                    key,
                    format_args!("{address:?} is not HOST:PORT"),
                    "write HOST:PORT, and an IPv6 address as [ADDRESS]:PORT",
                ));
            }
        }
    }
}

/// Whether others have to prove anything, and could guess it.
fn secret(settings: &Settings, findings: &mut Findings) {
    match &settings.secret {
        Some(secret) if secret.is_short() => findings.add(Finding::warning(
            "secret",
            format_args!("with {} bytes it is short enough to be guessed", secret.bytes().len()),
            "aemp gensecret",
        )),
        Some(_) => {}
        None if settings.certificate.is_some() || settings.binds.iter().all(|bind| is_loopback(bind)) => {}
        None => findings.add(Finding::error(
            "secret",
            "the node would listen beyond loopback, and has nothing to tell friend from foe",
            "aemp gensecret, or aemp gencert; or bind 127.0.0.1",
        )),
    }
}

pub(super) fn is_loopback(address: &str) -> bool {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host).trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn times(settings: &Settings, findings: &mut Findings) {
    let seconds = |time: std::time::Duration| time.as_secs_f64();
    let day = 86_400.0;
    let limits = [
        ("monitor_timeout", Some(seconds(settings.monitor_timeout)), 2.0),
        ("connect_interval", settings.connect_interval.map(seconds), 0.1),
    ];
    for (key, value, least) in limits {
        if let Some(value) = value.filter(|value| !(least..=day).contains(value)) {
            findings.add(Finding::error(
                key,
                format_args!("{value} s is not from {least} s to a day"),
                format_args!("aemp set{key} SECONDS"),
            ));
        }
    }
}

/// Services, scripts and the gateway.
fn code(settings: &Settings, findings: &mut Findings) {
    let (mut own, mut scripted) = (settings.clone(), Vec::new());
    match Scripting::of(settings) {
        Ok(mut scripting) => {
            scripting.take_modules(&mut own);
            let names = own.services.iter().map(|service| service.function.clone());
            scripted.extend(names.filter(|name| scripting.knows(name)));
        }
        Err(failure) => {
            findings.add(Finding::error("scripts", failure.message(), "name folders that there are"));
        }
    }
    let scripted: Vec<&str> = scripted.iter().map(String::as_str).collect();
    if let Err(failure) = services::check(&mut own, &scripted) {
        findings.add(Finding::error("services", failure.message(), "name functions that there are"));
    }
    if settings.script_eval && !settings.secure {
        findings.add(Finding::warning(
            "script_eval",
            "everybody with the secret can have code evaluated here",
            "leave it out where that is not meant",
        ));
    }
    if let Err(failure) = Gate::of(settings) {
        let key = if settings.ws.is_some() && settings.ws_clients.is_some() { "ws_clients" } else { "ws" };
        findings.add(Finding::error(key, failure.message(), "set both: ws HOST:PORT, and ws_clients FILE"));
    }
    if settings.metrics.as_ref().is_some_and(|address| !is_loopback(address)) {
        findings.add(Finding::warning(
            "metrics",
            "everybody who reaches this address can read the numbers of the node",
            "bind loopback, or an address of a network that you trust",
        ));
    }
}
