//! Random numbers for times between retries: repeatable, and worth nothing to cryptography.

use std::time::Duration;

/// SplitMix64 (Steele, Lea, Flood 2014): eight bytes of state, and every seed is a good one.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A time from `shortest` up to twice that.
    pub(crate) fn once_or_twice(&mut self, shortest: Duration) -> Duration {
        // 32 bits are finer than any timer, and keep the product of both within 128 bits.
        let nanos = (shortest.as_nanos() * u128::from(self.next() >> 32)) >> 32;
        shortest + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_splitmix64() {
        // The first numbers for seed 1234567, from the published reference implementation.
        let mut random = Random::new(1_234_567);
        assert_eq!(random.next(), 6_457_827_717_110_365_317);
        assert_eq!(random.next(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn times_stay_between_one_and_two() {
        let mut random = Random::new(7);
        let base = Duration::from_millis(300);
        assert!((0..1000).map(|_| random.once_or_twice(base)).all(|t| t >= base && t <= base * 2));
    }
}
