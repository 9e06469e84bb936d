//! The records of another node, page by page.

use std::time::Duration;

use aemp_proto::NodeId;
use aemp_proto::history::Record;
use serde::{Deserialize, Serialize};

use super::dump::Dump;
use crate::message::DecodeError;
use crate::node::Node;
use crate::stats::AskError;
use crate::stats::question::Question;

/// Records in one answer.
const PAGE: usize = 2000;

/// Records that are taken from another node, whose recorder may be larger than any of ours.
const RECORDS_MAX: usize = 1 << 20;

/// One answer.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Answer {
    /// Records as lines of JSON.
    lines: Vec<String>,
    /// Where the next question goes on, and where the records end; 0 behind the last one.
    from: u64,
    end: u64,
}

impl Node {
    /// What [`Node::dump`] gives on another node. A node in secure mode does not tell.
    ///
    /// # Errors
    ///
    /// As [`Node::stats_of`]. A node whose recorder is off refuses.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up the answer.
    pub async fn dump_of(&self, node: &NodeId, limit: Duration) -> Result<Dump, AskError> {
        let (mut records, mut from, mut end) = (Vec::new(), 0, 0);
        loop {
            let answer: Answer = self.ask(node, Question::Dump { from, end }, limit).await?;
            for line in &answer.lines {
                let record = Record::from_line(line).map_err(serde::de::Error::custom);
                records.push(record.map_err(|error: DecodeError| AskError::Unreadable(error))?);
            }
            // Each answer has to come nearer to the end.
            if answer.end == 0 || answer.from <= from || records.len() >= RECORDS_MAX {
                return Ok(Dump::of(records));
            }
            (from, end) = (answer.from, answer.end);
        }
    }

    /// Answers such a question. The first one, without an end, decides where the records end.
    pub(crate) async fn dump_page(&self, from: u64, end: u64) -> Result<Answer, String> {
        let shared = &self.inner().shared;
        let recorder = &shared.recorder;
        if !recorder.is_on() {
            return Err("its flight recorder is off; the setting recorder says how many bytes it has".into());
        }
        let end = if end == 0 {
            self.mark_connections().await;
            recorder.end()
        } else {
            end
        };
        let page = recorder.page(self.id(), from, end, PAGE);
        let mut lines: Vec<String> = page.records.iter().map(Record::to_line).collect();
        if page.next < end {
            return Ok(Answer { lines, from: page.next, end });
        }
        lines.push(recorder.last(self.id(), shared.now(), "asked for", page.overwritten, end).to_line());
        Ok(Answer { lines, from: 0, end: 0 })
    }
}
