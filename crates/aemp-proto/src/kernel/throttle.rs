//! How often one target may be dialled, no matter who wants it: a dead one must not be hammered
//! because a program keeps sending to it.

use std::collections::BTreeMap;
use std::time::Duration;

use super::pace::{Cause, Pace};
use super::target::DialTarget;
use crate::random::Random;
use crate::time::Time;

/// The least time between two dials of one target.
pub(crate) const SHORTEST: Duration = Duration::from_millis(300);

/// Targets that are remembered; beyond that, those that have been quiet for longest are forgotten.
const REMEMBERED: usize = 4096;

#[derive(Debug)]
struct Dialled {
    /// Not to be dialled again before this time.
    next: Time,
    /// How long to wait after the next dial.
    wait: Duration,
}

/// The waiting times of all targets, and the pace of all dials together.
#[derive(Debug)]
pub(super) struct Throttle {
    longest: Duration,
    pace: Pace,
    targets: BTreeMap<DialTarget, Dialled>,
}

impl Throttle {
    /// The time between two dials of one target doubles from [`SHORTEST`] to `longest`.
    pub(crate) fn new(longest: Duration) -> Throttle {
        Throttle { longest: longest.max(SHORTEST), pace: Pace::new(), targets: BTreeMap::new() }
    }

    /// When this target may be dialled.
    pub(crate) fn ready_at(&self, target: &DialTarget) -> Time {
        self.targets.get(target).map_or(Time::ZERO, |dialled| dialled.next)
    }

    /// When anything may be dialled for this cause; [`Time::MAX`] if a dial that is under way has
    /// to end first.
    pub(super) fn slot_at(&self, cause: Cause) -> Time {
        self.pace.ready_at(cause)
    }

    /// A dial for this cause begins.
    pub(super) fn begun(&mut self, cause: Cause, now: Time) {
        self.pace.dialled(cause, now);
    }

    /// A dial for this cause has ended, well or badly.
    pub(super) fn ended(&mut self, cause: Cause) {
        self.pace.ended(cause);
    }

    /// The target is dialled now.
    pub(crate) fn dialled(&mut self, target: &DialTarget, random: &mut Random, now: Time) {
        self.shrink(now);
        let wait = self.targets.get(target).map_or(SHORTEST, |dialled| dialled.wait);
        let next = Dialled { next: now + random.once_or_twice(wait), wait: (wait * 2).min(self.longest) };
        self.targets.insert(target.clone(), next);
    }

    /// The dial of this target, which had to wait for another connection, begins only now.
    pub(crate) fn delayed(&mut self, target: &DialTarget, now: Time) {
        if let Some(dialled) = self.targets.get_mut(target) {
            dialled.next = dialled.next.max(now + SHORTEST);
        }
    }

    /// A connection to the target was established, or there is news of it: the waiting times begin
    /// anew.
    pub(crate) fn revive(&mut self, target: &DialTarget, now: Time) {
        if let Some(dialled) = self.targets.get_mut(target) {
            dialled.wait = SHORTEST;
            dialled.next = dialled.next.min(now + SHORTEST);
        }
    }

    /// As [`Throttle::revive`], for all targets: the network seems to be back.
    pub(crate) fn revive_all(&mut self, now: Time) {
        for dialled in self.targets.values_mut() {
            dialled.wait = SHORTEST;
            dialled.next = dialled.next.min(now + SHORTEST);
        }
    }

    fn shrink(&mut self, now: Time) {
        if self.targets.len() >= REMEMBERED {
            let longest = self.longest;
            self.targets.retain(|_, dialled| dialled.next + longest > now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(address: &str) -> DialTarget {
        DialTarget::Direct(address.into())
    }

    #[test]
    fn the_times_double_up_to_the_longest() {
        let longest = Duration::from_secs(5);
        let (mut throttle, mut random) = (Throttle::new(longest), Random::new(1));
        let mut now = Time::ZERO;
        let mut waits = Vec::new();
        for _ in 0..8 {
            throttle.dialled(&target("a:1"), &mut random, now);
            waits.push(throttle.ready_at(&target("a:1")) - now);
            now = throttle.ready_at(&target("a:1"));
        }
        for (at, wait) in waits.iter().enumerate() {
            let base = (SHORTEST * 2u32.pow(at as u32)).min(longest);
            assert!(*wait >= base && *wait <= base * 2, "wait {at} was {wait:?}");
        }
        assert_eq!(throttle.ready_at(&target("b:1")), Time::ZERO);
    }

    #[test]
    fn a_dial_that_had_to_wait_is_not_followed_by_another_one_at_once() {
        let (mut throttle, mut random) = (Throttle::new(Duration::from_secs(5)), Random::new(1));
        throttle.dialled(&target("a:1"), &mut random, Time::ZERO);
        let ready = throttle.ready_at(&target("a:1"));
        throttle.delayed(&target("a:1"), Time::ZERO);
        assert_eq!(throttle.ready_at(&target("a:1")), ready);
        throttle.delayed(&target("a:1"), ready);
        assert_eq!(throttle.ready_at(&target("a:1")), ready + SHORTEST);
        throttle.delayed(&target("b:1"), ready);
        assert_eq!(throttle.ready_at(&target("b:1")), Time::ZERO);
    }

    #[test]
    fn a_revived_address_is_still_not_dialled_twice_at_once() {
        let (mut throttle, mut random) = (Throttle::new(Duration::from_secs(5)), Random::new(1));
        let now = Time::from_secs(1);
        for _ in 0..5 {
            throttle.dialled(&target("a:1"), &mut random, now);
        }
        throttle.revive(&target("a:1"), now);
        assert_eq!(throttle.ready_at(&target("a:1")), now + SHORTEST);
    }
}
