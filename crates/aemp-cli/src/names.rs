//! `aemp complete-names`: names that exist now, for the scripts that complete them in a shell.

use std::collections::BTreeSet;

use aemp::Node;
use aemp_config::{ConfigFile, Places};
use clap::{Arg, Args, Command, ValueEnum};

use crate::client::Access;
use crate::failure::Failure;
use crate::inspect::connected;
use crate::inspect::known::Known;

/// Ports of each node that are proposed, the busiest first.
const PORTS_OF_EACH: usize = 50;

/// What is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    Nodes,
    Families,
    /// Ports, and nodes for their node ports
    Ports,
    /// Nodes and families
    All,
    /// Profiles of the configuration file
    Profiles,
}

/// Print the names that exist now, one a line
///
/// For the scripts that `aemp completions` prints. Without a network it prints nothing.
#[derive(Debug, Args)]
pub(crate) struct CompleteNames {
    /// What is named
    kind: Kind,
    #[command(flatten)]
    access: Access,
}

impl Kind {
    /// What the arguments of a command name, if that is something that exists.
    pub(crate) fn of(command: &Command) -> Option<Kind> {
        command.get_positionals().find_map(|argument| Kind::of_argument(command.get_name(), argument))
    }

    fn of_argument(command: &str, argument: &Arg) -> Option<Kind> {
        match (command, argument.get_id().as_str()) {
            ("db", "family") => Some(Kind::Families),
            ("describe" | "wait", "name") => Some(Kind::All),
            ("profile" | "delprofile" | "showprofile" | "setparent" | "use", "name") => Some(Kind::Profiles),
            ("latency", "a") | (_, "node") => Some(Kind::Nodes),
            (_, "port") => Some(Kind::Ports),
            _ => None,
        }
    }

    /// As `complete-names` takes it.
    pub(crate) fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}

impl CompleteNames {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let names = match self.kind {
            Kind::Profiles => ConfigFile::open(&Places::from_env())?.profiles().map(str::to_owned).collect(),
            _ => self.names().await?,
        };
        // What steers a terminal, or would be several words, cannot be completed.
        let is_word = |name: &&String| name.chars().all(|c| aemp::log::is_plain(c) && !c.is_whitespace());
        names.iter().filter(is_word).try_for_each(|name| crate::print(name))
    }

    async fn names(&self) -> Result<BTreeSet<String>, Failure> {
        connected(&self.access, async |node: &Node| {
            let limit = self.access.limit.timeout;
            let known = Known::of(node, limit).await;
            let families = known.families.iter().flatten().map(|(name, _)| name.clone());
            Ok(match self.kind {
                Kind::Families => families.collect(),
                Kind::All => known.nodes.keys().cloned().chain(families).collect(),
                Kind::Ports => {
                    let mut names: BTreeSet<String> = known.nodes.keys().cloned().collect();
                    for id in known.node_ids() {
                        let ports = node.port_stats_of(&id, PORTS_OF_EACH, limit).await;
                        names.extend(ports.into_iter().flatten().map(|port| port.port));
                    }
                    names
                }
                Kind::Nodes | Kind::Profiles => known.nodes.keys().cloned().collect(),
            })
        })
        .await
    }
}
