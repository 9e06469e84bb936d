//! One run of one node: the real machines of the protocol crate, and around them a small model of
//! what the library does.
//!
//! | file | what |
//! |---|---|
//! | `driver` | the loop around the kernel |
//! | `link`, `frames` | one connection: handshake, bytes out and in, signs of life |
//! | `links` | all of them, and which need a look |
//! | `carry` | connections that another node carries, or this one for others |
//! | `requests` | what other nodes ask |
//! | `host` | what its ports, which are the real ones, ask of it and tell it |
//! | `ports` | what it does with its ports, and hears of them |
//! | `habit` | what its ports are like |
//! | `tasks` | the code of async ports |
//! | `handle` | what the code of its ports does |
//! | `monitors`, `linked` | where monitors are set, what they do, and when they fire |
//! | `stop` | how it is shut down |
//! | `calls` | calls, and tasks that wait for a death |
//! | `verbs` | what programs do: send, kill, spawn, use the database |

mod calls;
mod driver;
mod frames;
mod habit;
mod handle;
mod host;
mod link;
mod linked;
mod links;
mod monitors;
mod ports;
mod relay;
mod requests;
mod stop;
mod tasks;
mod verbs;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::Ipv4Addr;
use std::sync::{Arc, Weak};

use aemp_ports::PortNo;
use aemp_proto::kernel::{Kernel, KernelConfig, LinkId, Time};
use aemp_proto::link::LinkConfig;
use aemp_proto::name::random_head;
use aemp_proto::outbox::Outbox;
use aemp_proto::relay::{EndId, Relay};
use aemp_proto::wire::request::Family;
use aemp_proto::{Home, NodeId, PortId};

use crate::cx::{Cx, Happening};
use crate::history::Event;
use driver::Told;
pub(crate) use host::PortHost;
use links::Links;
use monitors::{SimMonitor, Watch};
use ports::Ports;
pub(crate) use stop::LOOK;
pub(crate) use verbs::FLOOD;

/// The functions that every node has registered: one that works, one that fails, one that sets no
/// receiver.
pub(crate) const FUNCTIONS: [&str; 3] = ["sim::port", "sim::fails", "sim::nothing"];

/// The address of host number 0.
const FIRST_HOST: u32 = Ipv4Addr::new(10, 0, 0, 1).to_bits();

/// What all nodes know.
const SECRET: &[u8] = b"a secret of the simulation";

/// What a run of a node is started with.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) index: usize,
    pub(crate) inc: u64,
    /// The nodes that are seeds.
    pub(crate) seeds: Vec<usize>,
}

/// Another node as this one sees it.
struct Remote {
    outbox: Outbox<SimMonitor>,
    /// What the other one monitors here, by the link that it asked over.
    watching: Watching,
    /// Names for ports that are spawned there.
    spawned: Arc<Home>,
}

#[derive(Default)]
struct Watching {
    link: Option<LinkId>,
    ports: BTreeSet<PortNo>,
}

/// One run of one node.
pub(crate) struct Node {
    pub(crate) index: usize,
    pub(crate) inc: u64,
    pub(crate) id: NodeId,
    name: String,
    kernel: Kernel,
    shared: Arc<LinkConfig>,
    /// Events that the kernel has not seen yet.
    told: VecDeque<Told>,
    driving: bool,
    dialling: BTreeSet<LinkId>,
    links: Links,
    accepted: u64,
    relay: Relay,
    /// The links that are carried.
    ends: BTreeMap<EndId, LinkId>,
    /// What the relay wants is being done.
    relaying: bool,
    /// Of every established link: the connection, and the run of the peer.
    conns: BTreeMap<LinkId, (u64, u64)>,
    remotes: BTreeMap<NodeId, Remote>,
    ports: Ports,
    /// Events about nodes that wait until callbacks of their monitors have run.
    news: VecDeque<(NodeId, Event)>,
    /// Of each node that was lost, what lives until the callbacks for that have run.
    telling: BTreeMap<NodeId, Vec<Weak<dyn Send + Sync>>>,
    /// Monitors that tasks wait for, and in whose name they do.
    waits: BTreeMap<u64, PortId>,
    /// What is going to run outside of any port.
    later: BTreeMap<u64, calls::Later>,
    /// Monitors that are set.
    monitors: BTreeMap<u64, Watch>,
    /// Those among them that kill.
    linked: BTreeMap<u64, linked::Linked>,
    /// What is known of each watched family.
    watches: BTreeMap<u64, Family>,
    queries: BTreeMap<u64, crate::history::Kind>,
    wake: Option<Time>,
    stopping: Option<stop::Stopping>,
}

/// The ID of the node with this number. The order of names is not that of numbers, so that seeds
/// are not always the lowest.
pub(crate) fn node_id(index: usize) -> NodeId {
    const NAMES: [&str; 9] = ["m", "c", "x", "a", "t", "h", "z", "e", "q"];
    let name = NAMES.get(index).map_or_else(|| format!("n{index}"), ToString::to_string);
    NodeId::new(&name).expect("letters and digits are a node ID")
}

/// Where the node with this number listens.
pub(crate) fn address(index: usize) -> String {
    format!("{}:4040", host(index))
}

/// The address of the host with this number.
fn host(index: usize) -> Ipv4Addr {
    Ipv4Addr::from_bits(FIRST_HOST + index as u32)
}

/// The number of the node that listens there.
fn index_of(address: &str) -> Option<usize> {
    let host: Ipv4Addr = address.split_once(':')?.0.parse().ok()?;
    host.to_bits().checked_sub(FIRST_HOST).map(|index| index as usize)
}

impl Node {
    /// Begins a run.
    pub(crate) fn start(plan: Plan, cx: &mut Cx) -> Node {
        let id = node_id(plan.index);
        let inc = plan.inc;
        let timeout = cx.options.monitor_timeouts[plan.index];
        let mut config = KernelConfig::new(id.clone());
        let private = cx.options.private[plan.index];
        config.binds = if private { Vec::new() } else { vec![address(plan.index)] };
        config.seeds = plan.seeds.iter().map(|seed| address(*seed)).collect();
        config.monitor_timeout = timeout;
        config.rng_seed = cx.random.bits();
        config.limits.message = cx.options.outbox.message;
        let incarnation = (u128::from(cx.random.bits()) << 64) | u128::from(inc);
        let mut shared = LinkConfig::with_secret(id.clone(), incarnation, SECRET);
        shared.monitor_timeout = timeout;
        shared.framings.clone_from(&cx.options.framings[plan.index]);
        shared.parts = cx.options.parts[plan.index];
        let head = random_head(cx.random.bytes());
        let host = PortHost::new(Home::new(id.clone(), &head), cx.reference, cx.options.mailbox);
        cx.record(
            id.as_str(),
            inc,
            Event::Start {
                global: config.global,
                seeds: plan.seeds.iter().map(|seed| node_id(*seed).to_string()).collect(),
                functions: FUNCTIONS.map(String::from).to_vec(),
                address: config.binds.first().cloned().unwrap_or_default(),
            },
        );
        let mut node = Node {
            index: plan.index,
            inc,
            name: id.to_string(),
            kernel: Kernel::new(config, cx.now),
            shared: Arc::new(shared),
            told: VecDeque::new(),
            driving: false,
            dialling: BTreeSet::new(),
            links: Links::default(),
            accepted: 0,
            relay: Relay::new(id.clone(), true, cx.options.relay),
            ends: BTreeMap::new(),
            relaying: false,
            conns: BTreeMap::new(),
            remotes: BTreeMap::new(),
            ports: Ports::new(host),
            news: VecDeque::new(),
            telling: BTreeMap::new(),
            waits: BTreeMap::new(),
            later: BTreeMap::new(),
            monitors: BTreeMap::new(),
            linked: BTreeMap::new(),
            watches: BTreeMap::new(),
            queries: BTreeMap::new(),
            wake: None,
            stopping: None,
            id,
        };
        node.act(cx);
        node.settle(cx);
        node
    }

    /// The run is over, whether by an end or by a crash.
    pub(crate) fn stop(self, cx: &mut Cx) {
        cx.record(&self.name, self.inc, Event::Stop);
    }

    /// A timer may be due.
    pub(crate) fn wake(&mut self, cx: &mut Cx) {
        if self.wake.is_none_or(|wake| wake > cx.now) {
            return; // an earlier one was set in the meantime
        }
        self.wake = None;
        if self.kernel.next_timeout().is_some_and(|at| at <= cx.now) {
            self.input(aemp_proto::kernel::Input::Tick, cx);
        }
        self.pulses(cx);
        self.settle(cx);
    }

    /// After every step: what was queued is written, and the next timer is set.
    pub(crate) fn settle(&mut self, cx: &mut Cx) {
        self.flush_all(cx);
        self.relieve(cx);
        let next = self.kernel.next_timeout().into_iter().chain(self.links.next_due()).min();
        let Some(next) = next.filter(|next| *next < Time::MAX) else { return };
        if self.wake.is_none_or(|wake| next < wake) {
            let next = next.max(cx.now);
            self.wake = Some(next);
            cx.at(next, Happening::Wake(self.index, self.inc));
        }
    }

    /// Writes down what is kept for other nodes.
    pub(crate) fn tables(&self, cx: &mut Cx) {
        for (peer, remote) in &self.remotes {
            let watching = remote.watching.ports.iter().map(|number| self.ports.id(*number).to_string());
            let watching = watching.collect();
            let targets = self.monitors.values().filter(|watch| {
                let target = &watch.monitor.target;
                watch.is_armed() && target.node() == peer && !target.is_node()
            });
            let watched: BTreeSet<String> = targets.map(|watch| watch.monitor.target.to_string()).collect();
            let watched = watched.into_iter().collect();
            let gated = remote.outbox.gated_ports();
            let peer = peer.to_string();
            cx.record(&self.name, self.inc, Event::Tables { peer, watched, watching, gated });
        }
    }

    fn remote(&mut self, node: &NodeId, cx: &mut Cx) -> &mut Remote {
        let remote = self.remotes.entry(node.clone()).or_insert_with(|| Remote {
            outbox: Outbox::new(node.clone(), cx.options.outbox),
            watching: Watching::default(),
            spawned: Home::new(node.clone(), &random_head(cx.random.bytes())),
        });
        if let Some(link) = remote.outbox.link() {
            self.links.touch(link);
        }
        remote
    }

    /// Whether nothing waits here to be handled or to be sent.
    pub(crate) fn is_idle(&self) -> bool {
        self.told.is_empty()
            && self.later.is_empty()
            && self.news.is_empty()
            && self.ports.are_idle()
            && self.remotes.values().all(|remote| remote.outbox.backlog() == 0)
            && !self.links.have_more()
    }

    /// How many entries its watch of the database shows, if it has one.
    pub(crate) fn known_entries(&self) -> Option<usize> {
        self.watches.values().next().map(Family::len)
    }

    fn record(&self, event: Event, cx: &mut Cx) {
        cx.record(&self.name, self.inc, event);
    }
}
