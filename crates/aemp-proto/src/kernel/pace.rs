//! How many connections are dialled at once, and how many in a second. Without a bound, one node's
//! entries in the database could make every global node open thousands of sockets to wherever these
//! entries point.
//!
//! What the database asks for has a small share of its own, so that it never holds up what programs
//! ask for. The seeds are given by the operator and wait for nobody.

use std::time::Duration;

use crate::time::Time;

/// Who wants a connection to be dialled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// A program: something is to be sent.
    Program,
    /// The database lists a global node.
    Mesh,
}

/// Dials under way for programs. Each costs a descriptor until it fails.
const PROGRAM_IN_FLIGHT: usize = 512;

/// Dials in a second for programs, once as many as may be under way have been made at once.
const PROGRAM_PER_SECOND: u32 = 256;

/// The same for the mesh: more than all global nodes of a large network at once.
const MESH_IN_FLIGHT: usize = 64;
const MESH_PER_SECOND: u32 = 32;

/// The dials of one cause.
#[derive(Debug)]
struct Share {
    in_flight: usize,
    most: usize,
    interval: Duration,
    /// When the dials made so far would have been made at the rate that is allowed.
    paid_until: Time,
}

impl Share {
    fn new(most: usize, per_second: u32) -> Share {
        let interval = Duration::from_secs(1) / per_second;
        Share { in_flight: 0, most, interval, paid_until: Time::ZERO }
    }

    fn ready_at(&self) -> Time {
        if self.in_flight >= self.most {
            return Time::MAX;
        }
        let burst = self.interval * u32::try_from(self.most - 1).unwrap_or(u32::MAX);
        self.paid_until.saturating_sub(burst)
    }

    fn dialled(&mut self, now: Time) {
        self.in_flight += 1;
        self.paid_until = self.paid_until.max(now) + self.interval;
    }
}

/// The dials of a node.
#[derive(Debug)]
pub(super) struct Pace {
    program: Share,
    mesh: Share,
}

impl Pace {
    pub(super) fn new() -> Pace {
        Pace {
            program: Share::new(PROGRAM_IN_FLIGHT, PROGRAM_PER_SECOND),
            mesh: Share::new(MESH_IN_FLIGHT, MESH_PER_SECOND),
        }
    }

    /// Returns when the next connection may be dialled; [`Time::MAX`] if one that is under way has
    /// to end first.
    pub(super) fn ready_at(&self, cause: Cause) -> Time {
        match cause {
            Cause::Program => self.program.ready_at(),
            Cause::Mesh => self.mesh.ready_at(),
        }
    }

    /// Records that a connection is dialled.
    pub(super) fn dialled(&mut self, cause: Cause, now: Time) {
        self.share(cause).dialled(now);
    }

    /// Records that a dial has ended, well or badly.
    pub(super) fn ended(&mut self, cause: Cause) {
        let share = self.share(cause);
        share.in_flight = share.in_flight.saturating_sub(1);
    }

    fn share(&mut self, cause: Cause) -> &mut Share {
        match cause {
            Cause::Program => &mut self.program,
            Cause::Mesh => &mut self.mesh,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Dials as long as that is allowed at this time.
    fn dial_all(pace: &mut Pace, cause: Cause, now: Time) -> usize {
        let mut count = 0;
        while pace.ready_at(cause) <= now {
            pace.dialled(cause, now);
            count += 1;
        }
        count
    }

    #[test]
    fn no_more_are_dialled_at_once_than_may_be() {
        let mut pace = Pace::new();
        assert_eq!(dial_all(&mut pace, Cause::Mesh, Time::from_secs(9)), MESH_IN_FLIGHT);
        assert_eq!(pace.ready_at(Cause::Mesh), Time::MAX);
        assert_eq!(pace.ready_at(Cause::Program), Time::ZERO, "programs do not wait for the mesh");
        pace.ended(Cause::Mesh);
        assert!(pace.ready_at(Cause::Mesh) < Time::from_secs(10));
    }

    #[test]
    fn dials_that_fail_at_once_are_bounded_in_a_second() {
        let mut pace = Pace::new();
        let mut count = 0;
        for millis in 0..10_000 {
            let dialled = dial_all(&mut pace, Cause::Mesh, Time::from_millis(millis));
            for _ in 0..dialled {
                pace.ended(Cause::Mesh);
            }
            count += dialled;
        }
        assert_eq!(count, MESH_IN_FLIGHT + 10 * MESH_PER_SECOND as usize - 1);
    }
}
