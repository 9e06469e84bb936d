//! Leaving a network so that nobody notices: no new work is taken, what is under way is finished,
//! and only then the node ends.
//!
//! Nothing in the protocol says that a node is about to leave. What others see is that its entries
//! are gone from the shared database; a while passes until all have seen it, so calls are answered
//! until nobody calls any more. A call that is under way is known by its monitor: who calls
//! monitors the port, until the answer is there.

use std::fmt;
use std::time::Duration;

use aemp_ports::port_no::PortNo;
use aemp_ports::slot::State;
use aemp_proto::PortId;
use aemp_proto::kernel::DbCommand;
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::node::Node;
use crate::runtime::Event;
use crate::runtime::leaving::{Busy, Leaving};
use crate::runtime::report::ShutdownReport;
use crate::runtime::shutdown::SHUTDOWN_GRACE;
use crate::supervise;

/// Nobody calls any more when no message has come for so long. It is much more than news of the
/// database need, and what is sent before they have arrived.
const QUIET: Duration = Duration::from_secs(1);

/// How often is looked whether anything is under way.
const LOOK: Duration = Duration::from_millis(50);

/// A family without entries. Its question is answered behind what was said to the database before.
const NOTHING: &str = "aemp::nothing";

/// A longer limit is cut to this one, so that there is a time at which it ends.
const LIMIT_MAX: Duration = Duration::from_secs(24 * 3600);

/// What was not finished when a node stopped waiting for it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unfinished {
    /// Ports of this node that other nodes monitored: calls to them may not have been answered.
    pub monitored: Vec<PortId>,
    /// Calls of this node that had no answer.
    pub calls: usize,
    /// Bytes that waited in the mailboxes of its ports.
    pub waiting: usize,
    /// Ports that were handling something.
    pub running: usize,
    /// Data connections that other nodes had made.
    pub streams: usize,
    /// What the program was busy with, see [`Node::busy`].
    pub busy: usize,
    /// Whether messages for its ports still came from other nodes, in the last second.
    pub messages: bool,
    /// Supervisors that had not stopped their children.
    pub supervisors: Vec<PortId>,
}

impl Unfinished {
    /// Whether nothing was left.
    pub fn is_empty(&self) -> bool {
        *self == Unfinished::default()
    }
}

impl fmt::Display for Unfinished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = |ports: &[PortId]| {
            let first = ports.iter().take(3).map(ToString::to_string).collect::<Vec<_>>().join(", ");
            if ports.len() > 3 { format!("{first}, …") } else { first }
        };
        let mut parts = Vec::new();
        if !self.monitored.is_empty() {
            let (ports, names) = (self.monitored.len(), named(&self.monitored));
            parts.push(format!("{ports} ports that others monitor, or wait for an answer of ({names})"));
        }
        for (count, what) in [
            (self.calls, "calls without an answer"),
            (self.waiting, "bytes in mailboxes"),
            (self.running, "ports at work"),
            (self.streams, "data connections"),
            (self.busy, "pieces of work that the program has not finished"),
        ] {
            if count > 0 {
                parts.push(format!("{count} {what}"));
            }
        }
        if self.messages {
            parts.push("messages that still come".into());
        }
        if !self.supervisors.is_empty() {
            parts.push(format!("supervisors that have not ended ({})", named(&self.supervisors)));
        }
        f.write_str(&if parts.is_empty() { "nothing".into() } else { parts.join("; ") })
    }
}

/// How a node has left.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DrainReport {
    /// What was under way, and not finished within the limit.
    pub unfinished: Unfinished,
    /// What may not have been delivered.
    pub shutdown: ShutdownReport,
}

impl DrainReport {
    /// Whether all was finished, and everything was delivered.
    pub fn is_complete(&self) -> bool {
        self.unfinished.is_empty() && self.shutdown.is_complete()
    }
}

impl Node {
    /// Leaves the network so that nobody loses anything, and ends: first
    /// [`Node::finish_work`], then [`Node::shutdown`]. What was not finished within the limit, and
    /// what may not have been delivered, is reported and logged.
    ///
    /// It takes a second at least while other nodes are connected, and at most the limit, and 5 s
    /// each for supervisors and for [delivery](SHUTDOWN_GRACE).
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped the node goes on without its entries in the shared database.
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::time::Duration;
    /// # async fn example(node: aemp::Node) {
    /// let report = node.drain(Duration::from_secs(30)).await;
    /// if !report.is_complete() {
    ///     eprintln!("not finished: {}", report.unfinished);
    /// }
    /// # }
    /// ```
    pub async fn drain(&self, limit: Duration) -> DrainReport {
        let unfinished = self.finish_work(limit).await;
        DrainReport { unfinished, shutdown: self.shutdown().await }
    }

    /// Stops taking work, and waits until what is under way is finished, or the limit is over:
    ///
    /// 1. All that the program has set in the shared database is withdrawn, so that others find
    ///    somebody else. What it sets from now on is shown to nobody, and other nodes can spawn
    ///    nothing here.
    /// 2. Calls and messages are handled as before, until no message has come from another node for
    ///    a second, nothing waits in a mailbox, no other node monitors a port here, no call of this
    ///    node waits for its answer, no other node has a data connection here, and the program is
    ///    not [busy](Node::busy).
    /// 3. [Supervisors](crate::supervise) stop their children, and end. Ports that a supervisor on
    ///    another node has started here are started elsewhere by it, when this node ends.
    ///
    /// A node that monitors a port here for good, and not for a call, cannot be told from one that
    /// waits for an answer: it should give up when the port leaves its family, or step 2 takes all
    /// of the limit. What a port does that has taken a message out of its mailbox, and answers
    /// nobody, is not seen: [`Node::busy`] makes it known.
    pub async fn finish_work(&self, limit: Duration) -> Unfinished {
        if self.is_over() {
            return Unfinished::default();
        }
        let begun = Instant::now();
        let deadline = begun + limit.min(LIMIT_MAX);
        self.leaving().begin();
        tracing::info!(node = %self.id(), ?limit, "taking no more work");
        self.event(Event::Db(DbCommand::Withdraw));
        if !self.connected_nodes().is_empty() {
            // Without a master there is nobody who could be told.
            let _ = timeout_at(begun + limit.min(LIMIT_MAX) / 2, self.db().keys(NOTHING)).await;
        }
        let mut unfinished = self.quiet(deadline).await;
        unfinished.supervisors = self.stop_supervisors(deadline + SHUTDOWN_GRACE).await;
        if !unfinished.is_empty() {
            tracing::warn!(node = %self.id(), %unfinished, "not everything was finished in time");
        }
        unfinished
    }

    /// Whether the node takes no more work, see [`Node::finish_work`].
    pub fn is_draining(&self) -> bool {
        self.leaving().has_begun()
    }

    /// Says that the program is busy with something, until what is returned is dropped:
    /// [`Node::drain`] waits for it. For work that no caller waits for.
    pub fn busy(&self) -> Busy {
        self.leaving().busy()
    }

    fn leaving(&self) -> &Leaving {
        &self.inner().shared.leaving
    }

    /// Waits until nothing is under way.
    async fn quiet(&self, deadline: Instant) -> Unfinished {
        let (mut since, mut heard, mut last) = (Instant::now(), self.messages_heard(), None);
        loop {
            let (now, mut found, messages) = (Instant::now(), self.open_work(), self.messages_heard());
            if messages != heard {
                (heard, last) = (messages, Some(now));
            }
            if last == Some(now) || !found.is_empty() {
                since = now;
            }
            // Nobody can call who is not connected.
            let wait = if self.connected_nodes().is_empty() { Duration::ZERO } else { QUIET };
            let is_quiet = found.is_empty() && now >= since + wait;
            if is_quiet || now >= deadline || self.is_over() {
                found.messages = !is_quiet && last.is_some_and(|last| now < last + QUIET);
                return found;
            }
            sleep_until((now + LOOK).min(deadline)).await;
        }
    }

    /// How many messages for ports have come from other nodes.
    fn messages_heard(&self) -> u64 {
        self.remotes().all().iter().map(|remote| remote.counts.messages_in()).fold(0, u64::wrapping_add)
    }

    /// What is under way at this moment.
    fn open_work(&self) -> Unfinished {
        let mut found = Unfinished::default();
        let mut monitored: Vec<PortNo> = Vec::new();
        self.table().each(|number, slot| {
            found.waiting += slot.waiting();
            found.running +=
                usize::from(matches!(slot.state(), State::Queued | State::Running | State::Parked));
            found.calls += usize::from(slot.state() == State::Unscheduled);
            if slot.extra().is_some_and(|extra| !extra.watchers.remote.is_empty()) {
                monitored.push(number);
            }
        });
        found.monitored = monitored.into_iter().map(|number| self.port_id(number)).collect();
        found.streams = self.streams().served();
        found.busy = self.leaving().unfinished();
        found
    }

    /// Has all supervisors stop their children; gives those that have not ended at this time.
    async fn stop_supervisors(&self, deadline: Instant) -> Vec<PortId> {
        let supervisors = self.leaving().supervisors();
        let mut exits = Vec::new();
        // All of them, before any ends: so no outer one starts an inner one again.
        for port in supervisors {
            let exit = self.exited(&port);
            if self.send(&port, supervise::Request::Stop).is_ok() {
                exits.push((port, exit));
            }
        }
        let mut left = Vec::new();
        for (port, exit) in exits {
            if timeout_at(deadline, exit).await.is_err() {
                left.push(port);
            }
        }
        left
    }
}
