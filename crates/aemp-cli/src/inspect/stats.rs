//! `aemp stats`: what a node counts.

use std::collections::BTreeMap;
use std::time::Duration;

use aemp::stats::{HANDLER_BOUNDS, HandlerStats, PeerStats, Traffic};
use aemp::{Node, Stats as Snapshot};
use clap::Args;
use serde_json::{Value as Json, json};
use time::OffsetDateTime;

use super::{ask, node_id};
use crate::client::Access;
use crate::failure::Failure;
use crate::output::{Format, Output, Table};
use crate::values::{escaped, json_text};

/// Show what a node counts and knows of itself
///
/// As text, or the whole snapshot as JSON; as csv or jsonl its peers, one a line. Counters begin
/// with the node and only grow. Perl nodes do not know the question.
#[derive(Debug, Args)]
pub(crate) struct Stats {
    /// The node
    node: String,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    access: Access,
}

impl Stats {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let target = node_id(&self.node)?;
        let question = async |node: &Node| node.stats_of(&target, self.access.limit.timeout).await;
        let stats = ask(&self.access, &target, question).await?;
        match self.output.format {
            Format::Json => crate::print(&json_text(&json!(stats))),
            Format::Table | Format::Wide => {
                crate::print(&text(&stats))?;
                if stats.peers.is_empty() { Ok(()) } else { peers(&stats).print(Format::Table) }
            }
            format => peers(&stats).print(format),
        }
    }
}

/// Seconds since 1970 as people write them, in UTC.
pub(crate) fn time(seconds: f64) -> String {
    let Ok(since) = Duration::try_from_secs_f64(seconds) else { return "-".into() };
    let Some(time) =
        OffsetDateTime::UNIX_EPOCH.checked_add(time::Duration::try_from(since).unwrap_or_default())
    else {
        return "-".into();
    };
    let (date, hour, minute, second) = (time.date(), time.hour(), time.minute(), time.second());
    let (year, month, day) = (date.year(), u8::from(date.month()), date.day());
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", time.millisecond())
}

/// The snapshot for people, without its peers.
pub(super) fn text(stats: &Snapshot) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: String| text += &format!("{name:<20} {value}\n");
    line("node", escaped(&stats.node));
    line("version", escaped(&stats.program));
    line("uptime", uptime(stats.uptime));
    line("database", if stats.merges_database { "merged here".into() } else { "merged elsewhere".into() });
    line("ports", format!("{}, with {} monitors", stats.ports, stats.monitors));
    let largest = stats.mailboxes.largest.as_ref();
    let largest =
        largest.map(|port| format!(", the fullest is {} with {} bytes", escaped(&port.port), port.bytes));
    line("mailboxes", format!("{} bytes{}", stats.mailboxes.bytes, largest.unwrap_or_default()));
    let entries: u64 = stats.families.values().map(|family| family.entries).sum();
    line("families", format!("{}, with {entries} entries", stats.families.len()));
    line("kills", counts(&stats.kills));
    line("handlers", handlers(&stats.handlers));
    line("blocked handlers", blocked(stats));
    line("undeliverable", counts(&stats.undeliverable));
    line("failed handshakes", counts(&stats.handshake_failures));
    if let Some(files) = stats.descriptors {
        line("descriptors", format!("{} of {}", files.open, files.limit));
    }
    let former = &stats.former_peers;
    if former.connects > 0 {
        line("former peers", format!("{} connections of clients and nodes that are gone", former.connects));
    }
    text.trim_end().to_owned()
}

/// How many were measured, and how long they took.
fn handlers(handlers: &HandlerStats) -> String {
    if handlers.count == 0 {
        return "none measured".into();
    }
    let mean = Duration::try_from_secs_f64(handlers.seconds / handlers.count as f64).unwrap_or_default();
    // The smallest bound within which 99 of 100 stay.
    let most = handlers.count - handlers.count / 100;
    let bound = HANDLER_BOUNDS.iter().zip(&handlers.within).find(|(_, within)| **within >= most);
    let bound = bound.map_or("more than a second is not rare".into(), |(bound, _)| {
        format!("99 % within {:?}", Duration::try_from_secs_f64(*bound).unwrap_or_default())
    });
    format!("{} measured, {mean:?} on average, {bound}", handlers.count)
}

fn blocked(stats: &Snapshot) -> String {
    match stats.handlers.blocked.last() {
        None => stats.blocked_handlers.to_string(),
        Some(last) => {
            let ports: Vec<String> = last.ports.iter().map(|port| escaped(port)).collect();
            let (seconds, ago) = (last.seconds, last.ago);
            let one_of = if ports.len() > 1 { "one of " } else { "" };
            let ports = ports.join(" ");
            format!("{}, the last {ago:.0} s ago: {one_of}{ports} for {seconds:.1} s", stats.blocked_handlers)
        }
    }
}

pub(crate) fn uptime(seconds: f64) -> String {
    let seconds = seconds as u64;
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, _, _) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

/// `3 (boom 2, die 1)`.
fn counts(counters: &BTreeMap<String, u64>) -> String {
    let sum: u64 = counters.values().sum();
    if sum == 0 {
        return "0".into();
    }
    let each: Vec<String> =
        counters.iter().map(|(name, count)| format!("{} {count}", escaped(name))).collect();
    format!("{sum} ({})", each.join(", "))
}

/// What is shown of a peer.
pub(crate) const PEER_COLUMNS: [&str; 12] = [
    "peer",
    "connection",
    "round_trip_ms",
    "queue_bytes",
    "queue_age",
    "sent",
    "received",
    "sent_bytes",
    "received_bytes",
    "connects",
    "breaks",
    "lost",
];

fn peers(stats: &Snapshot) -> Table {
    let mut table = Table::new(&PEER_COLUMNS);
    for (name, peer) in &stats.peers {
        table.row(peer_row(name, peer));
    }
    table
}

pub(crate) fn peer_row(name: &str, peer: &PeerStats) -> Vec<Json> {
    let connection = peer.connection.as_ref().map(|connection| {
        let tls = if connection.tls { "+tls" } else { "" };
        let relay = connection.relay.as_ref().map(|relay| format!(" via {relay}")).unwrap_or_default();
        format!("{}{tls}{relay}", connection.framing)
    });
    vec![
        json!(name),
        json!(connection),
        json!(peer.round_trip.map(|seconds| (seconds * 1e6).round() / 1e3)),
        json!(peer.queue_bytes),
        json!(peer.queue_age.map(|seconds| (seconds * 1e3).round() / 1e3)),
        json!(messages(&peer.sent)),
        json!(messages(&peer.received)),
        json!(peer.sent.bytes),
        json!(peer.received.bytes),
        json!(peer.connects),
        json!(peer.breaks.values().sum::<u64>()),
        json!(peer.lost + peer.gated + peer.refused),
    ]
}

/// Messages and requests.
pub(crate) fn messages(traffic: &Traffic) -> u64 {
    traffic.messages + traffic.requests
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_for_people() {
        assert_eq!(time(0.0), "1970-01-01T00:00:00.000Z");
        assert_eq!(time(1_700_000_000.25), "2023-11-14T22:13:20.250Z");
        assert_eq!(time(f64::NAN), "-");
        for (seconds, text) in
            [(59.9, "59 s"), (61.0, "1 min 1 s"), (7260.0, "2 h 1 min"), (90_000.0, "1 d 1 h")]
        {
            assert_eq!(uptime(seconds), text);
        }
    }

    #[test]
    fn counters_are_summed_up_and_listed() {
        assert_eq!(counts(&BTreeMap::new()), "0");
        assert_eq!(counts(&BTreeMap::from([("a".into(), 2), ("b".into(), 1)])), "3 (a 2, b 1)");
    }
}
