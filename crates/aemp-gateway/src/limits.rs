//! What one client may use up. Nothing here reads a clock.

use std::time::Duration;

use serde::Deserialize;

/// The limits of one client.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of one message.
    pub message: usize,
    /// Messages a second in the long run; twice as many at once.
    pub messages_per_second: u32,
    /// Bytes a second in the long run; twice as many at once.
    pub bytes_per_second: u32,
    /// Calls that wait for an answer.
    pub calls: usize,
    /// Monitors that are set, or of which the client has not said that it knows.
    pub monitors: usize,
    /// Families that are watched.
    pub watches: usize,
    /// Bytes that wait because the client does not read; passing it cuts the client off.
    pub unread: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            message: 256 << 10,
            messages_per_second: 200,
            bytes_per_second: 1 << 20,
            calls: 64,
            monitors: 256,
            watches: 16,
            unread: 4 << 20,
        }
    }
}

/// How much a client has sent of late: two buckets, which fill with time.
#[derive(Debug)]
pub(crate) struct Rate {
    messages: f64,
    bytes: f64,
    at: Duration,
}

impl Rate {
    pub(crate) fn new(limits: &Limits, now: Duration) -> Rate {
        Rate {
            messages: 2.0 * f64::from(limits.messages_per_second),
            bytes: 2.0 * f64::from(limits.bytes_per_second),
            at: now,
        }
    }

    /// Takes a message of `bytes` bytes; false if that is too much. `now` is the time since any
    /// fixed moment.
    pub(crate) fn take(&mut self, limits: &Limits, now: Duration, bytes: usize) -> bool {
        let passed = now.saturating_sub(self.at).as_secs_f64();
        self.at = now;
        let fill = |left: f64, each_second: u32| {
            let each_second = f64::from(each_second);
            (left + passed * each_second).min(2.0 * each_second)
        };
        self.messages = fill(self.messages, limits.messages_per_second) - 1.0;
        self.bytes = fill(self.bytes, limits.bytes_per_second) - bytes as f64;
        self.messages >= 0.0 && self.bytes >= 0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_allows_bursts_and_fills_with_time() {
        let limits = Limits { messages_per_second: 10, bytes_per_second: 1000, ..Limits::default() };
        let mut rate = Rate::new(&limits, Duration::ZERO);
        assert!((0..20).all(|_| rate.take(&limits, Duration::ZERO, 1)));
        assert!(!rate.take(&limits, Duration::ZERO, 1));
        let second = Duration::from_secs(1);
        let mut rate = Rate::new(&limits, Duration::ZERO);
        assert!(rate.take(&limits, Duration::ZERO, 2000));
        assert!(rate.take(&limits, second, 1000));
        assert!(!rate.take(&limits, second, 1));
        // However long nothing was sent, no more than a burst follows.
        assert!(!Rate::new(&limits, Duration::ZERO).take(&limits, 1000 * second, 2001));
    }
}
