//! What a seed decides.

use std::time::Duration;

use aemp::Framing;
use aemp_sim::check::Bounds;
use aemp_sim::random::Random;
use serde::{Deserialize, Serialize};

/// The names of the nodes. Their order is not that of the numbers, so that seeds are not always the
/// lowest.
const NAMES: [&str; 5] = ["m", "c", "x", "a", "t"];

/// How late what happens in the library may stand in a history: a process may be stopped, and the
/// machine busy.
const LATE: Duration = Duration::from_secs(5);

/// A mistake of the programs themselves, to see whether the checkers notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
pub enum Sabotage {
    /// Some messages that have arrived are not handled.
    DropMessage,
    /// Some are handled twice.
    DoubleMessage,
    /// Some monitors that fire are not heard.
    ForgetFire,
    /// Some calls end twice.
    EndTwice,
    /// One frame vanishes between two nodes.
    DropFrame,
}

/// What is written between nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)] // the names say it
pub enum Wire {
    Native,
    Cbor,
    Json,
    /// Each node reads something else.
    Mixed,
}

/// Everything about the run of one seed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Plan {
    /// Where the rest comes from.
    pub seed: u64,
    /// How many nodes.
    pub nodes: usize,
    /// How many of them are seeds, and know each other.
    pub seeds: usize,
    /// Several threads in each node.
    pub threads: bool,
    /// What travels.
    pub wire: Wire,
    /// With TLS.
    pub tls: bool,
    /// Only seeds can be dialled: the others reach each other through them.
    pub relayed: bool,
    /// How long things go wrong.
    pub duration: Duration,
    /// The monitor timeout of all nodes.
    pub silence: Duration,
    /// Mean time between two faults; zero for none.
    pub faults: Duration,
    /// How long one lasts, at most.
    pub longest: Duration,
    /// Whether processes are killed, stopped and shut down.
    pub processes: bool,
    /// Mean time between two things that a port does.
    pub pace: Duration,
    /// Of a hundred monitors this many are set again by who hears of a loss.
    pub again: u32,
    /// From how many bytes on a message travels in parts.
    pub part: usize,
    /// Bytes in a mailbox above which ports that send to it wait.
    pub mailbox_high: usize,
    /// Local messages are encoded, too.
    pub encode: bool,
    /// A mistake that is built in.
    pub sabotage: Option<Sabotage>,
}

impl Plan {
    /// The plan of a seed. Seeds that follow each other try all combinations of runtime, framing,
    /// TLS and relays.
    pub fn of_seed(seed: u64, duration: Duration) -> Plan {
        let random = &mut Random::new(seed ^ 0x7047);
        let millis =
            |random: &mut Random, of: &[u64]| Duration::from_millis(*random.pick(of).unwrap_or(&100));
        let kind = seed % 32;
        let relayed = kind & 16 != 0;
        let nodes = random.within(if relayed { 3 } else { 2 }, 4);
        let calm = random.percent(6);
        Plan {
            seed,
            nodes,
            seeds: random.within(1, (nodes - 1).min(2)),
            threads: kind & 1 != 0,
            wire: [Wire::Native, Wire::Cbor, Wire::Json, Wire::Mixed][(kind / 2 % 4) as usize],
            tls: kind & 8 != 0,
            relayed,
            duration,
            silence: millis(random, &[2000, 3000]),
            faults: if calm { Duration::ZERO } else { millis(random, &[150, 400, 1000]) },
            longest: millis(random, &[500, 2000, 5000]),
            processes: random.percent(70),
            pace: millis(random, &[3, 10, 30]),
            again: *random.pick(&[0, 50, 100, 100]).unwrap_or(&100),
            part: *random.pick(&[2 << 10, 20 << 10, 512 << 10]).unwrap_or(&(512 << 10)),
            mailbox_high: *random.pick(&[4 << 10, 64 << 10, 8 << 20]).unwrap_or(&(8 << 20)),
            encode: random.percent(25),
            sabotage: None,
        }
    }

    /// The same with a mistake built in. One that is to be found in what flight recorders tell
    /// needs frames whose ends can be seen.
    #[must_use]
    pub fn with(mut self, sabotage: Option<Sabotage>) -> Plan {
        self.sabotage = sabotage;
        if sabotage == Some(Sabotage::DropFrame) {
            self.wire = if self.seed.is_multiple_of(2) { Wire::Native } else { Wire::Cbor };
            (self.tls, self.relayed, self.processes, self.faults) = (false, false, false, Duration::ZERO);
        }
        self
    }

    /// The ID of a node.
    pub fn name(&self, index: usize) -> &'static str {
        NAMES[index]
    }

    /// The framings that a node reads.
    pub fn framings(&self, index: usize) -> Vec<Framing> {
        match (self.wire, index % 3) {
            (Wire::Native, _) | (Wire::Mixed, 0) => Framing::ALL.to_vec(),
            (Wire::Cbor, _) | (Wire::Mixed, 1) => vec![Framing::Cbor, Framing::Json],
            (Wire::Json, _) | (Wire::Mixed, _) => vec![Framing::Json],
        }
    }

    /// Whether nobody can dial the node.
    pub fn is_private(&self, index: usize) -> bool {
        self.relayed && index >= self.seeds
    }

    /// The time from the last fault until all are connected as they should be, at most.
    pub fn heal(&self) -> Duration {
        self.silence + Duration::from_secs(5)
    }

    /// What the checkers may expect.
    pub fn bounds(&self) -> Bounds {
        Bounds {
            detect: self.silence.mul_f64(1.1) + LATE,
            heal: self.heal(),
            pressure: None,
            one_thread: !self.threads,
            outside: Some(LATE + self.longest),
        }
    }
}

impl std::fmt::Display for Plan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let threads = if self.threads { "multi_thread" } else { "current_thread" };
        let tls = if self.tls { ", TLS" } else { "" };
        let relayed = if self.relayed { ", relayed" } else { "" };
        write!(
            f,
            "{} nodes, {threads}, {:?}{tls}{relayed}, a fault each {:?}",
            self.nodes, self.wire, self.faults
        )
    }
}
