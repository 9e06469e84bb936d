//! What a node's machine is made with.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::NodeId;
use crate::broker::ANY_GLOBAL;
use crate::budget::PeerBudgets;
use crate::outbox::OutboxLimits;
use crate::random::Random;

/// The least time for an attempt to connect: a handshake takes about five times the latency.
const ATTEMPT_MIN: Duration = Duration::from_secs(1);

/// How long the timeout of silence may be: below 2 s a busy machine looks like a dead one, and
/// after a day nobody waits any more.
pub const MONITOR_TIMEOUTS: RangeInclusive<Duration> = Duration::from_secs(2)..=Duration::from_secs(86_400);

/// How long an attempt to connect, or a handshake, may take: a handshake needs several round trips.
pub const CONNECT_TIMEOUTS: RangeInclusive<Duration> =
    Duration::from_millis(100)..=Duration::from_secs(86_400);

/// The settings of one node, and where its randomness comes from.
#[derive(Debug, Clone)]
pub struct KernelConfig {
    /// The ID of this node.
    pub node: NodeId,
    /// The addresses that we are known to listen on already; [`Input::Binds`](super::Input::Binds)
    /// replaces them.
    pub binds: Vec<String>,
    /// Whether other nodes cannot dial these addresses, so that ways through other nodes are
    /// needed. Without any address they are needed anyway.
    pub private: bool,
    /// Whether this node is a client: a tool that comes, asks and goes, and has no entries of its
    /// own in the database.
    pub client: bool,
    /// The addresses of the seeds, in order of preference.
    pub seeds: Vec<String>,
    /// Whether nodes can be reached through a broker, by their IDs alone. Then any global node that
    /// is reached there is a seed, too.
    pub broker: bool,
    /// Whether to be a global node from the start.
    pub global: bool,
    /// The time after which a silent node counts as lost.
    pub monitor_timeout: Duration,
    /// How long a whole attempt to connect may take; a third of `monitor_timeout`, and at least 1
    /// s, where it is not given.
    pub connect_interval: Option<Duration>,
    /// Where the kernel's randomness starts: random, or chosen to repeat a run.
    pub rng_seed: u64,
    /// What the kernel refuses to hold.
    pub limits: KernelLimits,
    /// How much it holds for each other node, in bytes of memory; shared with what else is held for
    /// them.
    pub budgets: PeerBudgets,
}

impl KernelConfig {
    /// The default settings of a node with this ID.
    pub fn new(node: NodeId) -> KernelConfig {
        KernelConfig {
            node,
            binds: Vec::new(),
            private: false,
            client: false,
            seeds: Vec::new(),
            broker: false,
            global: false,
            monitor_timeout: Duration::from_secs(30),
            connect_interval: None,
            rng_seed: 0,
            limits: KernelLimits::default(),
            budgets: PeerBudgets::default(),
        }
    }

    /// These seeds, and any global node at the broker if there is one.
    pub(crate) fn with_broker(&self, seeds: &[String]) -> Vec<String> {
        let any_global = self.broker.then(|| ANY_GLOBAL.into());
        seeds.iter().cloned().chain(any_global).collect()
    }

    pub(crate) fn attempt(&self) -> Duration {
        self.connect_interval.unwrap_or((self.monitor_timeout / 3).max(ATTEMPT_MIN))
    }

    pub(crate) fn random(&self) -> Random {
        Random::new(self.rng_seed)
    }
}

/// What the kernel refuses to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KernelLimits {
    /// Nodes that may be up at once: each costs two buffers and a descriptor.
    pub links: usize,
    /// Bytes of one database entry, subkey and value: every global node holds every entry.
    pub entry_bytes: usize,
    /// Database entries that one node may own.
    pub entries: usize,
    /// Bytes of one request to another node, as
    /// [`OutboxLimits::message`](crate::outbox::OutboxLimits::message): a database travels in parts
    /// below this.
    pub message: usize,
}

impl KernelLimits {
    /// Bytes of an entry that also fits into a message.
    pub(crate) fn entry(&self) -> usize {
        self.entry_bytes.min(self.message / 2)
    }

    /// About how many bytes of a database travel in one message of several.
    pub(crate) fn part(&self) -> usize {
        self.message / 8
    }

    /// How many bytes of one family travel in one message: as many as fit, for a watch is told the
    /// more often the fewer these are.
    pub(crate) fn family_part(&self) -> usize {
        self.message / 2
    }
}

impl Default for KernelLimits {
    fn default() -> KernelLimits {
        KernelLimits {
            links: 4096,
            entry_bytes: 1 << 20,
            entries: 1_000_000,
            message: OutboxLimits::default().message,
        }
    }
}
