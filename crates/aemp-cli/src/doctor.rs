//! `aemp doctor`: what is wrong in a network that runs.

use std::collections::{BTreeMap, BTreeSet};

use aemp::stats::AskError;
use aemp::{CallError, Node, NodeId, Stats};
use clap::Args;
use futures_util::{StreamExt as _, future, stream};

use crate::check::finding::{Finding, Findings, Format};
use crate::client::Access;
use crate::failure::Failure;
use crate::inspect::known::Known;
use crate::inspect::{AT_ONCE, Asked, ask_all, connected};
use crate::ping;

/// Seconds that a message may wait for its connection.
const QUEUE_AGE_MAX: f64 = 1.0;

/// Seconds that clocks may differ by.
const CLOCK_MAX: f64 = 1.0;

/// The part of the descriptors that may be open.
const DESCRIPTORS_MAX: f64 = 0.8;

/// Find out what is wrong in a network that runs
///
/// Asks all nodes that the seeds know what they count, and tells: nodes that do not answer,
/// connections that one end does not see, pairs that were connected and cannot reach each other,
/// messages that wait for more than a second, handlers that blocked, descriptors that run short,
/// clocks that differ, versions that are mixed, and global nodes whose databases are not the same.
/// Perl nodes do not know the question, and are left out.
///
/// Exit status: 0 nothing was found, 1 warnings only, 2 errors.
#[derive(Debug, Args)]
#[command(after_help = "Example: aemp doctor --format nagios")]
pub(crate) struct Doctor {
    /// How the findings are printed
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,
    #[command(flatten)]
    access: Access,
}

impl Doctor {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let findings = connected(&self.access, async |node: &Node| {
            let mut findings = self.examine(node).await;
            // What has just changed is not everywhere yet: only what stays counts.
            if findings.status() > 0 {
                findings.keep(&self.examine(node).await);
            }
            Ok(findings)
        })
        .await?;
        findings.print(self.format)
    }

    async fn examine(&self, node: &Node) -> Findings {
        let known = Known::of(node, self.access.limit.timeout).await;
        let asked = ask_all(node, known.node_ids(), self.access.limit.timeout).await;
        let mut findings = Findings::default();
        let mut answers = BTreeMap::new();
        for Asked { node: id, stats, clock } in asked {
            match stats {
                Ok(stats) => {
                    of_node(&stats, clock, &mut findings);
                    answers.insert(id.to_string(), stats);
                }
                // It answers, and that is all that is known of it.
                Err(AskError::Unknown | AskError::Refused(_)) => {}
                Err(AskError::Call(CallError::Died(reason))) => findings.add(Finding::error(
                    id.as_str(),
                    format_args!("cannot be reached: {}", crate::values::to_words(reason.values())),
                    "see whether it runs, and whether a firewall is between",
                )),
                Err(error) => findings.add(Finding::error(
                    id.as_str(),
                    format_args!("does not answer: {error}"),
                    "see whether its process hangs; restart it",
                )),
            }
        }
        between(&answers, &mut findings);
        for (one, other) in self.parted(node, &answers).await {
            findings.add(Finding::error(
                &one,
                format_args!("and {other} cannot reach each other, although both answer here"),
                "one direction may be cut: see routes and firewalls between the two",
            ));
        }
        findings
    }

    /// The pairs of nodes that were connected once, and between which nothing gets through.
    async fn parted(&self, node: &Node, answers: &BTreeMap<String, Stats>) -> Vec<(String, String)> {
        let limit = self.access.limit.timeout;
        let asked = stream::iter(lost_pairs(answers)).map(async |(one, other)| {
            // There and back over both, so it does not matter which of them begins.
            let route = [NodeId::new(one).ok()?, NodeId::new(other).ok()?];
            let got_through = ping::gets_through(node, &route, limit).await;
            (!got_through).then(|| (one.to_owned(), other.to_owned()))
        });
        asked.buffer_unordered(AT_ONCE).filter_map(future::ready).collect().await
    }
}

/// The pairs of nodes that were connected once and are not, as both see it.
fn lost_pairs(answers: &BTreeMap<String, Stats>) -> BTreeSet<(&str, &str)> {
    let mut pairs = BTreeSet::new();
    for (name, stats) in answers {
        for peer in stats.peers.keys().filter(|peer| !is_up(stats, peer)) {
            if answers.get(peer).is_some_and(|other| !is_up(other, name)) {
                pairs.insert((name.min(peer).as_str(), name.max(peer).as_str()));
            }
        }
    }
    pairs
}

fn is_up(stats: &Stats, peer: &str) -> bool {
    stats.peers.get(peer).is_some_and(|peer| peer.connection.is_some())
}

/// What one node tells of itself.
fn of_node(stats: &Stats, (difference, doubt): (f64, f64), findings: &mut Findings) {
    let name = &stats.node;
    for (peer, of_peer) in &stats.peers {
        if let Some(age) = of_peer.queue_age.filter(|age| *age > QUEUE_AGE_MAX) {
            findings.add(Finding::error(
                name,
                format_args!("{} bytes for {peer} wait, the oldest for {age:.0} s", of_peer.queue_bytes),
                format_args!("see whether {peer} reads, and what is between the two"),
            ));
        }
    }
    if stats.blocked_handlers > 0 {
        findings.add(Finding::warning(
            name,
            format_args!("{} times a handler blocked its thread", stats.blocked_handlers),
            "`aemp stats` names the last one and its log all; move slow work to tasks",
        ));
    }
    if let Some(files) = stats.descriptors
        && files.open as f64 > DESCRIPTORS_MAX * files.limit as f64
    {
        findings.add(Finding::warning(
            name,
            format_args!("{} of {} descriptors are open", files.open, files.limit),
            "raise the hard limit (ulimit -Hn, LimitNOFILE= of systemd)",
        ));
    }
    if difference.abs() > CLOCK_MAX + doubt {
        findings.add(Finding::warning(
            name,
            format_args!("its clock differs from the one here by {difference:.1} s"),
            "let both follow a time server (NTP)",
        ));
    }
}

/// What shows when the nodes are compared.
fn between(answers: &BTreeMap<String, Stats>, findings: &mut Findings) {
    for (name, stats) in answers {
        for peer in stats.peers.keys().filter(|peer| is_up(stats, peer)) {
            if answers.get(peer).is_some_and(|other| !is_up(other, name)) {
                findings.add(Finding::error(
                    name,
                    format_args!("is connected to {peer}, which does not see that"),
                    "one direction may be cut: see what is between the two",
                ));
            }
        }
    }
    let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, stats) in answers {
        versions.entry(&stats.program).or_default().push(name);
    }
    if versions.len() > 1 {
        let each = versions.iter().map(|(version, nodes)| format!("{version} ({})", nodes.join(" ")));
        findings.add(Finding::warning(
            "versions",
            each.collect::<Vec<_>>().join(", "),
            "finish the upgrade, unless one is in progress",
        ));
    }
    let mut global = answers.iter().filter(|(_, stats)| stats.merges_database);
    if let Some((first, one)) = global.next() {
        for (name, other) in global {
            let same = one.families.keys().chain(other.families.keys()).all(|family| {
                let entries = |stats: &Stats| stats.families.get(family).map_or(0, |family| family.entries);
                entries(one) == entries(other)
            });
            if !same {
                findings.add(Finding::error(
                    name,
                    format_args!("has another database than {first}"),
                    "see with `aemp trace` whether the global nodes are connected to each other",
                ));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use aemp::stats::{ConnectionStats, Descriptors, PeerStats};

    use super::*;

    fn stats(node: &str, peers: &[&str]) -> Stats {
        let mut stats = Stats::default();
        stats.node = node.into();
        for peer in peers {
            let mut of_peer = PeerStats::default();
            of_peer.connection = Some(ConnectionStats::default());
            stats.peers.insert((*peer).to_owned(), of_peer);
        }
        stats
    }

    fn compared(all: &[Stats]) -> Vec<(u8, String)> {
        let answers = all.iter().map(|stats| (stats.node.clone(), stats.clone())).collect();
        let mut findings = Findings::default();
        between(&answers, &mut findings);
        findings.keys()
    }

    #[test]
    fn a_healthy_network_has_no_findings() {
        assert_eq!(compared(&[stats("a", &["b", "perl"]), stats("b", &["a"])]), []);
        let mut findings = Findings::default();
        of_node(&stats("a", &["b"]), (1.5, 1.0), &mut findings);
        assert_eq!(findings.keys(), []);
    }

    #[test]
    fn pairs_that_were_connected_and_are_not_are_looked_at_once() {
        let mut one = stats("b", &["c"]);
        one.peers.entry("a".into()).or_default();
        one.peers.entry("perl".into()).or_default();
        let mut other = stats("a", &[]);
        other.peers.entry("b".into()).or_default();
        let answers = [one, other, stats("c", &["b"])].map(|stats| (stats.node.clone(), stats)).into();
        assert_eq!(lost_pairs(&answers), [("a", "b")].into());
    }

    #[test]
    fn what_does_not_fit_together_is_found() {
        assert_eq!(compared(&[stats("a", &["b"]), stats("b", &[])]), [(2, "a".into())]);
        let mut newer = stats("a", &[]);
        newer.program = "2".into();
        assert_eq!(compared(&[newer, stats("b", &[])]), [(1, "versions".into())]);
        let mut global = [stats("a", &[]), stats("b", &[])];
        global.iter_mut().for_each(|stats| stats.merges_database = true);
        assert_eq!(compared(&global), []);
        global[0].families.entry("f".into()).or_default().entries = 1;
        assert_eq!(compared(&global), [(2, "b".into())]);
    }

    #[test]
    fn what_a_node_tells_of_itself_is_judged() {
        let mut bad = stats("a", &["b"]);
        bad.peers.entry("b".into()).or_default().queue_age = Some(5.0);
        bad.blocked_handlers = 1;
        let mut files = Descriptors::default();
        (files.open, files.limit) = (90, 100);
        bad.descriptors = Some(files);
        let mut findings = Findings::default();
        of_node(&bad, (-3.0, 0.1), &mut findings);
        assert_eq!(findings.keys().iter().map(|(severity, _)| *severity).collect::<Vec<_>>(), [2, 1, 1, 1]);
    }
}
