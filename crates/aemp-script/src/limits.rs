//! What scripts may use up. Every number has its reason beside it.

use std::time::Duration;

use thiserror::Error;

/// Limits of the scripts of one node. `NAME=NUMBER` sets one of them in a configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Steps of one call, about one for each operator, call and statement (`steps`, 200,000): some
    /// 20 ms.
    pub steps: u64,
    /// Processor time of one call (`milliseconds`, 50): a step may be dear, and a call holds up one
    /// thread of the node. It is measured where the clock on the wall says that as much has passed;
    /// a machine that is busy with other things kills nobody.
    pub time: Duration,
    /// Calls within calls (`depth`, 32), and expressions within expressions (twice as many): the
    /// stack.
    pub depth: usize,
    /// Bytes of all texts in one value (`text`, 1 MiB): texts double quickly.
    pub text: usize,
    /// Values in one array, bytes in one blob, or entries in one map, nested ones included
    /// (`items`, 10,000): copying and comparing such a value is one step.
    pub items: usize,
    /// Bytes that one call may send and capture, a port may keep, or code that waits for its turn
    /// may have (`memory`, 16 MiB). As reckoned: some 16 for each value.
    pub memory: usize,
    /// Bytes that one call, or the compiler, may have allocated at a time (`working`, 64 MiB),
    /// where the program measures it: several values at their limits. See
    /// [`Scripts::measured`](crate::Scripts::measured).
    pub working: usize,
    /// Bytes that all ports of scripts may keep together (`total`, 64 MiB): what a small machine
    /// can spare.
    pub total: usize,
    /// Ports of scripts that may live at a time (`ports`, 10,000): each has a table of handlers.
    pub ports: usize,
    /// Timers, monitors, calls and watches that may be under way at a time (`pending`, 20,000).
    pub pending: usize,
    /// Entries of the database that scripts may have set (`entries`, 10,000): all nodes have to
    /// keep them.
    pub entries: usize,
    /// Bytes of a file, or of code that is to be evaluated (`source`, 256 KiB): it is read and
    /// compiled at one go.
    pub source: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            steps: 200_000,
            time: Duration::from_millis(50),
            depth: 32,
            text: 1 << 20,
            items: 10_000,
            memory: 16 << 20,
            working: 64 << 20,
            total: 64 << 20,
            ports: 10_000,
            pending: 20_000,
            entries: 10_000,
            source: 256 << 10,
        }
    }
}

/// A limit that cannot be set.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "script_limits: {0:?} is not NAME=NUMBER with a NAME out of {names} and a NUMBER above 0 that it may have",
    names = NAMES.join(", ")
)]
pub struct LimitError(String);

const NAMES: [&str; 12] = [
    "steps",
    "milliseconds",
    "depth",
    "text",
    "items",
    "memory",
    "working",
    "total",
    "ports",
    "pending",
    "entries",
    "source",
];

/// More calls within calls than this do not fit on the stack that a script has.
const DEPTH_MAX: usize = 64;

/// More values than this, each within the next, do not fit there either.
const ITEMS_MAX: usize = 20_000;

impl Limits {
    /// Sets one limit from `NAME=NUMBER`.
    ///
    /// # Errors
    ///
    /// There is no such limit, or the number is 0, none, or more than the stack allows.
    pub fn set(&mut self, setting: &str) -> Result<(), LimitError> {
        let wrong = || LimitError(setting.into());
        let (name, number) = setting.split_once('=').ok_or_else(wrong)?;
        let number: usize = number.trim().parse().ok().filter(|number| *number > 0).ok_or_else(wrong)?;
        let place = match name.trim() {
            "steps" => {
                self.steps = number as u64;
                return Ok(());
            }
            "milliseconds" => {
                self.time = Duration::from_millis(number as u64);
                return Ok(());
            }
            "depth" if number <= DEPTH_MAX => &mut self.depth,
            "items" if number <= ITEMS_MAX => &mut self.items,
            "text" => &mut self.text,
            "memory" => &mut self.memory,
            "working" => &mut self.working,
            "total" => &mut self.total,
            "ports" => &mut self.ports,
            "pending" => &mut self.pending,
            "entries" => &mut self.entries,
            "source" => &mut self.source,
            _ => return Err(wrong()),
        };
        *place = number;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_a_limit_and_nothing_else_is() {
        let mut limits = Limits::default();
        for name in NAMES {
            limits.set(&format!("{name} = 7")).unwrap();
        }
        assert_eq!((limits.steps, limits.time), (7, Duration::from_millis(7)));
        assert_eq!((limits.depth, limits.items, limits.ports, limits.source), (7, 7, 7, 7));
        for wrong in ["steps", "steps=", "steps=0", "steps=-1", "step=1", "depth=65", "items=20001", ""] {
            assert!(limits.set(wrong).is_err(), "{wrong}");
        }
    }
}
