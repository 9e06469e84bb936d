//! `aemp kill` and `aemp spawn`: end a port, and make one.

use std::io::{IsTerminal as _, stdin, stdout};

use aemp::{AnyMessage, Node, PortId, Reason};
use clap::Args;
use serde_json::json;
use tokio::time::timeout;

use crate::client::{self, Client, Limit};
use crate::failure::Failure;
use crate::inspect::{connected, node_id};
use crate::values::{self, escaped};

/// Kill a port
///
/// Ends when the port is dead; fails if there is none. On a terminal it asks first, unless --yes is
/// given. Without a reason the port dies of `killed`.
#[derive(Debug, Args)]
pub(crate) struct Kill {
    /// NODE#PORT
    port: String,
    /// The values of the reason; JSON where one starts with [, { or "
    #[arg(trailing_var_arg = true)]
    reason: Vec<String>,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    #[command(flatten)]
    limit: Limit,
    #[command(flatten)]
    client: Client,
}

/// Make a port on a node with one of its functions, and print the ID of the port
///
/// The function has to be registered there, or be one of its scripts. Fails if the port is dead
/// when the function has run.
#[derive(Debug, Args)]
pub(crate) struct Spawn {
    /// The node
    node: String,
    /// The function
    function: String,
    /// Its arguments; JSON where one starts with [, { or "
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
    /// Print `{"port":…}`
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    limit: Limit,
    #[command(flatten)]
    client: Client,
}

impl Kill {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let port = client::port(&self.port)?;
        if port.is_node() {
            return Err(Failure::usage(format!(
                "{port} is a node, which cannot be killed; name a port of it"
            )));
        }
        let AnyMessage(mut reason) = client::message(&self.reason)?;
        if reason.is_empty() {
            reason = vec!["killed".into(), "by aemp kill".into()];
        }
        if !self.yes && stdin().is_terminal() && stdout().is_terminal() && !agreed(&port)? {
            return Err(Failure::failed("nothing was killed"));
        }
        let reason = Reason::new(reason);
        let died = connected(&self.client, &self.limit, async |node: &Node| {
            let died = node.exited(&port);
            node.kill(&port, reason.clone());
            timeout(self.limit.timeout, died).await.map_err(|_| {
                Failure::failed(format!("{port}: no news of its death within {:?}", self.limit.timeout))
            })
        })
        .await?;
        // It may have been dead before, or have died of something else at the same time.
        match values::to_words(died.values()) == values::to_words(reason.values()) {
            true => crate::print(&format!("{port} is dead")),
            false => Err(Failure::failed(format!("{port}: {}", values::to_words(died.values())))),
        }
    }
}

fn agreed(port: &PortId) -> Result<bool, Failure> {
    eprint!("kill {port}? [y/N] ");
    let mut line = String::new();
    stdin().read_line(&mut line).map_err(Failure::failed)?;
    Ok(matches!(line.trim(), "y" | "Y" | "yes"))
}

impl Spawn {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let target = node_id(&self.node)?;
        let arguments = client::message(&self.arguments)?;
        let port = connected(&self.client, &self.limit, async |node: &Node| {
            let port = node.spawn(&target, &self.function, &arguments).map_err(Failure::failed)?;
            let died = node.exited(&port);
            // What the node answers comes behind the function, and the news of a port that it has
            // left dead.
            let time = node.call::<_, AnyMessage, _>(&target.control_port(), self.limit.timeout, |reply| {
                ("time", reply.port().clone())
            });
            tokio::select! {
                biased;
                reason = died => {
                    Err(Failure::failed(format!("{}: {}", escaped(&self.function), values::to_words(reason.values()))))
                }
                time = time => time.map(|_| port).map_err(|error| Failure::of_call(&target, error)),
            }
        })
        .await?;
        let port = port.to_string();
        crate::print(&if self.json { json!({ "port": port }).to_string() } else { port })
    }
}
