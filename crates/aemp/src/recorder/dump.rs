//! The records of this node, for those who ask.

use std::time::Duration;

use aemp_proto::history::Record;
use tokio::time::timeout;

use super::pending_mark::PendingMark;
use crate::node::Node;
use crate::runtime::Event;

/// How long the other ends of connections may take to answer.
const MARK_LIMIT: Duration = Duration::from_secs(1);

/// What the flight recorder of a node has kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Dump {
    /// The oldest first. The last one says why the dump was made, and how many older ones were
    /// overwritten.
    pub records: Vec<Record>,
}

impl Dump {
    pub(super) fn of(records: Vec<Record>) -> Dump {
        Dump { records }
    }

    /// One line of JSON for each record, in ASCII.
    pub fn to_lines(&self) -> String {
        self.records.iter().map(|record| record.to_line() + "\n").collect()
    }
}

impl Node {
    /// What the flight recorder of this node has kept, see [`recorder`](crate::recorder); `why`
    /// stands in the last record. Nothing if it is off.
    ///
    /// Neighbours are asked for a sign of life first, which they record as well, so that the two
    /// ends of a connection can be compared that is still there; at most a second is waited for
    /// them.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the future is dropped.
    pub async fn dump(&self, why: &str) -> Dump {
        self.mark_connections().await;
        self.dump_now(why)
    }

    /// As [`Node::dump`], but at once and without asking anybody. It takes no lock that code of
    /// users can hold, so the hook of a panic may call it.
    pub fn dump_now(&self, why: &str) -> Dump {
        let shared = &self.inner().shared;
        let recorder = &shared.recorder;
        if !recorder.is_on() {
            return Dump::default();
        }
        let end = recorder.end();
        let page = recorder.page(self.id(), 0, end, usize::MAX);
        let last = recorder.last(self.id(), shared.now(), why, page.overwritten, end);
        let mut records = page.records;
        records.push(last);
        Dump { records }
    }

    /// Has both ends of each connection record how many frames have gone over it when the same sign
    /// of life was passed.
    pub(super) async fn mark_connections(&self) {
        let recorder = &self.inner().shared.recorder;
        if !recorder.is_on() {
            return;
        }
        let (asked, answered) = PendingMark::new();
        self.event(Event::Mark(recorder.mark(), asked));
        let _ = timeout(MARK_LIMIT, answered.notified()).await;
    }
}
