//! What every part of the world has in common: the time, the dice, the network, what is to happen,
//! and the history.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BinaryHeap};
use std::fmt;
use std::sync::Weak;
use std::time::Duration;

use aemp_ports::PortNo;
use aemp_ports::node_ref::{NodeRef, OwnRef};
use aemp_proto::kernel::{LinkId, Time};
use aemp_proto::{NodeId, PortId};

use crate::history::{Event, FaultKind, History, RELAYED};
use crate::net::Net;
use crate::options::{Options, Sabotage};
use crate::random::Random;

/// Between two pieces of one stream, at most.
const GAP: Duration = Duration::from_micros(300);

/// Something that is going to happen. What concerns a run of a node says which one.
#[derive(Debug, Clone)]
pub(crate) enum Happening {
    /// A timer of the node may be due.
    Wake(usize, u64),
    /// The node's kernel looks at the events that lie there.
    Drive(usize, u64),
    /// A port handles the next thing in its mailbox.
    Port(usize, u64, PortNo),
    /// The time of a call is up, for which a port waits.
    CallOver(usize, u64, PortNo),
    /// The callback of a monitor has its turn.
    Callback(usize, u64, u64),
    /// A node asks a host for a connection.
    Connect { node: usize, inc: u64, link: LinkId, to: usize },
    /// The host says no.
    Refused { node: usize, inc: u64, link: LinkId },
    /// The connection is there, at this end.
    Opened { wire: u64, side: usize },
    /// What this side has written arrives.
    Deliver { wire: u64, from: usize },
    /// This side can write again.
    Writable { wire: u64, side: usize },
    /// This side learns that the connection is gone.
    Reset { wire: u64, side: usize },
    /// A node that is being shut down goes on with it.
    Stopping(usize, u64),
    /// Somebody does something.
    Work,
    /// A stream of messages goes on.
    Flow(usize),
    /// Something goes wrong.
    Strike(FaultKind),
    /// It ends to do so.
    Relief(FaultKind, usize, usize),
}

/// A happening in the queue: the earliest is the greatest, and of one time the one that was put
/// there first.
struct Waiting {
    time: Time,
    count: u64,
    happening: Happening,
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Waiting) -> bool {
        self.count == other.count
    }
}

impl Eq for Waiting {}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Waiting) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Waiting {
    fn cmp(&self, other: &Waiting) -> Ordering {
        (other.time, other.count).cmp(&(self.time, self.count))
    }
}

/// A run that has more records than this, a hundred times the usual number, goes round in circles.
const RECORDS_MAX: usize = 1_000_000;

/// The time, the dice, the network, what is to happen, and the history.
pub(crate) struct Cx {
    pub(crate) now: Time,
    pub(crate) random: Random,
    pub(crate) net: Net,
    pub(crate) history: History,
    pub(crate) options: Options,
    /// Requests of the mesh that nodes have sent to each other.
    pub(crate) requests: u64,
    /// How often the built-in bug has shown itself.
    pub(crate) sabotaged: u64,
    /// The last connection that was dialled from a node through another one to a third.
    relayed: BTreeMap<[String; 3], u64>,
    /// Ports that were spawned and have come to be since somebody looked.
    pub(crate) born: Vec<PortId>,
    /// What code of ports may find its node by; nobody here does.
    pub(crate) reference: NodeRef,
    queue: BinaryHeap<Waiting>,
    count: u64,
    ids: u64,
}

impl Cx {
    pub(crate) fn new(options: Options) -> Cx {
        Cx {
            now: Time::ZERO,
            random: Random::new(options.seed),
            net: Net::new(options.net.buffer),
            history: History::default(),
            requests: 0,
            sabotaged: 0,
            relayed: BTreeMap::new(),
            born: Vec::new(),
            reference: OwnRef::new(Weak::<()>::new()).get(),
            queue: BinaryHeap::new(),
            count: 0,
            ids: 0,
            options,
        }
    }

    pub(crate) fn at(&mut self, time: Time, happening: Happening) {
        self.count += 1;
        self.queue.push(Waiting { time: time.max(self.now), count: self.count, happening });
    }

    pub(crate) fn after(&mut self, wait: Duration, happening: Happening) {
        self.at(self.now + wait, happening);
    }

    /// The next thing to happen, and the time is then; `None` if there is not one until `end`.
    pub(crate) fn next(&mut self, end: Time) -> Option<Happening> {
        if self.is_endless() || self.queue.peek()?.time > end {
            return None;
        }
        let next = self.queue.pop()?;
        self.now = next.time;
        Some(next.happening)
    }

    /// Whether so much has happened that the run would never end.
    pub(crate) fn is_endless(&self) -> bool {
        self.history.records.len() >= RECORDS_MAX
    }

    /// The last number that was given out: while it stays the same, nobody sends or monitors
    /// anything.
    pub(crate) fn last_id(&self) -> u64 {
        self.ids
    }

    /// A number that nobody else has.
    pub(crate) fn id(&mut self) -> u64 {
        self.ids += 1;
        self.ids
    }

    /// Names a relayed connection for the history: its two ends do not know the same of it.
    pub(crate) fn name_relayed(&mut self, from: &NodeId, via: &NodeId, to: &NodeId) -> u64 {
        let name = self.id() | RELAYED;
        self.relayed.insert([from, via, to].map(NodeId::to_string), name);
        name
    }

    /// The name of the connection that arrives at `to`. An earlier one on the same way cannot be
    /// alive any more.
    pub(crate) fn relayed_name(&self, from: &NodeId, via: &NodeId, to: &NodeId) -> u64 {
        self.relayed.get(&[from, via, to].map(NodeId::to_string)).copied().unwrap_or_default()
    }

    pub(crate) fn latency(&mut self) -> Duration {
        let longest = self.options.net.latency;
        self.random.between(longest / 10, longest)
    }

    /// Writes into a connection as much as fits, and lets it travel.
    pub(crate) fn write(&mut self, wire: u64, side: usize, bytes: &[u8]) -> usize {
        let count = self.net.write(wire, side, bytes);
        let wait = self.latency();
        self.travel(wire, side, wait);
        count
    }

    pub(crate) fn close(&mut self, wire: u64, side: usize) {
        self.net.close(wire, side);
        let wait = self.latency();
        self.travel(wire, side, wait);
    }

    /// Ends what this side writes, and nothing else.
    pub(crate) fn shut(&mut self, wire: u64, side: usize) {
        self.net.shut(wire, side);
        let wait = self.latency();
        self.travel(wire, side, wait);
    }

    /// Goes on with a direction in which something was delivered.
    pub(crate) fn travel_on(&mut self, wire: u64, from: usize) {
        let wait = self.random.up_to(GAP);
        self.travel(wire, from, wait);
    }

    fn travel(&mut self, wire: u64, from: usize, wait: Duration) {
        if !self.net.can_move(wire, from) {
            return;
        }
        if let Some(pipe) = self.net.wire(wire).map(|wire| &mut wire.pipes[from])
            && !std::mem::replace(&mut pipe.moving, true)
        {
            self.after(wait, Happening::Deliver { wire, from });
        }
    }

    /// Lets everything travel that had to wait; TCP tries again after a while.
    pub(crate) fn travel_all(&mut self) {
        for wire in self.net.all() {
            for from in [0, 1] {
                let wait = self.random.up_to(Duration::from_secs(1));
                self.travel(wire, from, wait);
            }
        }
    }

    pub(crate) fn record(&mut self, node: &str, inc: u64, event: Event) {
        if !self.options.history {
            return;
        }
        let t = u64::try_from(self.now.as_micros()).unwrap_or(u64::MAX);
        let record = self.history.push(t, node, inc, event);
        if self.options.trace {
            eprintln!("{:>12.6} {:<4} {:?}", self.now.as_secs_f64(), record.node, record.event);
        }
    }

    /// Says what happens below the history, if that is wanted.
    pub(crate) fn trace(&self, node: &str, what: impl FnOnce() -> String) {
        if self.options.trace {
            eprintln!("{:>12.6} {:<4} | {}", self.now.as_secs_f64(), node, what());
        }
    }

    /// Whether this bug is built in and shows itself now, in one of `of` cases.
    pub(crate) fn sabotage(&mut self, which: Sabotage, of: usize) -> bool {
        let now = self.options.sabotage == Some(which) && self.random.below(of) == 0;
        self.sabotaged += u64::from(now);
        now
    }
}

impl fmt::Debug for Cx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cx").field("now", &self.now).field("waiting", &self.queue.len()).finish()
    }
}
