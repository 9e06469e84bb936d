//! What lies below: tokio's unbounded channel between tasks, and a tokio socket with a channel, a writer task and a reader
//! task on each side, which is the usual shape of a framework.

mod channel;
mod socket;

use crate::measure::Measured;

pub(crate) use socket::peer;

/// Runs a workload; `None` if the floor has none of this name.
pub(crate) async fn run(system: String, workload: String, count: u64) -> Option<Measured> {
    if let Some(measured) = channel::run(&workload, count).await {
        return Some(measured);
    }
    socket::run(&system, &workload, count).await
}
