//! `aemp kill` and `aemp spawn`: end a port, and make one.

use std::io::{IsTerminal as _, stdin, stdout};
use std::time::Duration;

use aemp::{AnyMessage, Node, PortId, Reason};
use clap::Args;
use serde_json::json;
use tokio::time::timeout;

use crate::client::{self, Access};
use crate::failure::Failure;
use crate::inspect::{connected, node_id};
use crate::values::{self, escaped};

/// How long a port that was made must live to count as made.
const SETTLED: Duration = Duration::from_millis(200);

/// Kill a port
///
/// Ends when the port is dead; fails if it does not exist. On a terminal it asks first, unless
/// --yes is given. Without a reason the port dies of `killed`.
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
    access: Access,
}

/// Make a port on a node with one of its functions, and print the ID of the port
///
/// The function has to be registered there, or be one of its scripts. Fails if the port dies within
/// the fifth of a second after the node has taken the request.
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
    access: Access,
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
        let died = connected(&self.access, async |node: &Node| {
            let died = node.exited(&port);
            node.kill(&port, reason.clone());
            timeout(self.access.limit.timeout, died).await.map_err(|_| {
                Failure::failed(format!(
                    "{port}: no news of its death within {:?}",
                    self.access.limit.timeout
                ))
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
        let port = connected(&self.access, async |node: &Node| {
            let port = node.spawn(&target, &self.function, &arguments).map_err(Failure::failed)?;
            let mut died = std::pin::pin!(node.exited(&port));
            let dead = |reason: Reason| {
                let why = values::to_words(reason.values());
                Failure::failed(format!("{}: {why}", escaped(&self.function)))
            };
            let time =
                node.call::<_, AnyMessage, _>(&target.control_port(), self.access.limit.timeout, |reply| {
                    ("time", reply.port().clone())
                });
            tokio::select! {
                reason = &mut died => return Err(dead(reason)),
                time = time => time.map_err(|error| Failure::of_call(&target, error))?,
            };
            // The node has taken the request; the function runs when it is the turn of its port.
            match timeout(SETTLED, died).await {
                Ok(reason) => Err(dead(reason)),
                Err(_) => Ok(port),
            }
        })
        .await?;
        let port = port.to_string();
        crate::print(&if self.json { json!({ "port": port }).to_string() } else { port })
    }
}
