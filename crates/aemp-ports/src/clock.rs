//! The time as a runner sees it: read once for several short runs, because reading it costs as much
//! as a message.
//!
//! A long run is always measured. When a group of short ones took so long that others were held up,
//! the runner measures each run for a while, so that the port to blame is known the next time.

use std::time::{Duration, Instant};

use super::port_no::PortNo;

/// Runs that share a reading at most.
const TOGETHER: usize = 16;

/// A run of this many items is worth a reading.
const MANY: usize = 8;

/// A run that takes longer than this blocks others, and is reported.
const BLOCKED: Duration = Duration::from_millis(100);

/// Runs that are measured one by one after one has blocked.
const SUSPICIOUS: u32 = 10_000;

/// The clock of one runner.
pub struct Clock {
    /// The last reading.
    now: Instant,
    /// The ports that ran since the last reading.
    ports: [PortNo; TOGETHER],
    runs: usize,
    items: usize,
    suspicious: u32,
}

/// What was measured: all runs since the reading before.
pub struct Lap<'a> {
    /// How long they took.
    pub took: Duration,
    /// Items that they handled.
    pub items: usize,
    /// The ports that ran, in this order, perhaps some of them repeatedly.
    pub ports: &'a [PortNo],
}

impl Lap<'_> {
    /// Whether a handler held up the others for too long.
    pub fn is_blocked(&self) -> bool {
        self.took > BLOCKED
    }
}

impl Clock {
    /// Begins to measure now.
    pub fn new() -> Clock {
        Clock { now: Instant::now(), ports: [PortNo::FIRST; TOGETHER], runs: 0, items: 0, suspicious: 0 }
    }

    /// The time of the last reading.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// Begins to measure; what was before does not count.
    pub fn start(&mut self) {
        (self.now, self.runs, self.items) = (Instant::now(), 0, 0);
    }

    /// Whether the last run of all was followed by a reading.
    pub fn is_read(&self) -> bool {
        self.runs == 0
    }

    /// A port has run and handled this many items.
    #[inline]
    pub fn ran(&mut self, port: PortNo, items: usize) -> Option<Lap<'_>> {
        self.ports[self.runs] = port;
        self.runs += 1;
        self.items += items;
        let short = items < MANY && self.runs < TOGETHER && self.suspicious == 0;
        if short { None } else { Some(self.read()) }
    }

    /// Reads the clock.
    pub fn read(&mut self) -> Lap<'_> {
        let now = Instant::now();
        let took = now - std::mem::replace(&mut self.now, now);
        self.suspicious = if took > BLOCKED { SUSPICIOUS } else { self.suspicious.saturating_sub(1) };
        let lap = Lap { took, items: self.items, ports: &self.ports[..self.runs] };
        (self.runs, self.items) = (0, 0);
        lap
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(index: u32) -> PortNo {
        PortNo::of_slot(index, 0)
    }

    #[test]
    fn short_runs_share_a_reading_and_are_all_named() {
        let mut clock = Clock::new();
        for index in 1..TOGETHER as u32 {
            assert!(clock.ran(port(index), 1).is_none());
            assert!(!clock.is_read());
        }
        let lap = clock.ran(port(77), 1).expect("the group is full");
        assert_eq!((lap.items, lap.ports.len(), lap.ports.last()), (TOGETHER, TOGETHER, Some(&port(77))));
        assert!(clock.is_read());
    }

    #[test]
    fn a_long_run_is_measured_at_once() {
        let mut clock = Clock::new();
        assert!(clock.ran(port(1), 1).is_none());
        let lap = clock.ran(port(2), MANY).expect("it was long");
        assert_eq!(lap.ports, [port(1), port(2)]);
    }

    #[test]
    fn under_suspicion_each_run_is_measured() {
        let mut clock = Clock::new();
        clock.suspicious = SUSPICIOUS;
        for _ in 0..SUSPICIOUS {
            assert!(clock.ran(port(1), 1).is_some());
        }
        assert!(clock.ran(port(1), 1).is_none());
    }
}
