//! The lists that `top` shows, and what is particular about each.

use clap::ValueEnum;

use crate::inspect::{lost, ports, stats};

/// A list that is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum View {
    /// The nodes of the network
    Nodes,
    /// Their connections, as each end sees them
    Links,
    /// Their ports, those with the fullest mailboxes first
    Ports,
    /// The families of the shared database
    Families,
    /// The messages that could not be delivered
    Lost,
}

impl View {
    pub(crate) const ALL: [View; 5] = [View::Nodes, View::Links, View::Ports, View::Families, View::Lost];

    pub(crate) fn name(self) -> &'static str {
        ["nodes", "links", "ports", "families", "lost"][self.index()]
    }

    pub(crate) fn index(self) -> usize {
        self as usize
    }

    /// The view that stands `by` places further on.
    pub(crate) fn step(self, by: usize) -> View {
        Self::ALL[(self.index() + by) % Self::ALL.len()]
    }

    /// The columns of its list.
    pub(crate) fn columns(self) -> Vec<&'static str> {
        match self {
            View::Nodes => NODE_COLUMNS.to_vec(),
            View::Links => {
                [&["node"][..], &stats::PEER_COLUMNS[..5], &RATES, &stats::PEER_COLUMNS[5..]].concat()
            }
            View::Ports => ports::COLUMNS.to_vec(),
            View::Families => vec!["family", "entries", "bytes"],
            View::Lost => [&["node"], &lost::COLUMNS[..]].concat(),
        }
    }

    /// How many of the first columns tell one row from another, from one look to the next.
    pub(crate) fn keys(self) -> usize {
        match self {
            View::Nodes | View::Ports | View::Families => 1,
            View::Links => 2,
            View::Lost => 3,
        }
    }

    /// The column that it is sorted by at first.
    pub(crate) fn sorted_by(self) -> &'static str {
        match self {
            View::Nodes => "node",
            View::Links => "queue_bytes",
            View::Ports => "bytes",
            View::Families => "family",
            View::Lost => "time",
        }
    }

    /// Whether its rows belong to nodes.
    pub(crate) fn is_of_nodes(self) -> bool {
        self != View::Families
    }
}

/// What is shown of how much goes back and forth.
pub(crate) const RATES: [&str; 2] = ["messages_per_s", "bytes_per_s"];

/// What is shown of a node.
const NODE_COLUMNS: [&str; 13] = [
    "node",
    "state",
    "version",
    "uptime",
    "ports",
    "peers",
    "mailbox_bytes",
    RATES[0],
    RATES[1],
    "kills",
    "undeliverable",
    "blocked_handlers",
    "addresses",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_list_has_the_column_that_it_is_sorted_by() {
        for view in View::ALL {
            assert!(view.columns().contains(&view.sorted_by()), "{}", view.name());
            assert_eq!(view.to_possible_value().unwrap().get_name(), view.name());
            assert!(view.keys() <= view.columns().len());
            assert_eq!(view.step(2).step(3), view);
        }
    }
}
