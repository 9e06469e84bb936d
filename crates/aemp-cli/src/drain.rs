//! `aemp drain`: have a node leave its network so that nobody loses anything.

use std::time::Duration;

use aemp::{Node, NodeId};
use clap::Args;
use tokio::time::timeout;

use crate::client::{self, Client};
use crate::failure::Failure;
use crate::order::{self, DRAIN};

/// How much longer than the node may take the command waits: it has supervisors stop their
/// children, and delivers what it has sent.
const LATE: Duration = Duration::from_secs(15);

/// How long a node may take to say whether it takes orders.
const ASK: Duration = Duration::from_secs(5);

/// Have a node finish its work, leave its network and end
///
/// The node withdraws what its program has set in the shared database, so that callers choose
/// others; answers the calls that still come, and those under way; stops its supervised ports;
/// delivers what it has sent, and ends. What it could not finish within the limit is said, and the
/// exit status is 1 then.
#[derive(Debug, Args)]
pub(crate) struct Drain {
    /// The node
    node: String,
    /// Seconds that the node may take to finish its work
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = client::seconds)]
    limit: Duration,
    #[command(flatten)]
    client: Client,
}

impl Drain {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let target = client::port(&self.node)?.node().clone();
        let unfinished = self.client.ask(async |node| self.drain(node, &target).await).await?;
        if !unfinished.is_empty() {
            return Err(Failure::failed(format!("{target} has left, and had not finished {unfinished}")));
        }
        crate::print(&format!("{target} has left"))
    }

    /// What was not finished; empty if nothing was left.
    async fn drain(&self, node: &Node, target: &NodeId) -> Result<String, Failure> {
        order::check_taken(node, target, DRAIN, ASK).await?;
        let gone = node.exited(&target.control_port());
        let order = |reply| (DRAIN, self.limit.as_secs_f64(), reply);
        let answer = node.call(&target.control_port(), self.limit + LATE, order).await;
        let unfinished = order::outcome(target, answer.map_err(|error| Failure::of_call(target, error))?)?;
        let late =
            |_| Failure::failed(format!("{target} has finished its work, and did not end within {LATE:?}"));
        timeout(LATE, gone).await.map_err(late)?;
        Ok(unfinished)
    }
}
