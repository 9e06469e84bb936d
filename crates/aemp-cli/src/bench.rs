//! `aemp bench`: how fast two nodes in this process talk to each other.

use std::time::Duration;

use aemp::{AnyMessage, Body, Node, PortId, ReplyTo};
use bytes::Bytes;
use clap::Args;
use serde_json::json;
use tokio::time::{Instant, timeout};

use crate::client;
use crate::failure::Failure;
use crate::output::{Format, Output, Table};

/// Messages that are sent before the node is asked whether it has room for more.
const BURST: u64 = 64;

/// The size of the large messages.
const LARGE: usize = 64 << 10;

/// How long the nodes may take to find each other, and to answer.
const PATIENCE: Duration = Duration::from_secs(10);

const NOTE: &str = "\
Two nodes in one process, over loopback, with authentication and without encryption: this shows
whether aemp works on this machine and about how fast. It is no comparison with another program.";

/// Measure how fast two nodes in this process talk to each other over loopback
///
/// Small messages, calls one after the other, and messages of 64 KiB, each for some time; what has
/// arrived is counted. It checks this machine and this build, and is no comparison with other
/// programs or networks. It talks to no other node.
#[derive(Debug, Args)]
pub(crate) struct Bench {
    /// Seconds for each of the three
    #[arg(short, long, value_name = "SECONDS", default_value = "1", value_parser = client::seconds)]
    seconds: Duration,
    #[command(flatten)]
    output: Output,
}

impl Bench {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let [from, to] = nodes().await?;
        let measured = self.measure(&from, &to).await;
        from.shutdown().await;
        to.shutdown().await;
        let table = measured?;
        table.print(self.output.format)?;
        match self.output.format {
            Format::Table | Format::Wide => crate::print(&format!("\n{NOTE}")),
            _ => Ok(()),
        }
    }

    async fn measure(&self, from: &Node, to: &Node) -> Result<Table, Failure> {
        let mut table = Table::new(&["what", "per_second", "unit"]);
        let mut row = |what: &str, rate: f64, unit: &str| {
            table.row(vec![json!(what), json!(rate.round() as u64), json!(unit)]);
        };
        let small = self.send(from, &sink(to), ("m", 1u64)).await?;
        row("small messages", small, "messages");
        row("calls, one after the other", self.call(from, &echo(to)).await?, "calls");
        let large = self.send(from, &sink(to), ("m", Bytes::from(vec![0x55; LARGE]))).await?;
        row("messages of 64 KiB", large * LARGE as f64 / 1e6, "MB");
        Ok(table)
    }

    /// Sends a message again and again; how many a second have arrived.
    async fn send<M>(&self, node: &Node, to: &PortId, message: M) -> Result<f64, Failure>
    where
        M: Clone + aemp::IntoMessage,
    {
        let (began, mut sent) = (Instant::now(), 0u64);
        while began.elapsed() < self.seconds {
            for _ in 0..BURST {
                node.send(to, message.clone()).map_err(Failure::failed)?;
            }
            sent += BURST;
            node.ready(to).await;
        }
        let count = node.call(to, PATIENCE, |reply: ReplyTo<(u64,)>| ("count", reply.port().clone()));
        let (arrived,) = count.await.map_err(|error| Failure::of_call(to, error))?;
        if arrived != sent {
            return Err(Failure::failed(format!("{sent} messages were sent, and {arrived} have arrived")));
        }
        Ok(arrived as f64 / began.elapsed().as_secs_f64())
    }

    /// Calls again and again; how many a second were answered.
    async fn call(&self, node: &Node, to: &PortId) -> Result<f64, Failure> {
        let call = async || {
            let answer = node.call(to, PATIENCE, |reply: ReplyTo<AnyMessage>| ("m", reply.port().clone()));
            answer.await.map_err(|error| Failure::of_call(to, error))
        };
        // The first one is not like the others.
        call().await?;
        let (began, mut calls) = (Instant::now(), 0u64);
        while began.elapsed() < self.seconds {
            call().await?;
            calls += 1;
        }
        Ok(calls as f64 / began.elapsed().as_secs_f64())
    }
}

/// Two nodes that are connected.
async fn nodes() -> Result<[Node; 2], Failure> {
    let secret = aemp_config::random_text(32)?;
    let to = Node::builder().id("bench/to").secret(secret.clone()).bind("127.0.0.1:0").start().await?;
    let address = to.local_addrs().first().map(ToString::to_string).unwrap_or_default();
    let from = Node::builder().id("bench/from").secret(secret).seed(address).start().await?;
    let mut events = from.node_events();
    let up = async { while from.connected_nodes().is_empty() && events.next().await.is_some() {} };
    match timeout(PATIENCE, up).await {
        Ok(()) => Ok([from, to]),
        Err(_) => {
            Err(Failure::failed(format!("the two nodes have not found each other within {PATIENCE:?}")))
        }
    }
}

/// A port that counts messages, and tells how many to who asks.
fn sink(node: &Node) -> PortId {
    let mut count = 0u64;
    let port = node.port(move |cx, body: Body| match asks(&body) {
        None => count += 1,
        Some(port) => cx.send(&port, (count,)),
    });
    port.port().clone()
}

fn asks(body: &Body) -> Option<PortId> {
    if body.first_name().as_deref() != Some("count") {
        return None;
    }
    PortId::parse(&body.decode().ok()?.get(1)?.to_name()?).ok()
}

/// A port that answers.
fn echo(node: &Node) -> PortId {
    let port = node.port(|cx, mut message: AnyMessage| {
        let last = message.0.pop().and_then(|last| PortId::parse(&last.to_name()?).ok());
        if let Some(port) = last {
            cx.send(&port, message);
        }
    });
    port.port().clone()
}
