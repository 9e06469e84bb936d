//! The shared database: entries that one process sets and another one watches, until it has them
//! all.

use std::time::Instant;

use tokio::sync::mpsc;

use super::remote::Far;
use super::work::Work;
use crate::measure::{Measured, resident, status_kib};

const FAMILY: &str = "bench";

/// Runs a workload; `None` if nothing has this name.
pub(super) async fn run(system: &str, workload: &str, count: u64) -> Option<Measured> {
    if workload != "db" {
        return None;
    }
    let far = Far::start(system, workload).await?;
    Some(converge(&far, count).await)
}

/// The far end sets the entries, this one watches. The figure is how many entries a second have
/// come, counted from the request to set them until the watch has told of the last one.
pub(crate) async fn converge(far: &Far, count: u64) -> Measured {
    let mut watch = far.node.db().watch(FAMILY);
    watch.next().await;
    let theirs = || status_kib(&far.peer.id(), "VmRSS:") as f64 * 1024.0;
    let (before, far_before) = (resident(), theirs());
    let (sender, mut events) = mpsc::unbounded_channel();
    let began = Instant::now();
    far.send(Work::Entries(count));
    let watching = tokio::spawn(async move {
        let mut added = 0;
        while added < count {
            let Some(change) = watch.next().await else { return };
            added += change.added.len() as u64;
            sender.send(()).expect("the workload waits");
        }
    });
    watching.await.expect("the watch goes on");
    let measured = Measured::since(began, count);
    let mut told = 0;
    while events.try_recv().is_ok() {
        told += 1;
    }
    let bytes = |grown: f64| grown / count as f64;
    measured
        .with("events", f64::from(told))
        .with("bytes_each_here", bytes(resident() - before))
        .with("bytes_each_there", bytes(theirs() - far_before))
}
