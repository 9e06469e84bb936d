//! What a run measured, and readings of this process.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// What a run measured.
pub struct Measured {
    /// How often the workload did its thing.
    pub count: u64,
    /// How long that took.
    pub elapsed: Duration,
    /// What is compared, in the unit of the workload.
    pub figure: f64,
    /// Round trips in nanoseconds.
    times: Vec<u32>,
}

impl Measured {
    /// `count` things in the time since `began`; the figure is how many a second.
    pub fn since(began: Instant, count: u64) -> Measured {
        let elapsed = began.elapsed();
        Measured { count, elapsed, figure: count as f64 / elapsed.as_secs_f64(), times: Vec::new() }
    }

    /// The same with another figure.
    pub fn with_figure(self, figure: f64) -> Measured {
        Measured { figure, ..self }
    }

    /// The figure is in MB (10^6 bytes) a second.
    pub fn megabytes(self, bytes: u64) -> Measured {
        let rate = bytes as f64 / 1e6 / self.elapsed.as_secs_f64();
        self.with_figure(rate)
    }

    /// The same with the times of round trips, in nanoseconds.
    pub fn with_times(mut self, mut times: Vec<u32>) -> Measured {
        times.sort_unstable();
        self.times = times;
        self
    }

    /// The line of the run.
    pub fn to_json(&self, system: &str, workload: &str) -> Value {
        let mut extra =
            json!({ "peak_rss_mb": status_kib("VmHWM:") as f64 / 1024.0, "cpu_s": cpu_seconds() });
        for (name, share) in [("p50_us", 0.5), ("p99_us", 0.99), ("p999_us", 0.999)] {
            if let Some(last) = self.times.len().checked_sub(1) {
                extra[name] = json!(f64::from(self.times[(last as f64 * share) as usize]) / 1000.0);
            }
        }
        json!({
            "system": system, "workload": workload, "count": self.count, "seconds": self.elapsed.as_secs_f64(),
            "figure": self.figure, "extra": extra,
        })
    }
}

/// Memory in use by this process, in bytes.
pub fn resident() -> f64 {
    status_kib("VmRSS:") as f64 * 1024.0
}

fn status_kib(key: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(key));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // After the name in parentheses: user and system time are fields 12 and 13, in ticks of 10 ms.
    let fields = stat.rsplit(')').next().unwrap_or("").split_whitespace();
    fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
}
