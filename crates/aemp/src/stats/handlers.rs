//! How long handlers take: counted for each reading of a runner's clock, which it shares among
//! several short runs. So a message costs nothing more.

use std::collections::VecDeque;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use aemp_proto::kernel::Time;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

/// The bounds of [`HandlerStats::within`], in seconds.
pub const HANDLER_BOUNDS: [f64; 7] = [1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0];

/// How many handlers that blocked their thread are remembered.
const BLOCKED_MAX: usize = 16;

/// How long the handlers of callback ports took. Several messages that are handled one after the
/// other are measured together, and each counts with their mean.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
#[serde(default)]
pub struct HandlerStats {
    /// Messages and other items, such as timers, that were measured.
    pub count: u64,
    /// Seconds that they took together.
    pub seconds: f64,
    /// How many of them took no longer than each of [`HANDLER_BOUNDS`].
    pub within: Vec<u64>,
    /// The handlers that blocked their thread last, the oldest first, at most 16.
    pub blocked: Vec<BlockedHandler>,
}

/// A handler that did not return for more than a tenth of a second.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
#[serde(default)]
pub struct BlockedHandler {
    /// The port; several if they were measured together, of which it was one.
    pub ports: Vec<String>,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// How long ago it ended, in seconds.
    pub ago: f64,
}

/// What is counted.
#[derive(Default)]
pub(crate) struct HandlerCounts {
    nanos: AtomicU64,
    /// By the first bound that is not exceeded; the last one is above all bounds.
    counts: [AtomicU64; HANDLER_BOUNDS.len() + 1],
    blocked: Mutex<VecDeque<(Time, Duration, Vec<String>)>>,
}

impl HandlerCounts {
    /// These items took this time together.
    pub(crate) fn ran(&self, items: usize, took: Duration) {
        let items = items as u64;
        if items == 0 {
            return;
        }
        let mean = took.as_secs_f64() / items as f64;
        let index = HANDLER_BOUNDS.iter().position(|bound| mean <= *bound).unwrap_or(HANDLER_BOUNDS.len());
        self.counts[index].fetch_add(items, Relaxed);
        self.nanos.fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Relaxed);
    }

    /// One of these ports has blocked its thread until now.
    pub(crate) fn blocked(&self, now: Time, took: Duration, ports: Vec<String>) {
        let mut blocked = self.blocked.lock();
        if blocked.len() >= BLOCKED_MAX {
            blocked.pop_front();
        }
        blocked.push_back((now, took, ports));
    }

    pub(super) fn stats(&self, now: Time) -> HandlerStats {
        let counts = self.counts.each_ref().map(|count| count.load(Relaxed));
        let within = counts.iter().take(HANDLER_BOUNDS.len()).scan(0, |sum, count| {
            *sum += count;
            Some(*sum)
        });
        let blocked = self.blocked.lock();
        let blocked = blocked.iter().map(|(at, took, ports)| BlockedHandler {
            ports: ports.clone(),
            seconds: took.as_secs_f64(),
            ago: now.saturating_sub(*at).as_secs_f64(),
        });
        HandlerStats {
            count: counts.iter().sum(),
            seconds: Duration::from_nanos(self.nanos.load(Relaxed)).as_secs_f64(),
            within: within.collect(),
            blocked: blocked.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_that_were_measured_together_count_with_their_mean() {
        let counts = HandlerCounts::default();
        counts.ran(16, Duration::from_micros(8));
        counts.ran(1, Duration::from_millis(5));
        counts.ran(2, Duration::from_secs(4));
        counts.ran(0, Duration::from_secs(9));
        let stats = counts.stats(Time::ZERO);
        assert_eq!((stats.count, &stats.within[..]), (19, &[16, 16, 16, 16, 17, 17, 17][..]));
        assert!((stats.seconds - 4.005_008).abs() < 1e-9, "{}", stats.seconds);
    }

    #[test]
    fn the_last_ones_that_blocked_are_remembered() {
        let counts = HandlerCounts::default();
        for second in 0..=BLOCKED_MAX as u64 {
            let at = Duration::from_secs(second);
            counts.blocked(at, Duration::from_millis(200), vec![format!("n#{second}")]);
        }
        let blocked = counts.stats(Duration::from_secs(20)).blocked;
        assert_eq!(blocked.len(), BLOCKED_MAX);
        assert_eq!((blocked[0].ports[0].as_str(), blocked[0].ago), ("n#1", 19.0));
    }
}
