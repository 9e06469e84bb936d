//! `aemp snd`: send messages, and make sure that they have arrived at their node.

use std::time::Duration;

use aemp::{AnyMessage, Node, PortId, Reason, Value};
use clap::Args;
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::client::{self, Access, Seeds};
use crate::failure::Failure;
use crate::repeat::{Messages, Repeat};
use crate::values;

/// What the node of the port sends back when all that went before has arrived, and what is printed
/// then.
const ARRIVED: &str = "message sent successfully";

/// Messages after which the node of the port is asked whether they have arrived: a port that is
/// dead is not sent to any longer than that.
const AT_ONCE: u64 = 1000;

/// Send a message to a port, or several
///
/// Ends when the message has reached the node of the port; fails if the port does not exist.
///
/// With --count, --interval or --stdin there are several, and {n} in their texts, those inside of
/// JSON too, is the number of the message. With --stdin {line} is the line without its end. What is
/// put in is text, and is not looked through again; everything else in braces stays as it is.
#[derive(Debug, Args)]
pub(crate) struct Snd {
    /// NODE#PORT, or NODE for its node port
    port: String,
    /// The values of the message; JSON where one starts with [, { or "
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    values: Vec<String>,
    /// Print `{"port":…,"sent":true}` when it has arrived; of several `"count"` as well
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    repeat: Repeat,
    #[command(flatten)]
    access: Access,
}

impl Snd {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let port = client::port(&self.port)?;
        let mut messages = self.repeat.messages(&self.values)?;
        let node = self.access.client.start().await?;
        let seeds = Seeds::of(&node);
        let (sender, told) = mpsc::unbounded_channel();
        // Both the death of the port and the echo of its node come into this mailbox, in the order
        // in which they happened.
        let news = node.port(move |_, news: AnyMessage| drop(sender.send(news)));
        let died = |reason: Reason| reason.values().iter().cloned().collect::<AnyMessage>();
        let _monitor = node.monitor_send(&port, &news, died);
        let mut sending =
            Sending { node: &node, port: &port, news: news.port(), told, limit: self.access.limit.timeout };
        let sent = sending.send(&mut messages).await;
        let no_seed = seeds.failure();
        client::end(&node, sent.is_ok()).await;
        match (sent, no_seed) {
            (Ok(()), _) => {}
            (Err(_), Some(no_seed)) => return Err(no_seed),
            (Err(failure), None) => return Err(failure),
        }
        let (is_one, count) = (!self.repeat.is_used(), messages.count());
        crate::print(&match (self.json, is_one) {
            (true, true) => json!({"port": port.to_string(), "sent": true}).to_string(),
            (true, false) => json!({"port": port.to_string(), "sent": true, "count": count}).to_string(),
            (false, true) => ARRIVED.into(),
            (false, false) => format!("{count} messages sent successfully"),
        })
    }
}

/// What is needed to send to a port.
struct Sending<'a> {
    node: &'a Node,
    port: &'a PortId,
    /// Where news of the port and its node go, and come from.
    news: &'a PortId,
    told: mpsc::UnboundedReceiver<AnyMessage>,
    limit: Duration,
}

impl Sending<'_> {
    async fn send(&mut self, messages: &mut Messages) -> Result<(), Failure> {
        loop {
            let message = tokio::select! {
                biased;
                news = self.told.recv() => return Err(death(self.port, news)),
                message = messages.next() => message?,
            };
            let Some(message) = message else { break };
            self.node.send(self.port, message).map_err(Failure::failed)?;
            if messages.count().is_multiple_of(AT_ONCE) {
                self.confirm().await?;
            }
        }
        self.confirm().await
    }

    /// Waits until all that was sent has arrived.
    async fn confirm(&mut self) -> Result<(), Failure> {
        let question = ("snd", Value::from(self.news), ARRIVED);
        self.node.send(&self.port.node().control_port(), question).map_err(Failure::failed)?;
        match timeout(self.limit, self.told.recv()).await {
            Ok(Some(news)) if news.tag().as_deref() == Some(ARRIVED) => Ok(()),
            Ok(news) => Err(death(self.port, news)),
            Err(_) => {
                Err(Failure::failed(format!("{}: nothing came back within {:?}", self.port, self.limit)))
            }
        }
    }
}

/// What is told of a port that is dead.
fn death(port: &PortId, news: Option<AnyMessage>) -> Failure {
    let AnyMessage(reason) = news.unwrap_or_default();
    Failure::failed(format!("{port}: {}", values::to_words(&reason)))
}
