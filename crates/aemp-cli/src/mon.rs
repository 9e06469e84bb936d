//! `aemp mon`: wait until a port dies.

use aemp_config::parse_text;
use clap::Args;

use crate::client::{self, Client, Seeds};
use crate::failure::Failure;
use crate::{run, values};

/// Wait until a port dies, and print the reason
///
/// NODE alone waits until the connection to that node is lost, or cannot be made. A normal death
/// has an empty reason, and an empty line is printed.
#[derive(Debug, Args)]
pub(crate) struct Mon {
    /// NODE#PORT, or NODE for its node port
    #[arg(value_parser = parse_text)]
    port: String,
    /// Print the reason as one JSON list
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    client: Client,
}

impl Mon {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let port = client::port(&self.port)?;
        let ending = run::ending()?;
        let node = self.client.start().await?;
        let seeds = Seeds::of(&node);
        let reason = tokio::select! {
            reason = node.exited(&port) => Ok(reason),
            () = ending => Err(Failure::interrupted()),
        };
        let no_seed = seeds.failure();
        client::end(&node, reason.is_ok()).await;
        let reason = reason?;
        // A connection that could not be made says nothing of the port.
        if let Some(failure) = no_seed.filter(|_| reason.identifier().as_deref() == Some("transport_error")) {
            return Err(failure);
        }
        crate::print(&if self.json {
            values::to_list(reason.values())
        } else {
            values::to_words(reason.values())
        })
    }
}
