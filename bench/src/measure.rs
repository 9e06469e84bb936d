//! Readings of this process, the runtime that workloads run on, and the peer process.

use std::future::Future;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;

/// What a workload measured.
pub(crate) struct Measured {
    pub(crate) count: u64,
    pub(crate) elapsed: Duration,
    /// What the table shows: a second, unless the workload says otherwise.
    pub(crate) rate: f64,
    /// Round trips in nanoseconds, sorted; empty where there are none.
    pub(crate) round_trips: Vec<u32>,
}

impl Measured {
    /// `count` things in the time since `began`.
    pub(crate) fn since(began: Instant, count: u64) -> Measured {
        let elapsed = began.elapsed();
        Measured { count, elapsed, rate: count as f64 / elapsed.as_secs_f64(), round_trips: Vec::new() }
    }

    /// The same with another figure to show.
    pub(crate) fn with_rate(self, rate: f64) -> Measured {
        Measured { rate, ..self }
    }

    /// The same with round trips.
    pub(crate) fn with_round_trips(mut self, mut round_trips: Vec<u32>) -> Measured {
        round_trips.sort_unstable();
        self.round_trips = round_trips;
        self
    }

    pub(crate) fn to_json(&self, system: &str, workload: &str) -> serde_json::Value {
        let micros = |share: f64| {
            let last = self.round_trips.len().checked_sub(1)?;
            Some(f64::from(self.round_trips[(last as f64 * share) as usize]) / 1000.0)
        };
        json!({
            "system": system, "workload": workload, "n": self.count, "secs": self.elapsed.as_secs_f64(),
            "per_sec": self.rate, "p50_us": micros(0.5), "p99_us": micros(0.99), "p999_us": micros(0.999),
            "peak_rss_mb": status_kib("VmHWM:") / 1024, "cpu_s": cpu_seconds(),
        })
    }
}

/// Runs a future as a task of a runtime with two workers (`RT=ct`: with one thread). Not on the thread of `block_on`, which
/// is no worker and would pay a wake-up a turn.
pub(crate) fn on_runtime<F>(future: F) -> F::Output
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let single = std::env::var("RT").as_deref() == Ok("ct");
    let mut builder = if single {
        tokio::runtime::Builder::new_current_thread()
    } else {
        tokio::runtime::Builder::new_multi_thread()
    };
    let runtime = builder.worker_threads(2).enable_all().build().expect("a runtime can be made");
    runtime.block_on(async move { tokio::spawn(future).await.expect("the workload does not panic") })
}

/// A figure of `/proc/self/status`, in KiB.
pub(crate) fn status_kib(key: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(key));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// Processor time of this process.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // After the name in parentheses: utime and stime are fields 12 and 13, in ticks of 10 ms.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split_whitespace().collect();
    let ticks: f64 = fields.iter().skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum();
    ticks / 100.0
}

/// The other process of a remote workload, ended with this value.
pub(crate) struct Peer {
    child: Child,
    pub(crate) line: String,
}

impl Peer {
    /// Starts this binary as the peer and reads the line with which it says that it is ready.
    pub(crate) fn start(system: &str, workload: &str) -> Peer {
        let mut child = Command::new(std::env::current_exe().expect("this binary has a path"))
            .args(["--peer", system, workload])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the peer starts");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("stdout is piped");
        BufReader::new(stdout).read_line(&mut line).expect("the peer says that it is ready");
        Peer { child, line: line.trim().into() }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may have left by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// For the peer: says that it is ready, and waits until the other process is gone.
pub(crate) async fn ready(line: &str) {
    println!("{line}");
    let ended = tokio::task::spawn_blocking(|| std::io::stdin().lines().count());
    // Either way it is over.
    let _ = ended.await;
}
