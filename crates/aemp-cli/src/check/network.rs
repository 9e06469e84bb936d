//! What the seeds say of a node with these settings.

use std::time::Duration;

use aemp::{AnyMessage, Node, NodeId};
use aemp_config::{Arguments, Settings};
use serde_json::json;
use tokio::time::{Instant, sleep, timeout};

use super::finding::{Finding, Findings};
use crate::client;
use crate::inspect::known::Known;

/// A clock that is wrong by more confuses people who compare logs; nothing else depends on it.
const CLOCK_MAX: f64 = 1.0;

/// How long the other seeds may take when the first one is connected.
const OTHERS: Duration = Duration::from_secs(1);

/// Joins as a client, and asks.
pub(super) async fn check(
    arguments: &[String],
    settings: &Settings,
    limit: Duration,
    findings: &mut Findings,
) {
    let Some(own) = Arguments::parse(arguments).ok().map(Arguments::forced).and_then(disguised) else {
        return;
    };
    let node = match own.builder().client(true).start().await {
        Ok(node) => node,
        Err(error) => {
            findings.add(Finding::error("node", error, "see what it says"));
            return;
        }
    };
    let mut events = node.node_events();
    let up = async { while node.connected_nodes().is_empty() && events.next().await.is_some() {} };
    let connected = timeout(limit, up).await.is_ok();
    if connected && !node.unreached_seeds().is_empty() {
        sleep(OTHERS.min(limit)).await;
    }
    for (seed, why) in node.unreached_seeds() {
        let (cause, remedy) = (format!("{seed} is not reached: {why}"), remedy(&why));
        findings.add(match connected {
            true => Finding::warning("seeds", cause, remedy),
            false => Finding::error("seeds", cause, remedy),
        });
    }
    if connected {
        for seed in node.connected_nodes() {
            clock(&node, &seed, limit, findings).await;
        }
        identity(&node, settings, limit, findings).await;
    }
    client::end(&node, false).await;
}

/// The settings of a node that is not the one that is checked.
fn disguised(mut arguments: Arguments) -> Option<Settings> {
    for (key, value) in [
        ("nodeid", json!("aemp/%n/%u")),
        ("services", json!([])),
        ("binds", json!([])),
        ("advertise", json!([])),
    ] {
        arguments.set(key, &value).ok()?;
    }
    Settings::load(&arguments).ok()
}

fn remedy(why: &str) -> &'static str {
    if why.contains("secret") || why.contains("authentication") {
        "give both nodes the same secret or certificate"
    } else if why.contains("lookup") || why.contains("resolve") || why.contains("name") {
        "write a name that DNS knows, or an address"
    } else {
        "see whether the seed runs, and whether a firewall is between"
    }
}

async fn clock(node: &Node, seed: &NodeId, limit: Duration, findings: &mut Findings) {
    let now = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let (asked, began) = (now().as_secs_f64(), Instant::now());
    let time =
        node.call::<_, AnyMessage, _>(&seed.control_port(), limit, |reply| ("time", reply.port().clone()));
    let Ok(AnyMessage(values)) = time.await else { return };
    let doubt = began.elapsed().as_secs_f64() / 2.0;
    let Some(aemp::Value::Float(theirs)) = values.last() else { return };
    let difference = theirs - asked - doubt;
    if difference.abs() > CLOCK_MAX + doubt {
        findings.add(Finding::warning(
            "clock",
            format_args!("that of {seed} differs from the one here by {difference:.1} s"),
            "let both follow a time server (NTP)",
        ));
    }
}

/// Whether the ID is taken.
async fn identity(node: &Node, settings: &Settings, limit: Duration, findings: &mut Findings) {
    if Known::of(node, limit).await.has_node(&settings.node) {
        findings.add(Finding::warning(
            "nodeid",
            format_args!("a node with the ID {} is in the network", settings.node),
            "nothing, if it is this node that runs already; else choose another ID",
        ));
    }
}
