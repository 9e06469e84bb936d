//! Ports that run on the thread that would wait for their answer.
//!
//! A call of a port that has nothing else to do needs no runner, no wake-up and no other thread. So
//! that other tasks have their turn, a task pays for the time with its budget.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use super::clock::Clock;
use super::here::{self, Here};
use super::host::Host;
use super::port_no::PortNo;
use super::run::{Next, Taken, run_port, run_taken};
use super::scheduler::{Scheduler, Work, end_of_panicked, finish_lap};
use super::this_thread::this;

/// How many ports a thread runs that waits for an answer.
const HELP: usize = 8;

/// One in this many times it measures how long they take.
const MEASURED: u32 = 32;

/// How long a unit of a task's budget lasts that is spent on ports which run for it. A task that
/// has spent its 128 units lets others run.
const UNIT: Duration = Duration::from_micros(4);

/// Whether a task that is about to have a port run on its thread has to spend a unit of its budget
/// first.
pub fn costs_budget() -> bool {
    this(|this| this.inline_calls.get().is_multiple_of(this.inline_calls_a_unit.get()))
}

impl<H: Host> Scheduler<H> {
    /// Whether this thread may run a port that it would wait for: it belongs to the node's runtime
    /// and is not running a port already.
    #[inline]
    pub fn may_help(&self, host: &H) -> bool {
        here::was(host) && here::is_nobody() && !self.is_stopped()
    }

    /// Runs a port, of which code and messages were taken out, on a thread that
    /// [`may_help`](Scheduler::may_help) and would wait for it, and perhaps those that it sends to.
    /// What is left goes to the runners.
    pub fn help(&self, host: &H, number: PortNo, taken: Taken<H>) {
        Here::<H>::help(self);
        let helps = this(|this| {
            this.inline_calls.set(this.inline_calls.get().wrapping_add(1));
            this.inline_calls.get()
        });
        let mut clock = helps.is_multiple_of(MEASURED).then(Clock::new);
        let began = clock.as_ref().map(Clock::now);
        let first = AssertUnwindSafe(|| {
            let seat = host.ports().table.seat(number)?;
            Some(run_taken(host, (number, seat), taken, clock.as_mut()))
        });
        self.helped(host, number, catch_unwind(first).map(|next| next.unwrap_or(Next::Rest)));
        for _ in 1..HELP {
            let Some(number) = here::take_newest() else { break };
            let run = AssertUnwindSafe(|| run_port(host, number, clock.as_mut()));
            self.helped(host, number, catch_unwind(run));
        }
        if let (Some(clock), Some(began)) = (&mut clock, began) {
            finish_lap(host, clock);
            let took = (clock.now() - began).max(Duration::from_nanos(1));
            let a_unit = (UNIT.as_nanos() / took.as_nanos()).clamp(1, MEASURED.into());
            this(|this| this.inline_calls_a_unit.set(u32::try_from(a_unit).unwrap_or(1)));
        }
        if let Some(newest) = Here::<H>::helped() {
            self.push_shared(Work::Port(newest));
        }
    }

    /// A helper has run a port. What belongs to it may panic while it is put away; panics of
    /// handlers end in `run_taken`.
    #[inline(always)]
    fn helped(&self, host: &H, number: PortNo, next: std::thread::Result<Next>) {
        match next {
            Ok(Next::Rest) => {}
            Ok(Next::Again) => self.requeue(number),
            Err(panic) => end_of_panicked(host, Some(number), &*panic),
        }
    }
}
