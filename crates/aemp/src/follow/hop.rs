//! What a node remembers of a message that is followed, as it is told to others.

use serde::{Deserialize, Serialize};

/// What happened to a message.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum HopKind {
    /// A port, a task or a thread of the node sent it.
    #[default]
    Sent,
    /// A port of the node handled it.
    Handled,
}

/// One thing that happened to a message: never what was in it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Hop {
    /// Its place among all that the node remembers: what has a higher number happened later there.
    pub number: u64,
    /// The trace, as 32 hexadecimal digits.
    pub trace: String,
    /// This, in the trace: 16 hexadecimal digits.
    pub span: String,
    /// What it follows from. `None` for the first of a trace.
    pub parent: Option<String>,
    /// What happened.
    pub kind: HopKind,
    /// The port that the message is for.
    pub port: String,
    /// The first value of the message, if it is a string, of at most 64 bytes; `spawn` for one that
    /// makes a port.
    pub tag: Option<String>,
    /// The node that it was sent to, or came from; `None` if that is the same node.
    pub peer: Option<String>,
    /// When it was sent, or had arrived, in seconds since 1970 by the clock of the node.
    pub time: f64,
    /// How long it waited in the mailbox, in seconds.
    pub waited: f64,
    /// How long the handler took, in seconds. For an async port that is until it takes the next
    /// message.
    pub took: f64,
}

/// What a node remembers of the messages that it follows.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Hops {
    /// The clock of the node when it answered, in seconds since 1970.
    pub time: f64,
    /// How many were not followed since the node was started, because there were too many.
    pub withheld: u64,
    /// The [number](Hop::number) of the hop that comes next.
    pub next: u64,
    /// The hops, in the order in which they ended.
    pub hops: Vec<Hop>,
}
