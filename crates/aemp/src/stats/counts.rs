//! The counters of a node, and those for each other node.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use aemp_proto::NodeId;
use aemp_proto::kernel::{FamilySize, Time};
use aemp_proto::link::Terms;
use aemp_proto::outbox::Counts;
use parking_lot::Mutex;

use super::handlers::HandlerCounts;
use super::lost::Lost;
use super::snapshot::{ConnectionStats, PeerStats, Traffic};

/// Different causes that are counted by name, where others choose the names.
const NAMES_MAX: usize = 64;

/// Bytes of such a name.
const NAME_MAX: usize = 64;

/// What is counted beyond these.
const OTHER: &str = "other";

/// Counters with names. They are for what is rare.
#[derive(Default)]
pub(crate) struct Named(Mutex<BTreeMap<String, u64>>);

impl Named {
    pub(crate) fn add(&self, name: &str) {
        let mut counters = self.0.lock();
        let name = if name.is_empty() || name.len() > NAME_MAX { OTHER } else { name };
        let name = if counters.len() >= NAMES_MAX && !counters.contains_key(name) { OTHER } else { name };
        match counters.get_mut(name) {
            Some(counter) => *counter += 1,
            None => drop(counters.insert(name.into(), 1)),
        }
    }

    pub(crate) fn all(&self) -> BTreeMap<String, u64> {
        self.0.lock().clone()
    }

    fn add_all(&self, other: &Named) {
        let other = other.all();
        let mut counters = self.0.lock();
        for (name, count) in other {
            *counters.entry(name).or_default() += count;
        }
    }
}

/// What a node counts.
#[derive(Default)]
pub(crate) struct NodeCounts {
    pub(crate) kills: Named,
    pub(crate) handshake_failures: Named,
    pub(crate) blocked_handlers: AtomicU64,
    pub(crate) handlers: HandlerCounts,
    pub(crate) lost: Lost,
    /// Questions of other nodes that are being answered.
    pub(super) questions: AtomicU64,
}

/// What only the driver knows.
#[derive(Default)]
pub(crate) struct KernelStats {
    pub(crate) serving: bool,
    pub(crate) families: BTreeMap<String, FamilySize>,
}

/// Why a connection ended, or none was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BreakCause {
    /// The other side has closed without saying that it shuts down, or its process has ended.
    Closed,
    /// The system says that the connection is broken.
    Socket,
    /// The peer has sent a malformed frame.
    Malformed,
    /// Nothing was heard of it for too long.
    Silent,
    /// The other node has shut down.
    ShutDown,
    /// Another connection to the node took its place.
    Replaced,
    /// The queue for the node passed its limit.
    Overflow,
    /// No connection could be made.
    Unreachable,
    /// This node gave it up.
    Here,
}

impl BreakCause {
    fn name(self) -> &'static str {
        match self {
            BreakCause::Closed => "closed",
            BreakCause::Socket => "socket",
            BreakCause::Malformed => "malformed",
            BreakCause::Silent => "silent",
            BreakCause::ShutDown => "shut_down",
            BreakCause::Replaced => "replaced",
            BreakCause::Overflow => "overflow",
            BreakCause::Unreachable => "unreachable",
            BreakCause::Here => "here",
        }
    }
}

/// For how long something has been held up in the queue for a node. All is stamped where writing
/// stops, which is rare; times are nanoseconds of the node's clock, and 0 is no time.
///
/// What is being written was queued before writing stopped, so it has waited since then at least.
/// What is taken next was queued after what is being written was taken: since the first stop of
/// that at most.
#[derive(Default)]
struct HeldUp {
    since: AtomicU64,
    next: AtomicU64,
}

/// The outbox of a node at the moment.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Queue {
    /// Bytes that wait in it.
    pub(crate) bytes: usize,
    /// Whether a connection drains it.
    pub(crate) attached: bool,
    /// What it has counted since it last broke.
    pub(crate) counts: Counts,
}

/// The counters for another node.
#[derive(Default)]
pub(crate) struct PeerCounts {
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    messages_in: AtomicU64,
    requests_in: AtomicU64,
    /// Signs of life that are requests, which stand in no outbox.
    asides: AtomicU64,
    connects: AtomicU64,
    breaks: Named,
    /// What the earlier epochs of the outbox have counted.
    outbox: Mutex<Counts>,
    held_up: HeldUp,
    /// Since when a connection is wanted.
    wanted: AtomicU64,
    round_trip: AtomicU64,
    connection: Mutex<Option<ConnectionStats>>,
}

fn nanos(time: Time) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX).max(1)
}

fn age(since: &AtomicU64, now: Time) -> Option<f64> {
    match since.load(Relaxed) {
        0 => None,
        since => Some(now.saturating_sub(Duration::from_nanos(since)).as_secs_f64()),
    }
}

impl PeerCounts {
    /// Bytes were read.
    pub(crate) fn read(&self, bytes: usize) {
        self.bytes_in.fetch_add(bytes as u64, Relaxed);
    }

    /// Bytes were written.
    pub(crate) fn wrote(&self, bytes: usize) {
        self.bytes_out.fetch_add(bytes as u64, Relaxed);
    }

    /// Messages and requests have come.
    pub(crate) fn received(&self, messages: u64, requests: u64) {
        self.messages_in.fetch_add(messages, Relaxed);
        if requests > 0 {
            self.requests_in.fetch_add(requests, Relaxed);
        }
    }

    /// How many messages have come.
    pub(crate) fn messages_in(&self) -> u64 {
        self.messages_in.load(Relaxed)
    }

    /// A sign of life was written as a request.
    pub(crate) fn wrote_aside(&self) {
        self.asides.fetch_add(1, Relaxed);
    }

    /// The connection takes no more now.
    pub(crate) fn blocked(&self, now: Time) {
        let HeldUp { since, next } = &self.held_up;
        if since.load(Relaxed) == 0 {
            since.store(nanos(now), Relaxed);
        }
        if next.load(Relaxed) == 0 {
            next.store(nanos(now), Relaxed);
        }
    }

    /// What was taken is written, and more was taken.
    pub(crate) fn taken(&self) {
        let HeldUp { since, next } = &self.held_up;
        if since.load(Relaxed) != 0 {
            since.store(next.swap(0, Relaxed), Relaxed);
        }
    }

    /// Nothing waits any more.
    pub(crate) fn drained(&self) {
        let HeldUp { since, next } = &self.held_up;
        if since.load(Relaxed) != 0 {
            since.store(0, Relaxed);
            next.store(0, Relaxed);
        }
    }

    /// Something waits for a connection.
    pub(crate) fn wanted(&self, now: Time) {
        self.wanted.store(nanos(now), Relaxed);
    }

    /// A sign of life was answered after this time.
    pub(crate) fn answered(&self, after: Time) {
        self.round_trip.store(nanos(after), Relaxed);
    }

    /// A connection is up.
    pub(crate) fn connected(&self, terms: &Terms) {
        self.connects.fetch_add(1, Relaxed);
        let relay = terms.peer.via.as_ref().map(ToString::to_string);
        let (framing, tls, client) = (terms.send.to_string(), terms.tls, terms.peer.client);
        *self.connection.lock() = Some(ConnectionStats { framing, tls, client, relay });
    }

    /// The outbox broke, with this in its last epoch.
    pub(crate) fn broke(&self, counts: Counts) {
        self.drained();
        self.round_trip.store(0, Relaxed);
        *self.connection.lock() = None;
        let mut sum = self.outbox.lock();
        *sum = add(*sum, counts);
    }

    /// Why it broke.
    pub(crate) fn broke_by(&self, cause: BreakCause) {
        self.breaks.add(cause.name());
    }

    /// Adds the counters of a node that is not known any more.
    pub(crate) fn absorb(&self, other: &PeerCounts) {
        let counters = |counts: &PeerCounts| {
            [&counts.bytes_in, &counts.bytes_out, &counts.messages_in, &counts.requests_in, &counts.connects]
                .map(|counter| counter.load(Relaxed))
        };
        let [bytes_in, bytes_out, messages, requests, connects] = counters(other);
        self.read(bytes_in as usize);
        self.wrote(bytes_out as usize);
        self.received(messages, requests);
        self.connects.fetch_add(connects, Relaxed);
        self.asides.fetch_add(other.asides.load(Relaxed), Relaxed);
        self.breaks.add_all(&other.breaks);
        let counts = *other.outbox.lock();
        let mut sum = self.outbox.lock();
        *sum = add(*sum, counts);
    }

    /// What people are shown.
    pub(crate) fn stats(&self, queue: Queue, now: Time) -> PeerStats {
        let Queue { bytes, attached, counts } = queue;
        let all = add(*self.outbox.lock(), counts);
        let load = |counter: &AtomicU64| counter.load(Relaxed);
        let sent = Traffic {
            bytes: load(&self.bytes_out),
            messages: all.messages,
            requests: all.requests + load(&self.asides),
        };
        let received = Traffic {
            bytes: load(&self.bytes_in),
            messages: load(&self.messages_in),
            requests: load(&self.requests_in),
        };
        let since = if attached { &self.held_up.since } else { &self.wanted };
        let round_trip = load(&self.round_trip);
        PeerStats {
            connection: self.connection.lock().clone(),
            sent,
            received,
            queue_bytes: bytes as u64,
            queue_age: if bytes > 0 { age(since, now) } else { None },
            round_trip: (round_trip > 0).then(|| Duration::from_nanos(round_trip).as_secs_f64()),
            connects: load(&self.connects),
            breaks: self.breaks.all(),
            lost: all.lost,
            gated: all.gated,
            refused: all.refused,
        }
    }
}

/// Nodes whose counters are kept; beyond these, those that are not known any more are added up.
const KEPT: usize = 1024;

/// The counters of all nodes that there were connections to.
#[derive(Default)]
pub(crate) struct Counted {
    kept: Mutex<Kept>,
    /// What all others have counted together.
    former: Arc<PeerCounts>,
}

#[derive(Default)]
struct Kept {
    of: HashMap<NodeId, Arc<PeerCounts>>,
    /// How many there may be before those that nobody else has are looked for.
    room: usize,
}

impl Counted {
    /// The counters of a node: those that are kept, or new ones.
    pub(crate) fn of(&self, node: &NodeId) -> Arc<PeerCounts> {
        self.kept.lock().of.get(node).cloned().unwrap_or_default()
    }

    pub(crate) fn keep(&self, node: &NodeId, counts: &Arc<PeerCounts>) {
        let mut kept = self.kept.lock();
        let Kept { of, room } = &mut *kept;
        if of.insert(node.clone(), counts.clone()).is_none() && of.len() > KEPT.max(*room) {
            // Nobody else has the counters of a node that is not known.
            for (_, counts) in of.extract_if(|_, counts| Arc::strong_count(counts) == 1) {
                self.former.absorb(&counts);
            }
            // If nearly all are known, they are not looked through again for each one that comes.
            *room = of.len() * 2;
        }
    }

    pub(crate) fn forget(&self, node: &NodeId) {
        let counts = self.kept.lock().of.remove(node);
        counts.into_iter().for_each(|counts| self.former.absorb(&counts));
    }

    pub(crate) fn all(&self) -> (Vec<(NodeId, Arc<PeerCounts>)>, Arc<PeerCounts>) {
        let kept = self.kept.lock();
        let all = kept.of.iter().map(|(node, counts)| (node.clone(), counts.clone())).collect();
        (all, self.former.clone())
    }
}

fn add(one: Counts, other: Counts) -> Counts {
    Counts {
        messages: one.messages + other.messages,
        requests: one.requests + other.requests,
        lost: one.lost + other.lost,
        gated: one.gated + other.gated,
        refused: one.refused + other.refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_others_choose_are_limited() {
        let named = Named::default();
        (0..1000).for_each(|n| named.add(&format!("n{n}")));
        named.add(&"x".repeat(1000));
        named.add("n0");
        let all = named.all();
        assert_eq!(all.len(), NAMES_MAX + 1);
        assert_eq!((all["n0"], all[OTHER]), (2, 1000 - NAMES_MAX as u64 + 1));
    }

    #[test]
    fn the_age_is_that_of_what_is_written_or_waits_behind_it() {
        let counts = PeerCounts::default();
        let at = Duration::from_secs;
        let queue = Queue { bytes: 1, attached: true, counts: Counts::default() };
        let age = |now| counts.stats(queue, at(now)).queue_age;
        counts.taken();
        assert_eq!(age(9), None, "the connection takes all");
        counts.blocked(at(10));
        counts.blocked(at(15));
        assert_eq!(age(20), Some(10.0));
        // All that was taken first is written: what comes next was queued after second 10.
        counts.taken();
        assert_eq!(age(20), Some(10.0));
        counts.blocked(at(21));
        counts.taken();
        counts.blocked(at(22));
        assert_eq!(age(23), Some(2.0));
        counts.drained();
        assert_eq!(age(24), None);
    }

    #[test]
    fn what_waits_for_a_connection_is_as_old_as_the_wish_for_it() {
        let counts = PeerCounts::default();
        counts.wanted(Duration::from_secs(3));
        let queue = |bytes| Queue { bytes, ..Queue::default() };
        let age = |bytes| counts.stats(queue(bytes), Duration::from_secs(5)).queue_age;
        assert_eq!((age(1), age(0)), (Some(2.0), None));
    }
    #[test]
    fn counters_of_many_nodes_that_are_known_are_not_looked_through_for_each_one_that_comes() {
        let counted = Counted::default();
        let node = |n: usize| NodeId::new(&format!("n{n}")).expect("a node ID");
        let mut known = Vec::new();
        let mut looked = 0;
        for n in 0..20 * KEPT {
            known.push(Arc::<PeerCounts>::default());
            let before = counted.kept.lock().room;
            counted.keep(&node(n), &known[n]);
            looked += usize::from(counted.kept.lock().room != before);
        }
        assert!(looked <= 6, "{looked}");
        // What nobody has any more is added up all the same.
        drop(known);
        (0..21 * KEPT).for_each(|n| counted.keep(&node(n + 100 * KEPT), &Arc::default()));
        assert!(counted.all().0.len() <= 2 * KEPT);
    }
}
