//! Everything that can be turned in a run, in one place.

use std::time::Duration;

pub use aemp_ports::MailboxLimits;
use aemp_proto::Framing;
use aemp_proto::outbox::OutboxLimits;
use aemp_proto::relay::RelayLimits;

use crate::random::Random;

/// The settings of a run. [`Options::of_seed`] draws them, so that every seed is another mixture.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where all randomness comes from.
    pub seed: u64,
    /// How many nodes.
    pub nodes: usize,
    /// How many of them are seeds for all.
    pub seeds: usize,
    /// How many of these an ordinary node is told.
    pub seeds_told: usize,
    /// Whether the seeds are not told of each other, so that only other nodes can bring them
    /// together.
    pub seeds_apart: bool,
    /// How long the work and the faults last.
    pub duration: Duration,
    /// The limit of silence of each node.
    pub monitor_timeouts: Vec<Duration>,
    /// The framings of each node, best first.
    pub framings: Vec<Vec<Framing>>,
    /// The network.
    pub net: NetOptions,
    /// What goes wrong, and how often.
    pub faults: FaultOptions,
    /// What the nodes do.
    pub work: WorkOptions,
    /// Which nodes say that they read messages in parts.
    pub parts: Vec<bool>,
    /// Which nodes nobody can dial; seeds never.
    pub private: Vec<bool>,
    /// What nodes carry for others.
    pub relay: RelayLimits,
    /// The limits of every outbox.
    pub outbox: OutboxLimits,
    /// Above this backlog of a node, in bytes, ports that send to it wait.
    pub high_water: usize,
    /// The limits of every mailbox.
    pub mailbox: MailboxLimits,
    /// How long an event may lie before the kernel sees it.
    pub driver_delay: Duration,
    /// How long a monitor's callback may wait for its turn.
    pub callback_delay: Duration,
    /// A bug that is built in, to see whether the checkers notice.
    pub sabotage: Option<Sabotage>,
    /// Keep a history; without one nothing can be checked, and a large network fits into memory.
    pub history: bool,
    /// Say on standard error what happens.
    pub trace: bool,
}

/// One that overflows.
const SMALL: MailboxLimits = MailboxLimits { high: 800, most: 4400 };

/// The most bytes of a message for a small mailbox, beside what all messages have.
const SHORT: usize = 10;

/// The least that a message counts in a small mailbox: one that was moved.
pub(crate) const LEAST: usize = 56;

/// The most that it does: one that has come from another node.
pub(crate) const MOST: usize = 84;

/// Mostly so that nothing overflows, sometimes so small that what comes from elsewhere does.
fn mailbox(random: &mut Random) -> MailboxLimits {
    if random.percent(25) { SMALL } else { MailboxLimits::NONE }
}

/// How the network behaves when nothing is wrong.
#[derive(Debug, Clone)]
pub struct NetOptions {
    /// The longest time that bytes are under way.
    pub latency: Duration,
    /// The most bytes that arrive at once.
    pub chunk: usize,
    /// Bytes that fit between two processes until the writer has to wait.
    pub buffer: usize,
}

/// Mean times between two faults of a kind in the whole network; zero means never.
#[derive(Debug, Clone, Default)]
#[allow(missing_docs)] // the names say it
pub struct FaultOptions {
    pub reset: Duration,
    pub cut: Duration,
    pub crash: Duration,
    pub shutdown: Duration,
    pub pause: Duration,
    pub stall: Duration,
    /// The longest that a cut, pause or stall lasts.
    pub longest: Duration,
    /// Of a hundred cuts this many are in one direction only.
    pub one_direction: u32,
    /// Of a hundred crashes this many take the host with them, so that nobody is told.
    pub ghosts: u32,
}

/// What the nodes do.
#[derive(Debug, Clone)]
pub struct WorkOptions {
    /// Mean time between two things that somebody does.
    pub pause: Duration,
    /// Pairs of ports with a steady stream of messages.
    pub flows: usize,
    /// The longest that a slow port takes for one message.
    pub slow: Duration,
    /// Of a hundred ports this many are slow.
    pub slow_ports: u32,
    /// The most bytes of a message.
    pub payload: usize,
    /// Of a hundred messages this many have no form as JSON.
    pub odd: u32,
    /// Of a hundred ports this many are async.
    pub tasks: u32,
    /// Of a hundred things done this many concern the database.
    pub database: u32,
    /// Of a hundred monitors this many are set again when they tell of a loss, and something is
    /// sent at once.
    pub monitor_again: u32,
}

/// A bug in the layer that the simulator adds to the protocol crate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // the names say it
pub enum Sabotage {
    DropMessage,
    DoubleMessage,
    SwapMessages,
    AlterMessage,
    InventMessage,
    /// A port is open again as soon as its monitors are queued.
    NoGate,
    /// A gate stays closed though everybody has been told.
    KeepGate,
    /// A port that is to die and does not hear of a loss does not keep the gate closed.
    OpenForDying,
    /// What is held at a gate is dropped.
    DropHeld,
    LoseFire,
    FireTwice,
    FireWithdrawn,
    WrongReason,
    /// What a closed connection still brings is delivered.
    LateFrames,
    /// A node that was restarted takes messages for the ports of its former run.
    OldIncarnation,
    DeliverToDead,
    InitTwice,
    InitUnknown,
    ReusePort,
    /// Nobody is told that a connection is lost.
    HideDown,
    ForgetSet,
    ForgetDelete,
    HideWatchEvent,
    AnswerTwice,
    /// The other node's monitors are kept when its connection is lost.
    KeepWatchers,
    /// What one port sends to others overtakes what it sent before.
    Overtake,
    /// A port lives on when one dies that it is linked to.
    LoseLink,
    /// The limit of a call never comes.
    EndlessCall,
    /// A call that is over is answered.
    LateAnswer,
    /// The news of a death overtakes the last messages.
    NewsFirst,
    /// Of several receivers that are behind, a port waits for the last one alone.
    OneReceiver,
    /// Ports that wait for a node go on waiting when it has caught up.
    ForgetWaiting,
    /// A node is down before the callbacks of its monitors have run.
    DownFirst,
    /// What the other node cannot read is sent all the same.
    Unchecked,
    /// A connection is closed with bytes that nobody has read, which resets it.
    ResetAtEnd,
    /// The gate of a port opens when the news lies there for a task, not when the task knows.
    WaitWithoutGate,
    /// Nobody introduces seeds to each other that were not told of each other.
    NoIntroduction,
    /// A frame is read and given to nobody.
    DropFrame,
}

impl Sabotage {
    /// All of them.
    pub const ALL: [Sabotage; 38] = [
        Sabotage::DropMessage,
        Sabotage::DoubleMessage,
        Sabotage::SwapMessages,
        Sabotage::AlterMessage,
        Sabotage::InventMessage,
        Sabotage::NoGate,
        Sabotage::KeepGate,
        Sabotage::OpenForDying,
        Sabotage::DropHeld,
        Sabotage::LoseFire,
        Sabotage::FireTwice,
        Sabotage::FireWithdrawn,
        Sabotage::WrongReason,
        Sabotage::LateFrames,
        Sabotage::OldIncarnation,
        Sabotage::DeliverToDead,
        Sabotage::InitTwice,
        Sabotage::InitUnknown,
        Sabotage::ReusePort,
        Sabotage::HideDown,
        Sabotage::ForgetSet,
        Sabotage::ForgetDelete,
        Sabotage::HideWatchEvent,
        Sabotage::AnswerTwice,
        Sabotage::KeepWatchers,
        Sabotage::Overtake,
        Sabotage::LoseLink,
        Sabotage::EndlessCall,
        Sabotage::LateAnswer,
        Sabotage::NewsFirst,
        Sabotage::OneReceiver,
        Sabotage::ForgetWaiting,
        Sabotage::DownFirst,
        Sabotage::Unchecked,
        Sabotage::ResetAtEnd,
        Sabotage::WaitWithoutGate,
        Sabotage::NoIntroduction,
        Sabotage::DropFrame,
    ];
}

impl Options {
    /// The mixture of this seed: some faults often, some never, and sometimes none at all.
    pub fn of_seed(seed: u64) -> Options {
        let random = &mut Random::new(seed ^ 0x5eed);
        let nodes = random.within(2, 9);
        let seconds = |random: &mut Random, of: &[u64]| Duration::from_secs(*random.pick(of).unwrap_or(&4));
        let uniform = random.percent(50).then(|| seconds(random, &[2, 4, 8]));
        let timeouts: Vec<Duration> =
            (0..nodes).map(|_| uniform.unwrap_or_else(|| seconds(random, &[2, 4, 8]))).collect();
        let mixed = random.percent(30);
        let shortest = *timeouts.iter().min().unwrap_or(&Duration::ZERO);
        let net = NetOptions::draw(random, shortest);
        let mut work = WorkOptions::draw(random);
        // Small pieces make a narrow network; what is sent must fit through in the end.
        work.payload = work.payload.min(net.chunk * 2);
        let mut options = Options {
            seed,
            nodes,
            seeds: random.within(1, nodes.min(3)),
            seeds_told: usize::MAX,
            seeds_apart: false,
            duration: Duration::from_secs(random.within(10, 30) as u64),
            monitor_timeouts: timeouts,
            parts: vec![true; nodes],
            private: vec![false; nodes],
            relay: RelayLimits::default(),
            framings: (0..nodes).map(|_| framings(random, mixed)).collect(),
            net,
            faults: FaultOptions::draw(random),
            work,
            outbox: outbox(random),
            high_water: usize::MAX,
            mailbox: mailbox(random),
            driver_delay: Duration::from_micros(*random.pick(&[0, 50, 2000]).unwrap_or(&0)),
            callback_delay: Duration::from_millis(*random.pick(&[0, 0, 5, 200]).unwrap_or(&0)),
            sabotage: None,
            history: true,
            trace: false,
        };
        options.hide_some(random, shortest);
        options.cut_some(random);
        // Somebody else must be there to know them both.
        options.seeds_apart = options.seeds < nodes && random.percent(30);
        if options.mailbox.most < usize::MAX {
            options.work.payload = options.work.payload.min(SHORT);
            // Where all are quick nothing overflows.
            options.work.slow = options.work.slow.max(Duration::from_millis(20));
            options.work.slow_ports = options.work.slow_ports.max(30);
        }
        options.work.monitor_again = *random.pick(&[0, 30, 100]).unwrap_or(&30);
        options.high_water = *random.pick(&[1 << 10, 8 << 10, usize::MAX]).unwrap_or(&usize::MAX);
        options
    }

    /// In most networks parts are so short that many messages need them, and in some not all nodes
    /// read parts.
    fn cut_some(&mut self, random: &mut Random) {
        let whole = OutboxLimits::default().part;
        // Each part has a head, what is held counts for more than it has bytes, and what is sent
        // must fit through in the end.
        let narrow = self.net.chunk < 300 || self.net.buffer < 16_384;
        let tight = self.outbox.connected < OutboxLimits::default().connected;
        let short = if tight { 400 } else { 100 };
        let parts = if narrow || tight { [short, short, whole] } else { [20, 100, whole] };
        self.outbox.part = *random.pick(&parts).unwrap_or(&whole);
        if random.percent(30) {
            for parts in &mut self.parts {
                *parts = random.percent(60);
            }
        }
    }

    /// In some networks some nodes cannot be dialled.
    fn hide_some(&mut self, random: &mut Random, shortest: Duration) {
        if !random.percent(40) {
            return;
        }
        for private in &mut self.private[self.seeds..] {
            *private = random.percent(60);
        }
        // No smaller: what waits when the faults end has to get through in the time that is left.
        self.relay.window = *random.pick(&[8 << 10, 32 << 10, 128 << 10]).unwrap_or(&(8 << 10));
        // A connection to the relay may have to come first, and the handshake then takes twice
        // the way.
        self.net.latency = self.net.latency.min(shortest / 90);
    }

    /// Without any fault.
    pub fn calm(mut self) -> Options {
        self.faults = FaultOptions::default();
        self.mailbox = MailboxLimits::NONE;
        self.outbox = OutboxLimits::default().part(self.outbox.part);
        self
    }

    /// The longest limit of silence of all nodes.
    pub fn longest_timeout(&self) -> Duration {
        self.monitor_timeouts.iter().copied().max().unwrap_or_default()
    }
}

fn framings(random: &mut Random, mixed: bool) -> Vec<Framing> {
    if !mixed {
        return Framing::ALL.to_vec();
    }
    match random.below(3) {
        0 => Framing::ALL.to_vec(),
        1 => vec![Framing::Cbor, Framing::Json],
        _ => vec![Framing::Json],
    }
}

/// Mostly so that nothing overflows, sometimes so small that it does.
fn outbox(random: &mut Random) -> OutboxLimits {
    match random.percent(25) {
        true => OutboxLimits::default().connected(48 << 10).waiting(12 << 10).message(8 << 10),
        false => OutboxLimits::default(),
    }
}

impl NetOptions {
    fn draw(random: &mut Random, shortest: Duration) -> NetOptions {
        let mut latency = Duration::from_micros(*random.pick(&[200, 2000, 20_000, 150_000]).unwrap_or(&200));
        // A handshake takes five times the latency, and an attempt to connect a third of the limit
        // of silence at most.
        latency = latency.min(shortest / 30);
        let mut buffer = *random.pick(&[2048, 16_384, 262_144]).unwrap_or(&16_384);
        if latency > Duration::from_millis(10) {
            buffer = buffer.max(65_536); // less would let hardly anything through
        }
        NetOptions { latency, chunk: *random.pick(&[40, 300, 4096, 65_536]).unwrap_or(&4096), buffer }
    }
}

impl FaultOptions {
    fn draw(random: &mut Random) -> FaultOptions {
        let mut faults = FaultOptions {
            longest: Duration::from_secs(random.within(1, 12) as u64),
            one_direction: *random.pick(&[0, 30, 100]).unwrap_or(&0),
            ghosts: *random.pick(&[0, 50]).unwrap_or(&0),
            ..FaultOptions::default()
        };
        if random.percent(12) {
            return faults;
        }
        let kinds = [
            &mut faults.reset,
            &mut faults.cut,
            &mut faults.crash,
            &mut faults.shutdown,
            &mut faults.pause,
            &mut faults.stall,
        ];
        for mean in kinds {
            if random.percent(60) {
                *mean = Duration::from_millis(*random.pick(&[800, 3000, 10_000]).unwrap_or(&3000));
            }
        }
        faults
    }
}

impl WorkOptions {
    fn draw(random: &mut Random) -> WorkOptions {
        WorkOptions {
            pause: Duration::from_millis(*random.pick(&[10, 30, 100]).unwrap_or(&30)),
            flows: random.within(1, 4),
            slow: Duration::from_millis(*random.pick(&[0, 20, 300]).unwrap_or(&20)),
            slow_ports: *random.pick(&[0, 30, 70]).unwrap_or(&30),
            odd: *random.pick(&[0, 2]).unwrap_or(&0),
            tasks: *random.pick(&[0, 30]).unwrap_or(&0),
            payload: *random.pick(&[10, 100, 2000]).unwrap_or(&100),
            database: *random.pick(&[0, 20, 50]).unwrap_or(&20),
            monitor_again: 0,
        }
    }
}
