//! Log lines of one cause: one a second, the others are counted. Whoever can make a node log must not be able to fill its disk.

use std::collections::HashMap;
use std::time::Duration;

use aemp_proto::kernel::Time;
use parking_lot::Mutex;

/// At least this long from one line to the next.
const PAUSE: Duration = Duration::from_secs(1);

/// The lines of one cause.
#[derive(Default)]
pub(crate) struct Ration(Mutex<State>);

#[derive(Default)]
struct State {
    next: Time,
    withheld: u64,
}

impl Ration {
    /// Whether a line may be written now; then how many were withheld since the last one.
    pub(crate) fn take(&self, now: Time) -> Option<u64> {
        let mut state = self.0.lock();
        if now < state.next {
            state.withheld += 1;
            return None;
        }
        state.next = now + PAUSE;
        Some(std::mem::take(&mut state.withheld))
    }
}

/// The longest time from one line of a cause that lasts to the next.
const PAUSE_MAX: Duration = Duration::from_secs(600);

/// Causes that are told apart. Beyond this all are forgotten, and each may be logged once more.
const CAUSES_MAX: usize = 1024;

/// The lines of many causes that may last, such as an address that does not answer: the first one at once, then ever more rarely.
#[derive(Default)]
pub(crate) struct Rations(Mutex<HashMap<String, Cause>>);

struct Cause {
    next: Time,
    pause: Duration,
    withheld: u64,
}

impl Rations {
    /// Whether a line of this cause may be written now; then how many were withheld since the last one.
    pub(crate) fn take(&self, cause: &str, now: Time) -> Option<u64> {
        let mut causes = self.0.lock();
        if let Some(known) = causes.get_mut(cause) {
            if now < known.next {
                known.withheld += 1;
                return None;
            }
            known.pause = (known.pause * 2).min(PAUSE_MAX);
            known.next = now + known.pause;
            return Some(std::mem::take(&mut known.withheld));
        }
        if causes.len() >= CAUSES_MAX {
            causes.clear();
        }
        causes.insert(cause.into(), Cause { next: now + PAUSE, pause: PAUSE, withheld: 0 });
        Some(0)
    }

    /// The cause is gone: should it come back, that is news.
    pub(crate) fn forget(&self, cause: &str) {
        self.0.lock().remove(cause);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_that_lasts_is_logged_ever_more_rarely_and_anew_when_it_comes_back() {
        let rations = Rations::default();
        let at = Duration::from_secs;
        let seconds: Vec<u64> = (0..3000).filter(|now| rations.take("a", at(*now)).is_some()).collect();
        assert_eq!(seconds[..5], [0, 1, 3, 7, 15]);
        assert!(seconds.windows(2).all(|pair| pair[1] - pair[0] <= 600), "{seconds:?}");
        assert_eq!(rations.take("b", at(0)), Some(0));
        rations.forget("a");
        assert_eq!(rations.take("a", at(3000)), Some(0));
    }

    #[test]
    fn one_line_a_second_and_the_others_are_counted() {
        let ration = Ration::default();
        let at = Duration::from_millis;
        assert_eq!(ration.take(at(0)), Some(0));
        assert_eq!(ration.take(at(1)), None);
        assert_eq!(ration.take(at(999)), None);
        assert_eq!(ration.take(at(1000)), Some(2));
        assert_eq!(ration.take(at(5000)), Some(0));
    }
}
