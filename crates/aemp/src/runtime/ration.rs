//! Log lines of one cause: one a second, the others are counted. Whoever can make a node log must not be able to fill its disk.

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

#[cfg(test)]
mod tests {
    use super::*;

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
