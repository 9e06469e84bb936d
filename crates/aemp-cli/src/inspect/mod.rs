//! Commands that show what there is: nodes, ports, families, and what nodes count.
//!
//! They ask nodes for their snapshots ([`aemp::stats`]), which Perl nodes do not know, and look
//! into the shared database. [`known`] has the names of what there is, for what was misspelt.

mod describe;
mod families;
pub(crate) mod known;
mod lost;
mod nodes;
mod ports;
mod stats;

use std::time::Duration;

use aemp::stats::AskError;
use aemp::{CallError, Node, NodeId};
use clap::Subcommand;
use tokio::time::timeout;

use crate::client::{self, Client, Limit};
use crate::failure::Failure;
use known::Known;

/// The commands that show what there is.
#[derive(Debug, Subcommand)]
pub(crate) enum Inspect {
    Nodes(nodes::Nodes),
    Ports(ports::Ports),
    Families(families::Families),
    Describe(describe::Describe),
    Stats(stats::Stats),
    Lost(lost::Lost),
}

impl Inspect {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        match self {
            Inspect::Nodes(nodes) => nodes.run().await,
            Inspect::Ports(ports) => ports.run().await,
            Inspect::Families(families) => families.run().await,
            Inspect::Describe(describe) => describe.run().await,
            Inspect::Stats(stats) => stats.run().await,
            Inspect::Lost(lost) => lost.run().await,
        }
    }
}

/// Starts a client, waits until it is connected, and ends it behind `work`.
pub(crate) async fn connected<T>(
    client: &Client,
    limit: &Limit,
    work: impl AsyncFnOnce(&Node) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let node = client.start().await?;
    let mut events = node.node_events();
    let up = async { while node.connected_nodes().is_empty() && events.recv().await.is_ok() {} };
    let outcome = match timeout(limit.timeout, up).await {
        Ok(()) => work(&node).await,
        Err(_) => Err(Failure::failed(limit.no_seed(&node))),
    };
    client::end(&node, outcome.is_ok()).await;
    outcome
}

/// Reads the ID of a node; of a port ID that of its node.
pub(crate) fn node_id(text: &str) -> Result<NodeId, Failure> {
    Ok(client::port(text)?.node().clone())
}

/// Why a node has not answered a question, and whom else may have been meant.
pub(crate) async fn unanswered(node: &Node, asked: &NodeId, error: AskError, limit: Duration) -> Failure {
    match error {
        AskError::Call(CallError::Died(reason)) => {
            let known = Known::of(node, limit).await;
            if known.has_node(asked) {
                return Failure::of_call(asked, CallError::Died(reason));
            }
            Failure::failed(format!("{asked}: there is no such node{}", known.nodes_like(asked.as_str())))
        }
        AskError::Call(error) => Failure::of_call(asked, error),
        error => Failure::failed(format!("{asked}: {}", crate::values::escaped(&error.to_string()))),
    }
}
