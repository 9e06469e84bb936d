//! `aemp lost`: the messages that a node could not deliver.

use aemp::Node;
use clap::Args;
use serde_json::json;

use super::{ask, node_id};
use crate::client::{Client, Limit};
use crate::failure::Failure;
use crate::output::{Output, Table};

/// List the last messages that a node could not deliver
///
/// When, for which port, with which tag (the first value, if that is a text) and why; never what
/// else was in them. At most a hundred are remembered; `aemp stats` has their number. Perl nodes,
/// and nodes in secure mode, do not tell.
#[derive(Debug, Args)]
pub(crate) struct Lost {
    /// The node
    node: String,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    limit: Limit,
    #[command(flatten)]
    client: Client,
}

impl Lost {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let target = node_id(&self.node)?;
        let question = async |node: &Node| node.lost_messages_of(&target, self.limit.timeout).await;
        let lost = ask(&self.client, &self.limit, &target, question).await?;
        let mut table = Table::new(&["time", "port", "tag", "reason"]);
        for message in lost {
            let time = super::stats::time(message.time);
            table.row(vec![json!(time), json!(message.port), json!(message.tag), json!(message.reason)]);
        }
        table.print(self.output.format)
    }
}
