//! What a run measured, readings of a process, and the runtime that workloads run on.

use std::future::Future;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde_json::json;

/// What a run measured.
pub(crate) struct Measured {
    /// How often the workload did its thing.
    pub(crate) count: u64,
    pub(crate) elapsed: Duration,
    /// What is compared, in the unit of the workload.
    pub(crate) figure: f64,
    /// What else is worth knowing.
    pub(crate) extra: Vec<(&'static str, f64)>,
}

impl Measured {
    /// `count` things in the time since `began`; the figure is how many a second.
    pub(crate) fn since(began: Instant, count: u64) -> Measured {
        let elapsed = began.elapsed();
        Measured { count, elapsed, figure: count as f64 / elapsed.as_secs_f64(), extra: Vec::new() }
    }

    /// The same with another figure.
    pub(crate) fn with_figure(self, figure: f64) -> Measured {
        Measured { figure, ..self }
    }

    /// The figure is in MB (10^6 bytes) a second.
    pub(crate) fn megabytes(self, bytes: u64) -> Measured {
        let rate = bytes as f64 / 1e6 / self.elapsed.as_secs_f64();
        self.with_figure(rate)
    }

    /// One more thing worth knowing.
    pub(crate) fn with(mut self, name: &'static str, value: f64) -> Measured {
        self.extra.push((name, value));
        self
    }

    /// Percentiles of times, in microseconds.
    pub(crate) fn with_times(self, times: &Times) -> Measured {
        let at = |percentile| times.micros(percentile);
        self.with("p50_us", at(50.0)).with("p99_us", at(99.0)).with("p999_us", at(99.9))
    }

    pub(crate) fn to_json(&self, system: &str, workload: &str) -> serde_json::Value {
        let mut extra: serde_json::Map<String, serde_json::Value> =
            self.extra.iter().map(|(name, value)| (name.to_string(), json!(value))).collect();
        extra.insert("peak_rss_mb".into(), json!(status_kib("self", "VmHWM:") as f64 / 1024.0));
        extra.insert("cpu_s".into(), json!(cpu_seconds("self")));
        json!({
            "system": system, "workload": workload, "count": self.count, "seconds": self.elapsed.as_secs_f64(),
            "figure": self.figure, "extra": extra,
        })
    }
}

/// Times between a microsecond's thousandth and a minute, with three digits.
pub(crate) struct Times(Histogram<u64>);

impl Times {
    pub(crate) fn new() -> Times {
        Times(Histogram::new_with_bounds(1, 60_000_000_000, 3).expect("the bounds are in order"))
    }

    pub(crate) fn add(&mut self, time: Duration) {
        self.0.saturating_record(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX).max(1));
    }

    pub(crate) fn micros(&self, percentile: f64) -> f64 {
        self.0.value_at_percentile(percentile) as f64 / 1000.0
    }

    pub(crate) fn len(&self) -> u64 {
        self.0.len()
    }
}

/// Whether a system's name asks for the current-thread runtime.
pub(crate) fn single(system: &str) -> bool {
    system.ends_with("-ct")
}

/// Runs a future as a task of a runtime with two workers, or with one thread if the system's name
/// ends so. Not on the thread of `block_on`, which is no worker and would pay a wake-up a turn.
pub(crate) fn on_runtime<F>(system: &str, future: F) -> F::Output
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let mut builder = if single(system) {
        tokio::runtime::Builder::new_current_thread()
    } else {
        tokio::runtime::Builder::new_multi_thread()
    };
    let runtime = builder.worker_threads(2).enable_all().build().expect("a runtime can be made");
    runtime.block_on(async move { tokio::spawn(future).await.expect("the workload does not panic") })
}

/// A figure of `/proc/PROCESS/status`, such as `VmRSS:`; KiB where it is memory.
pub(crate) fn status_kib(process: &str, key: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(key));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// Memory in use by this process, in bytes.
pub(crate) fn resident() -> f64 {
    status_kib("self", "VmRSS:") as f64 * 1024.0
}

/// Processor time of a process, in seconds.
pub(crate) fn cpu_seconds(process: &str) -> f64 {
    ticks(process, 11) / 100.0
}

/// Processor time of the children of this process that have ended, in seconds.
pub(crate) fn children_seconds() -> f64 {
    ticks("self", 13) / 100.0
}

/// Processor time of the threads of a process, to the nanosecond, in seconds.
pub(crate) fn on_cpu(process: &str) -> f64 {
    let nanos = |stat: &str| stat.split(' ').next().and_then(|first| first.parse::<f64>().ok());
    threads(process, "schedstat").iter().filter_map(|stat| nanos(stat)).sum::<f64>() / 1e9
}

/// How often the threads of a process have given up the processor and got it again.
pub(crate) fn switches(process: &str) -> u64 {
    let all = threads(process, "status");
    let lines = all.iter().flat_map(|status| status.lines()).filter(|line| line.contains("ctxt_switches"));
    lines.filter_map(|line| line.rsplit('\t').next()?.parse::<u64>().ok()).sum()
}

/// A file of each thread of a process.
fn threads(process: &str, file: &str) -> Vec<String> {
    let Ok(folder) = std::fs::read_dir(format!("/proc/{process}/task")) else { return Vec::new() };
    folder.flatten().filter_map(|thread| std::fs::read_to_string(thread.path().join(file)).ok()).collect()
}

/// The sum of two neighbours among the fields of `/proc/PROCESS/stat` behind the name, in ticks of
/// 10 ms.
fn ticks(process: &str, first: usize) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or("").split_whitespace();
    fields.skip(first).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum()
}

/// Processor time that all programs of the machine have used, in seconds.
pub(crate) fn machine_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let fields = stat.lines().next().unwrap_or("").split_whitespace();
    fields.skip(1).take(3).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
}
