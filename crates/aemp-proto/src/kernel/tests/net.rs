//! The world: nodes, the wires between them, and what must hold at every step no matter what
//! happens.

mod wires;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::super::*;
use crate::random::Random;
use crate::wire::MeshRequest;
use crate::wire::request::Family;
use crate::{NodeId, Value};

pub(super) fn node(id: &str) -> NodeId {
    NodeId::new(id).unwrap()
}

#[derive(Debug, Clone)]
enum Packet {
    Greeting(Peer),
    Line,
    Request(MeshRequest),
    /// A message of the program: the epoch of the sender's outbox, and a number that counts up in
    /// it.
    User(u64, u64),
    Ping,
    Pong,
    End,
}

#[derive(Debug)]
enum Event {
    Input(String, u128, Input),
    Dialled(String, u128, LinkId, String),
    Arrives(u64, usize, Packet),
}

#[derive(Debug)]
struct Wire {
    ends: [Option<(String, LinkId)>; 2],
    line_sent: [bool; 2],
    line_came: [bool; 2],
    last: [Time; 2],
    /// Nothing passes any more, and nobody is told.
    dead: bool,
    /// The two wires that carry it, if it is carried.
    over: Option<[u64; 2]>,
}

#[derive(Debug, Default)]
struct Outbox {
    link: Option<LinkId>,
    waiting: Vec<Packet>,
    epoch: u64,
    sent: u64,
}

#[derive(Debug)]
pub(super) struct Node {
    pub(super) kernel: Option<Kernel>,
    config: KernelConfig,
    address: String,
    incarnation: u128,
    accepted: u64,
    dialling: BTreeSet<LinkId>,
    wires: BTreeMap<LinkId, (u64, usize)>,
    outboxes: BTreeMap<String, Outbox>,
    broken: BTreeSet<String>,
    pub(super) up: BTreeMap<String, LinkId>,
    pub(super) breaks: Vec<(String, String)>,
    pub(super) refused: Vec<String>,
    /// Names whose addresses it wants to know.
    pub(super) resolved: Vec<String>,
    pub(super) owned: BTreeMap<(String, String), Value>,
    pub(super) watches: BTreeMap<u64, Option<Family>>,
    pub(super) asked: BTreeSet<u64>,
    pub(super) answers: BTreeMap<u64, Value>,
    pub(super) last_event: Time,
    /// How often a watch saw its family become empty.
    pub(super) emptied: usize,
    next_id: u64,
}

pub(super) struct Net {
    pub(super) now: Time,
    pub(super) random: Random,
    pub(super) nodes: BTreeMap<String, Node>,
    pub(super) dials: Vec<(Time, String, String)>,
    pub(super) sent: Vec<(Time, String, String, MeshRequest)>,
    pub(super) received: BTreeMap<u64, Vec<u64>>,
    pub(super) epochs: BTreeMap<u64, u64>,
    pub(super) delay: Duration,
    cut: BTreeSet<(String, String)>,
    wires: BTreeMap<u64, Wire>,
    queue: BTreeMap<(Time, u64), Event>,
    count: u64,
}

impl Net {
    pub(super) fn new(seed: u64) -> Net {
        Net {
            now: Time::ZERO,
            random: Random::new(seed),
            nodes: BTreeMap::new(),
            dials: Vec::new(),
            sent: Vec::new(),
            received: BTreeMap::new(),
            epochs: BTreeMap::new(),
            delay: Duration::from_millis(20),
            cut: BTreeSet::new(),
            wires: BTreeMap::new(),
            queue: BTreeMap::new(),
            count: 0,
        }
    }

    /// Starts a node that listens on `ID:1`, with these nodes as seeds.
    pub(super) fn add(&mut self, id: &str, seeds: &[&str], global: bool) {
        let mut config = KernelConfig::new(node(id));
        config.seeds = seeds.iter().map(|seed| format!("{seed}:1")).collect();
        config.global = global;
        config.monitor_timeout = Duration::from_secs(4);
        self.add_with(config);
    }

    /// As [`Net::add`], but the node listens nowhere.
    pub(super) fn add_private(&mut self, id: &str, seeds: &[&str]) {
        let mut config = KernelConfig::new(node(id));
        config.seeds = seeds.iter().map(|seed| format!("{seed}:1")).collect();
        config.monitor_timeout = Duration::from_secs(4);
        self.add_at(config, "nowhere".into());
    }

    pub(super) fn add_with(&mut self, mut config: KernelConfig) {
        let address = format!("{}:1", config.node);
        config.binds = vec![address.clone()];
        self.add_at(config, address);
    }

    /// Starts a node that others can dial at this address only, no matter what it says.
    pub(super) fn add_at(&mut self, config: KernelConfig, address: String) {
        let id = config.node.to_string();
        let node = Node {
            kernel: None,
            config,
            address,
            incarnation: 0,
            accepted: 0,
            dialling: BTreeSet::new(),
            wires: BTreeMap::new(),
            outboxes: BTreeMap::new(),
            broken: BTreeSet::new(),
            up: BTreeMap::new(),
            breaks: Vec::new(),
            refused: Vec::new(),
            resolved: Vec::new(),
            owned: BTreeMap::new(),
            watches: BTreeMap::new(),
            asked: BTreeSet::new(),
            answers: BTreeMap::new(),
            last_event: Time::ZERO,
            emptied: 0,
            next_id: 0,
        };
        self.nodes.insert(id.clone(), node);
        self.start(&id);
    }

    /// The node will start without seeds.
    pub(super) fn forget_seeds(&mut self, id: &str) {
        self.node(id).config.seeds.clear();
    }

    /// (Re)starts a node: a new incarnation that owns nothing.
    pub(super) fn start(&mut self, id: &str) {
        self.count += 1;
        let incarnation = u128::from(self.count);
        let seed = self.random.next();
        let now = self.now;
        let node = self.node(id);
        node.incarnation = incarnation;
        node.config.rng_seed = seed;
        node.wires.clear();
        node.outboxes.clear();
        node.up.clear();
        node.owned.clear();
        node.watches.clear();
        node.asked.clear();
        node.answers.clear();
        node.kernel = Some(Kernel::new(node.config.clone(), now));
        self.drain(id);
    }

    /// Ends a node. `silently`: nobody is told, as when the power fails.
    pub(super) fn crash(&mut self, id: &str, silently: bool) {
        let node = self.node(id);
        node.kernel = None;
        node.incarnation = 0;
        for (wire, side) in std::mem::take(&mut node.wires).into_values() {
            if silently {
                self.silence(wire);
            } else {
                self.transmit(wire, side, Packet::End);
                self.end_relayed(wire);
            }
            if let Some(wire) = self.wires.get_mut(&wire) {
                wire.ends[side] = None;
            }
        }
    }

    /// Lets nothing pass between two nodes. Connections notice it after a while.
    pub(super) fn cut(&mut self, a: &str, b: &str) {
        self.cut.insert((a.min(b).into(), a.max(b).into()));
        let between: Vec<u64> = (self.wires.iter())
            .filter(|(_, wire)| {
                let names: Vec<&str> = wire.ends.iter().flatten().map(|(node, _)| node.as_str()).collect();
                names.contains(&a) && names.contains(&b)
            })
            .map(|(wire, _)| *wire)
            .collect();
        for wire in between {
            self.silence(wire);
        }
    }

    pub(super) fn heal(&mut self, a: &str, b: &str) {
        self.cut.remove(&(a.min(b).into(), a.max(b).into()));
    }

    pub(super) fn heal_all(&mut self) {
        self.cut.clear();
    }

    /// Heals all, and starts those of the nodes that are not alive.
    pub(super) fn restore(&mut self, ids: &[&str]) {
        self.heal_all();
        for id in ids {
            if !self.is_alive(id) {
                self.start(id);
            }
        }
    }

    /// The connection between two nodes breaks, and both ends are told.
    pub(super) fn reset(&mut self, a: &str, b: &str) {
        let Some((wire, _)) = self.nodes[a].up.get(b).and_then(|link| self.nodes[a].wires.get(link)).copied()
        else {
            return;
        };
        self.silence_within(wire, Duration::from_millis(5));
    }

    /// Sends a message of the program.
    pub(super) fn send(&mut self, from: &str, to: &str) {
        if self.nodes[from].kernel.is_none() {
            return;
        }
        self.count += 1;
        let fresh = self.count;
        let outbox = self.node(from).outboxes.entry(to.into()).or_default();
        if outbox.epoch == 0 {
            outbox.epoch = fresh;
        }
        outbox.sent += 1;
        let packet = Packet::User(outbox.epoch, outbox.sent);
        let (link, first, epoch, sent) = (outbox.link, outbox.waiting.is_empty(), outbox.epoch, outbox.sent);
        self.epochs.insert(epoch, sent);
        match link {
            Some(link) => self.put(from, link, packet),
            None => {
                self.node(from).outboxes.get_mut(to).unwrap().waiting.push(packet);
                if first {
                    self.input(from, Input::Wanted(node(to)));
                }
            }
        }
    }

    pub(super) fn set(&mut self, id: &str, family: &str, key: &str, value: impl Into<Value>) {
        let value = value.into();
        self.node(id).owned.insert((family.into(), key.into()), value.clone());
        self.count += 1;
        let set = self.count;
        self.input(id, Input::Db(DbCommand::Set { family: family.into(), key: key.into(), value, id: set }));
    }

    pub(super) fn delete(&mut self, id: &str, family: &str, key: &str) {
        self.node(id).owned.remove(&(family.into(), key.into()));
        self.input(id, Input::Db(DbCommand::Delete { family: family.into(), key: key.into() }));
    }

    pub(super) fn watch(&mut self, id: &str, family: &str) -> u64 {
        let watch = self.fresh_id(id);
        self.node(id).watches.insert(watch, None);
        self.input(id, Input::Db(DbCommand::Watch { id: watch, family: family.into() }));
        watch
    }

    pub(super) fn unwatch(&mut self, id: &str, watch: u64) {
        self.node(id).watches.remove(&watch);
        self.input(id, Input::Db(DbCommand::Unwatch { id: watch }));
    }

    pub(super) fn query(&mut self, id: &str, kind: QueryKind, family: &str) -> u64 {
        let query = self.fresh_id(id);
        self.node(id).asked.insert(query);
        self.input(id, Input::Db(DbCommand::Query { id: query, kind, family: family.into() }));
        query
    }

    /// Lets time pass.
    pub(super) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.step(end) {}
        self.now = end;
    }

    /// The connections that both ends hold to be the one between them.
    pub(super) fn wires_between(&self, a: &str, b: &str) -> usize {
        let live = |wire: &&Wire| {
            let names: Vec<&str> = wire.ends.iter().flatten().map(|(node, _)| node.as_str()).collect();
            names.contains(&a) && names.contains(&b)
        };
        self.wires.values().filter(live).count()
    }

    pub(super) fn is_alive(&self, id: &str) -> bool {
        self.nodes[id].kernel.is_some()
    }

    pub(super) fn alive(&self) -> Vec<String> {
        self.nodes.keys().filter(|id| self.is_alive(id)).cloned().collect()
    }

    pub(super) fn below(&mut self, n: usize) -> usize {
        (self.random.next() % n as u64) as usize
    }

    /// Lets something happen to one of these nodes, or between two, and some time pass.
    pub(super) fn disturb(&mut self, ids: &[&str]) {
        let (one, other) = (ids[self.below(ids.len())], ids[self.below(ids.len())]);
        match self.below(12) {
            0 if self.is_alive(one) => {
                let silently = self.below(2) == 0;
                self.crash(one, silently);
            }
            1 | 2 if !self.is_alive(one) => self.start(one),
            3 if one != other => self.cut(one, other),
            4 | 5 if one != other => self.heal(one, other),
            6 if self.is_alive(one) => self.reset(one, other),
            _ if one != other => self.send(one, other),
            _ => {}
        }
        let pause = self.below(400) as u64;
        self.run(Duration::from_millis(pause));
    }

    pub(super) fn input(&mut self, id: &str, input: Input) {
        let now = self.now;
        if let Some(kernel) = &mut self.node(id).kernel {
            kernel.handle(input, now);
            self.drain(id);
        }
    }

    /// Of every epoch of every outbox what arrived is what was sent, from the start, without holes.
    pub(super) fn check_messages(&self) {
        for (epoch, received) in &self.received {
            let sent = self.epochs[epoch];
            let expected: Vec<u64> = (1..=received.len() as u64).collect();
            assert_eq!(*received, expected, "messages of epoch {epoch} have holes or doubles");
            assert!(received.len() as u64 <= sent);
        }
    }

    fn fresh_id(&mut self, id: &str) -> u64 {
        let node = self.node(id);
        node.next_id += 1;
        node.next_id
    }

    fn node(&mut self, id: &str) -> &mut Node {
        self.nodes.get_mut(id).unwrap()
    }

    fn step(&mut self, end: Time) -> bool {
        let tick = self
            .nodes
            .iter()
            .filter_map(|(id, node)| Some((node.kernel.as_ref()?.next_timeout()?.max(self.now), id.clone())));
        let tick = tick.min();
        let event = self.queue.keys().next().copied();
        match (tick, event) {
            (Some((at, id)), event) if at <= end && event.is_none_or(|(time, _)| at < time) => {
                self.now = at;
                self.input(&id, Input::Tick);
                let next = self.nodes[&id].kernel.as_ref().and_then(Kernel::next_timeout);
                assert!(next.is_none_or(|next| next > at), "{id} wants to be called again at once");
            }
            (_, Some(key)) if key.0 <= end => {
                self.now = key.0;
                let event = self.queue.remove(&key).unwrap();
                self.happen(event);
            }
            _ => return false,
        }
        true
    }
}
