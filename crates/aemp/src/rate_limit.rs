//! A rate limit: so much at once, and so much a second in the long run.

use aemp_proto::kernel::Time;

/// What may still pass.
#[derive(Debug)]
pub(crate) struct RateLimit {
    burst: f64,
    per_second: f64,
    left: f64,
    at: Time,
}

impl RateLimit {
    /// A limit of which nothing is used.
    pub(crate) fn new(burst: f64, per_second: f64, now: Time) -> RateLimit {
        RateLimit { burst, per_second, left: burst, at: now }
    }

    /// Takes this much, if that may pass now.
    pub(crate) fn take(&mut self, amount: f64, now: Time) -> bool {
        let since = now.saturating_sub(self.at).as_secs_f64();
        self.left = (self.left + since * self.per_second).min(self.burst);
        self.at = now;
        let passes = self.left >= amount;
        if passes {
            self.left -= amount;
        }
        passes
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn much_passes_at_once_and_then_little() {
        let start = Duration::from_secs(100);
        let mut limit = RateLimit::new(256.0, 16.0, start);
        let mut passes = |now| (0..1000).take_while(|_| limit.take(1.0, now)).count();
        assert_eq!(passes(start), 256);
        assert_eq!(passes(start + Duration::from_secs(5)), 5 * 16);
        assert_eq!(passes(start + Duration::from_secs(1000)), 256);
    }
}
