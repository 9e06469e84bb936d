//! `aemp ping` and `aemp latency`: how long a message takes there and back.
//!
//! The node port of every node, Perl's too, passes on what `snd` asks for: so a message comes back
//! from any node, and over several of them.

use std::time::Duration;

use aemp::{AnyMessage, CallError, Node, NodeId, ReplyTo, Value};
use clap::Args;
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::client::{self, Access};
use crate::failure::Failure;
use crate::inspect::{connected, known::Known, node_id};

/// Measure how long a message to a node takes there and back
///
/// Works with all nodes. The first message may have to wait for the connection, and is not counted.
#[derive(Debug, Args)]
pub(crate) struct Ping {
    /// The node
    node: String,
    /// How many messages to send
    #[arg(short, long, default_value = "4", value_parser = clap::value_parser!(u64).range(1..))]
    count: u64,
    /// Seconds between two of them
    #[arg(short, long, value_name = "SECONDS", default_value = "0.2", value_parser = client::seconds)]
    interval: Duration,
    /// Print the summary only, as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    access: Access,
}

/// Measure the round trip between two nodes
///
/// A message is sent to A and back, and to A, from there to B, and the same way back; the
/// difference is shown. Works with all nodes that are not in secure mode in Perl.
#[derive(Debug, Args)]
pub(crate) struct Latency {
    /// The one node
    a: String,
    /// The other one
    b: String,
    /// How many messages to send on each of the two ways
    #[arg(short, long, default_value = "10", value_parser = clap::value_parser!(u64).range(1..=10_000))]
    count: u64,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    access: Access,
}

impl Ping {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let target = node_id(&self.node)?;
        let times = connected(&self.access, async |node: &Node| {
            let route = [target.clone()];
            round_trip(node, &route, self.access.limit.timeout).await?;
            let mut times = Vec::new();
            for number in 1..=self.count {
                if number > 1 {
                    sleep(self.interval).await;
                }
                let took = round_trip(node, &route, self.access.limit.timeout).await?;
                if !self.json {
                    crate::print(&format!("{target}: answer {number} after {} ms", millis(took)))?;
                }
                times.push(took);
            }
            Ok(times)
        })
        .await?;
        let summary = Summary::of(times);
        crate::print(&match self.json {
            true => summary.json("node", &target.to_string()).to_string(),
            false => summary.text(),
        })
    }
}

impl Latency {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let (a, b) = (node_id(&self.a)?, node_id(&self.b)?);
        let (near, far) = connected(&self.access, async |node: &Node| {
            let (near, far) = ([a.clone()], [a.clone(), b.clone()]);
            round_trip(node, &near, self.access.limit.timeout).await?;
            round_trip(node, &far, self.access.limit.timeout).await?;
            let mut times = (Vec::new(), Vec::new());
            for _ in 0..self.count {
                times.0.push(round_trip(node, &near, self.access.limit.timeout).await?);
                times.1.push(round_trip(node, &far, self.access.limit.timeout).await?);
            }
            Ok((Summary::of(times.0), Summary::of(times.1)))
        })
        .await?;
        let between = far.median.saturating_sub(near.median);
        if self.json {
            let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
            return crate::print(
                &json!({
                    "a": a.as_str(), "b": b.as_str(), "round_trip_ms": milliseconds(between),
                    "to_a_ms": milliseconds(near.median), "to_b_through_a_ms": milliseconds(far.median),
                })
                .to_string(),
            );
        }
        let (between, near, far) = (millis(between), millis(near.median), millis(far.median));
        crate::print(&format!("{a} and {b}: {between} ms (to {a} {near} ms, over it to {b} {far} ms)"))
    }
}

/// Sends a message over these nodes and back.
async fn round_trip(node: &Node, route: &[NodeId], limit: Duration) -> Result<Duration, Failure> {
    let Some(first) = route.first() else { return Ok(Duration::ZERO) };
    let began = Instant::now();
    match pass_on(node, route, limit).await {
        Ok(_) => Ok(began.elapsed()),
        Err(CallError::Died(reason)) => {
            let known = Known::of(node, limit).await;
            match known.has_node(first) {
                true => Err(Failure::of_call(first, CallError::Died(reason))),
                false => {
                    let like = known.nodes_like(first.as_str());
                    Err(Failure::failed(format!("{first}: there is no such node{like}")))
                }
            }
        }
        Err(error) => {
            let last = route.last().unwrap_or(first);
            let known = Known::of(node, limit).await;
            let like = if known.has_node(last) { String::new() } else { known.nodes_like(last.as_str()) };
            Err(Failure::failed(format!("{last}: {error}{like}")))
        }
    }
}

/// Whether a message gets over these nodes and back.
pub(crate) async fn gets_through(node: &Node, route: &[NodeId], limit: Duration) -> bool {
    pass_on(node, route, limit).await.is_ok()
}

async fn pass_on(node: &Node, route: &[NodeId], limit: Duration) -> Result<AnyMessage, CallError> {
    let (first, rest) = route.split_first().expect("there is a node to begin with");
    node.call(&first.control_port(), limit, |reply| message(rest, first, &reply)).await
}

/// What the first node is asked to pass on.
fn message(rest: &[NodeId], first: &NodeId, reply: &ReplyTo<AnyMessage>) -> AnyMessage {
    let snd = || Value::name("snd");
    let mut values = Vec::new();
    for next in rest {
        values.extend([snd(), Value::name(next.as_str())]);
    }
    // Back over the nodes between.
    let between = rest.len().saturating_sub(1);
    for back in rest[..between].iter().rev().chain((!rest.is_empty()).then_some(first)) {
        values.extend([snd(), Value::name(back.as_str())]);
    }
    values.extend([snd(), Value::from(reply.port())]);
    AnyMessage(values)
}

/// What was measured.
pub(crate) struct Summary {
    count: usize,
    least: Duration,
    median: Duration,
    most: Duration,
}

impl Summary {
    pub(crate) fn of(mut times: Vec<Duration>) -> Summary {
        times.sort();
        let at = |at: usize| times.get(at).copied().unwrap_or_default();
        let last = times.len().saturating_sub(1);
        Summary { count: times.len(), least: at(0), median: at(last / 2), most: at(last) }
    }

    pub(crate) fn text(&self) -> String {
        let Summary { count, least, median, most } = self;
        let (least, median, most) = (millis(*least), millis(*median), millis(*most));
        format!("{count} answers: least {least} ms, median {median} ms, most {most} ms")
    }

    /// As JSON, with the name of what has answered.
    pub(crate) fn json(&self, kind: &str, name: &str) -> serde_json::Value {
        let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
        json!({
            kind: name, "count": self.count, "min_ms": milliseconds(self.least),
            "median_ms": milliseconds(self.median), "max_ms": milliseconds(self.most),
        })
    }
}

fn millis(time: Duration) -> String {
    format!("{:.3}", time.as_secs_f64() * 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;
    use aemp::PortId;

    #[test]
    fn a_message_goes_over_all_nodes_and_back() {
        let node = |name: &str| NodeId::new(name).unwrap();
        let reply = ReplyTo::new(PortId::parse("me#port").unwrap());
        let words = |rest: &[NodeId]| {
            let AnyMessage(values) = message(rest, &node("a"), &reply);
            values.iter().map(|value| value.to_name().unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(words(&[]), ["snd", "me#port"]);
        assert_eq!(words(&[node("b")]), ["snd", "b", "snd", "a", "snd", "me#port"]);
    }

    #[test]
    fn the_median_is_in_the_middle() {
        let times = [5, 1, 3].map(Duration::from_millis).to_vec();
        let summary = Summary::of(times);
        assert_eq!(summary.text(), "3 answers: least 1.000 ms, median 3.000 ms, most 5.000 ms");
        assert_eq!(Summary::of(Vec::new()).count, 0);
    }
}
