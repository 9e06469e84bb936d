//! `aemp cal`: send a message and print the answer.

use aemp::{AnyMessage, Node, PortId, Value};
use clap::Args;
use tokio::time::Instant;

use crate::client::{self, Access};
use crate::failure::Failure;
use crate::ping::Summary;
use crate::repeat::{Messages, Repeat};
use crate::values;

/// Send a message with a port for the answer at its end, and print the answer
///
/// The answer is printed as JSON values separated by commas.
///
/// With --count, --interval or --stdin there are several calls, one after the other, and at the end
/// a line says how long the answers took. {n} and {line} in the texts are filled in as `snd` does
/// it.
#[derive(Debug, Args)]
pub(crate) struct Cal {
    /// NODE#PORT, or NODE for its node port
    port: String,
    /// The values of the message; JSON where one starts with [, { or "
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    values: Vec<String>,
    /// Print the answer as one JSON list, and of several calls a JSON object at the end
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    repeat: Repeat,
    #[command(flatten)]
    access: Access,
}

impl Cal {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let port = client::port(&self.port)?;
        let messages = self.repeat.messages(&self.values)?;
        let summary = self.access.client.ask(async |node| self.call(node, &port, messages).await).await?;
        match (self.repeat.is_used(), self.json) {
            (false, _) => Ok(()),
            (true, true) => crate::print(&summary.json("port", &port.to_string()).to_string()),
            (true, false) => crate::print(&summary.text()),
        }
    }

    async fn call(&self, node: &Node, port: &PortId, mut messages: Messages) -> Result<Summary, Failure> {
        let mut times = Vec::new();
        while let Some(mut message) = messages.next().await? {
            let began = Instant::now();
            let answer = node.call(port, self.access.limit.timeout, |reply| {
                message.0.push(Value::from(reply.port()));
                message
            });
            let AnyMessage(values) = answer.await.map_err(|error| Failure::of_call(port, error))?;
            times.push(began.elapsed());
            crate::print(&if self.json { values::to_list(&values) } else { values::to_line(&values) })?;
        }
        Ok(Summary::of(times))
    }
}
