//! `aemp nodes`: the nodes of the network.

use aemp::{Node, Stats};
use clap::Args;
use serde_json::{Value as Json, json};

use super::known::Known;
use super::{ask_all, connected};
use crate::client::Access;
use crate::failure::Failure;
use crate::output::{Format, Output, Table};

/// List the nodes of the network
///
/// Those that listen, and those that the seeds are connected to; not the clients that commands like
/// this one are. With --wide, or `-o wide`, each node is asked how it is: how long it has been
/// running, how many ports it has and how many nodes it is connected to. Perl nodes do not know
/// that question.
#[derive(Debug, Args)]
pub(crate) struct Nodes {
    /// Ask each node how it is
    #[arg(long)]
    wide: bool,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    access: Access,
}

impl Nodes {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let is_wide = self.wide || self.output.format == Format::Wide;
        let list = async |node: &Node| {
            let known = Known::of(node, self.access.limit.timeout).await;
            let mut asked = if is_wide {
                ask_all(node, known.node_ids(), self.access.limit.timeout).await
            } else {
                Vec::new()
            };
            let mut table = Table::new(match is_wide {
                true => &["node", "version", "uptime", "ports", "peers", "kills", "addresses"],
                false => &["node", "addresses"],
            });
            for (name, addresses) in &known.nodes {
                let mut row = vec![json!(name)];
                if is_wide {
                    let at = asked.iter().position(|asked| asked.node.as_str() == name);
                    row.extend(wide(at.and_then(|at| asked.swap_remove(at).stats.ok())));
                }
                row.push(if addresses.is_empty() { Json::Null } else { json!(addresses) });
                table.row(row);
            }
            Ok(table)
        };
        connected(&self.access, list).await?.print(self.output.format)
    }
}

fn wide(stats: Option<Stats>) -> [Json; 5] {
    let Some(stats) = stats else { return [const { Json::Null }; 5] };
    let peers = stats.peers.values().filter(|peer| peer.connection.is_some()).count();
    let kills: u64 = stats.kills.values().sum();
    [json!(stats.program), json!(stats.uptime as u64), json!(stats.ports), json!(peers), json!(kills)]
}
