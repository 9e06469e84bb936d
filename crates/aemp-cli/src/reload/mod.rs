//! `aemp reload`: have a node read its settings again. [`apply`] is what the node does then, and
//! [`watch`] follows seeds that stand in a file.

pub(crate) mod apply;
#[cfg(test)]
mod document;
pub(crate) mod watch;

use std::time::Duration;

use aemp::{Node, NodeId};
use clap::Args;

use crate::client::{self, Client, Limit};
use crate::failure::Failure;
use crate::order::{self, RELOAD, Reloaded};

/// Have a node read its settings again
///
/// As SIGHUP does. What can change while it runs is in force at once; for the others the node has
/// to be started again, and they are named. If something is wrong with the settings nothing
/// changes.
#[derive(Debug, Args)]
pub(crate) struct Reload {
    /// The node
    node: String,
    #[command(flatten)]
    limit: Limit,
    #[command(flatten)]
    client: Client,
}

impl Reload {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let target = client::port(&self.node)?.node().clone();
        let reloaded = self.client.ask(async |node| reload(node, &target, self.limit.timeout).await).await?;
        crate::print(&describe(&reloaded))
    }
}

async fn reload(node: &Node, target: &NodeId, limit: Duration) -> Result<Reloaded, Failure> {
    order::check_taken(node, target, RELOAD, limit).await?;
    let answer = node.call(&target.control_port(), limit, |reply| (RELOAD, reply)).await;
    order::outcome(target, answer.map_err(|error| Failure::of_call(target, error))?)
}

/// What came of it, for people.
pub(crate) fn describe(reloaded: &Reloaded) -> String {
    let mut lines = vec![match reloaded.changed.is_empty() {
        true => "nothing has changed".to_owned(),
        false => format!("changed: {}", reloaded.changed.join(", ")),
    }];
    lines.extend(reloaded.refused.iter().map(|(key, why)| format!("not changed: {key}: {why}")));
    lines.join("\n")
}
