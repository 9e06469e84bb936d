//! `aemp nodes`: the nodes of the network.

use aemp::{Node, Stats};
use clap::Args;
use serde_json::{Value as Json, json};

use super::known::Known;
use super::{ask_all, connected};
use crate::client::{Client, Limit};
use crate::failure::Failure;
use crate::output::{Output, Table};

/// List the nodes of the network
///
/// Those that listen, and those that the seeds are connected to; not the clients that commands like
/// this one are. With --wide each node is asked how it is: how long it has been running, how many
/// ports it has and how many nodes it is connected to. Perl nodes do not know that question.
#[derive(Debug, Args)]
pub(crate) struct Nodes {
    /// Ask each node how it is
    #[arg(long)]
    wide: bool,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    limit: Limit,
    #[command(flatten)]
    client: Client,
}

impl Nodes {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let list = async |node: &Node| {
            let known = Known::of(node, self.limit.timeout).await;
            let mut asked =
                if self.wide { ask_all(node, &known, self.limit.timeout).await } else { Vec::new() };
            let mut table = Table::new(match self.wide {
                true => &["node", "version", "uptime", "ports", "peers", "kills", "addresses"],
                false => &["node", "addresses"],
            });
            for (name, addresses) in &known.nodes {
                let mut row = vec![json!(name)];
                if self.wide {
                    let at = asked.iter().position(|asked| asked.node.as_str() == name);
                    row.extend(wide(at.and_then(|at| asked.swap_remove(at).stats.ok())));
                }
                row.push(if addresses.is_empty() { Json::Null } else { json!(addresses) });
                table.row(row);
            }
            Ok(table)
        };
        connected(&self.client, &self.limit, list).await?.print(self.output.format)
    }
}

fn wide(stats: Option<Stats>) -> [Json; 5] {
    let Some(stats) = stats else { return [const { Json::Null }; 5] };
    let peers = stats.peers.values().filter(|peer| peer.connection.is_some()).count();
    let kills: u64 = stats.kills.values().sum();
    [json!(stats.program), json!(stats.uptime.round()), json!(stats.ports), json!(peers), json!(kills)]
}
