//! `aemp wait`: until something is there, or gone.

use std::time::Duration;

use aemp::{AnyMessage, Node, PortId};
use clap::{Args, ValueEnum};
use tokio::time::{sleep, timeout};

use crate::client::{self, Access};
use crate::failure::Failure;
use crate::inspect::connected;
use crate::values::escaped;

/// How often something is looked for that is to come.
const LOOK: Duration = Duration::from_millis(100);

/// Wait until a node, a port or a family is there, or gone
///
/// NODE#PORT is a port, a name with :: in it, or any with --family, a family of the shared
/// database, and everything else a node. A node is there when it answers, a family when it has an
/// entry. Exit status 1 if that does not happen in time.
#[derive(Debug, Args)]
pub(crate) struct Wait {
    /// NODE, NODE#PORT or a family
    name: String,
    /// What to wait for
    #[arg(long = "for", value_name = "STATE", default_value = "up")]
    state: State,
    /// The name is that of a family
    #[arg(long)]
    family: bool,
    #[command(flatten)]
    access: Access,
}

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum State {
    /// It is there
    Up,
    /// It is not there
    Gone,
}

impl Wait {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let is_family = self.family || !self.name.contains('#') && self.name.contains("::");
        let port = if is_family { None } else { Some(client::port(&self.name)?) };
        let name = escaped(&self.name);
        connected(&self.access, async |node: &Node| {
            let happened = async {
                match &port {
                    None => family(node, &self.name, self.state).await,
                    Some(port) if self.state == State::Gone => drop(node.exited(port).await),
                    Some(port) => {
                        while !is_there(node, port, self.access.limit.timeout).await {
                            sleep(LOOK).await;
                        }
                    }
                }
            };
            let what = if self.state == State::Up { "up" } else { "gone" };
            match timeout(self.access.limit.timeout, happened).await {
                Ok(()) => Ok(format!("{name} is {what}")),
                Err(_) => Err(Failure::failed(format!(
                    "{name} is not {what} within {:?}",
                    self.access.limit.timeout
                ))),
            }
        })
        .await
        .and_then(|line| crate::print(&line))
    }
}

/// Whether the node of a port answers, and the port lives.
async fn is_there(node: &Node, port: &PortId, limit: Duration) -> bool {
    let died = node.exited(port);
    let answer = node
        .call::<_, AnyMessage, _>(&port.node().control_port(), limit, |reply| ("time", reply.port().clone()));
    tokio::select! {
        biased;
        _ = died => false,
        answer = answer => answer.is_ok(),
    }
}

/// Waits until a family has entries, or none.
async fn family(node: &Node, name: &str, state: State) {
    let mut watch = node.db().watch(name);
    while let Some(change) = watch.next().await {
        if change.content.is_empty() == (state == State::Gone) {
            return;
        }
    }
    // The watch has ended with the node: that is for the timeout to tell.
    std::future::pending().await
}
