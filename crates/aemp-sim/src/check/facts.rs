//! A history, sorted by what it is about. A place is an index into its records: smaller is earlier,
//! on one node certainly, between nodes by the clock.

mod read;

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;

use crate::history::{Event, FaultKind, Record, node_of};

/// What comes first in the reason of a loss.
pub(super) const LOST: &str = "transport_error";

/// A message that was sent.
pub(super) struct Sent<'a> {
    pub(super) at: usize,
    /// Where it was on its way: later than it was sent, if it was held until a gate opened.
    pub(super) enters: usize,
    pub(super) sid: &'a str,
    pub(super) p: &'a str,
    pub(super) k: u64,
    pub(super) hash: u64,
    pub(super) epoch: Option<u64>,
}

/// A monitor from its beginning to its end.
pub(super) struct Monitor<'a> {
    pub(super) set: usize,
    pub(super) sid: &'a str,
    /// It was set on a gated port, and the gate has not opened before this.
    pub(super) waits: Option<usize>,
    pub(super) m: u64,
    pub(super) p: &'a str,
    pub(super) to: Option<&'a str>,
    /// A task waits for it.
    pub(super) task: bool,
    /// It kills the port that it tells.
    link: bool,
    pub(super) withdrawn: Option<usize>,
    pub(super) fires: Vec<(usize, &'a [String])>,
    /// Where it has fired or become deaf, whichever came first; `usize::MAX` if it is set until the
    /// end.
    over: usize,
}

impl Monitor<'_> {
    /// Whether nobody has heard of it before this place. A port whose mailbox a kill has closed
    /// still hears of what is in it.
    pub(super) fn is_unheard(&self, at: usize) -> bool {
        self.fires.first().is_none_or(|(fire, _)| *fire > at)
            && self.withdrawn.is_none_or(|withdrawn| withdrawn > at)
    }
}

/// A port from its beginning to its end.
#[derive(Default)]
pub(super) struct Port<'a> {
    pub(super) new: Vec<usize>,
    /// It is an async port.
    pub(super) task: bool,
    pub(super) died: Vec<(usize, &'a [String])>,
}

/// What waits for the gate of a port to open.
#[derive(Default)]
struct AtGate<'a> {
    /// Which of the messages that were sent.
    held: Vec<usize>,
    /// Reasons of kills.
    kills: Vec<&'a [String]>,
    /// Monitors.
    waiting: Vec<u64>,
}

/// A kill that was sent.
pub(super) struct Kill<'a> {
    pub(super) at: usize,
    /// Where it was on its way, as for a message.
    pub(super) enters: usize,
    pub(super) sid: &'a str,
    pub(super) p: &'a str,
}

/// One run of one node.
pub(super) type Run<'a> = (&'a str, u64);

/// What is known of a run.
pub(super) struct Life {
    pub(super) start: usize,
    pub(super) stop: Option<usize>,
}

pub(super) struct Facts<'a> {
    pub(super) records: &'a [Record],
    pub(super) sent: Vec<Sent<'a>>,
    /// Where each message was handled, and what it was then.
    pub(super) received: FxHashMap<u64, Vec<(usize, u64)>>,
    pub(super) ports: BTreeMap<&'a str, Port<'a>>,
    pub(super) monitors: BTreeMap<(Run<'a>, u64), Monitor<'a>>,
    /// The monitors of a run on a port.
    pub(super) on_port: FxHashMap<(Run<'a>, &'a str), Vec<u64>>,
    /// Where the way from a run to a node broke.
    pub(super) breaks: FxHashMap<(Run<'a>, &'a str), Vec<usize>>,
    /// Where a run found out that a node cannot read what waits for one of its ports.
    pub(super) unreadable: FxHashMap<(Run<'a>, &'a str), Vec<usize>>,
    pub(super) lives: BTreeMap<Run<'a>, Life>,
    /// Kills that took effect, by their reason, which is unique.
    pub(super) kills: FxHashMap<&'a [String], Kill<'a>>,
    /// What waits for the gates of ports to open.
    at_gate: FxHashMap<(Run<'a>, &'a str), AtGate<'a>>,
    /// Where a kill has closed the mailbox of a port.
    closed: FxHashMap<&'a str, usize>,
    pub(super) faults: Vec<Fault<'a>>,
    pub(super) quiet: Option<usize>,
    /// Where the network was at rest for the first time, and for the last.
    pub(super) first_rest: Option<usize>,
    pub(super) rest: Option<usize>,
    pub(super) end: usize,
    /// Who has called, by the port for the answer.
    callers: FxHashMap<&'a str, &'a str>,
    /// How late what happens within the library may stand in the history, in microseconds, if it
    /// was written from outside.
    pub(super) outside: Option<u64>,
    one_thread: bool,
}

impl<'a> Facts<'a> {
    /// Whether a monitor has to tell of the loss of something that `sid` sent at this place. One
    /// that was set on a gated port does not speak for senders that have to be told of the earlier
    /// loss themselves, until the gate opens.
    ///
    /// `unheard` are the monitors of the run on the port that are set and of which nobody has heard
    /// at this place.
    pub(super) fn speaks_for(
        &self,
        monitor: &Monitor<'_>,
        unheard: &[&Monitor<'a>],
        sid: &str,
        at: usize,
    ) -> bool {
        if !self.is_active(monitor, at) {
            return false;
        }
        let waits = monitor.waits.is_some_and(|opened| at < opened);
        !waits || !unheard.iter().any(|other| other.set < monitor.set && self.owner(other) == sid)
    }

    /// Who has to be told by a monitor.
    fn owner(&self, monitor: &Monitor<'a>) -> &'a str {
        let told = monitor.to.unwrap_or(monitor.sid);
        // The simulator lets the port for the answer send what a call asks.
        self.callers.get(told).filter(|_| self.outside.is_some()).unwrap_or(&told)
    }

    /// Whether `sid` knows of a loss, if the monitor has fired as the history says, and not before:
    /// what happens on other threads does so at about the time that it says. Within the library
    /// this is so for everybody.
    pub(super) fn tells_exactly(&self, monitor: &Monitor<'a>, sid: &str) -> bool {
        let to_port = monitor.to.is_some_and(|to| to == sid);
        let to_code = monitor.to.is_none() && monitor.sid == sid && (monitor.task || self.one_thread);
        self.outside.is_none() || to_port || to_code
    }

    /// Whether one record may stand after another one in spite of having happened before it.
    pub(super) fn may_precede(&self, at: usize, other: usize) -> bool {
        at < other || self.outside.is_some_and(|late| self.time(at) <= self.time(other).saturating_add(late))
    }

    pub(super) fn run(&self, at: usize) -> Run<'a> {
        (&self.records[at].node, self.records[at].inc)
    }

    pub(super) fn time(&self, at: usize) -> u64 {
        self.records.get(at).or(self.records.last()).map_or(0, |record| record.t)
    }

    /// Whether this run still went on at the end.
    pub(super) fn lasts(&self, run: Run<'_>) -> bool {
        self.lives.get(&run).is_some_and(|life| life.stop.is_none())
    }

    /// The run of each node that went on at the end.
    pub(super) fn last_runs(&self) -> impl Iterator<Item = Run<'a>> + '_ {
        self.lives.iter().filter(|(_, life)| life.stop.is_none()).map(|(run, _)| *run)
    }

    /// Whether a port is alive at this place of the history.
    pub(super) fn is_alive(&self, port: &str, at: usize) -> bool {
        let Some(known) = self.ports.get(port) else { return false };
        let Some(new) = known.new.first().copied().filter(|new| *new < at) else { return false };
        let run = self.run(new);
        let stopped = self.lives.get(&run).is_some_and(|life| life.stop.is_some_and(|stop| stop < at));
        !stopped && known.died.iter().all(|(died, _)| *died > at)
    }

    /// Where a port ends, with its own death or with its node.
    pub(super) fn end_of(&self, port: &str) -> Option<usize> {
        let known = self.ports.get(port)?;
        let stop = known.new.first().and_then(|new| self.lives.get(&self.run(*new))?.stop);
        known.died.first().map(|(died, _)| *died).into_iter().chain(stop).min()
    }

    /// Whether a run may have lost a connection before this place although nobody has noted it: it
    /// was over too soon.
    pub(super) fn lost_untold(&self, run: Run<'_>, at: usize) -> bool {
        let stop = self.lives.get(&run).and_then(|life| life.stop);
        self.outside.is_some() && stop.is_some_and(|stop| self.may_precede(stop, at))
    }

    /// Whether a port may have died before this place although nobody has noted it: its node was
    /// gone too soon.
    pub(super) fn died_untold(&self, port: &str, at: usize) -> bool {
        let Some(known) = self.ports.get(port).filter(|known| known.died.is_empty()) else { return false };
        let stop = known.new.first().and_then(|new| self.lives.get(&self.run(*new))?.stop);
        self.outside.is_some() && stop.is_some_and(|stop| self.may_precede(stop, at))
    }

    /// Where nobody listens to a monitor any more, without it having fired: withdrawn, or the port
    /// that is told is gone. One that is to die hears of nothing more, but until it is gone nothing
    /// that it sends passes either.
    pub(super) fn deaf(&self, monitor: &Monitor<'_>) -> Option<usize> {
        let gone = monitor.to.and_then(|to| self.end_of(to));
        // A normal death kills nobody, and nothing of it is seen outside.
        let spared = (monitor.link && self.outside.is_some()).then(|| self.normal_end(monitor.p)).flatten();
        monitor.withdrawn.into_iter().chain(gone).chain(spared).min()
    }

    /// Whether a monitor is set, and neither fired nor deaf, at this place.
    pub(super) fn is_active(&self, monitor: &Monitor<'_>, at: usize) -> bool {
        monitor.set < at && monitor.over > at
    }

    /// The monitors of a run on a port.
    pub(super) fn monitors_on(&self, run: Run<'a>, port: &'a str) -> impl Iterator<Item = &Monitor<'a>> + '_ {
        let ids = self.on_port.get(&(run, port)).into_iter().flatten();
        ids.filter_map(move |m| self.monitors.get(&(run, *m)))
    }

    /// Whether a fault was there or ended within `before` of this time.
    pub(super) fn faulty(&self, time: u64, before: u64) -> bool {
        self.faults.iter().any(|fault| fault.touches(time, before))
    }

    /// Whether a fault that concerns one of these nodes was there or ended within `before` of this
    /// time.
    pub(super) fn faulty_at(&self, nodes: [&str; 2], time: u64, before: u64) -> bool {
        let concerns = |fault: &Fault<'_>| fault.nodes.iter().any(|node| nodes.contains(&node.as_str()));
        self.faults.iter().any(|fault| concerns(fault) && fault.touches(time, before))
    }

    /// Whether a relayed connection between two nodes was lost at about this time because a direct
    /// one took its place: one end was needed as a relay. The other one may hear of the end first.
    pub(super) fn replaced(&self, nodes: [&str; 2], time: u64) -> bool {
        self.records.iter().any(|record| match &record.event {
            Event::Down { peer, reason, .. } => {
                reason == "a direct connection replaces the relayed one"
                    && record.t.abs_diff(time) < 2_000_000
                    && (nodes == [record.node.as_str(), peer] || nodes == [peer, record.node.as_str()])
            }
            _ => false,
        })
    }

    /// Where a kill, or a full mailbox, has closed the mailbox of a port.
    pub(super) fn closed_at(&self, port: &str) -> Option<usize> {
        self.closed.get(port).copied()
    }

    /// Where a port that has died was linked to another one first: from then on it may have been
    /// about to die of that.
    pub(super) fn doomed_from(&self, port: &str) -> Option<usize> {
        self.end_of(port)?;
        let links = self.monitors.values().filter(|monitor| monitor.link && monitor.to == Some(port));
        links.map(|monitor| monitor.set).min()
    }

    /// When a node that has asked for a port at this time could have the news of its death at the
    /// latest, if nothing took longer than messages between the same nodes.
    pub(super) fn news_by(&self, port: &str, node: &str, asked: u64) -> u64 {
        let home = node_of(port);
        let arrived = self.arrives(node, home, asked);
        let died = self.end_of(port).map_or(0, |died| self.time(died));
        let told = arrived.max(died).max(self.last_words(port, node));
        self.arrives(home, node, told)
    }

    /// When the last thing that a port has sent to a node was queued. News of its death stays
    /// behind that, and a gate may hold it.
    fn last_words(&self, port: &str, node: &str) -> u64 {
        let words = self.sent.iter().filter(|sent| sent.sid == port && node_of(sent.p) == node);
        words.map(|sent| self.time(sent.enters)).max().unwrap_or(0)
    }

    /// When what one node sends to another at this time arrives: not before what it has sent last.
    /// Of that some is handled late by slow ports, and some overtakes large messages, so the middle
    /// one of the last nine counts.
    fn arrives(&self, from: &str, to: &str, time: u64) -> u64 {
        let before = |sent: &&Sent<'_>| {
            node_of(sent.sid) == from && node_of(sent.p) == to && self.time(sent.enters) <= time
        };
        let received = |sent: &Sent<'_>| Some(self.time(self.received.get(&sent.k)?[0].0));
        let sent = self.sent.iter().rev().filter(before);
        let mut last: Vec<u64> = sent.filter_map(received).take(9).collect();
        last.sort_unstable();
        last.get(last.len() / 2).copied().unwrap_or(time).max(time)
    }

    /// Whether a message was handled.
    pub(super) fn came(&self, k: u64) -> bool {
        self.received.contains_key(&k)
    }

    /// Whether a message was handled before this place of the history.
    pub(super) fn came_before(&self, k: u64, at: usize) -> bool {
        self.received.get(&k).is_some_and(|received| received[0].0 < at)
    }

    /// Whether a port is on the node of this run.
    pub(super) fn is_local(&self, run: Run<'_>, port: &str) -> bool {
        node_of(port) == run.0
    }
}

/// Something that went wrong: when it began, when it ended, and at which nodes.
pub(super) struct Fault<'a> {
    /// `None` if a node starts.
    pub(super) kind: Option<FaultKind>,
    pub(super) from: u64,
    pub(super) to: u64,
    pub(super) nodes: &'a [String],
}

impl Fault<'_> {
    fn touches(&self, time: u64, before: u64) -> bool {
        self.from <= time && self.to.saturating_add(before) >= time
    }
}
