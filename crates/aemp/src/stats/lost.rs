//! The messages that were lost last, as far as people may see them: never what was in them.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use aemp_proto::PortId;
use aemp_proto::outbox::Why;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::log::clock;

/// How many are remembered.
const REMEMBERED: usize = 100;

/// A message that was not delivered.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
#[serde(default)]
pub struct LostMessage {
    /// When that was noticed, in seconds since 1970 by the clock of the node.
    pub time: f64,
    /// The port that it was for.
    pub port: String,
    /// The first value of the message, if it is a string, of at most 64 bytes. Of a message that
    /// never had a wire form, its Rust type, behind `type `.
    pub tag: Option<String>,
    /// Why, as in [`Stats::undeliverable`](super::Stats::undeliverable).
    pub reason: String,
}

struct Entry {
    time: f64,
    port: PortId,
    tag: Tag,
    reason: &'static str,
}

pub(super) enum Tag {
    None,
    Text(String),
    Type(&'static str),
}

impl From<Option<String>> for Tag {
    fn from(tag: Option<String>) -> Tag {
        tag.map_or(Tag::None, Tag::Text)
    }
}

/// What was lost.
#[derive(Default)]
pub(crate) struct Lost {
    /// Messages to ports of this node that are dead or have never been.
    no_such_port: AtomicU64,
    last: Mutex<VecDeque<Entry>>,
}

/// The reason of messages to ports that are not there.
pub(super) const NO_SUCH_PORT: &str = "no_such_port";

pub(super) fn reason(why: Why) -> &'static str {
    match why {
        Why::Broken => "connection_lost",
        Why::Gated => "gated",
        Why::Refused => "queue_full",
    }
}

impl Lost {
    pub(super) fn no_such_port(&self) -> u64 {
        self.no_such_port.load(Relaxed)
    }

    pub(super) fn last(&self) -> Vec<LostMessage> {
        let last = self.last.lock();
        let shown = last.iter().map(|Entry { time, port, tag, reason }| LostMessage {
            time: *time,
            port: port.to_string(),
            tag: match tag {
                Tag::None => None,
                Tag::Text(tag) => Some(tag.clone()),
                Tag::Type(name) => Some(format!("type {name}")),
            },
            reason: (*reason).into(),
        });
        shown.collect()
    }

    pub(super) fn remember(&self, port: PortId, tag: Tag, reason: &'static str) {
        let entry = Entry { time: clock::now(), port, tag, reason };
        let mut last = self.last.lock();
        if last.len() == REMEMBERED {
            last.pop_front();
        }
        last.push_back(entry);
    }

    pub(super) fn missing(&self, port: PortId, tag: Tag) {
        self.no_such_port.fetch_add(1, Relaxed);
        self.remember(port, tag, NO_SUCH_PORT);
    }
}
