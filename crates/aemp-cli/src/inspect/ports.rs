//! `aemp ports`: the ports of a node.

use aemp::Node;
use aemp::stats::PortStats;
use clap::Args;
use serde_json::json;

use super::{connected, node_id, unanswered};
use crate::client::Access;
use crate::failure::Failure;
use crate::output::{Output, Table};

/// List the ports of a node, those with the fullest mailboxes first
///
/// Without NODE those of the seeds that are connected. Perl nodes, and nodes in secure mode, do not
/// tell.
#[derive(Debug, Args)]
pub(crate) struct Ports {
    /// The node
    node: Option<String>,
    /// The most ports of one node
    #[arg(long, default_value = "1000")]
    max: usize,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    access: Access,
}

impl Ports {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let target = self.node.as_deref().map(node_id).transpose()?;
        let list = async |node: &Node| {
            let mut table = Table::new(&COLUMNS);
            let nodes = target.clone().map_or_else(|| node.connected_nodes(), |node| vec![node]);
            for asked in nodes {
                match node.port_stats_of(&asked, self.max, self.access.limit.timeout).await {
                    Ok(ports) => ports.iter().for_each(|port| table.row(row(port))),
                    Err(error) => {
                        return Err(unanswered(node, &asked, error, self.access.limit.timeout).await);
                    }
                }
            }
            Ok(table)
        };
        connected(&self.access, list).await?.print(self.output.format)
    }
}

/// What is shown of a port.
pub(crate) const COLUMNS: [&str; 4] = ["port", "state", "bytes", "monitors"];

pub(crate) fn row(port: &PortStats) -> Vec<serde_json::Value> {
    vec![json!(port.port), json!(port.state), json!(port.bytes), json!(port.monitors)]
}
