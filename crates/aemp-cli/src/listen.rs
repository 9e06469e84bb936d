//! `aemp listen`: a port that shows what is sent to it.

use aemp::{AnyMessage, PortId};
use clap::Args;
use tokio::sync::mpsc;

use crate::client::{self, Client};
use crate::failure::Failure;
use crate::{run, values};

/// Messages that may wait to be printed; what is more is lost, and counted.
const WAITING_MAX: usize = 4096;

/// Open a port, and print the messages that it gets
///
/// Prints `listening NODE#PORT` first, then each message as JSON values separated by commas. It
/// opens no socket: messages reach it over the nodes that it is connected to, which relay for the
/// others. With --family the port stands in that family of the shared database, where others find
/// it.
///
/// With --reply each message that has a port at its end, as `cal` sends it, is answered with these
/// values, and with --echo with its own.
#[derive(Debug, Args)]
pub(crate) struct Listen {
    /// Only messages with this tag, which is their first value
    tag: Option<String>,
    /// End after this number of messages
    #[arg(short, long, value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// Register the port in this family
    #[arg(long)]
    family: Option<String>,
    /// Answer with this value, and with those of more such options; JSON where it starts with [, {
    /// or "
    #[arg(long, value_name = "VALUE")]
    reply: Vec<String>,
    /// Answer with the values of the message
    #[arg(long, conflicts_with = "reply")]
    echo: bool,
    /// Print each message as one JSON list
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    client: Client,
}

impl Listen {
    /// Whether it does more than listen: its port stands in the database, or it answers.
    pub(crate) fn acts(&self) -> bool {
        self.family.is_some() || self.echo || !self.reply.is_empty()
    }

    /// What a message is answered with, and to which port.
    fn answer(&self, reply: &AnyMessage, AnyMessage(values): &AnyMessage) -> Option<(PortId, AnyMessage)> {
        if !self.echo && self.reply.is_empty() {
            return None;
        }
        let (last, rest) = values.split_last()?;
        let port = PortId::parse(&last.to_name()?).ok().filter(|port| !port.is_node())?;
        Some((port, if self.echo { AnyMessage(rest.to_vec()) } else { reply.clone() }))
    }

    pub(crate) async fn run(self) -> Result<(), Failure> {
        let mut ending = std::pin::pin!(run::ending()?);
        let reply = client::message(&self.reply)?;
        let node = self.client.stay().await?;
        let (sender, mut messages) = mpsc::channel(WAITING_MAX);
        let tag = self.tag.clone();
        let mut lost = 0u64;
        let port = node.port(move |_, message: AnyMessage| {
            let wanted = tag.as_ref().is_none_or(|tag| message.tag().as_deref() == Some(tag));
            if wanted && sender.try_send(message).is_err() {
                lost += 1;
                tracing::warn!(lost, "more messages come than can be printed");
            }
        });
        if let Some(family) = &self.family {
            node.db().register(family, &port).map_err(Failure::usage)?;
        }
        let outcome = async {
            crate::print(&format!("listening {port}"))?;
            let mut left = self.count;
            while left != Some(0) {
                let message = tokio::select! {
                    message = messages.recv() => message,
                    () = &mut ending => return Err(Failure::interrupted()),
                };
                let Some(message) = message else { break };
                if let Some((port, answer)) = self.answer(&reply, &message) {
                    node.send(&port, answer).map_err(Failure::failed)?;
                }
                let AnyMessage(values) = message;
                crate::print(&if self.json { values::to_list(&values) } else { values::to_line(&values) })?;
                left = left.map(|left| left - 1);
            }
            Ok(())
        }
        .await;
        client::end(&node, outcome.is_ok()).await;
        outcome
    }
}
