//! What the frameworks share: the workloads, written once over a trait, the line of JSON a run, and
//! the far end's process.
//!
//! The programs are called as `aemp-bench` calls itself: `one SYSTEM WORKLOAD COUNT` runs a
//! workload, `peer SYSTEM WORKLOAD` is the far end. A system whose name ends with `-ct` has tokio's
//! current-thread runtime.

mod far;
mod local;
mod measure;

pub use far::{Peer, ready};
pub use local::{Framework, run as run_local};
pub use measure::{Measured, resident};

use std::future::Future;

/// Pairs of `l1pairs` and `l2pairs`.
pub const PAIRS: u64 = 1000;
/// Actors that `l3` creates at once.
pub const BATCH: u64 = 10_000;
/// Bytes of the messages of `r3`.
pub const PAYLOAD: usize = 64 << 10;
/// The most payloads of `r3` that are under way.
pub const WINDOW: u64 = 1024;
/// The far end of `r3` acknowledges every so many.
pub const ACK_EVERY: u64 = 256;

/// What the command line asks for.
pub struct Task {
    /// The system, with `-ct` at its end for the current-thread runtime.
    pub system: String,
    /// The workload.
    pub workload: String,
    /// How often it does its thing; `None` for the far end.
    pub count: Option<u64>,
}

impl Task {
    /// Reads the command line; ends the process if it makes no sense.
    pub fn from_arguments() -> Task {
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        let task = match &arguments[..] {
            [one, system, workload, count] if one == "one" => {
                count.parse().ok().map(|count| (system, workload, Some(count)))
            }
            [peer, system, workload] if peer == "peer" => Some((system, workload, None)),
            _ => None,
        };
        let Some((system, workload, count)) = task else {
            eprintln!("usage: one SYSTEM WORKLOAD COUNT | peer SYSTEM WORKLOAD");
            std::process::exit(2);
        };
        Task { system: system.clone(), workload: workload.clone(), count }
    }

    /// Runs a future as a task of a runtime with two workers, or with one thread.
    pub fn on_runtime<F>(&self, future: F) -> F::Output
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let single = self.system.ends_with("-ct");
        let mut builder = if single {
            tokio::runtime::Builder::new_current_thread()
        } else {
            tokio::runtime::Builder::new_multi_thread()
        };
        let runtime = builder.worker_threads(2).enable_all().build().expect("a runtime can be made");
        runtime.block_on(async move { tokio::spawn(future).await.expect("the workload does not panic") })
    }

    /// Prints the line of a run, or says that there is no such workload, and ends the process: many
    /// frameworks have background tasks.
    pub fn report(&self, measured: Option<Measured>) -> ! {
        let Some(measured) = measured else {
            eprintln!("{} has no workload {}", self.system, self.workload);
            std::process::exit(3);
        };
        println!("{}", measured.to_json(&self.system, &self.workload));
        std::process::exit(0)
    }
}
