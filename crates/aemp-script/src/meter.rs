//! What a thread uses up while it compiles or runs a script: processor time, and memory where the
//! program counts it.

use std::cell::Cell;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use crate::limits::Limits;

/// How many bytes the calling thread has allocated and not given back, as its allocator counts
/// them. Only differences matter.
///
/// An allocator that knows this can be asked cheaply: it is asked with each step of a script.
pub type Allocated = fn() -> u64;

/// The clock is looked at every this many steps: it is dearer than most steps, and no step takes
/// long.
const STEPS_A_LOOK: u32 = 16;

thread_local! {
    static STEPS: Cell<u32> = const { Cell::new(0) };
    /// What this thread is in the middle of.
    static BEGUN: Cell<Option<Begun>> = const { Cell::new(None) };
}

/// How things stood at the beginning.
#[derive(Clone, Copy)]
struct Begun {
    at: Instant,
    used: Duration,
    time: Duration,
    memory: Option<Memory>,
}

#[derive(Clone, Copy)]
struct Memory {
    allocated: Allocated,
    before: u64,
    limit: u64,
}

/// What this thread uses up is measured as long as this lives. Within another one it measures
/// nothing anew.
pub(crate) struct Measured {
    outermost: bool,
}

impl Measured {
    pub(crate) fn begin(limits: &Limits, allocated: Option<Allocated>) -> Measured {
        if BEGUN.get().is_some() {
            return Measured { outermost: false };
        }
        let limit = limits.working as u64;
        let memory = allocated.map(|allocated| Memory { allocated, before: allocated(), limit });
        let (at, used) = (Instant::now(), thread_time());
        BEGUN.set(Some(Begun { at, used, time: limits.time, memory }));
        Measured { outermost: true }
    }
}

impl Drop for Measured {
    fn drop(&mut self) {
        if self.outermost {
            BEGUN.set(None);
        }
    }
}

/// Why what this thread compiles or runs has to end, if it has.
pub(crate) fn must_end() -> Option<String> {
    let begun = BEGUN.get()?;
    begun.out_of_memory().or_else(|| {
        let steps = STEPS.get().wrapping_add(1);
        STEPS.set(steps);
        if steps.is_multiple_of(STEPS_A_LOOK) { begun.out_of_time() } else { None }
    })
}

impl Begun {
    fn out_of_memory(&self) -> Option<String> {
        let Memory { allocated, before, limit } = self.memory?;
        // What was allocated earlier may be given back meanwhile.
        let over = allocated().wrapping_sub(before).cast_signed() > limit.cast_signed();
        over.then(|| format!("it has more than {limit} bytes of memory (script_limits: working)"))
    }

    fn out_of_time(&self) -> Option<String> {
        let limit = self.time;
        // The thread may have waited for its turn; that is not the script's fault.
        let over = self.at.elapsed() > limit && thread_time().saturating_sub(self.used) > limit;
        over.then(|| format!("it ran for more than {limit:?} (script_limits: milliseconds)"))
    }
}

/// Processor time of this thread.
fn thread_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}
