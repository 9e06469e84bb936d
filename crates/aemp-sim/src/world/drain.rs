//! How a run comes to rest: what waits in mailboxes, outboxes and narrow connections is seen before
//! the end.

use std::time::Duration;

use super::World;
use crate::history::Event;

/// How often somebody looks.
const LOOK: Duration = Duration::from_millis(200);

/// Looks in a row at which nothing was on its way: an answer may have to be answered.
const RESTS: usize = 2;

/// A network that is not at rest after this time is not going to be.
const LIMIT: Duration = Duration::from_secs(1200);

impl World {
    /// Goes on until nothing that was sent is on its way any more. Gives the number of steps.
    pub(super) fn drain(&mut self) -> u64 {
        let until = self.cx.now + LIMIT;
        let (mut steps, mut rests) = (0, 0);
        while rests < RESTS && self.cx.now < until {
            let (idle, marks, last) = (self.is_idle(), self.cx.net.marks(), self.cx.last_id());
            steps += self.run_until(self.cx.now + LOOK);
            while !self.cx.net.has_passed(&marks) && self.cx.now < until {
                steps += self.run_until(self.cx.now + LOOK);
            }
            let rest = idle && self.is_idle() && last == self.cx.last_id();
            rests = if rest { rests + 1 } else { 0 };
        }
        if rests == RESTS {
            self.cx.record("", 0, Event::Rest);
        }
        steps
    }

    fn is_idle(&self) -> bool {
        self.hosts.iter().filter_map(|host| host.node.as_ref()).all(|node| node.is_idle())
    }
}
