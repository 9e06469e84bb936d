//! What is done for one point of a curve, and its values.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use aemp::{Context, Node, PortId, Reason};
use aemp_sim::options::{NetOptions, Options, WorkOptions};
use aemp_sim::world;
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::measure::resident;
use crate::ours::{self, Work};

/// The virtual time of a simulated network while it works; it has some seconds more to come to rest.
const SIMULATED: Duration = Duration::from_secs(10);

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
        "simulated" => simulated(size),
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
        })
        .collect();
    let octets = (resident() - before) / size as f64;
    for port in &ports {
        node.send(port, Work::Count(1)).expect("it encodes");
    }
    done.notified().await;
    let last = ports.last().map(|port| node.died(port));
    for port in &ports {
        node.kill(port, Reason::NORMAL);
    }
    if let Some(last) = last {
        last.await;
    }
    json!({ "us": began.elapsed().as_secs_f64() * 1e6 / size as f64, "octets": octets })
}

/// A network without faults, in which all nodes join two seeds and hardly anything else happens.
fn simulated(size: u64) -> Value {
    let nodes = size as usize;
    let mut options = Options::of_seed(1).calm();
    options.monitor_timeouts = vec![Duration::from_secs(8); nodes];
    options.framings = vec![aemp::Framing::ALL.to_vec(); nodes];
    options.net = NetOptions { latency: Duration::from_millis(1), chunk: 64 << 10, buffer: 256 << 10 };
    (options.nodes, options.seeds, options.duration) = (nodes, 2, SIMULATED);
    options.work = WorkOptions {
        pause: Duration::from_secs(1),
        flows: 0,
        slow: Duration::ZERO,
        slow_ports: 0,
        payload: 100,
        database: 0,
    };
    let began = Instant::now();
    let outcome = world::run(options);
    let seconds = outcome.history.records.last().map_or(0.0, |record| record.t as f64 / 1e6);
    let us = began.elapsed().as_secs_f64() * 1e6 / size as f64 / seconds.max(1.0);
    json!({ "us": us, "steps": outcome.happenings as f64 / size as f64 })
}
