//! How far the clock of another node differs from ours: learned from the answers to the request
//! `time`.

use std::time::{SystemTime, UNIX_EPOCH};

/// Seconds since 1970.
pub(crate) fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

/// What is known about the clock of a node. All times are seconds since 1970.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    best: Option<Measured>,
}

#[derive(Debug, Clone, Copy)]
struct Measured {
    difference: f64,
    /// It may be wrong by so much either way: half of the way there and back.
    doubt: f64,
}

/// What is known becomes so much more doubtful with each measurement that is not better: clocks
/// drift.
const AGEING: f64 = 1.5;

impl Clock {
    /// An answer: the other clock showed `theirs` at some moment between `asked` and `answered` of
    /// ours.
    pub(crate) fn measured(&mut self, asked: f64, answered: f64, theirs: f64) {
        let doubt = (answered - asked) / 2.0;
        let difference = (asked + answered) / 2.0 - theirs;
        // Our own clock was set back meanwhile, or theirs never was one.
        if !(doubt >= 0.0 && difference.is_finite()) {
            return;
        }
        match &mut self.best {
            // A measurement over a busy line says less than an older one over a free one.
            Some(best) if best.doubt * AGEING < doubt => best.doubt *= AGEING,
            best => *best = Some(Measured { difference, doubt }),
        }
    }

    /// Our clock minus theirs, in seconds; 0 where the difference is too small to be told. `None`
    /// before the first answer.
    pub(crate) fn difference(&self) -> Option<f64> {
        let Measured { difference, doubt } = self.best?;
        Some(if difference.abs() <= doubt { 0.0 } else { difference })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(clock: &Clock, expected: f64) -> bool {
        clock.difference().is_some_and(|difference| (difference - expected).abs() < 1e-6)
    }

    #[test]
    fn the_middle_of_question_and_answer_counts() {
        let mut clock = Clock::default();
        assert_eq!(clock.difference(), None);
        clock.measured(1000.0, 1000.2, 900.1);
        assert!(close(&clock, 100.0));
        clock.measured(1001.0, 1001.2, 1101.1);
        assert!(close(&clock, -100.0), "the other clock was set: {clock:?}");
    }

    #[test]
    fn what_is_smaller_than_the_doubt_is_nothing() {
        let mut clock = Clock::default();
        clock.measured(1000.0, 1000.2, 1000.15);
        assert_eq!(clock.difference(), Some(0.0));
    }

    #[test]
    fn a_slow_answer_does_not_replace_a_quick_one_at_once() {
        let mut clock = Clock::default();
        clock.measured(1000.0, 1000.01, 990.005);
        clock.measured(1010.0, 1010.1, 1000.1);
        assert!(close(&clock, 10.0), "{clock:?}");
        for _ in 0..10 {
            clock.measured(1020.0, 1020.1, 1000.05);
        }
        assert!(close(&clock, 20.0), "{clock:?}");
    }

    #[test]
    fn nonsense_is_not_believed() {
        let mut clock = Clock::default();
        clock.measured(1000.0, 999.0, 990.0);
        clock.measured(1000.0, 1000.1, f64::NAN);
        clock.measured(1000.0, 1000.1, f64::INFINITY);
        assert_eq!(clock.difference(), None);
    }
}
