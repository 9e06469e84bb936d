//! `aemp lost`: the messages that a node could not deliver.

use aemp::Node;
use aemp::stats::LostMessage;
use clap::Args;
use serde_json::{Value as Json, json};

use super::{ask, node_id};
use crate::client::Access;
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
    access: Access,
}

impl Lost {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let target = node_id(&self.node)?;
        let question = async |node: &Node| node.lost_messages_of(&target, self.access.limit.timeout).await;
        let lost = ask(&self.access, &target, question).await?;
        let mut table = Table::new(&COLUMNS);
        for message in lost {
            table.row(row(&message));
        }
        table.print(self.output.format)
    }
}

/// What is shown of a message.
pub(crate) const COLUMNS: [&str; 4] = ["time", "port", "tag", "reason"];

pub(crate) fn row(message: &LostMessage) -> Vec<Json> {
    let time = super::stats::time(message.time);
    vec![json!(time), json!(message.port), json!(message.tag), json!(message.reason)]
}
