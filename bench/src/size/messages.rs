//! What the processes of the network say to each other.

use std::time::Duration;

use aemp::{Message, PortId, ReplyTo};
use serde::{Deserialize, Serialize};

/// What a global node is asked.
#[derive(Serialize, Deserialize, Message)]
pub(super) enum Asked {
    /// How many entries of this family it knows.
    Entries { family: String, reply: ReplyTo<u64> },
    /// How many nodes it is connected to.
    Connected { reply: ReplyTo<u64> },
}

/// What the controller of a process is told.
#[derive(Serialize, Deserialize, Message)]
pub(super) enum Control {
    /// Asks for the ports of its members.
    Members { reply: ReplyTo<Vec<PortId>> },
    /// Each member sends this many messages to its partner, with a pause after each.
    Begin { partners: Vec<PortId>, pause: Duration, count: u64 },
    /// One member registers a port.
    Register,
    /// Asks for what each of its members has counted.
    Report { reply: ReplyTo<Vec<Report>> },
}

/// What a member is told.
#[derive(Serialize, Deserialize, Message)]
pub(super) enum Talk {
    /// See [`Control::Begin`]; it stops when its monitor of the partner fires.
    Begin { partner: PortId, pause: Duration, count: u64 },
    /// One of the messages.
    Say { number: u64 },
    /// See [`Control::Report`].
    Report { reply: ReplyTo<Report> },
}

/// What a member counts.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Report {
    pub(super) sent: u64,
    pub(super) received: u64,
    /// Messages that are not the successor of the one before.
    pub(super) gaps: u64,
    /// Why the monitor of the partner has fired.
    pub(super) fired: Option<String>,
}
