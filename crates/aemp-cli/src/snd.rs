//! `aemp snd`: send a message, and make sure that it has arrived at its node.

use aemp::{AnyMessage, Reason, Value};
use clap::Args;
use serde_json::json;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::client::{self, Client, Limit, Seeds};
use crate::failure::Failure;
use crate::values;

/// What the node of the port sends back when all that went before has arrived, and what is printed
/// then.
const ARRIVED: &str = "message sent successfully";

/// Send a message to a port
///
/// Ends when the message has reached the node of the port; fails if the port does not exist.
#[derive(Debug, Args)]
pub(crate) struct Snd {
    /// NODE#PORT, or NODE for its node port
    port: String,
    /// The values of the message; JSON where one starts with [, { or "
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    values: Vec<String>,
    /// Print `{"port":…,"sent":true}` when it has arrived
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    limit: Limit,
    #[command(flatten)]
    client: Client,
}

impl Snd {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let (port, message) = (client::port(&self.port)?, client::message(&self.values)?);
        let node = self.client.start().await?;
        let seeds = Seeds::of(&node);
        let (sender, first) = oneshot::channel();
        let mut waiting = Some(sender);
        // Both the death of the port and the echo of its node come into this mailbox, in the order
        // in which they happened.
        let news = node.port(move |_, news: AnyMessage| {
            waiting.take().map(|waiting| waiting.send(news));
        });
        let died = |reason: Reason| reason.values().iter().cloned().collect::<AnyMessage>();
        let _monitor = node.monitor_send(&port, &news, died);
        node.send(&port, message).map_err(Failure::failed)?;
        node.send(&port.node().control_port(), ("snd", Value::from(news.port()), ARRIVED))
            .map_err(Failure::failed)?;
        let first = timeout(self.limit.timeout, first).await;
        let no_seed = seeds.failure();
        client::end(&node, matches!(first, Ok(Ok(_)))).await;
        match first {
            Ok(Ok(news)) if news.tag().as_deref() == Some(ARRIVED) => crate::print(&if self.json {
                json!({"port": port.to_string(), "sent": true}).to_string()
            } else {
                ARRIVED.into()
            }),
            _ if no_seed.is_some() => no_seed.map_or(Ok(()), Err),
            Ok(Ok(AnyMessage(reason))) => {
                Err(Failure::failed(format!("{port}: {}", values::to_words(&reason))))
            }
            Ok(Err(_)) | Err(_) => {
                Err(Failure::failed(format!("{port}: nothing came back within {:?}", self.limit.timeout)))
            }
        }
    }
}
