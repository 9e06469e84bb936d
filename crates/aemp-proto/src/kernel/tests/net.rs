//! The world: nodes, the wires between them, and what must hold at every step whatever happens.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::super::random::Random;
use super::super::*;
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
    /// A message of the program: the epoch of the sender's outbox, and a number that counts up in it.
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
    pub(super) owned: BTreeMap<(String, String), Value>,
    pub(super) watches: BTreeMap<u64, Option<Family>>,
    pub(super) asked: BTreeSet<u64>,
    pub(super) answers: BTreeMap<u64, Value>,
    pub(super) last_event: Time,
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

    pub(super) fn add_with(&mut self, mut config: KernelConfig) {
        let id = config.node.to_string();
        let address = format!("{id}:1");
        config.binds = vec![address.clone()];
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
            owned: BTreeMap::new(),
            watches: BTreeMap::new(),
            asked: BTreeSet::new(),
            answers: BTreeMap::new(),
            last_event: Time::ZERO,
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
        self.input(id, Input::Db(DbCommand::Set { family: family.into(), key: key.into(), value }));
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

    fn happen(&mut self, event: Event) {
        match event {
            Event::Input(id, incarnation, input) => {
                if self.nodes[&id].incarnation == incarnation {
                    if let Input::Closed { link, .. } = &input {
                        self.node(&id).wires.remove(link);
                    }
                    self.input(&id, input);
                }
            }
            Event::Dialled(id, incarnation, link, address) => {
                if self.nodes[&id].incarnation == incarnation && self.node(&id).dialling.remove(&link) {
                    self.connect(&id, link, &address);
                }
            }
            Event::Arrives(wire, side, packet) => self.arrive(wire, side, packet),
        }
    }

    fn connect(&mut self, id: &str, link: LinkId, address: &str) {
        let there = self.nodes.iter().find(|(_, node)| node.address == address && node.kernel.is_some());
        let there = there.map(|(id, _)| id.clone());
        let cut = self
            .nodes
            .iter()
            .find(|(_, node)| node.address == address)
            .is_some_and(|(other, _)| self.cut.contains(&(id.min(other).into(), id.max(other).into())));
        if cut {
            return;
        }
        let Some(there) = there else {
            let reason = "connection refused".into();
            return self.input(id, Input::Closed { link, reason });
        };
        self.count += 1;
        let wire = self.count;
        let other = self.node(&there);
        other.accepted += 1;
        let accepted = LinkId::accepted(other.accepted);
        other.wires.insert(accepted, (wire, 1));
        self.node(id).wires.insert(link, (wire, 0));
        let ends = [Some((id.to_owned(), link)), Some((there.clone(), accepted))];
        let made =
            Wire { ends, line_sent: [false; 2], line_came: [false; 2], last: [self.now; 2], dead: false };
        self.wires.insert(wire, made);
        for (side, id) in [id, &there].into_iter().enumerate() {
            let peer = Peer { node: node(id), incarnation: Some(self.nodes[id].incarnation), native: true };
            self.transmit(wire, side, Packet::Greeting(peer));
        }
    }

    fn arrive(&mut self, wire: u64, side: usize, packet: Packet) {
        let Some(known) = self.wires.get_mut(&wire) else { return };
        let Some((id, link)) = known.ends[side].clone() else { return };
        match packet {
            Packet::Greeting(peer) => self.input(&id, Input::Greeted { link, peer }),
            Packet::Line => {
                known.line_came[side] = true;
                match known.line_sent[side] {
                    true => self.input(&id, Input::Established { link }),
                    false => self.input(&id, Input::Verified { link }),
                }
            }
            Packet::Request(request) => {
                let from = self.peer_of(&id, link);
                self.input(&id, Input::Request { from: node(&from), request });
            }
            Packet::User(epoch, number) => {
                self.peer_of(&id, link);
                self.received.entry(epoch).or_default().push(number);
            }
            Packet::Ping => self.transmit(wire, side, Packet::Pong),
            Packet::Pong => self.input(&id, Input::ProbeDone { link, alive: true }),
            Packet::End => {
                known.ends[side] = None;
                self.node(&id).wires.remove(&link);
                self.input(&id, Input::Closed { link, reason: "end of stream".into() });
            }
        }
        self.wires.retain(|_, wire| wire.ends != [None, None]);
    }

    fn peer_of(&self, id: &str, link: LinkId) -> String {
        let peer = self.nodes[id].up.iter().find(|(_, up)| **up == link);
        peer.expect("data comes over links that are up").0.clone()
    }

    fn drain(&mut self, id: &str) {
        while let Some(action) = self.node(id).kernel.as_mut().and_then(Kernel::poll) {
            self.act(id, action);
        }
    }

    fn act(&mut self, id: &str, action: Action) {
        match action {
            Action::Dial { link, address } => {
                self.dials.push((self.now, id.into(), address.clone()));
                self.node(id).dialling.insert(link);
                let at = self.now + self.some_delay();
                let incarnation = self.nodes[id].incarnation;
                self.schedule(at, Event::Dialled(id.into(), incarnation, link, address));
            }
            Action::Proceed { link } => self.proceed(id, link),
            Action::Close { link, .. } => self.close(id, link),
            Action::Probe { link } => {
                self.put(id, link, Packet::Ping);
                let at = self.now + Duration::from_secs(1);
                let input = Input::ProbeDone { link, alive: false };
                let incarnation = self.nodes[id].incarnation;
                self.schedule(at, Event::Input(id.into(), incarnation, input));
            }
            Action::Attach { link, node } => self.attach(id, link, node.as_str()),
            Action::Break { node, reason } => self.break_outbox(id, node.as_str(), reason),
            Action::Send { to, request } => {
                let outbox = &self.nodes[id].outboxes[to.as_str()];
                let link = outbox.link.expect("the kernel sends to nodes that are up");
                self.sent.push((self.now, id.into(), to.to_string(), request.clone()));
                self.put(id, link, Packet::Request(request));
            }
            Action::NodeUp(peer) => {
                let link = self.nodes[id].outboxes[peer.as_str()].link.expect("Attach comes before NodeUp");
                assert!(self.node(id).up.insert(peer.to_string(), link).is_none(), "{peer} up twice at {id}");
            }
            Action::NodeDown(peer, _) => {
                assert!(self.node(id).broken.remove(peer.as_str()), "Break comes before NodeDown");
                assert!(self.node(id).up.remove(peer.as_str()).is_some(), "{peer} down twice at {id}");
            }
            Action::QueryAnswer { id: query, result } => {
                assert!(self.nodes[id].asked.contains(&query), "an answer that nobody asked for");
                assert!(self.node(id).answers.insert(query, result).is_none(), "answered twice");
            }
            Action::Watch { id: watch, added, changed, deleted, content } => {
                self.observe(id, watch, [added, changed, deleted], &content);
            }
            Action::Refused { what } => self.node(id).refused.push(what),
        }
    }

    /// Checks an event against all before it: first once even if empty, then truthful, disjoint and never empty.
    fn observe(&mut self, id: &str, watch: u64, lists: [Vec<String>; 3], content: &Family) {
        let now = self.now;
        let node = self.node(id);
        node.last_event = now;
        let known = node.watches.get_mut(&watch).expect("no event after the end of a watch");
        let [added, changed, deleted] = lists;
        let all = added.iter().chain(&changed).chain(&deleted).collect::<BTreeSet<_>>();
        assert_eq!(all.len(), added.len() + changed.len() + deleted.len(), "not disjoint");
        assert!(known.is_none() || !all.is_empty(), "an empty event that is not the first");
        let before = known.take().unwrap_or_default();
        assert!(added.iter().all(|key| !before.contains_key(key)), "added what was there");
        assert!(changed.iter().all(|key| before.contains_key(key)), "changed what was absent");
        assert!(deleted.iter().all(|key| before.contains_key(key)), "deleted what was absent");
        let mut folded = before;
        folded.retain(|key, _| !deleted.contains(key));
        for key in added.iter().chain(&changed) {
            folded.insert(key.clone(), content[key].clone());
        }
        assert_eq!(folded, *content, "the lists do not lead to the content");
        *known = Some(folded);
    }

    fn proceed(&mut self, id: &str, link: LinkId) {
        let (wire, side) = self.nodes[id].wires[&link];
        let Some(known) = self.wires.get_mut(&wire) else { return };
        assert!(!known.line_sent[side], "our line is sent once");
        known.line_sent[side] = true;
        let both = known.line_came[side];
        self.transmit(wire, side, Packet::Line);
        if both {
            let incarnation = self.nodes[id].incarnation;
            let now = self.now;
            self.schedule(now, Event::Input(id.into(), incarnation, Input::Established { link }));
        }
    }

    fn close(&mut self, id: &str, link: LinkId) {
        self.node(id).dialling.remove(&link);
        if let Some((wire, side)) = self.node(id).wires.remove(&link) {
            self.transmit(wire, side, Packet::End);
            if let Some(wire) = self.wires.get_mut(&wire) {
                wire.ends[side] = None;
            }
        }
    }

    fn attach(&mut self, id: &str, link: LinkId, peer: &str) {
        self.count += 1;
        let fresh = self.count;
        let outbox = self.node(id).outboxes.entry(peer.into()).or_default();
        assert!(outbox.link.is_none(), "two links at one outbox");
        outbox.link = Some(link);
        if outbox.epoch == 0 {
            outbox.epoch = fresh;
        }
        for packet in std::mem::take(&mut outbox.waiting) {
            self.put(id, link, packet);
        }
    }

    fn break_outbox(&mut self, id: &str, peer: &str, reason: String) {
        self.count += 1;
        let fresh = self.count;
        let node = self.node(id);
        let outbox = node.outboxes.entry(peer.into()).or_default();
        *outbox = Outbox { epoch: fresh, ..Outbox::default() };
        node.breaks.push((peer.into(), reason));
        if node.up.contains_key(peer) {
            node.broken.insert(peer.into());
        }
    }

    fn put(&mut self, id: &str, link: LinkId, packet: Packet) {
        if let Some((wire, side)) = self.nodes[id].wires.get(&link).copied() {
            self.transmit(wire, side, packet);
        }
    }

    fn transmit(&mut self, wire: u64, from: usize, packet: Packet) {
        let delay = self.some_delay();
        let Some(known) = self.wires.get_mut(&wire).filter(|wire| !wire.dead) else { return };
        let at = known.last[1 - from].max(self.now + delay);
        known.last[1 - from] = at;
        self.schedule(at, Event::Arrives(wire, 1 - from, packet));
    }

    fn silence(&mut self, wire: u64) {
        self.silence_within(wire, Duration::from_secs(4));
    }

    fn silence_within(&mut self, wire: u64, time: Duration) {
        let Some(known) = self.wires.get_mut(&wire) else { return };
        known.dead = true;
        let ends = known.ends.clone();
        for (id, link) in ends.into_iter().flatten() {
            let at = self.now + time;
            let incarnation = self.nodes[&id].incarnation;
            let reason = "silent".into();
            self.schedule(at, Event::Input(id, incarnation, Input::Closed { link, reason }));
        }
        self.queue.retain(|_, event| !matches!(event, Event::Arrives(on, _, _) if *on == wire));
        self.wires.remove(&wire);
    }

    fn some_delay(&mut self) -> Duration {
        let micros = self.random.next() % (self.delay.as_micros() as u64 + 1);
        Duration::from_micros(micros)
    }

    fn schedule(&mut self, at: Time, event: Event) {
        self.count += 1;
        let count = self.count;
        self.queue.insert((at, count), event);
    }
}
