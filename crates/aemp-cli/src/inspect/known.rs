//! The names of what there is in the network, and which of them are like a name that is not there.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aemp::stats::FamilyStats;
use aemp::{Node, NodeId, Stats, Value};
use tokio::time::timeout;

use super::ask_all;
use crate::values;

/// Names that are proposed at most.
const PROPOSED: usize = 3;

/// From this likeness on (1 is the same) a name may have been meant.
const LIKE: f64 = 0.6;

/// The nodes and families of a network, as far as its seeds tell.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// Each node with the addresses on which it listens.
    pub(crate) nodes: BTreeMap<String, Vec<String>>,
    /// `None` if no seed knows the question: they are Perl nodes.
    pub(crate) families: Option<BTreeMap<String, FamilyStats>>,
}

impl Known {
    /// What the connected nodes know. What does not answer in time is left out.
    pub(crate) async fn of(node: &Node, limit: Duration) -> Known {
        let mut known = Known::listening(node, limit).await;
        for asked in ask_all(node, node.connected_nodes(), limit).await {
            if let Ok(stats) = asked.stats {
                known.add(&stats);
            }
        }
        known.nodes.remove(node.id().as_str());
        known
    }

    /// The nodes that are connected, and those that listen somewhere.
    pub(crate) async fn listening(node: &Node, limit: Duration) -> Known {
        let mut known = Known::default();
        if let Ok(Ok(listeners)) = timeout(limit, node.db().family("'l")).await {
            known.nodes = listeners.into_iter().map(|(node, binds)| (node, addresses(&binds))).collect();
        }
        for seed in node.connected_nodes() {
            known.nodes.entry(seed.to_string()).or_default();
        }
        known
    }

    /// Adds what a node tells.
    pub(crate) fn add(&mut self, stats: &Stats) {
        for (peer, stats) in &stats.peers {
            // Clients come and go.
            if stats.connection.as_ref().is_some_and(|connection| !connection.client) {
                self.nodes.entry(peer.clone()).or_default();
            }
        }
        if stats.merges_database {
            self.families = Some(stats.families.clone());
        }
    }

    /// The nodes.
    pub(crate) fn node_ids(&self) -> impl Iterator<Item = NodeId> {
        self.nodes.keys().filter_map(|name| NodeId::new(name).ok())
    }

    /// Whether there is a node with this ID.
    pub(crate) fn has_node(&self, node: &NodeId) -> bool {
        self.nodes.contains_key(node.as_str())
    }

    /// Nodes that may have been meant, to be put behind a sentence.
    pub(crate) fn nodes_like(&self, name: &str) -> String {
        proposal(name, self.nodes.keys())
    }

    /// The same for families.
    pub(crate) fn families_like(&self, name: &str) -> String {
        proposal(name, self.families.iter().flatten().map(|(name, _)| name))
    }

    /// The same for both.
    pub(crate) fn all_like(&self, name: &str) -> String {
        let families = self.families.iter().flatten().map(|(name, _)| name);
        proposal(name, self.nodes.keys().chain(families))
    }
}

fn addresses(binds: &Value) -> Vec<String> {
    match binds {
        Value::List(binds) => binds.iter().filter_map(Value::to_name).collect(),
        _ => Vec::new(),
    }
}

/// The names that are most like one that is not there.
pub(crate) fn nearest<'a>(name: &str, names: impl Iterator<Item = &'a String>) -> Vec<&'a String> {
    let small = name.to_lowercase();
    let likeness = |other: &str| match other.to_lowercase() {
        other if other.contains(&small) && !small.is_empty() => 1.0,
        // One slip of the finger, which weighs much in a short name.
        other if small.len() > 2 && strsim::osa_distance(&small, &other) == 1 => 1.0,
        other => strsim::jaro_winkler(&small, &other),
    };
    let names: BTreeSet<&String> = names.collect();
    let mut like: Vec<(f64, &String)> =
        names.into_iter().map(|other| (likeness(other), other)).filter(|(like, _)| *like >= LIKE).collect();
    like.sort_by(|(one, _), (other, _)| other.total_cmp(one));
    like.into_iter().take(PROPOSED).map(|(_, name)| name).collect()
}

/// The names that may have been meant, to be put behind a sentence.
pub(crate) fn proposal<'a>(name: &str, names: impl Iterator<Item = &'a String>) -> String {
    let like: Vec<String> = nearest(name, names).into_iter().map(|name| values::escaped(name)).collect();
    if like.is_empty() { String::new() } else { format!("; did you mean {}?", like.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_like_a_name_is_proposed_and_what_is_not_is_not() {
        let names = ["seed1", "seed2", "worker/a", "aemp::echo"].map(String::from);
        let near = |name| nearest(name, names.iter()).into_iter().map(String::as_str).collect::<Vec<_>>();
        assert_eq!(near("sed1"), ["seed1", "seed2"]);
        assert_eq!(near("ECHO"), ["aemp::echo"]);
        assert_eq!(near("zzz"), Vec::<&str>::new());
        assert_eq!(nearest("wkr", [String::from("wrk"), String::from("seed")].iter()), ["wrk"]);
        assert_eq!(proposal("workr/a", names.iter()), "; did you mean worker/a?");
        assert_eq!(proposal("zzz", names.iter()), "");
    }
}
