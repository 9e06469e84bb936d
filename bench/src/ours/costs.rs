//! What a node costs before it does anything: starting, dialling, being idle; and one message for a
//! hundred nodes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use aemp::{Context, Node, PortId};
use tokio::sync::Notify;

use super::near::{hub, spoke};
use super::remote::Far;
use super::work::Work;
use crate::measure::{Measured, Times, on_cpu, status_kib, switches};
use crate::process::Peer;

const NODES: u64 = 100;

/// Runs a workload; `None` if nothing has this name.
pub(super) async fn run(system: &str, workload: &str, count: u64) -> Option<Measured> {
    Some(match workload {
        "start" => start(system, count),
        "dial" => dial(count).await,
        "idle" => idle(system, count).await?,
        "fan100" => fan_out(count).await,
        _ => return None,
    })
}

/// From the start of a process until its node says that it is ready; milliseconds.
fn start(system: &str, count: u64) -> Measured {
    let (began, mut times) = (Instant::now(), Times::new());
    for _ in 0..count {
        let started = Instant::now();
        let peer = Peer::start(system, "start");
        times.add(started.elapsed());
        drop(peer);
    }
    Measured::since(began, count).with_figure(times.micros(50.0) / 1000.0).with_times(&times)
}

/// From nothing until a new node has an answer from one that listens; milliseconds.
async fn dial(count: u64) -> Measured {
    let hub = hub().await;
    let (began, mut times) = (Instant::now(), Times::new());
    for n in 0..count {
        let started = Instant::now();
        let spoke = spoke(&hub, &format!("spoke/{n}")).await;
        times.add(started.elapsed());
        spoke.shutdown().await;
    }
    Measured::since(began, count).with_figure(times.micros(50.0) / 1000.0).with_times(&times)
}

/// A node with one connection and nothing to do, watched for this many seconds. The figure is its
/// processor time in seconds an hour.
async fn idle(system: &str, seconds: u64) -> Option<Measured> {
    let far = Far::start(system, "idle").await?;
    // sleep: what follows the handshake must have finished, and nothing tells of that
    tokio::time::sleep(Duration::from_secs(1)).await;
    let id = far.peer.id();
    let (began, cpu, woken) = (Instant::now(), on_cpu(&id), switches(&id));
    // sleep: nothing is to happen
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let elapsed = began.elapsed().as_secs_f64();
    let measured = Measured::since(began, seconds);
    let an_hour = (on_cpu(&id) - cpu) / elapsed * 3600.0;
    Some(
        measured
            .with_figure(an_hour)
            .with("wakeups_per_min", (switches(&id) - woken) as f64 / elapsed * 60.0)
            .with("rss_mb", status_kib(&id, "VmRSS:") as f64 / 1024.0),
    )
}

/// The same message to a port on each of a hundred nodes, all in this process.
async fn fan_out(count: u64) -> Measured {
    let rounds = (count / NODES).max(1);
    let hub = hub().await;
    let mut spokes: Vec<Node> = Vec::new();
    let (mut targets, mut all): (Vec<PortId>, Vec<Arc<Notify>>) = (Vec::new(), Vec::new());
    for n in 0..NODES {
        let spoke = spoke(&hub, &format!("spoke/{n}")).await;
        let (done, mut left) = (Arc::new(Notify::new()), rounds);
        all.push(done.clone());
        targets.push(
            spoke
                .port(move |_: &mut Context<'_>, _: Work| {
                    left -= 1;
                    if left == 0 {
                        done.notify_one();
                    }
                })
                .into(),
        );
        spokes.push(spoke);
    }
    let began = Instant::now();
    for n in 0..rounds {
        hub.send_all(&targets, Work::Count(n)).expect("it encodes");
        tokio::task::yield_now().await;
    }
    for done in &all {
        done.notified().await;
    }
    let measured = Measured::since(began, rounds * NODES);
    drop(spokes);
    measured
}
