//! What is done for one point of a curve, and its values.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use aemp::{Context, Node, PortId, Reason};
use aemp_sim::world::mesh;
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::measure::{resident, status_kib};
use crate::ours::{self, Work};

/// Measures a point; `None` if there is nothing of this name.
pub(crate) async fn run(work: String, size: u64) -> Option<Value> {
    Some(match work.as_str() {
        "ports" => ports(size).await,
        "monitors" => {
            let node = Node::builder().start().await.ok()?;
            let measured = ours::set_fire_and_drop(&node, size).await;
            json!({ "us": 1e6 / measured.figure })
        }
        "database" => {
            let measured = ours::run("aemp".into(), "db".into(), size).await?;
            json!({ "us": 1e6 / measured.figure })
        }
        "nodes" => {
            let measured = ours::form("aemp", size).await;
            let pair = measured.extra.iter().find(|(name, _)| *name == "pair_us").map(|(_, value)| value);
            json!({ "ms": measured.figure, "pair_us": pair })
        }
        "simulated" => simulated(size)?,
        _ => return None,
    })
}

async fn ports(size: u64) -> Value {
    let node = Node::builder().start().await.expect("it starts");
    let (left, done) = (Arc::new(AtomicU64::new(size)), Arc::new(Notify::new()));
    let before = resident();
    let began = Instant::now();
    let ports: Vec<PortId> = (0..size)
        .map(|_| {
            let (left, done) = (left.clone(), done.clone());
            node.port(move |_: &mut Context<'_>, _: Work| {
                if left.fetch_sub(1, Ordering::Relaxed) == 1 {
                    done.notify_one();
                }
            })
            .into()
        })
        .collect();
    let bytes = (resident() - before) / size as f64;
    for port in &ports {
        node.send(port, Work::Count(1)).expect("it encodes");
    }
    done.notified().await;
    let last = ports.last().map(|port| node.exited(port));
    for port in &ports {
        node.kill(port, Reason::NORMAL);
    }
    if let Some(last) = last {
        last.await;
    }
    json!({ "us": began.elapsed().as_secs_f64() * 1e6 / size as f64, "bytes": bytes })
}

/// A network with a few global nodes that all others are connected to; then one of the global ones
/// is lost.
fn simulated(size: u64) -> Option<Value> {
    let began = Instant::now();
    let formed = mesh::form(usize::try_from(size).ok()?, 1).map_err(|why| eprintln!("{why}")).ok()?;
    let us = began.elapsed().as_secs_f64() * 1e6 / size as f64;
    let each = |count: u64| count as f64 / size as f64;
    let (forming, losing) = (formed.forming, formed.losing);
    Some(json!({
        "us": us, "bytes": each(forming.bytes), "requests": each(forming.requests), "steps": each(forming.steps),
        "connections": each(forming.connections), "ms": forming.time.as_secs_f64() * 1e3,
        "lost_bytes": each(losing.bytes), "lost_requests": each(losing.requests),
        "lost_ms": losing.time.as_secs_f64() * 1e3,
        "peak_rss_mb": status_kib("self", "VmHWM:") as f64 / 1024.0,
    }))
}
