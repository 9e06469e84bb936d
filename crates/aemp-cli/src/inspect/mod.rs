//! Commands that show what there is: nodes, ports, families, and what nodes count.
//!
//! They ask nodes for their snapshots ([`aemp::stats`]), which Perl nodes do not know, and look
//! into the shared database. [`known`] has the names of what there is, for what was misspelt.

mod describe;
pub(crate) mod families;
pub(crate) mod known;
pub(crate) mod lost;
pub(crate) mod nodes;
pub(crate) mod ports;
pub(crate) mod stats;

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use aemp::stats::AskError;
use aemp::{CallError, Node, NodeId, Stats};
use clap::Subcommand;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::client::{self, Access};
use crate::failure::Failure;
use known::Known;

/// The commands that show what there is.
#[derive(Debug, Subcommand)]
pub(crate) enum Inspect {
    Nodes(nodes::Nodes),
    Ports(ports::Ports),
    Families(families::Families),
    Describe(describe::Describe),
    Stats(stats::Stats),
    Lost(lost::Lost),
}

impl Inspect {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        match self {
            Inspect::Nodes(nodes) => nodes.run().await,
            Inspect::Ports(ports) => ports.run().await,
            Inspect::Families(families) => families.run().await,
            Inspect::Describe(describe) => describe.run().await,
            Inspect::Stats(stats) => stats.run().await,
            Inspect::Lost(lost) => lost.run().await,
        }
    }
}

/// Starts a client, waits until it is connected, and ends it behind `work`.
pub(crate) async fn connected<T>(
    access: &Access,
    work: impl AsyncFnOnce(&Node) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let node = access.client.start().await?;
    let mut events = node.node_events();
    let up = async { while node.connected_nodes().is_empty() && events.next().await.is_some() {} };
    let outcome = match timeout(access.limit.timeout, up).await {
        Ok(()) => work(&node).await,
        Err(_) => Err(Failure::failed(access.limit.no_seed(&node))),
    };
    client::end(&node, outcome.is_ok()).await;
    outcome
}

/// Asks one node a question as a client of the network.
pub(crate) async fn ask<T>(
    access: &Access,
    asked: &NodeId,
    question: impl AsyncFn(&Node) -> Result<T, AskError>,
) -> Result<T, Failure> {
    let ask = async |node: &Node| match question(node).await {
        Ok(answer) => Ok(answer),
        Err(error) => Err(unanswered(node, asked, error, access.limit.timeout).await),
    };
    connected(access, ask).await
}

/// Nodes that are asked at the same time.
pub(crate) const AT_ONCE: usize = 32;

/// A node that was asked for its snapshot.
pub(crate) struct Asked {
    pub(crate) node: NodeId,
    pub(crate) stats: Result<Stats, AskError>,
    /// Seconds by which its clock is ahead of the one here, and by which that may be wrong.
    pub(crate) clock: (f64, f64),
}

/// Asks nodes for their snapshots.
pub(crate) async fn ask_all(
    node: &Node,
    ids: impl IntoIterator<Item = NodeId>,
    limit: Duration,
) -> Vec<Asked> {
    let question = move |node: Node, id: NodeId| async move { node.stats_of(&id, limit).await };
    let answers = ask_each(node, ids, question, |stats| stats.time).await;
    answers.into_iter().map(|(node, clock, stats)| Asked { node, stats, clock }).collect()
}

/// Asks nodes a question, many at once. `time` is the time of the node in its answer; with it comes
/// by how many seconds its clock is ahead of the one here, and by how much that may be wrong.
pub(crate) async fn ask_each<T, F>(
    node: &Node,
    ids: impl IntoIterator<Item = NodeId>,
    question: impl Fn(Node, NodeId) -> F,
    time: fn(&T) -> f64,
) -> Vec<(NodeId, (f64, f64), Result<T, AskError>)>
where
    T: Send + 'static,
    F: Future<Output = Result<T, AskError>> + Send + 'static,
{
    let (mut asked, mut answers) = (JoinSet::new(), Vec::new());
    for id in ids {
        if asked.len() == AT_ONCE {
            answers.extend(asked.join_next().await.and_then(Result::ok));
        }
        let answer = question(node.clone(), id.clone());
        asked.spawn(async move {
            let (began, here) = (Instant::now(), now());
            let answer = answer.await;
            let doubt = began.elapsed().as_secs_f64() / 2.0;
            let ahead = answer.as_ref().map_or(0.0, |answer| time(answer) - here - doubt);
            (id, (ahead, doubt), answer)
        });
    }
    answers.extend(asked.join_all().await);
    answers
}

/// The time here, in seconds since 1970.
pub(crate) fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

/// Reads the ID of a node; of a port ID that of its node.
pub(crate) fn node_id(text: &str) -> Result<NodeId, Failure> {
    Ok(client::port(text)?.node().clone())
}

/// Why a node has not answered a question, and whom else may have been meant.
pub(crate) async fn unanswered(node: &Node, asked: &NodeId, error: AskError, limit: Duration) -> Failure {
    match error {
        AskError::Call(CallError::Died(reason)) => {
            let known = Known::of(node, limit).await;
            if known.has_node(asked) {
                return Failure::of_call(asked, CallError::Died(reason));
            }
            Failure::failed(format!("{asked}: there is no such node{}", known.nodes_like(asked.as_str())))
        }
        AskError::Call(error) => Failure::of_call(asked, error),
        error => Failure::failed(format!("{asked}: {}", crate::values::escaped(&error.to_string()))),
    }
}
