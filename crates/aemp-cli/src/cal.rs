//! `aemp cal`: send a message and print the answer.

use aemp::{AnyMessage, Value};
use clap::Args;

use crate::client::{self, Client, Limit, Seeds};
use crate::failure::Failure;
use crate::values;

/// Send a message with a port for the answer at its end, and print the answer
///
/// The answer is printed as JSON values separated by commas.
#[derive(Debug, Args)]
pub(crate) struct Cal {
    /// NODE#PORT, or NODE for its node port
    port: String,
    /// The values of the message; JSON where one starts with [, { or "
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    values: Vec<String>,
    /// Print the answer as one JSON list
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    limit: Limit,
    #[command(flatten)]
    client: Client,
}

impl Cal {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let (port, mut message) = (client::port(&self.port)?, client::message(&self.values)?);
        let node = self.client.start().await?;
        let seeds = Seeds::of(&node);
        let answer = node
            .call(&port, self.limit.timeout, |reply| {
                message.0.push(Value::from(reply.port()));
                message
            })
            .await;
        let no_seed = seeds.failure();
        client::end(&node, answer.is_ok()).await;
        match answer {
            Ok(AnyMessage(values)) if self.json => crate::print(&values::to_list(&values)),
            Ok(AnyMessage(values)) => crate::print(&values::to_line(&values)),
            Err(error) => Err(no_seed.unwrap_or_else(|| Failure::of_call(port, error))),
        }
    }
}
