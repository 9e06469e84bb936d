//! The workloads and the systems: what runs where, how often, and in which unit it is told.

/// What is measured.
pub(crate) struct Workload {
    pub(crate) name: &'static str,
    pub(crate) group: Group,
    pub(crate) title: &'static str,
    pub(crate) unit: &'static str,
    /// How often it does its thing.
    pub(crate) count: u64,
    /// Whether less is better.
    pub(crate) less: bool,
    /// What else of a run belongs into the table.
    pub(crate) beside: &'static [&'static str],
}

/// Which table a workload stands in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Group {
    Local,
    Remote,
    Routes,
    Large,
    Latency,
    Costs,
}

impl Group {
    /// All of them, in the order of the tables.
    pub(crate) const ALL: [Group; 6] =
        [Group::Local, Group::Remote, Group::Routes, Group::Large, Group::Latency, Group::Costs];

    pub(crate) fn title(self) -> &'static str {
        match self {
            Group::Local => "Inside of a process",
            Group::Remote => "Between two processes",
            Group::Routes => "Kinds of messages, framings, TLS",
            Group::Large => "Many ports, monitors and entries",
            Group::Latency => "Latency",
            Group::Costs => "Start and idleness",
        }
    }
}

const LATENCY: &[&str] = &["p50_us", "p999_us"];

/// A workload of which the figure is to be high.
const fn more(
    group: Group,
    name: &'static str,
    title: &'static str,
    unit: &'static str,
    count: u64,
) -> Workload {
    Workload { name, group, title, unit, count, less: false, beside: &[] }
}

const fn messages(group: Group, name: &'static str, title: &'static str, count: u64) -> Workload {
    more(group, name, title, "messages/s", count)
}

const fn trips(group: Group, name: &'static str, title: &'static str, count: u64) -> Workload {
    more(group, name, title, "round trips/s", count)
}

const fn megabytes(group: Group, name: &'static str, title: &'static str, count: u64) -> Workload {
    more(group, name, title, "MB/s", count)
}

impl Workload {
    const fn less(self) -> Workload {
        Workload { less: true, ..self }
    }

    const fn beside(self, beside: &'static [&'static str]) -> Workload {
        Workload { beside, ..self }
    }
}

/// All workloads, in the order in which they run.
pub(crate) const WORKLOADS: &[Workload] = &[
    messages(Group::Local, "l1", "one producer to one port", 5_000_000),
    messages(Group::Local, "l1x4", "four producers to one port", 5_000_000),
    messages(Group::Local, "l1pairs", "a thousand producers, each to its own port", 5_000_000),
    trips(Group::Local, "l2", "ping-pong, one pair", 1_000_000),
    trips(Group::Local, "l2pairs", "ping-pong, a thousand pairs", 2_000_000),
    more(Group::Local, "l3", "create and kill 10,000 ports, again and again", "ports/s", 500_000),
    more(Group::Local, "l3mem", "an idle port", "bytes", 500_000).less(),
    more(Group::Local, "l4", "call and answer, one after another", "calls/s", 500_000),
    messages(Group::Local, "fan10k", "one message to 10,000 ports, again and again", 5_000_000),
    messages(Group::Remote, "r1", "small messages one way", 2_000_000),
    trips(Group::Remote, "r2", "round trips, one at a time", 50_000).beside(&["p50_us", "p99_us", "p999_us"]),
    messages(Group::Remote, "r1k", "a thousand senders to a thousand ports there", 2_000_000),
    megabytes(Group::Remote, "w16", "messages of 16 bytes, acknowledged", 1_000_000),
    megabytes(Group::Remote, "w256", "messages of 256 bytes", 1_000_000),
    megabytes(Group::Remote, "w4k", "messages of 4 KiB", 200_000),
    megabytes(Group::Remote, "r3", "messages of 64 KiB", 32_768),
    megabytes(Group::Remote, "w1m", "messages of 1 MiB", 1024),
    megabytes(Group::Remote, "w16m", "messages of 16 MiB", 64),
    messages(Group::Remote, "fan100", "one message to a hundred nodes of the same process", 1_000_000),
    messages(Group::Routes, "k-typed", "local, typed, moved", 2_000_000),
    messages(Group::Routes, "k-typed-encoded", "local, typed, encoded", 1_000_000),
    messages(Group::Routes, "k-tagged", "local, a tuple to tagged handlers", 1_000_000),
    messages(Group::Routes, "k-tagged-encoded", "the same, always encoded", 1_000_000),
    messages(Group::Routes, "k-untyped", "local, untyped, moved", 1_000_000),
    messages(Group::Routes, "k-untyped-encoded", "local, untyped, encoded", 1_000_000),
    messages(Group::Routes, "f-cbor", "small messages to a peer that knows CBOR", 1_000_000),
    messages(Group::Routes, "f-json", "small messages to a peer that knows JSON", 1_000_000),
    messages(Group::Routes, "f-tls", "small messages through TLS", 1_000_000),
    trips(Group::Routes, "f-tls-trips", "round trips through TLS", 20_000).beside(LATENCY),
    megabytes(Group::Routes, "f-cbor64k", "messages of 64 KiB in CBOR", 16_384),
    megabytes(Group::Routes, "f-json64k", "messages of 64 KiB in JSON", 2048),
    megabytes(Group::Routes, "f-tls64k", "messages of 64 KiB through TLS", 16_384),
    more(
        Group::Large,
        "monitors",
        "monitors set, and fired by the death of a thousand ports",
        "monitors/s",
        1_000_000,
    )
    .beside(&["set_per_s", "fired_per_s", "dropped_per_s", "bytes_each"]),
    more(Group::Large, "db", "entries set in one process and watched in another", "entries/s", 500_000)
        .beside(&["events", "bytes_each_here", "bytes_each_there"]),
    latency("lat10", "round trips at 10 % of the highest rate, p99"),
    latency("lat50", "round trips at 50 % of the highest rate, p99"),
    latency("lat90", "round trips at 90 % of the highest rate, p99"),
    latency("lat-large", "round trips while messages of 16 MiB use the same connection, p99"),
    latency("lat-slow", "round trips to a node of which another port is always busy, p99"),
    latency("fair", "local round trips beside a port that is always busy, p99"),
    more(Group::Costs, "start", "from the start of a process until its node is ready", "ms", 20).less(),
    more(Group::Costs, "dial", "from nothing to the first answer of another node", "ms", 50)
        .less()
        .beside(LATENCY),
    more(Group::Costs, "idle", "an idle node with one connection", "CPU s/hour", 30)
        .less()
        .beside(&["wakeups_per_min", "rss_mb"]),
];

/// A workload of two seconds that is about time.
const fn latency(name: &'static str, title: &'static str) -> Workload {
    more(Group::Latency, name, title, "us", 2000).less().beside(&["p50_us", "p999_us", "per_s"])
}

/// Messages of a workload that is about their size.
pub(crate) struct Payload {
    pub(crate) bytes: usize,
    /// At most this many are under way: 64 MiB, and not too many small ones.
    pub(crate) window: u64,
    /// The far end acknowledges every this many.
    pub(crate) every: u64,
}

/// The messages of this workload, if it is about their size.
pub(crate) fn payload(workload: &str) -> Option<Payload> {
    let bytes: usize = match workload {
        "w16" => 16,
        "w256" => 256,
        "w4k" => 4 << 10,
        "r3" | "f-json64k" | "f-cbor64k" | "f-tls64k" => 64 << 10,
        "w1m" => 1 << 20,
        "w16m" => 16 << 20,
        _ => return None,
    };
    let window = ((64 << 20) / bytes as u64).min(16 << 10);
    Some(Payload { bytes, window, every: window / 4 })
}

/// What is measured on.
pub(crate) struct System {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) runner: Runner,
    /// The workloads that it runs; all if empty.
    pub(crate) runs: &'static [&'static str],
    /// Divides the counts of workloads that would take it too long.
    slow: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// aemp.
    Ours,
    /// A channel, or a socket with channels; the better one of the two runtimes counts.
    Floor,
    /// A socket alone; where there is one, it is what aemp is compared with.
    Raw,
    /// Another framework.
    Peer,
}

/// Which program runs a system.
#[derive(Clone, Copy)]
pub(crate) enum Runner {
    /// This one.
    Own,
    /// A package of `bench/peers`.
    Package(&'static str),
    /// `erl`, if it is installed.
    Erlang,
}

const FLOORS: &[&str] = &[
    "l1", "l1x4", "l1pairs", "l2", "l2pairs", "l3", "l3mem", "l4", "fan10k", "r1", "r2", "r1k", "w16",
    "w256", "w4k", "r3", "w1m", "w16m",
];

/// Where a socket alone can do the same.
const RAWS: &[&str] = &["r2", "r3", "w1m", "w16m"];

const LOCAL: &[&str] = &["l1", "l1x4", "l1pairs", "l2", "l2pairs", "l3", "l3mem", "l4"];
const REMOTE: &[&str] = &["r1", "r2", "r3"];

const fn own(name: &'static str, kind: Kind, runs: &'static [&'static str]) -> System {
    System { name, kind, runner: Runner::Own, runs, slow: 1 }
}

const fn peer(name: &'static str, package: &'static str, runs: &'static [&'static str]) -> System {
    System { name, kind: Kind::Peer, runner: Runner::Package(package), runs, slow: 1 }
}

/// All systems, in the order in which they run; another one begins in each round. `-ct` is the
/// current-thread runtime.
pub(crate) const SYSTEMS: &[System] = &[
    own("aemp", Kind::Ours, &[]),
    own("floor", Kind::Floor, FLOORS),
    own("aemp-ct", Kind::Ours, &[]),
    own("floor-ct", Kind::Floor, FLOORS),
    own("raw", Kind::Raw, RAWS),
    own("raw-ct", Kind::Raw, RAWS),
    peer("actix", "actix", LOCAL),
    peer("actix-1", "actix", &["l1", "l1x4", "l1pairs", "l2pairs"]),
    peer("xtra", "xtra", LOCAL).slow(5),
    peer("xtra-ct", "xtra", LOCAL).slow(5),
    peer("ractor", "ractor", LOCAL).slow(5),
    peer("ractor-ct", "ractor", LOCAL).slow(5),
    peer("kameo", "kameo", LOCAL).slow(5),
    peer("kameo-ct", "kameo", LOCAL).slow(5),
    peer("kameo-bounded", "kameo", LOCAL).slow(5),
    peer("coerce", "coerce", LOCAL).slow(5),
    peer("coerce-ct", "coerce", LOCAL).slow(5),
    peer("ractor_cluster", "ractor-cluster", REMOTE).slow(2),
    peer("ractor_cluster-ct", "ractor-cluster", REMOTE).slow(2),
    peer("nats", "nats", REMOTE).slow(2),
    peer("nats-ct", "nats", REMOTE).slow(2),
    System { name: "erlang", kind: Kind::Peer, runner: Runner::Erlang, runs: ERLANG, slow: 1 },
    System { name: "erlang-raw", kind: Kind::Peer, runner: Runner::Erlang, runs: &["l4"], slow: 1 },
];

const ERLANG: &[&str] = &["l1", "l1x4", "l1pairs", "l2", "l2pairs", "l3", "l3mem", "l4", "r1", "r2", "r3"];

/// The workloads of which slow systems do less: creating actors, and large messages.
const SLOW: [&str; 2] = ["l3", "r3"];

impl System {
    const fn slow(self, slow: u64) -> System {
        System { slow, ..self }
    }

    /// How often it does what a workload does.
    pub(crate) fn count(&self, workload: &Workload) -> u64 {
        if SLOW.contains(&workload.name) { workload.count / self.slow } else { workload.count }
    }

    pub(crate) fn has(&self, workload: &str) -> bool {
        self.runs.is_empty() || self.runs.contains(&workload)
    }
}

/// Both lists, to be read.
pub(crate) fn list() -> String {
    let mut out = String::new();
    for group in Group::ALL {
        out += &format!("{}\n", group.title());
        for Workload { name, title, unit, count, .. } in WORKLOADS.iter().filter(|work| work.group == group) {
            out += &format!("  {name:16} {title} ({unit}, {count} times)\n");
        }
    }
    out += "Systems\n";
    for System { name, runs, .. } in SYSTEMS {
        let runs = if runs.is_empty() { "all".into() } else { runs.join(" ") };
        out += &format!("  {name:18} {runs}\n");
    }
    out
}
