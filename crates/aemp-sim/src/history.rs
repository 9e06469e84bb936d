//! What happened in a run, as records that anybody can write: the simulator, or tests with real
//! processes.
//!
//! A record is one line of JSON:
//! `{"idx":7,"t":1500000,"node":"n1","inc":2,"ev":"rcv","p":"n1#…","k":12,"hash":…}`. `idx` counts
//! up within a node, `t` are microseconds of a clock that all share, `inc` tells the runs of a node
//! apart. The checkers ([`crate::check`]) decide on nothing else.

use std::collections::BTreeMap;
use std::io::{self, BufRead, Write};

use serde::{Deserialize, Serialize};

/// The bit that tells the names of relayed connections from those of others.
pub const RELAYED: u64 = 1 << 63;

/// One thing that happened on one node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Its place in the order of the node.
    pub idx: u64,
    /// When, in microseconds.
    pub t: u64,
    /// Where: a node ID; empty for what happened to the whole network.
    pub node: String,
    /// In which run of the node.
    pub inc: u64,
    /// What.
    #[serde(flatten)]
    pub event: Event,
}

/// What can happen. Ports and nodes are named by their IDs, `m` names a monitor or watch uniquely
/// within its node, reasons are their values as texts (none: a normal death).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ev", rename_all = "snake_case")]
#[allow(missing_docs)] // the fields are explained above and by the names of their events
pub enum Event {
    /// A run of the node begins. `seeds` are node IDs, the own one included if it was configured.
    Start { global: bool, seeds: Vec<String>, functions: Vec<String>, address: String },
    /// It is over, whether the node knows it or not.
    Stop,
    /// `sid` sends message `k` to a port; `epoch` is that of the outbox, if the port is on another
    /// node and the epoch is known. If it is `held` it is on its way when the gate of the port
    /// opens.
    Snd {
        sid: String,
        p: String,
        k: u64,
        hash: u64,
        epoch: Option<u64>,
        #[serde(default)]
        held: bool,
    },
    /// A port handles a message; `n` counts the messages that came to the node from others, in the
    /// order in which they arrived.
    Rcv {
        p: String,
        k: u64,
        hash: u64,
        #[serde(default)]
        n: Option<u64>,
    },
    /// A port comes to be; an async one ends at once when it is killed, no matter what waits in its
    /// mailbox.
    PortNew {
        p: String,
        #[serde(default)]
        task: bool,
    },
    /// A kill has closed the mailbox of a port: what is in it is still handled, and nothing comes
    /// after it.
    PortClosed { p: String },
    /// A port is gone.
    PortDied { p: String, reason: Vec<String> },
    /// `sid` kills a port. If this is `held` it is on its way when the gate of the port opens.
    Kil {
        sid: String,
        p: String,
        reason: Vec<String>,
        #[serde(default)]
        held: bool,
    },
    /// A monitor is set; its news goes to the port `to`, or to a callback of `sid`. If it `waits`,
    /// the port is gated.
    Mon {
        sid: String,
        m: u64,
        p: String,
        to: Option<String>,
        #[serde(default)]
        waits: bool,
    },
    /// The gate of a port opens: all its monitors have told their owners.
    Opened { p: String },
    /// The monitor kills the port that it tells, if the reason is abnormal.
    Link { m: u64 },
    /// A task waits for the monitor: it fires when the task knows.
    Wait { m: u64 },
    /// It is withdrawn: nothing of it happens from now on.
    Unmon { m: u64 },
    /// Its callback runs, or its message has left the mailbox of `to`.
    Fire { m: u64, reason: Vec<String> },
    /// A connection to the run `pinc` of a node is up.
    Up { peer: String, pinc: u64, conn: u64 },
    /// It is lost.
    Down { peer: String, conn: u64, reason: String },
    /// The outbox of a node broke; a new epoch begins.
    Broke { peer: String, epoch: u64 },
    /// `sid` calls a port and waits for this many microseconds; the answer goes to the port `r`, as
    /// does the news of the death of `p`.
    Call { id: u64, sid: String, p: String, r: String, limit: u64 },
    /// A call is over.
    CallOver { id: u64, how: Over },
    /// Something waited for a port of another node that this cannot read; it is lost with all that
    /// followed for the port.
    Unreadable { p: String },
    /// `sid` spawns a port.
    Spawn { sid: String, p: String, function: String },
    /// The function of a spawn runs.
    Init { p: String, function: String },
    /// A database entry is set.
    Set { f: String, k: String, v: String },
    /// A database entry is taken back.
    Del { f: String, k: String },
    /// A watch of a family begins.
    Dbmon { m: u64, f: String },
    /// A watch ends.
    Dbunmon { m: u64 },
    /// A watch tells: added, changed and deleted subkeys, and the content.
    Dbev { m: u64, add: Vec<String>, chg: Vec<String>, del: Vec<String>, db: BTreeMap<String, String> },
    /// The database is asked for a family.
    Q { id: u64, f: String, kind: Kind },
    /// It answers: subkeys with values, subkeys alone, or values alone.
    A { id: u64, keys: Vec<String>, values: Vec<String> },
    /// An address is dialled.
    Dial { address: String },
    /// Something goes wrong on purpose, or ends to do so: see [`FaultKind`].
    Fault { kind: FaultKind, nodes: Vec<String> },
    /// What the node keeps for another one, at the end: ports watched there, ports watched from
    /// there, gates.
    Tables { peer: String, watched: Vec<String>, watching: Vec<String>, gated: usize },
    /// From here on there are no faults.
    Quiet,
    /// Nothing that was sent is on its way any more.
    Rest,
    /// The end.
    End,
}

/// What a query asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)] // the names say it
pub enum Kind {
    Family,
    Keys,
    Values,
}

/// How a call ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)] // the names say it
pub enum Over {
    Answer,
    Died,
    TimedOut,
}

/// What goes wrong. The first half lasts until its counterpart in the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)] // the names say it
pub enum FaultKind {
    /// Nothing passes from the first node to the second.
    Cut,
    /// A node is stopped, but its host is not.
    Pause,
    /// A node is gone.
    Crash,
    /// A node is shut down.
    Shutdown,
    /// What the first node sends to the second on existing connections stays on the way.
    Stall,
    Heal,
    Resume,
    Start,
    Flow,
    /// A connection is reset; a moment.
    Reset,
    /// An outbox has passed its limit; a moment.
    Overflow,
}

impl FaultKind {
    /// What ends this, if it lasts.
    pub fn end(self) -> Option<FaultKind> {
        match self {
            FaultKind::Cut => Some(FaultKind::Heal),
            FaultKind::Pause => Some(FaultKind::Resume),
            FaultKind::Crash | FaultKind::Shutdown => Some(FaultKind::Start),
            FaultKind::Stall => Some(FaultKind::Flow),
            _ => None,
        }
    }
}

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

/// The node that a port ID names.
pub fn node_of(port: &str) -> &str {
    port.split('#').next().unwrap_or(port)
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
