//! The history of one run of a node, record by record into a file.

use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::io::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};

use aemp::{PortId, Reason};
use aemp_sim::history::{Event, Record};

use crate::clock;

/// Bits of a message's number that count the messages of a run.
const COUNT: u32 = 40;

/// Where a node writes what happens. Anyone who has the [`Pen`] writes, and does what must not be
/// torn apart from it.
pub(super) struct History(Mutex<Pen>);

/// What writes. Every record is in the file before the next one begins: the process may be killed
/// at any time.
pub(super) struct Pen {
    file: File,
    node: String,
    inc: u64,
    index: u64,
    ids: u64,
    /// The node is being shut down: what was sent before still arrives, and nothing else counts.
    closed: bool,
}

impl History {
    /// A history in this file, of run `inc` of the node with this number and ID.
    pub(super) fn new(file: File, number: usize, node: &str, inc: u64) -> History {
        let ids = ((number as u64) << 56) | (inc << COUNT);
        History(Mutex::new(Pen { file, node: node.to_owned(), inc, index: 0, ids, closed: false }))
    }

    pub(super) fn pen(&self) -> MutexGuard<'_, Pen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes one record.
    pub(super) fn note(&self, event: Event) {
        self.pen().note(event);
    }
}

impl Pen {
    /// A number that nothing else has, in this run or another one, here or elsewhere.
    pub(super) fn id(&mut self) -> u64 {
        self.ids += 1;
        self.ids
    }

    /// Writes one record.
    pub(super) fn note(&mut self, event: Event) {
        self.note_at(clock::now(), event);
    }

    /// Writes one record of what began at this time.
    pub(super) fn note_at(&mut self, t: u64, event: Event) {
        if self.closed && !matches!(event, Event::Rcv { .. } | Event::PortNew { .. } | Event::Init { .. }) {
            return;
        }
        self.index += 1;
        let record = Record { idx: self.index, t, node: self.node.clone(), inc: self.inc, event };
        let mut line = serde_json::to_vec(&record).expect("a record is text and numbers");
        line.push(b'\n');
        self.file.write_all(&line).expect("the history can be written");
    }

    /// From here on only arrivals are written, and which ports come to be.
    pub(super) fn close(&mut self) {
        self.closed = true;
    }
}

/// A hash of all that a message says.
pub(super) fn hash(k: u64, from: &PortId, payload: &str, wish: u64) -> u64 {
    let mut hasher = DefaultHasher::new();
    (k, from.to_string(), payload, wish).hash(&mut hasher);
    hasher.finish()
}

/// A reason as the history shows it.
pub(super) fn texts(reason: &Reason) -> Vec<String> {
    reason.values().iter().map(|value| value.to_name().unwrap_or_else(|| format!("{value:?}"))).collect()
}
