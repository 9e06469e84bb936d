//! What happened in a run: the records of all nodes, in one order. What a record says is in
//! [`aemp_proto::history`], for every node writes such records, too.

use std::collections::BTreeMap;
use std::io::{self, BufRead, Write};

pub use aemp_proto::history::*;

/// All records, in an order that agrees with time and with the order of each node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History {
    /// The records.
    pub records: Vec<Record>,
    counts: BTreeMap<String, u64>,
}

impl History {
    /// Appends what happened; the index is given here.
    pub fn push(&mut self, t: u64, node: &str, inc: u64, event: Event) -> &Record {
        let idx = match self.counts.get_mut(node) {
            Some(count) => {
                *count += 1;
                *count
            }
            None => *self.counts.entry(node.to_owned()).or_insert(1),
        };
        self.records.push(Record { idx, t, node: node.to_owned(), inc, event });
        &self.records[self.records.len() - 1]
    }

    /// Puts the records of several nodes together.
    pub fn merge(records: impl IntoIterator<Item = Record>) -> History {
        let mut records: Vec<Record> = records.into_iter().collect();
        records.sort_by(|a, b| (a.t, &a.node, a.idx).cmp(&(b.t, &b.node, b.idx)));
        let mut counts = BTreeMap::new();
        for record in &records {
            counts.insert(record.node.clone(), record.idx);
        }
        History { records, counts }
    }

    /// Reads lines of JSON; empty ones are skipped.
    ///
    /// # Errors
    ///
    /// Reading fails, or a line is no record.
    pub fn read(lines: impl BufRead) -> io::Result<History> {
        let mut records = Vec::new();
        for line in lines.lines() {
            let line = line?;
            if !line.trim().is_empty() {
                records.push(serde_json::from_str(&line)?);
            }
        }
        Ok(History::merge(records))
    }

    /// Writes lines of JSON.
    ///
    /// # Errors
    ///
    /// Writing fails.
    pub fn write(&self, mut out: impl Write) -> io::Result<()> {
        for record in &self.records {
            serde_json::to_writer(&mut out, record)?;
            out.write_all(b"\n")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_survive_as_lines_of_json() {
        let mut history = History::default();
        history.push(
            1,
            "a",
            1,
            Event::Snd { sid: "a#1".into(), p: "b#1".into(), k: 1, hash: 2, epoch: Some(0), held: false },
        );
        history.push(2, "b", 1, Event::Fault { kind: FaultKind::Cut, nodes: vec!["a".into(), "b".into()] });
        history.push(2, "", 0, Event::Quiet);
        let mut lines = Vec::new();
        history.write(&mut lines).unwrap();
        let mut read = History::read(lines.as_slice()).unwrap();
        read.records.sort_by_key(|record| record.t);
        assert_eq!(read.records.len(), 3);
        assert!(history.records.iter().all(|record| read.records.contains(record)));
    }
}
