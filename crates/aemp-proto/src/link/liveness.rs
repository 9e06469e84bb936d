//! When to keep a connection alive, when to probe it, and when to give it up (`SEMANTICS.md`,
//! failure detection).
//!
//! A peer that knows our heartbeat sends something at least every quarter of the shorter limit, so
//! plain silence decides. Any other peer is asked with a message that every version of the protocol
//! answers, and judged only once it has answered one.

use std::time::Duration;

use crate::time::Time;

/// What must be done now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pulse {
    /// Send something that means nothing: a ping to a native peer, an empty request to others.
    KeepAlive,
    /// Ask a peer that does not know our heartbeat for an answer with this number.
    Probe(u64),
    /// The peer is silent for too long: close.
    Dead,
}

/// The life of one connection after its handshake.
#[derive(Debug)]
pub struct Liveness {
    limit: Duration,
    interval: Duration,
    judge: Judge,
    last_received: Time,
    last_sent: Time,
    last_progress: Time,
    last_poll: Time,
}

#[derive(Debug)]
enum Judge {
    /// The peer sends heartbeats of its own.
    Silence,
    /// The peer answers probes, if it has ever answered one. An eager first probe does not wait for
    /// silence.
    Probes { eager: bool, number: u64, asked: Option<Time>, answered: bool },
}

impl Liveness {
    /// A connection that came up at `now`. `limit` is our own limit of silence, `heartbeat` that of
    /// a peer which knows ours.
    pub fn new(limit: Duration, heartbeat: Option<Duration>, now: Time) -> Liveness {
        let shorter = heartbeat.map_or(limit, |theirs| theirs.min(limit));
        let judge = match heartbeat {
            Some(_) => Judge::Silence,
            None => Judge::Probes { eager: false, number: 0, asked: None, answered: false },
        };
        Liveness {
            limit,
            interval: (shorter / 4).max(Duration::from_millis(10)),
            judge,
            last_received: now,
            last_sent: now,
            last_progress: now,
            last_poll: now,
        }
    }

    /// Asks the peer at once, without waiting for silence: it says that it speaks the protocols
    /// that nodes have among themselves. One that stops before it has answered anything would never
    /// be judged.
    pub fn ask_at_once(&mut self) {
        if let Judge::Probes { eager, .. } = &mut self.judge {
            *eager = true;
        }
    }

    /// Bytes came from the peer.
    pub fn received(&mut self, now: Time) {
        self.last_received = now;
        if let Judge::Probes { asked, .. } = &mut self.judge {
            *asked = None;
        }
    }

    /// A probe was answered: from now on silence of this peer means something.
    pub fn answered(&mut self) {
        if let Judge::Probes { answered, .. } = &mut self.judge {
            *answered = true;
        }
    }

    /// Something was given to the socket.
    pub fn sent(&mut self, now: Time) {
        self.last_sent = self.last_sent.max(now);
    }

    /// The socket took bytes while others still wait: a probe may stand behind them.
    pub fn progress(&mut self, now: Time) {
        self.last_progress = self.last_progress.max(now);
    }

    /// What must be done at `now`; ask until there is nothing.
    pub fn poll(&mut self, now: Time) -> Option<Pulse> {
        let expected = self.next();
        let stalled = now.saturating_sub(expected.max(self.last_poll)) > self.interval;
        self.last_poll = now;
        if stalled {
            // We slept (a stopped process, a suspended machine), not the peer: it gets one interval
            // to show itself.
            self.last_received =
                self.last_received.max(now.saturating_sub(self.limit.saturating_sub(self.interval)));
            return Some(self.keep_alive(now));
        }
        if self.is_dead(now) {
            return Some(Pulse::Dead);
        }
        if let Some(probe) = self.probe(now) {
            return Some(probe);
        }
        (now >= self.last_sent + self.interval).then(|| self.keep_alive(now))
    }

    /// When to ask [`Liveness::poll`] again, at the latest.
    pub fn next(&self) -> Time {
        let mut next = self.last_sent + self.interval;
        match &self.judge {
            Judge::Silence => next = next.min(self.last_received + self.limit),
            Judge::Probes { eager: true, number: 0, .. } => next = self.last_poll,
            Judge::Probes { asked: None, .. } => next = next.min(self.last_received + self.interval),
            Judge::Probes { answered: true, .. } => next = next.min(self.judged_from() + self.limit),
            Judge::Probes { .. } => {}
        }
        next
    }

    fn keep_alive(&mut self, now: Time) -> Pulse {
        self.last_sent = now;
        Pulse::KeepAlive
    }

    fn probe(&mut self, now: Time) -> Option<Pulse> {
        let Judge::Probes { eager, number, asked: asked @ None, .. } = &mut self.judge else { return None };
        let due = (*eager && *number == 0) || now >= self.last_received + self.interval;
        if !due {
            return None;
        }
        *number += 1;
        *asked = Some(now);
        self.last_sent = now;
        Some(Pulse::Probe(*number))
    }

    fn is_dead(&self, now: Time) -> bool {
        match self.judge {
            Judge::Silence => now >= self.last_received + self.limit,
            Judge::Probes { answered: false, .. } | Judge::Probes { asked: None, .. } => false,
            Judge::Probes { .. } => now >= self.judged_from() + self.limit,
        }
    }

    /// A probe behind our own bulk data waits for it, so there progress counts as life; but not for
    /// ever.
    fn judged_from(&self) -> Time {
        let longest = self.last_received + self.limit * 3;
        self.last_received.max(self.last_progress.min(longest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: Duration = Duration::from_secs(30);

    fn seconds(s: f64) -> Time {
        Duration::from_secs_f64(s)
    }

    /// Polls whenever the machine asks to be, until it says `Dead` or the time is over.
    fn run(live: &mut Liveness, until: f64, mut on: impl FnMut(&mut Liveness, Pulse, Time)) -> Option<Time> {
        loop {
            let now = live.next();
            if now > seconds(until) {
                return None;
            }
            while let Some(pulse) = live.poll(now) {
                if pulse == Pulse::Dead {
                    return Some(now);
                }
                on(live, pulse, now);
            }
        }
    }

    #[test]
    fn a_silent_native_peer_is_dead_after_the_limit() {
        let mut live = Liveness::new(T, Some(T), Time::ZERO);
        let mut pulses = 0;
        let dead = run(&mut live, 100.0, |_, _, _| pulses += 1).unwrap();
        assert!(dead >= T.mul_f64(0.75) && dead <= T.mul_f64(1.05), "{dead:?}");
        assert!(pulses <= 5);
    }

    #[test]
    fn the_shorter_limit_sets_the_pace() {
        let mut live = Liveness::new(T, Some(seconds(4.0)), Time::ZERO);
        assert_eq!(live.next(), seconds(1.0));
        assert_eq!(live.poll(seconds(1.0)), Some(Pulse::KeepAlive));
    }

    #[test]
    fn a_peer_that_sends_heartbeats_lives_for_ever() {
        let mut live = Liveness::new(T, Some(T), Time::ZERO);
        let dead = run(&mut live, 3000.0, |live, _, now| live.received(now));
        assert_eq!(dead, None);
    }

    #[test]
    fn a_perl_peer_that_answered_once_and_then_stops_is_dead_after_the_limit() {
        let mut live = Liveness::new(T, None, Time::ZERO);
        let mut last = Time::ZERO;
        let dead = run(&mut live, 300.0, |live, pulse, now| {
            if let Pulse::Probe(n) = pulse
                && n <= 3
            {
                live.received(now);
                live.answered();
                last = now;
            }
        });
        let silence = dead.unwrap() - last;
        assert!(silence >= T.mul_f64(0.75) && silence <= T.mul_f64(1.05), "{silence:?}");
    }

    #[test]
    fn a_perl_peer_that_stops_soon_after_the_handshake_is_dead_after_the_limit() {
        let mut live = Liveness::new(T, None, Time::ZERO);
        live.ask_at_once();
        assert_eq!(live.next(), Time::ZERO);
        assert_eq!(live.poll(Time::ZERO), Some(Pulse::Probe(1)));
        live.received(seconds(0.1));
        live.answered();
        // Data that answers nothing keeps it alive, and does not put off the judgement.
        live.received(seconds(1.0));
        let dead = run(&mut live, 300.0, |_, _, _| ()).unwrap();
        assert!(dead >= T.mul_f64(0.75) && dead <= T.mul_f64(1.05) + seconds(1.0), "{dead:?}");
    }

    #[test]
    fn a_minimal_client_that_never_answers_is_left_to_the_system() {
        let mut live = Liveness::new(T, None, Time::ZERO);
        assert_eq!(run(&mut live, 3000.0, |_, _, _| ()), None);
    }

    #[test]
    fn bulk_that_flows_to_a_perl_peer_is_life_but_not_for_ever() {
        let mut live = Liveness::new(T, None, Time::ZERO);
        live.answered();
        let dead = run(&mut live, 3000.0, |live, _, now| live.progress(now)).unwrap();
        assert!(dead > T * 2 && dead <= T * 4 + seconds(1.0), "{dead:?}");
    }

    #[test]
    fn after_a_stall_of_our_own_the_peer_gets_another_interval() {
        let mut live = Liveness::new(T, Some(T), Time::ZERO);
        let now = seconds(100.0);
        assert_eq!(live.poll(now), Some(Pulse::KeepAlive));
        assert_eq!(live.poll(now), None);
        assert_eq!(live.poll(now + T / 4), Some(Pulse::Dead));
    }
}
