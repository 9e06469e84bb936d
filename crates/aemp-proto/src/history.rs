//! What happened on nodes, as records that anybody can write: the simulator, tests with real
//! processes, and the flight recorder of every node.
//!
//! A record is one line of JSON:
//! `{"idx":7,"t":1500000,"node":"n1","inc":2,"ev":"rcv","p":"n1#…","k":12,"hash":…}`. `idx` counts
//! up within a node, `t` are microseconds of a clock that all share, `inc` tells the runs of a node
//! apart. The checkers of the simulator decide on nothing else.
//!
//! Nobody here reads a clock or a file: who writes records knows the time, who reads them has them.

use std::collections::BTreeMap;
use std::fmt::Write as _;

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

impl Record {
    /// The record as one line of JSON, in ASCII, without the end of the line: what others have
    /// chosen, such as a node ID, does nothing in a terminal.
    pub fn to_line(&self) -> String {
        let json = serde_json::to_string(self).unwrap_or_default();
        let mut line = String::with_capacity(json.len());
        for c in json.chars() {
            if c.is_ascii() && c != '\u{7f}' {
                line.push(c);
                continue;
            }
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a text cannot fail.
                let _ = write!(line, "\\u{unit:04x}");
            }
        }
        line
    }

    /// Reads a line of JSON.
    ///
    /// # Errors
    ///
    /// The line is no record.
    pub fn from_line(line: &str) -> Result<Record, serde_json::Error> {
        serde_json::from_str(line)
    }
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
    /// The outbox of a node broke, and a new epoch begins: so much was queued and is lost, and so
    /// many monitors fire, where that was counted.
    Broke {
        peer: String,
        epoch: u64,
        #[serde(default)]
        lost: u64,
        #[serde(default)]
        fires: u64,
    },
    /// `n` messages and requests have gone over a connection in one direction when `mark` was
    /// passed. The last one had the number `last`, where they are numbered.
    Frames {
        peer: String,
        conn: u64,
        dir: Direction,
        n: u64,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        last: Option<u64>,
        mark: Mark,
    },
    /// What came over a connection cannot be read, or is not what had to come next.
    Malformed { peer: String, conn: u64, what: String },
    /// The records of this node that there are end here. It has made more: `overwritten` of them
    /// were not kept.
    Dumped { why: String, overwritten: u64 },
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

/// Which direction of a connection frames went, as the node sees it that tells of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// They were taken out of the outbox to be written.
    Sent,
    /// They were read, and given to those they are for.
    Taken,
}

/// A place in what is written in one direction of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mark {
    /// A sign of life with this number, which both ends see between the same two frames.
    Ping(u64),
    /// The answer to one.
    Pong(u64),
    /// The end, in order: everything is written, and everything is read.
    End,
    /// A loss of the connection. The two ends need not have come equally far.
    Break,
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

/// The node that a port ID names.
pub fn node_of(port: &str) -> &str {
    port.split('#').next().unwrap_or(port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_a_line_of_ascii_and_comes_back() {
        let marks = [Mark::Ping(1 << 63), Mark::Pong(7), Mark::End, Mark::Break];
        for (mark, last) in marks.into_iter().zip([Some(3), None, Some(u64::MAX), None]) {
            let peer = "b\u{1b}[2J\u{202e}\u{7f}\u{1f600}\n".to_owned();
            let event = Event::Frames { peer, conn: RELAYED | 5, dir: Direction::Taken, n: 3, last, mark };
            let record = Record { idx: 1, t: 2, node: "a".into(), inc: u64::MAX, event };
            let line = record.to_line();
            assert!(line.bytes().all(|byte| (0x20..0x7f).contains(&byte)), "{line}");
            assert_eq!(Record::from_line(&line).unwrap(), record);
        }
    }

    #[test]
    fn records_of_a_version_that_told_less_are_read() {
        let line = r#"{"idx":1,"t":2,"node":"a","inc":1,"ev":"broke","peer":"b","epoch":3}"#;
        let event = Event::Broke { peer: "b".into(), epoch: 3, lost: 0, fires: 0 };
        assert_eq!(Record::from_line(line).unwrap().event, event);
    }
}
