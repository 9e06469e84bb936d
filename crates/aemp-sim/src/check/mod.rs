//! The promises, as checkers over a history. They know nothing of the code that made it: the same
//! ones judge the simulator and real processes.
//!
//! [`RULES`] has them all, by name, and says which of them judge histories that were written from
//! outside of the library.
//!
//! | file | rules |
//! |---|---|
//! | `messages` | M1–M13: what is sent arrives, or a monitor tells |
//! | `monitors` | MON1–MON9, M6: a monitor fires once, when it has to, and for a reason |
//! | `calls` | C1–C3, L1: calls and links |
//! | `pressure` | B1: back-pressure |
//! | `shutdown` | D1: the end of a node in order |
//! | `ports` | P1, P2, K1, K2, S1–S4: lives of ports |
//! | `nodes` | N1–N8, NET1–NET5: connections |
//! | `database` | DB1–DB10 |
//! | `frames` | F1–F4: what one end of a connection writes, the other one takes |
//! | `facts` | a history, sorted by what it is about |
//!
//! Not covered by any history: K3 and K4 (panics and log lines are the library's), P3 (randomness),
//! and that a handler is never entered from within `send` (M7).

mod calls;
mod database;
mod facts;
mod frames;
mod messages;
mod monitors;
mod nodes;
mod ports;
mod pressure;
mod rules;
mod shutdown;

use std::fmt;
use std::time::Duration;

use crate::history::History;
use facts::Facts;
pub use frames::Compared;
pub use rules::{RULES, Rule};

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
    /// The history was written from outside of the library, as that of real processes is. It does
    /// not know when a gate closes or opens, and what happens within the library, such as the loss
    /// of a connection or the death of a port, stands in it so much later at most.
    pub outside: Option<Duration>,
}

/// How much a mailbox holds, in messages.
#[derive(Debug, Clone, Copy)]
pub struct Pressure {
    /// A port for which more than this have waited may have been behind itself, and such a port
    /// waits for nobody.
    pub behind: usize,
    /// What handlers of one port may have sent to another, that this has not handled, when they
    /// wait for it.
    pub unread: usize,
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
    let facts = Facts::new(history, bounds);
    let mut out = Vec::new();
    messages::check(&facts, bounds, &mut out);
    monitors::check(&facts, bounds, &mut out);
    ports::check(&facts, &mut out);
    calls::check(&facts, &mut out);
    pressure::check(&facts, bounds, &mut out);
    shutdown::check(&facts, &mut out);
    nodes::check(&facts, bounds, &mut out);
    database::check(&facts, &mut out);
    frames::check(&history.records, &mut out);
    out
}

/// The violations that the records of flight recorders show, and how much there was to compare.
/// These have nothing of messages, may begin in the middle, and of some nodes there may be none.
pub fn dumps(history: &History) -> (Vec<Violation>, Compared) {
    let mut out = Vec::new();
    let compared = frames::check(&history.records, &mut out);
    nodes::alternate_in_whole_runs(&history.records, &mut out);
    (out, compared)
}

fn report(out: &mut Vec<Violation>, rule: &'static str, text: impl fmt::Display) {
    out.push(Violation { rule, text: text.to_string() });
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
