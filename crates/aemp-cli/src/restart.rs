//! `aemp restart`: start a node again that runs under a watchdog, ours or Perl's.

use std::time::Duration;

use aemp::{AnyMessage, CallError, Node, NodeId, ReplyTo};
use clap::Args;
use tokio::time::{Instant, sleep, timeout_at};

use crate::client::{self, Client};
use crate::failure::Failure;
use crate::values::escaped;
use crate::watchdog::FUNCTION;

/// For Perl nodes: what their own tool has them evaluate, after the question whether anybody would
/// start them again. An answer comes first, and then the end.
const PERL: &str = "require AnyEvent::Watchdog::Util; \
    AnyEvent::Watchdog::Util::enabled () or die \"there is no watchdog\\n\"; \
    { my $w; $w = AE::timer 0.01, 0, sub { undef $w; AnyEvent::Watchdog::Util::restart () } } ()";

/// How often a node is looked for that is to come back.
const LOOK: Duration = Duration::from_millis(100);

/// Restart a node that runs under a watchdog
///
/// The watchdog is that of `aemp run --watchdog`, or of `aemp run` of Perl. Ends when the node is
/// back, which is then a new process and, if the program was replaced meanwhile, a new version.
#[derive(Debug, Args)]
pub(crate) struct Restart {
    /// The node
    node: String,
    /// Seconds to wait until the node is back
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = client::seconds)]
    timeout: Duration,
    #[command(flatten)]
    client: Client,
}

impl Restart {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let target = client::port(&self.node)?.node().clone();
        self.client.ask(async |node| self.restart(node, &target).await).await?;
        crate::print(&format!("{target} is back"))
    }

    async fn restart(&self, node: &Node, target: &NodeId) -> Result<(), Failure> {
        let deadline = Instant::now() + self.timeout;
        let late = |what: &str| Failure::failed(format!("{target}: {what} within {:?}", self.timeout));
        let gone = node.exited(&target.control_port());
        self.ask(node, target, deadline).await?;
        timeout_at(deadline, gone).await.map_err(|_| late("it did not end"))?;
        let back = async {
            while self.time(node, target).await.is_err() {
                sleep(LOOK).await;
            }
        };
        timeout_at(deadline, back).await.map_err(|_| late("it did not come back"))
    }

    /// Asks for the restart, in the way that the node understands.
    async fn ask(&self, node: &Node, target: &NodeId, deadline: Instant) -> Result<(), Failure> {
        let left = || deadline.saturating_duration_since(Instant::now());
        let failed = |error| Failure::of_call(target, error);
        let port = target.control_port();
        let can = |reply: ReplyTo<AnyMessage>| ("can", FUNCTION, reply.port().clone());
        let AnyMessage(known) = node.call(&port, left(), can).await.map_err(failed)?;
        if known.last().and_then(aemp::Value::to_name).as_deref() == Some("1") {
            return node.send(&port, (FUNCTION,)).map_err(Failure::failed);
        }
        let eval = |reply: ReplyTo<AnyMessage>| ("eval", PERL, reply.port().clone());
        let AnyMessage(answer) = node.call(&port, left(), eval).await.map_err(failed)?;
        match answer.first().and_then(aemp::Value::to_name).as_deref() {
            Some("") => Ok(()),
            Some(error) => Err(Failure::failed(format!(
                "{target} cannot be started again: {}; a node has to run under a watchdog for that (aemp run --watchdog)",
                escaped(error.trim_end())
            ))),
            None => Err(Failure::failed(format!("{target}: an answer that makes no sense"))),
        }
    }

    async fn time(&self, node: &Node, target: &NodeId) -> Result<f64, CallError> {
        node.call(&target.control_port(), self.timeout, |reply| ("time", reply)).await
    }
}
