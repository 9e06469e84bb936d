//! The promises, as checkers over a history. They know nothing of the code that made it: the same ones judge the simulator and
//! real processes.
//!
//! | file | rules |
//! |---|---|
//! | `messages` | M1 no invention, M2 no double, M3 order, M4 no silent hole (M10 and M11 are cases of it), M5 a loss fires, M7 local messages arrive, M8 signals are one stream, M9 nothing after death, M12 order of one sender to different ports, M13 every live port can be reached after the last fault |
//! | `monitors` | MON1 one shot, MON2 and MON4 whoever is lost or missing is told of, MON3 nothing after withdrawal, MON5 reasons, MON6 by looking at each monitor alone, MON7 last words come first, MON8 and MON9 both tables agree, M6 no false alarm |
//! | `calls` | C1 a call ends once, C2 in time, C3 as it says; L1 who is linked to a port dies with it |
//! | `pressure` | B1 what ports send from their handlers fills no mailbox of their node |
//! | `shutdown` | D1 a node that is shut down delivers what was sent before |
//! | `ports` | P1 names are new, P2 runs are apart, K1 and K2 one death, S1 at most once, S2 init comes first, S3 what cannot be spawned receives nothing, S4 registered functions only |
//! | `nodes` | N1 up and down alternate, N2 and N3 fires come before down and up, N4 one connection between two, N5 nothing is lost without a fault, N6 only the present run is up, N7 everything comes to rest, N8 a run has an end (found while it runs), NET1 seeds are found, NET2 and NET3 global nodes are joined, NET4 dialling has a pace, NET5 nobody dials itself for long |
//! | `database` | DB1 and DB3 convergence to the last values, DB2 and DB4 nothing of the gone stays, DB5 values in order, DB6 and DB7 truthful watches, DB8 one answer, DB9 by deletions of what belonged to ports, DB10 nothing after the end of a watch |
//!
//! Not covered by any history: K3 and K4 (panics and log lines are the library's), P3 (randomness), and that a handler is never entered from
//! within `send` (M7).

mod calls;
mod database;
mod facts;
mod messages;
mod monitors;
mod nodes;
mod ports;
mod pressure;
mod shutdown;

use std::fmt;
use std::time::Duration;

use crate::history::History;
use facts::Facts;

/// What the checkers may expect of a run.
#[derive(Debug, Clone)]
pub struct Bounds {
    /// The time from a loss to the fire of a monitor, at most.
    pub detect: Duration,
    /// The time from the last fault until all are connected as they should be.
    pub heal: Duration,
    /// What a mailbox holds, if that is limited.
    pub pressure: Option<Pressure>,
    /// Whether everything that a node sends is in one order, not only what one sender sends.
    pub one_thread: bool,
}

/// How much a mailbox holds, in messages.
#[derive(Debug, Clone, Copy)]
pub struct Pressure {
    /// With more than this, ports that send to it from their handlers wait.
    pub high: usize,
    /// What one of them may have sent to it when it does.
    pub burst: usize,
}

/// A broken promise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The rule, such as `M4`.
    pub rule: &'static str,
    /// What happened.
    pub text: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.rule, self.text)
    }
}

/// All violations in a history, group by group.
pub fn all(history: &History, bounds: &Bounds) -> Vec<Violation> {
    let facts = Facts::new(history);
    let mut out = Vec::new();
    messages::check(&facts, bounds, &mut out);
    monitors::check(&facts, bounds, &mut out);
    ports::check(&facts, &mut out);
    calls::check(&facts, &mut out);
    pressure::check(&facts, bounds, &mut out);
    shutdown::check(&facts, &mut out);
    nodes::check(&facts, bounds, &mut out);
    database::check(&facts, &mut out);
    out
}

fn report(out: &mut Vec<Violation>, rule: &'static str, text: impl fmt::Display) {
    out.push(Violation { rule, text: text.to_string() });
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
