//! The metrics of a node, made of one snapshot each time they are asked for.
//!
//! Labels are bounded: the names of ports never are one, and of peers and families only the busiest
//! or largest have a line of their own.

use std::collections::BTreeMap;
use std::fmt;

use aemp::Stats;
use aemp::stats::{HANDLER_BOUNDS, HandlerStats, PeerStats, Traffic};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

/// Peers with lines of their own; the others are `other` together.
const PEERS_MAX: usize = 200;

/// The same of families.
const FAMILIES_MAX: usize = 100;

/// What stands for all others.
const OTHER: &str = "other";

type Labels = Vec<(&'static str, String)>;

/// A metric with its values now.
#[derive(Debug)]
struct Metric {
    /// Without the `_total` of counters.
    name: &'static str,
    help: &'static str,
    values: Values,
}

#[derive(Debug)]
enum Values {
    Counters(Vec<(Labels, u64)>),
    Gauges(Vec<(Labels, f64)>),
    Histogram { sum: f64, count: u64, buckets: Vec<(f64, u64)> },
}

/// The snapshot as OpenMetrics text.
pub(super) fn text(stats: Stats) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Snapshot(stats)));
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(text)
}

#[derive(Debug)]
struct Snapshot(Stats);

impl Collector for Snapshot {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for Metric { name, help, values } in metrics(&self.0) {
            match values {
                Values::Counters(counters) => {
                    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
                    for (labels, value) in counters {
                        ConstCounter::new(value).encode(metric.encode_family(&labels)?)?;
                    }
                }
                Values::Gauges(gauges) => {
                    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
                    for (labels, value) in gauges {
                        ConstGauge::new(value).encode(metric.encode_family(&labels)?)?;
                    }
                }
                Values::Histogram { sum, count, buckets } => {
                    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
                    metric.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)?;
                }
            }
        }
        Ok(())
    }
}

fn metrics(stats: &Stats) -> Vec<Metric> {
    let mut all = of_the_node(stats);
    all.extend(of_peers(&busiest(stats)));
    all.extend(of_families(stats));
    all
}

fn counters(name: &'static str, help: &'static str, values: Vec<(Labels, u64)>) -> Metric {
    Metric { name, help, values: Values::Counters(values) }
}

fn gauge(name: &'static str, help: &'static str, value: impl Into<Option<f64>>) -> Metric {
    let values = value.into().map(|value| (Vec::new(), value)).into_iter().collect();
    Metric { name, help, values: Values::Gauges(values) }
}

fn by_reason(counted: &BTreeMap<String, u64>) -> Vec<(Labels, u64)> {
    counted.iter().map(|(reason, count)| (vec![("reason", reason.clone())], *count)).collect()
}

fn of_the_node(stats: &Stats) -> Vec<Metric> {
    let mut breaks = BTreeMap::new();
    for peer in stats.peers.values().chain([&stats.former_peers]) {
        for (reason, count) in &peer.breaks {
            *breaks.entry(reason.clone()).or_default() += count;
        }
    }
    let largest = stats.mailboxes.largest.as_ref().map_or(0, |port| port.bytes);
    let files = stats.descriptors;
    let version = vec![("version", stats.program.clone()), ("node", stats.node.clone())];
    vec![
        Metric {
            name: "aemp_build_info",
            help: "Version and node ID",
            values: Values::Gauges(vec![(version, 1.0)]),
        },
        gauge("aemp_start_time_seconds", "Start of the node since 1970", stats.time - stats.uptime),
        gauge("aemp_ports", "Ports that there are", stats.ports as f64),
        gauge("aemp_monitors", "Monitors that are set on ports", stats.monitors as f64),
        gauge("aemp_mailbox_bytes", "Bytes that wait in mailboxes", stats.mailboxes.bytes as f64),
        gauge("aemp_mailbox_largest_bytes", "Bytes in the fullest mailbox", largest as f64),
        counters(
            "aemp_handler_blocked",
            "Handlers that blocked their thread",
            vec![(Vec::new(), stats.blocked_handlers)],
        ),
        handlers(&stats.handlers),
        counters("aemp_kills", "Ports that died of something", by_reason(&stats.kills)),
        counters("aemp_undeliverable", "Messages not delivered", by_reason(&stats.undeliverable)),
        counters("aemp_handshake_failures", "Connections not made", by_reason(&stats.handshake_failures)),
        counters("aemp_peer_breaks", "Connections lost, or not made to send", by_reason(&breaks)),
        gauge("aemp_open_files", "Open files and sockets", files.map(|files| files.open as f64)),
        gauge("aemp_open_files_limit", "Files that may be open", files.map(|files| files.limit as f64)),
    ]
}

/// Of each interval between two bounds, and beyond the last one.
fn handlers(handlers: &HandlerStats) -> Metric {
    let bounds = HANDLER_BOUNDS.into_iter().chain([f64::INFINITY]);
    let within = handlers.within.iter().copied().chain([handlers.count]);
    let mut below = 0;
    let buckets = bounds.zip(within).map(|(bound, within)| {
        let more = within.saturating_sub(below);
        below = within;
        (bound, more)
    });
    let values =
        Values::Histogram { sum: handlers.seconds, count: handlers.count, buckets: buckets.collect() };
    Metric { name: "aemp_handler_seconds", help: "How long messages took to be handled", values }
}

/// The peers with most traffic, and the sum of the others.
fn busiest(stats: &Stats) -> Vec<(&str, PeerStats)> {
    let traffic = |peer: &PeerStats| peer.sent.bytes + peer.received.bytes;
    let mut peers: Vec<(&str, &PeerStats)> =
        stats.peers.iter().map(|(name, peer)| (name.as_str(), peer)).collect();
    peers.sort_by_key(|(_, peer)| std::cmp::Reverse(traffic(peer)));
    let rest = peers.split_off(peers.len().min(PEERS_MAX));
    let mut other = PeerStats::default();
    rest.iter().map(|(_, peer)| *peer).chain([&stats.former_peers]).for_each(|peer| add(&mut other, peer));
    let named = peers.into_iter().map(|(name, peer)| (name, peer.clone()));
    named.chain([(OTHER, other)]).collect()
}

fn add(sum: &mut PeerStats, peer: &PeerStats) {
    let add = |sum: &mut Traffic, traffic: &Traffic| {
        sum.bytes += traffic.bytes;
        sum.messages += traffic.messages;
        sum.requests += traffic.requests;
    };
    add(&mut sum.sent, &peer.sent);
    add(&mut sum.received, &peer.received);
    sum.queue_bytes += peer.queue_bytes;
    sum.connects += peer.connects;
    sum.queue_age = match (sum.queue_age, peer.queue_age) {
        (Some(one), Some(other)) => Some(one.max(other)),
        (one, other) => one.or(other),
    };
}

fn of_peers(peers: &[(&str, PeerStats)]) -> Vec<Metric> {
    let label = |name: &str| vec![("peer", name.to_owned())];
    let counted = |name, help, count: fn(&PeerStats) -> u64| {
        counters(name, help, peers.iter().map(|(name, peer)| (label(name), count(peer))).collect())
    };
    let measured = |name, help, value: fn(&PeerStats) -> Option<f64>| {
        let values = peers.iter().filter_map(|(name, peer)| Some((label(name), value(peer)?)));
        Metric { name, help, values: Values::Gauges(values.collect()) }
    };
    vec![
        measured("aemp_peer_up", "Whether it is connected", |peer| {
            Some(f64::from(u8::from(peer.connection.is_some())))
        }),
        counted("aemp_peer_sent_bytes", "Bytes written", |peer| peer.sent.bytes),
        counted("aemp_peer_received_bytes", "Bytes read", |peer| peer.received.bytes),
        counted("aemp_peer_sent_messages", "Messages written", |peer| peer.sent.messages),
        counted("aemp_peer_received_messages", "Messages read", |peer| peer.received.messages),
        counted("aemp_peer_sent_requests", "Requests written", |peer| peer.sent.requests),
        counted("aemp_peer_received_requests", "Requests read", |peer| peer.received.requests),
        counted("aemp_peer_connects", "Connections that came to be", |peer| peer.connects),
        measured("aemp_peer_queue_bytes", "Bytes that wait", |peer| Some(peer.queue_bytes as f64)),
        measured("aemp_peer_queue_age_seconds", "Age of the oldest message that waits", |peer| {
            Some(peer.queue_age.unwrap_or(0.0))
        }),
        measured("aemp_peer_round_trip_seconds", "Last round trip", |peer| peer.round_trip),
    ]
}

fn of_families(stats: &Stats) -> Vec<Metric> {
    let mut families: Vec<_> = stats.families.iter().map(|(name, size)| (name.as_str(), *size)).collect();
    families.sort_by_key(|(_, size)| std::cmp::Reverse(size.bytes));
    let rest = families.split_off(families.len().min(FAMILIES_MAX));
    let mut all: Vec<(&str, u64, u64)> =
        families.iter().map(|(name, size)| (*name, size.entries, size.bytes)).collect();
    if !rest.is_empty() {
        let sum = |of: fn(&aemp::stats::FamilyStats) -> u64| rest.iter().map(|(_, size)| of(size)).sum();
        all.push((OTHER, sum(|size| size.entries), sum(|size| size.bytes)));
    }
    let gauges = |name, help, value: fn(&(&str, u64, u64)) -> u64| {
        let values = all.iter().map(|family| (vec![("family", family.0.to_owned())], value(family) as f64));
        Metric { name, help, values: Values::Gauges(values.collect()) }
    };
    vec![
        gauges("aemp_db_entries", "Entries of a family", |family| family.1),
        gauges("aemp_db_bytes", "Bytes of a family", |family| family.2),
    ]
}

/// The names of all metrics, as they are asked for.
#[cfg(test)]
pub(super) fn names() -> Vec<String> {
    let metrics = metrics(&Stats::default()).into_iter();
    metrics
        .map(|metric| match metric.values {
            Values::Counters(_) => format!("{}_total", metric.name),
            Values::Gauges(_) | Values::Histogram { .. } => metric.name.to_owned(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_becomes_open_metrics_text() {
        let mut stats = Stats::default();
        stats.kills.insert("say \"no\"".into(), 3);
        let mut peer = PeerStats::default();
        peer.sent.bytes = 7;
        stats.peers.insert("a/b".into(), peer);
        (stats.handlers.count, stats.handlers.seconds) = (9, 2.5);
        stats.handlers.within = vec![1, 1, 4, 4, 8, 8, 8];
        let text = text(stats).unwrap();
        for line in [
            "# TYPE aemp_kills counter",
            "aemp_kills_total{reason=\"say \\\"no\\\"\"} 3",
            "aemp_peer_sent_bytes_total{peer=\"a/b\"} 7",
            "aemp_peer_up{peer=\"a/b\"} 0.0",
            "aemp_ports 0.0",
            "aemp_handler_seconds_bucket{le=\"0.0001\"} 4",
            "aemp_handler_seconds_bucket{le=\"+Inf\"} 9",
            "aemp_handler_seconds_count 9",
            "aemp_handler_seconds_sum 2.5",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        assert!(text.ends_with("# EOF\n"), "{text}");
    }

    #[test]
    fn labels_are_limited_and_nothing_is_left_out_of_the_sum() {
        let mut stats = Stats::default();
        for n in 0..1000u64 {
            let mut peer = PeerStats::default();
            peer.received.messages = 1;
            peer.received.bytes = n;
            stats.peers.insert(format!("n{n}"), peer);
            stats.families.insert(format!("f{n}"), Default::default());
        }
        stats.former_peers.received.messages = 5;
        let peers = busiest(&stats);
        assert_eq!((peers.len(), peers[0].0), (PEERS_MAX + 1, "n999"));
        assert_eq!(peers.iter().map(|(_, peer)| peer.received.messages).sum::<u64>(), 1005);
        let text = text(stats).unwrap();
        assert_eq!(text.matches("aemp_db_entries{").count(), FAMILIES_MAX + 1);
        assert_eq!(text.matches("aemp_peer_up{").count(), PEERS_MAX + 1);
    }
}
