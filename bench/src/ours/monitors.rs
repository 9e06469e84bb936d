//! Monitors by the million: set, fired by the death of their ports, set again and withdrawn.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use aemp::{Context, MonitorGuard, Node, PortId, Reason};
use tokio::sync::Notify;

use super::work::Work;
use crate::measure::{Measured, resident};

/// Ports that share the monitors.
const PORTS: u64 = 1000;

/// Runs a workload; `None` if nothing has this name.
pub(super) async fn run(workload: &str, count: u64) -> Option<Measured> {
    if workload != "monitors" {
        return None;
    }
    let node = Node::builder().start().await.ok()?;
    Some(set_fire_and_drop(&node, count).await)
}

/// The figure is how many a second are set and fired.
pub(crate) async fn set_fire_and_drop(node: &Node, count: u64) -> Measured {
    let open = || -> Vec<PortId> {
        (0..PORTS).map(|_| node.port(|_: &mut Context<'_>, _: Work| {}).into()).collect()
    };
    let rate = |began: Instant| count as f64 / began.elapsed().as_secs_f64();
    let (left, done) = (Arc::new(AtomicU64::new(count)), Arc::new(Notify::new()));
    let set = |ports: &[PortId]| -> Vec<MonitorGuard> {
        (0..count)
            .map(|n| {
                let (left, done) = (left.clone(), done.clone());
                node.monitor(&ports[(n % PORTS) as usize], move |_| {
                    if left.fetch_sub(1, Ordering::Relaxed) == 1 {
                        done.notify_one();
                    }
                })
            })
            .collect()
    };
    let ports = open();
    let before = resident();
    let began = Instant::now();
    set(&ports).into_iter().for_each(MonitorGuard::detach);
    let (set_rate, memory) = (rate(began), (resident() - before) / count as f64);
    let killed = Instant::now();
    for port in &ports {
        node.kill(port, Reason::NORMAL);
    }
    done.notified().await;
    let (measured, fired) = (Measured::since(began, count), rate(killed));
    let ports = open();
    let guards = set(&ports);
    let dropping = Instant::now();
    drop(guards);
    let dropped = rate(dropping);
    measured
        .with("set_per_s", set_rate)
        .with("fired_per_s", fired)
        .with("dropped_per_s", dropped)
        .with("bytes_each", memory)
}
