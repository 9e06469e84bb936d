//! Where records are rings: rings with one count, so that ports that die by the thousand leave what
//! is told of connections.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use aemp_proto::NodeId;
use aemp_proto::history::{Event, Record};
use parking_lot::Mutex;

use super::compact::{CompactEvent, Kind, MARKED};
use crate::log::clock;

/// Bytes that a recorder has unless its node is told otherwise.
pub(crate) const BYTES: usize = 64 << 10;

/// Bytes that it can have.
const BYTES_MAX: usize = 64 << 20;

/// Where a node records what happens.
pub(crate) struct Recorder {
    /// Bytes of memory for all that is kept; 0: nothing is.
    limit: usize,
    /// Which run of the node this is.
    run: u64,
    /// When the node began, in microseconds since 1970: from then on only its own clock counts,
    /// which nobody sets.
    began: u64,
    rings: Mutex<Rings>,
    marks: AtomicU64,
}

#[derive(Default)]
struct Rings {
    /// How many records there have been.
    count: u64,
    overwritten: u64,
    nodes: Ring,
    ports: Ring,
    marks: Ring,
}

#[derive(Default)]
struct Ring {
    entries: VecDeque<Entry>,
    bytes: usize,
}

struct Entry {
    idx: u64,
    t: u64,
    event: CompactEvent,
}

impl Entry {
    fn bytes(&self) -> usize {
        size_of::<Entry>() + self.event.bytes()
    }
}

impl Ring {
    /// Keeps one more in `limit` bytes, and says how many had to go.
    fn push(&mut self, entry: Entry, limit: usize) -> u64 {
        let mut gone = 0;
        self.bytes += entry.bytes();
        self.entries.push_back(entry);
        while self.bytes > limit {
            let Some(oldest) = self.entries.pop_front() else { break };
            self.bytes -= oldest.bytes();
            gone += 1;
        }
        gone
    }
}

/// Some of the records.
pub(super) struct Page {
    pub(super) records: Vec<Record>,
    /// The place of the next one.
    pub(super) next: u64,
    pub(super) overwritten: u64,
}

impl Recorder {
    /// A recorder with `limit` bytes of memory, in run `run` of a node that begins now.
    pub(crate) fn new(limit: usize, run: u64) -> Recorder {
        Recorder {
            limit: limit.min(BYTES_MAX),
            run,
            began: (clock::now() * 1e6) as u64,
            rings: Mutex::default(),
            marks: AtomicU64::new(MARKED),
        }
    }

    pub(crate) fn is_on(&self) -> bool {
        self.limit > 0
    }

    /// Records something that happened when the node has run for so long.
    #[cold]
    pub(crate) fn note(&self, now: Duration, event: impl FnOnce() -> CompactEvent) {
        if !self.is_on() {
            return;
        }
        let (event, t) = (event(), self.time(now));
        let mut rings = self.rings.lock();
        rings.count += 1;
        let entry = Entry { idx: rings.count, t, event };
        let (ring, share) = match entry.event.kind() {
            Kind::Node => (&mut rings.nodes, self.limit / 2),
            Kind::Port => (&mut rings.ports, self.limit / 4),
            Kind::Mark => (&mut rings.marks, self.limit / 4),
        };
        rings.overwritten += ring.push(entry, share);
    }

    fn time(&self, now: Duration) -> u64 {
        self.began.saturating_add(u64::try_from(now.as_micros()).unwrap_or(u64::MAX))
    }

    /// A number for a sign of life that both ends record.
    pub(super) fn mark(&self) -> u64 {
        self.marks.fetch_add(1, Relaxed) | MARKED
    }

    /// The place behind the last record.
    pub(super) fn end(&self) -> u64 {
        self.rings.lock().count + 1
    }

    /// The records from place `from` on, at most this many; only those before `end`.
    pub(super) fn page(&self, node: &NodeId, from: u64, end: u64, most: usize) -> Page {
        let rings = self.rings.lock();
        let wanted = |ring: &Ring| {
            let first = ring.entries.partition_point(|entry| entry.idx < from);
            ring.entries
                .iter()
                .skip(first)
                .take(most)
                .filter(|entry| entry.idx < end)
                .map(|entry| (entry.idx, entry.t, entry.event.clone()))
                .collect::<Vec<_>>()
        };
        let mut found: Vec<_> =
            [&rings.nodes, &rings.ports, &rings.marks].into_iter().flat_map(wanted).collect();
        let overwritten = rings.overwritten;
        drop(rings);
        found.sort_by_key(|(idx, ..)| *idx);
        found.truncate(most);
        let next = if found.len() == most { found.last().map_or(end, |(idx, ..)| idx + 1) } else { end };
        let records = found
            .into_iter()
            .map(|(idx, t, event)| self.record(node, idx, t, event.to_history(node)))
            .collect();
        Page { records, next, overwritten }
    }

    /// The record with which a dump ends that is made now.
    pub(super) fn last(&self, node: &NodeId, now: Duration, why: &str, overwritten: u64, end: u64) -> Record {
        self.record(node, end, self.time(now), Event::Dumped { why: why.into(), overwritten })
    }

    fn record(&self, node: &NodeId, idx: u64, t: u64, event: Event) -> Record {
        Record { idx, t, node: node.to_string(), inc: self.run, event }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node() -> NodeId {
        NodeId::new("n").unwrap()
    }

    fn up(recorder: &Recorder, count: u64) {
        for conn in 1..=count {
            recorder.note(Duration::ZERO, || CompactEvent::Up { peer: node(), run: 0, conn });
        }
    }

    #[test]
    fn what_is_full_loses_the_oldest_and_says_how_many() {
        let recorder = Recorder::new(8 << 10, 1);
        up(&recorder, 1000);
        let Page { records, next, overwritten } = recorder.page(&node(), 0, recorder.end(), usize::MAX);
        assert_eq!((records.len() as u64 + overwritten, next), (1000, 1001));
        assert!(records.len() * size_of::<Entry>() <= 4 << 10 && records.len() > 10);
        let conns = records.iter().map(|record| match &record.event {
            Event::Up { conn, .. } => *conn,
            other => panic!("{other:?}"),
        });
        assert!(conns.eq(overwritten + 1..=1000), "the newest are rings, in order");
    }

    #[test]
    fn ports_that_die_leave_what_is_told_of_connections() {
        let recorder = Recorder::new(8 << 10, 1);
        up(&recorder, 3);
        for _ in 0..10_000 {
            recorder.note(Duration::ZERO, || {
                CompactEvent::port_died(node().named("p"), &aemp_proto::Reason::died("x"))
            });
        }
        let page = recorder.page(&node(), 0, recorder.end(), usize::MAX);
        assert_eq!(page.records.iter().filter(|record| matches!(record.event, Event::Up { .. })).count(), 3);
        assert!(page.records.is_sorted_by_key(|record| record.idx));
    }

    #[test]
    fn pages_give_everything_once() {
        let recorder = Recorder::new(1 << 20, 1);
        up(&recorder, 25);
        let (end, mut from, mut all) = (recorder.end(), 0, Vec::new());
        while from < end {
            let page = recorder.page(&node(), from, end, 10);
            up(&recorder, 1);
            all.extend(page.records.into_iter().map(|record| record.idx));
            from = page.next;
        }
        assert!(all.into_iter().eq(1..=25));
    }

    #[test]
    fn one_that_is_off_keeps_nothing() {
        let recorder = Recorder::new(0, 1);
        recorder.note(Duration::ZERO, || panic!("nobody wants to know"));
        assert_eq!(recorder.end(), 1);
    }
}
