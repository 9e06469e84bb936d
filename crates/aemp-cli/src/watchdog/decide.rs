//! When a watched node is started, killed and given up: a machine that is told what happens, and
//! the time.

use std::time::Duration;

/// A child that has lived so long is a sound one: the next crash is its first.
const SOUND: Duration = Duration::from_secs(60);

/// The longest pause between a crash and the next start.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// How long a child may take to end in order. The farewell of a node takes a few seconds at most.
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// How long a child may take until its first sign of life, if that is longer than the time between
/// two.
const START_LIMIT: Duration = Duration::from_secs(30);

/// Exit statuses that say that the command line or the configuration is wrong: starting again
/// changes nothing.
const HOPELESS: [i32; 2] = [2, 3];

/// What has happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    /// The child gives a sign of life.
    Beat,
    /// The child will end in a moment, and wants to be started again.
    WantsRestart,
    /// Somebody wants the node to be started again (SIGHUP).
    Restart,
    /// Somebody wants it all to end (SIGINT, SIGTERM).
    End,
    /// The child has ended.
    Exited(Exit),
    /// The time for which [`Watchdog::next_timeout`] asked has come; or nothing has happened.
    Tick,
}

/// How a child ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exit {
    /// With this status.
    Status(i32),
    /// By this signal.
    Signal(i32),
    /// It could not be started at all.
    NotStarted,
}

/// What must be done now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    /// Start the child.
    Start,
    /// Ask the child to end.
    Stop,
    /// End the child at once: it did not do what this is about.
    Kill(Fault),
    /// The child will be started again after this pause.
    Announce(Exit, Duration),
    /// End, as the child has ended.
    Finish(Exit),
}

/// Why a child is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// No sign of life for too long.
    Silent,
    /// It was to end, and did not.
    Stays,
}

/// What shall come after the child has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    /// That depends on how it ends.
    See,
    Restart,
    End,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// A child runs.
    Running {
        since: Duration,
        /// It is killed then, unless it gives a sign of life or ends before.
        limit: Option<Duration>,
        then: Then,
        killed: bool,
    },
    /// The next one starts then.
    Pausing {
        until: Duration,
    },
    Finished,
}

/// The settings of the machine.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// The longest time between two signs of life; zero if nobody looks.
    pub(super) heartbeat: Duration,
    /// The pause after the first crash; it doubles with each further one.
    pub(super) pause: Duration,
    /// How much longer than usual it may take to end, because it finishes its work.
    pub(super) drain: Duration,
}

/// The machine. It begins with [`Watchdog::start`].
#[derive(Debug)]
pub(super) struct Watchdog {
    limits: Limits,
    state: State,
    /// The pause after the last crash, if the child was not sound since.
    pause: Option<Duration>,
    /// Whether any child has given a sign of life: then the command line was right.
    beaten: bool,
}

impl Watchdog {
    /// A machine whose first action is to start the child.
    pub(super) fn start(limits: Limits, now: Duration) -> (Watchdog, Action) {
        let mut watchdog = Watchdog { limits, state: State::Finished, pause: None, beaten: false };
        let action = watchdog.start_child(now);
        (watchdog, action)
    }

    /// When a [`Event::Tick`] is needed, unless something else happens before.
    pub(super) fn next_timeout(&self) -> Option<Duration> {
        match self.state {
            State::Running { limit, killed: false, .. } => limit,
            State::Pausing { until } => Some(until),
            State::Running { .. } | State::Finished => None,
        }
    }

    /// What must be done about what has happened.
    pub(super) fn handle(&mut self, event: Event, now: Duration) -> Option<Action> {
        match self.state {
            State::Running { since, limit, then, killed } => {
                let Event::Exited(exit) = event else {
                    return self.running(event, limit, then, killed, now);
                };
                self.exited(exit, now.saturating_sub(since), then, now)
            }
            State::Pausing { until } => match event {
                Event::End => Some(self.finish(Exit::Status(0))),
                Event::Restart => Some(self.start_child(now)),
                _ if until <= now => Some(self.start_child(now)),
                _ => None,
            },
            State::Finished => None,
        }
    }

    fn running(
        &mut self,
        event: Event,
        mut limit: Option<Duration>,
        mut then: Then,
        mut killed: bool,
        now: Duration,
    ) -> Option<Action> {
        let State::Running { since, .. } = self.state else { return None };
        let mut action = None;
        match event {
            Event::Beat => {
                self.beaten = true;
                // One that is to end is measured by that.
                if then == Then::See {
                    limit = self.heartbeat(self.limits.heartbeat, now);
                }
            }
            Event::WantsRestart if then == Then::See => {
                then = Then::Restart;
                limit = Some(now + STOP_LIMIT + self.limits.drain);
            }
            Event::Restart if then == Then::See => {
                then = Then::Restart;
                limit = Some(now + STOP_LIMIT + self.limits.drain);
                action = Some(Action::Stop);
            }
            Event::End => {
                // Asked again, so that a second Ctrl-C is not without effect on a child that missed
                // the first.
                if then != Then::End {
                    limit = Some(now + STOP_LIMIT + self.limits.drain);
                }
                then = Then::End;
                action = Some(Action::Stop);
            }
            Event::Tick if !killed && limit.is_some_and(|limit| limit <= now) => {
                killed = true;
                let fault = if then == Then::See { Fault::Silent } else { Fault::Stays };
                action = Some(Action::Kill(fault));
            }
            Event::WantsRestart | Event::Restart | Event::Tick | Event::Exited(_) => {}
        }
        self.state = State::Running { since, limit, then, killed };
        action
    }

    fn exited(&mut self, exit: Exit, lived: Duration, then: Then, now: Duration) -> Option<Action> {
        let hopeless = !self.beaten && matches!(exit, Exit::Status(status) if HOPELESS.contains(&status));
        Some(match then {
            Then::End => self.finish(exit),
            Then::Restart => self.start_child(now),
            Then::See if exit == Exit::Status(0) || hopeless => self.finish(exit),
            Then::See => {
                let last = self.pause.filter(|_| lived < SOUND);
                let pause = last.map_or(self.limits.pause, |pause| pause * 2).min(PAUSE_MAX);
                self.pause = Some(pause);
                self.state = State::Pausing { until: now + pause };
                Action::Announce(exit, pause)
            }
        })
    }

    fn start_child(&mut self, now: Duration) -> Action {
        let limit = self.heartbeat(self.limits.heartbeat.max(START_LIMIT), now);
        self.state = State::Running { since: now, limit, then: Then::See, killed: false };
        Action::Start
    }

    /// Until when a sign of life has to come.
    fn heartbeat(&self, limit: Duration, now: Duration) -> Option<Duration> {
        (!self.limits.heartbeat.is_zero()).then(|| now + limit)
    }

    fn finish(&mut self, exit: Exit) -> Action {
        self.state = State::Finished;
        Action::Finish(exit)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: Limits = Limits { heartbeat: s(10), pause: s(1), drain: s(0) };

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn started() -> Watchdog {
        let (watchdog, action) = Watchdog::start(LIMITS, s(0));
        assert_eq!(action, Action::Start);
        watchdog
    }

    /// Plays a table of second, event, and what follows.
    fn play(table: &[(u64, Event, Option<Action>)]) -> Watchdog {
        let mut watchdog = started();
        for &(second, event, expected) in table {
            assert_eq!(watchdog.handle(event, s(second)), expected, "{event:?} at {second} s");
        }
        watchdog
    }

    use Action::{Announce, Finish, Kill, Start, Stop};
    use Event::{Beat, End, Exited, Restart, Tick, WantsRestart};
    use Exit::{NotStarted, Signal, Status};

    #[test]
    fn the_pause_grows_with_each_crash_and_begins_anew_after_a_sound_life() {
        play(&[
            (0, Beat, None),
            (1, Exited(Signal(9)), Some(Announce(Signal(9), s(1)))),
            (1, Tick, None),
            (2, Tick, Some(Start)),
            (3, Exited(Status(1)), Some(Announce(Status(1), s(2)))),
            (5, Tick, Some(Start)),
            (5, Exited(NotStarted), Some(Announce(NotStarted, s(4)))),
            (9, Tick, Some(Start)),
            (70, Exited(Signal(11)), Some(Announce(Signal(11), s(1)))),
        ]);
    }

    #[test]
    fn the_pause_has_a_limit() {
        let mut watchdog = started();
        let mut now = s(0);
        for _ in 0..20 {
            assert!(matches!(watchdog.handle(Exited(Signal(6)), now), Some(Announce(..))));
            now = watchdog.next_timeout().unwrap();
            assert_eq!(watchdog.handle(Tick, now), Some(Start));
        }
        assert_eq!(watchdog.handle(Exited(Signal(6)), now), Some(Announce(Signal(6), PAUSE_MAX)));
    }

    #[test]
    fn silence_is_a_crash() {
        let watchdog = play(&[
            (1, Beat, None),
            (10, Tick, None),
            (10, Beat, None),
            (19, Tick, None),
            (20, Tick, Some(Kill(Fault::Silent))),
            (21, Tick, None),
            (21, Exited(Signal(9)), Some(Announce(Signal(9), s(1)))),
        ]);
        assert_eq!(watchdog.next_timeout(), Some(s(22)));
        // The first sign of life may take longer.
        play(&[(29, Tick, None), (30, Tick, Some(Kill(Fault::Silent)))]);
        let (watchdog, _) = Watchdog::start(Limits { heartbeat: s(0), ..LIMITS }, s(0));
        assert_eq!(watchdog.next_timeout(), None, "nobody looks");
    }

    #[test]
    fn a_clean_end_is_the_end() {
        play(&[(1, Beat, None), (2, Exited(Status(0)), Some(Finish(Status(0)))), (3, Restart, None)]);
    }

    #[test]
    fn a_wrong_command_line_is_not_tried_again() {
        for status in HOPELESS {
            play(&[(1, Exited(Status(status)), Some(Finish(Status(status))))]);
            // It was right once, and somebody will put it right again.
            play(&[(1, Beat, None), (2, Exited(Status(status)), Some(Announce(Status(status), s(1))))]);
        }
        play(&[(1, Exited(Status(1)), Some(Announce(Status(1), s(1))))]);
    }

    #[test]
    fn a_restart_comes_at_once_and_counts_as_no_crash() {
        for (wish, action) in [(WantsRestart, None), (Restart, Some(Stop))] {
            play(&[
                (1, Beat, None),
                (2, wish, action),
                (2, wish, None),
                (3, Beat, None),
                (4, Exited(Status(0)), Some(Start)),
                (5, Exited(Status(7)), Some(Announce(Status(7), s(1)))),
                (5, Restart, Some(Start)),
            ]);
            // Even if it does not end by itself.
            play(&[
                (1, wish, action),
                (30, Tick, None),
                (31, Tick, Some(Kill(Fault::Stays))),
                (31, Exited(Signal(9)), Some(Start)),
            ]);
        }
    }

    #[test]
    fn the_end_is_asked_for_and_then_taken() {
        play(&[(1, End, Some(Stop)), (2, End, Some(Stop)), (3, Exited(Status(0)), Some(Finish(Status(0))))]);
        play(&[(1, End, Some(Stop)), (2, Restart, None), (3, Exited(Status(1)), Some(Finish(Status(1))))]);
        play(&[
            (1, Restart, Some(Stop)),
            (2, End, Some(Stop)),
            (3, Exited(Signal(15)), Some(Finish(Signal(15)))),
        ]);
        play(&[
            (1, End, Some(Stop)),
            (20, End, Some(Stop)),
            (31, Tick, Some(Kill(Fault::Stays))),
            (31, Exited(Signal(9)), Some(Finish(Signal(9)))),
        ]);
        play(&[(1, Exited(Signal(9)), Some(Announce(Signal(9), s(1)))), (1, End, Some(Finish(Status(0))))]);
    }

    proptest! {
        /// In any case: a child is only started when none runs, and is only told things
        /// when there is one; there is always something that is waited for; and after the end there
        /// is nothing.
        #[test]
        fn there_is_one_child_at_most(steps in prop::collection::vec((0u8..8, 0u64..40), 0..200)) {
            let mut watchdog = started();
            let (mut alive, mut finished, mut now) = (true, false, s(0));
            for (event, passed) in steps {
                now += s(passed);
                let event = match event {
                    0 => Beat,
                    1 => WantsRestart,
                    2 => Restart,
                    3 => End,
                    4 => Tick,
                    _ if !alive => Tick,
                    5 => Exited(Status(1)),
                    6 => Exited(Status(0)),
                    _ => Exited(Signal(9)),
                };
                alive &= !matches!(event, Exited(_));
                match watchdog.handle(event, now) {
                    Some(Start) => {
                        prop_assert!(!alive && !finished);
                        alive = true;
                    }
                    Some(Stop | Kill(_)) => prop_assert!(alive && !finished),
                    Some(Announce(_, pause)) => {
                        prop_assert!(!alive && !finished && pause <= PAUSE_MAX);
                        prop_assert_eq!(watchdog.next_timeout(), Some(now + pause));
                    }
                    Some(Finish(_)) => {
                        prop_assert!(!alive && !finished);
                        finished = true;
                    }
                    None => prop_assert!(alive || finished || watchdog.next_timeout().is_some()),
                }
            }
        }
    }
}
