//! What lies below: tokio's unbounded channel between tasks, a tokio socket with a channel, a writer task and a reader
//! task on each side, which is the usual shape of a framework, and a tokio socket alone.

mod channel;
mod raw;
mod socket;

use crate::measure::Measured;

/// Whether a system has its workloads here.
pub(crate) fn has(system: &str) -> bool {
    system.starts_with("floor") || is_raw(system)
}

/// Runs a workload; `None` if the system has none of this name.
pub(crate) async fn run(system: String, workload: String, count: u64) -> Option<Measured> {
    if is_raw(&system) {
        return raw::run(&system, &workload, count).await;
    }
    if let Some(measured) = channel::run(&workload, count).await {
        return Some(measured);
    }
    socket::run(&system, &workload, count).await
}

/// Runs the far end until the other process is gone.
pub(crate) async fn peer(system: String, workload: String) {
    match is_raw(&system) {
        true => raw::peer(workload).await,
        false => socket::peer(workload).await,
    }
}

fn is_raw(system: &str) -> bool {
    system.starts_with("raw")
}
