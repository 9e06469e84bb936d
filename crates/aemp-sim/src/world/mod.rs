//! The world: hosts with their nodes, what happens next, and how a run begins and ends. Large
//! networks without faults are in [`mesh`].

mod drain;
mod faults;
pub mod mesh;
mod ports;
mod work;

use std::time::Duration;

use aemp_proto::PortId;
use aemp_proto::kernel::{LinkId, Time};

use crate::check::{self, Bounds, Pressure, Violation};
use crate::cx::{Cx, Happening};
use crate::history::{Event, FaultKind, History, Kind};
use crate::net::{Arrival, End};
use crate::node::{FLOOD, Node, Plan};
use crate::options::{LEAST, MOST, Options};
use work::Work;

/// How often TCP asks again where nothing passes.
const SYN_AGAIN: Duration = Duration::from_secs(1);

/// How long the last answers and fires may take after the network has healed.
const LAST: Duration = Duration::from_secs(4);

/// Ports of each node that every other node sends to at the end.
const PROBED: usize = 3;

/// A place for a node.
#[derive(Default)]
struct Host {
    node: Option<Box<Node>>,
    /// How many runs of the node there have been.
    incs: u64,
    paused: bool,
    /// What happens to a process that is stopped.
    stash: Vec<Happening>,
}

/// A whole run.
pub struct World {
    cx: Box<Cx>,
    /// Takes the place of the other while ports run, which have that then.
    stand_in: Option<Box<Cx>>,
    hosts: Vec<Host>,
    work: Work,
    quiet: bool,
}

/// What came of a run.
#[derive(Debug)]
pub struct Outcome {
    /// All that happened.
    pub history: History,
    /// What the checkers may expect of it.
    pub bounds: Bounds,
    /// How often the built-in bug has shown itself.
    pub sabotaged: u64,
    /// How much happened below the history.
    pub happenings: u64,
    /// The run was given up: it would never have come to its end.
    pub endless: bool,
}

impl Outcome {
    /// All violations in it.
    pub fn violations(&self) -> Vec<Violation> {
        match self.endless {
            // What would have come later cannot be judged.
            true => vec![Violation {
                rule: "N8",
                text: format!("the run goes round in circles: {} records", self.history.records.len()),
            }],
            false => check::all(&self.history, &self.bounds),
        }
    }
}

/// Runs a whole world.
pub fn run(options: Options) -> Outcome {
    World::new(options).run()
}

impl World {
    fn new(options: Options) -> World {
        let hosts = (0..options.nodes).map(|_| Host::default()).collect();
        let work = Work::new(options.work.flows);
        let stand_in = Some(Box::new(Cx::new(options.clone())));
        World { cx: Box::new(Cx::new(options)), stand_in, hosts, work, quiet: false }
    }

    fn run(mut self) -> Outcome {
        let longest = self.cx.options.longest_timeout();
        let bounds = Bounds {
            detect: longest.mul_f64(1.1) + Duration::from_secs(4),
            heal: longest + Duration::from_secs(5),
            pressure: self.pressure(),
            one_thread: true,
            outside: None,
        };
        for index in 0..self.hosts.len() {
            self.start(index);
        }
        self.schedule_faults();
        self.cx.after(Duration::ZERO, Happening::Work);
        for flow in 0..self.cx.options.work.flows {
            self.cx.after(Duration::ZERO, Happening::Flow(flow));
        }
        let mut happenings = self.run_until(self.cx.options.duration);
        self.calm_down();
        happenings += self.run_until(self.cx.now + bounds.heal);
        self.work.stop();
        self.cx.options.work.monitor_again = 0;
        // What waits in slow mailboxes and narrow connections is to be seen before the end.
        self.cx.options.work.slow = Duration::ZERO;
        // From here on all that is sent to a live port has to arrive.
        self.cx.options.work.odd = 0;
        happenings += self.drain();
        self.probe();
        happenings += self.drain();
        self.ask_all();
        happenings += self.run_until(self.cx.now + LAST + self.cx.options.callback_delay);
        for host in &self.hosts {
            if let Some(node) = &host.node {
                node.tables(&mut self.cx);
            }
        }
        self.cx.record("", 0, Event::End);
        let (sabotaged, endless) = (self.cx.sabotaged, self.cx.is_endless());
        Outcome { history: self.cx.history, bounds, sabotaged, happenings, endless }
    }

    /// What the checkers may expect of mailboxes, if they are small.
    fn pressure(&self) -> Option<Pressure> {
        let high = self.cx.options.mailbox.high;
        // What was taken out of the mailbox at once does not count for its limit any more.
        let unread = 2 * (high / LEAST + FLOOD + 2);
        (high < usize::MAX).then_some(Pressure { behind: high / MOST, unread })
    }

    fn run_until(&mut self, end: Time) -> u64 {
        let mut count = 0;
        while let Some(happening) = self.cx.next(end) {
            self.happen(happening);
            count += 1;
        }
        self.cx.now = end;
        count
    }

    fn start(&mut self, index: usize) {
        let seeds = self.seeds_of(index);
        let host = &mut self.hosts[index];
        host.incs += 1;
        self.cx.net.lighten(index);
        host.node = Some(Box::new(Node::start(Plan { index, inc: host.incs, seeds }, &mut self.cx)));
        self.cx.travel_all();
    }

    /// The seeds that a node is told: a seed all of them, or itself alone; others a part, and not
    /// all the same.
    fn seeds_of(&self, index: usize) -> Vec<usize> {
        let Options { seeds, seeds_told, seeds_apart, .. } = self.cx.options;
        match index < seeds {
            true if seeds_apart => vec![index],
            true => (0..seeds).collect(),
            false => (0..seeds.min(seeds_told)).map(|n| (index + n) % seeds).collect(),
        }
    }

    /// From here on nothing goes wrong any more, and what did is mended.
    fn calm_down(&mut self) {
        self.quiet = true;
        self.mend_all();
        self.cx.record("", 0, Event::Quiet);
    }

    /// Every node sends to some ports of every other one: all of it has to arrive.
    fn probe(&mut self) {
        let alive = |host: &Host| host.node.as_deref().map(Node::alive).unwrap_or_default();
        let ports: Vec<Vec<PortId>> = self.hosts.iter().map(alive).collect();
        for (index, host) in self.hosts.iter_mut().enumerate() {
            let (Some(node), Some(me)) = (&mut host.node, ports[index].first()) else { continue };
            for (_, others) in ports.iter().enumerate().filter(|(other, _)| *other != index) {
                // The latest ones are most likely to be monitored.
                for port in others.iter().rev().take(PROBED) {
                    node.send(me, port, work::NOTHING, &mut self.cx);
                }
            }
            node.settle(&mut self.cx);
        }
    }

    /// Every node asks for every family, and nobody does anything else.
    fn ask_all(&mut self) {
        for host in &mut self.hosts {
            let Some(node) = &mut host.node else { continue };
            for family in work::FAMILIES {
                for kind in [Kind::Family, Kind::Keys, Kind::Values] {
                    node.query(kind, family, &mut self.cx);
                }
            }
        }
    }

    fn happen(&mut self, happening: Happening) {
        if let Some(target) = self.target(&happening)
            && self.hosts[target].paused
        {
            return self.hosts[target].stash.push(happening);
        }
        match happening {
            Happening::Wake(node, inc) => self.on(node, inc, |node, cx| node.wake(cx)),
            Happening::Drive(node, inc) => self.on(node, inc, |node, cx| node.drive(cx)),
            Happening::Port(node, inc, number) => self.run_port((node, inc), number),
            Happening::Callback(node, inc, id) => self.call_back((node, inc), id),
            Happening::CallOver(node, inc, number) => {
                self.on(node, inc, |node, cx| node.call_over(number, cx));
            }
            Happening::Connect { node, inc, link, to } => self.connect(node, inc, link, to),
            Happening::Refused { node, inc, link } => self.on(node, inc, |node, cx| node.refused(link, cx)),
            Happening::Opened { wire, side } => self.opened(wire, side),
            Happening::Deliver { wire, from } => self.deliver(wire, from),
            Happening::Writable { wire, side } => {
                if let Some(end) = self.end(wire, side) {
                    self.on(end.node, end.inc, |node, cx| node.settle(cx));
                }
            }
            Happening::Reset { wire, side } => self.reset(wire, side),
            Happening::Stopping(node, inc) => self.stop_on(node, inc),
            Happening::Work => self.work_on(),
            Happening::Flow(flow) => self.flow_on(flow),
            Happening::Strike(kind) => self.strike(kind),
            Happening::Relief(kind, a, b) => self.relieve(kind, a, b),
        }
    }

    /// Whose process it needs.
    fn target(&mut self, happening: &Happening) -> Option<usize> {
        match happening {
            Happening::Wake(node, _)
            | Happening::Drive(node, _)
            | Happening::Port(node, ..)
            | Happening::CallOver(node, ..)
            | Happening::Stopping(node, _)
            | Happening::Callback(node, ..)
            | Happening::Refused { node, .. } => Some(*node),
            Happening::Opened { wire, side }
            | Happening::Writable { wire, side }
            | Happening::Reset { wire, side } => self.end(*wire, *side).map(|end| end.node),
            Happening::Deliver { wire, from } => {
                self.end(*wire, 1 - *from).filter(|end| end.open).map(|end| end.node)
            }
            _ => None,
        }
    }

    fn end(&mut self, wire: u64, side: usize) -> Option<End> {
        self.cx.net.wire(wire).map(|wire| wire.ends[side])
    }

    /// Does something in this run of a node, if it still goes on.
    fn on(&mut self, node: usize, inc: u64, f: impl FnOnce(&mut Node, &mut Cx)) {
        self.ask((node, inc), f);
    }

    /// The same; gives what came of it.
    fn ask<R>(&mut self, (node, inc): (usize, u64), f: impl FnOnce(&mut Node, &mut Cx) -> R) -> Option<R> {
        let node = self.hosts[node].node.as_deref_mut().filter(|node| node.inc == inc)?;
        Some(f(node, &mut self.cx))
    }

    fn connect(&mut self, from: usize, inc: u64, link: LinkId, to: usize) {
        let dialler = self.hosts[from].node.as_ref();
        if !dialler.is_some_and(|node| node.inc == inc && node.dials(link)) {
            return;
        }
        if to < self.hosts.len() && (self.cx.net.is_cut(from, to) || self.cx.net.is_cut(to, from)) {
            return self.cx.after(SYN_AGAIN, Happening::Connect { node: from, inc, link, to });
        }
        let wait = self.cx.latency();
        let Some(other) =
            self.hosts.get_mut(to).and_then(|host| host.node.as_mut()).filter(|node| !node.is_stopping())
        else {
            return self.cx.after(wait, Happening::Refused { node: from, inc, link });
        };
        let dialler = End { node: from, inc, link, open: true, ready: false };
        let acceptor = End { node: to, inc: other.inc, link: other.accept(), open: true, ready: false };
        let wire = self.cx.net.connect(dialler, acceptor);
        self.cx.after(Duration::ZERO, Happening::Opened { wire, side: 1 });
        self.cx.after(wait, Happening::Opened { wire, side: 0 });
    }

    fn opened(&mut self, wire: u64, side: usize) {
        let (Some(end), Some(other)) = (self.end(wire, side), self.end(wire, 1 - side)) else { return };
        let port = 20_000 + (wire % 40_000) as u16;
        if end.open {
            self.on(end.node, end.inc, |node, cx| node.opened(end.link, wire, other.node, port, cx));
        }
        if let Some(wire) = self.cx.net.wire(wire) {
            wire.ends[side].ready = true;
        }
        self.cx.travel_on(wire, 1 - side);
    }

    fn deliver(&mut self, wire: u64, from: usize) {
        if let Some(known) = self.cx.net.wire(wire) {
            known.pipes[from].moving = false;
        }
        if !self.cx.net.can_move(wire, from) {
            return;
        }
        let Some(end) = self.end(wire, 1 - from) else { return };
        let most = self.cx.random.within(1, self.cx.options.net.chunk);
        match self.cx.net.arrive(wire, from, most) {
            Arrival::Nothing => {}
            Arrival::Bytes(bytes, writable) => {
                if writable {
                    self.cx.after(Duration::ZERO, Happening::Writable { wire, side: from });
                }
                self.on(end.node, end.inc, |node, cx| node.bytes(end.link, &bytes, cx));
            }
            Arrival::End => {
                self.on(end.node, end.inc, |node, cx| node.ended(end.link, "the connection was closed", cx));
            }
            Arrival::Astray => {
                let back = self.end(wire, from).is_some_and(|back| !self.cx.net.is_cut(end.node, back.node));
                if back {
                    let wait = self.cx.latency();
                    self.cx.after(wait, Happening::Reset { wire, side: from });
                    self.cx.net.drop_end(wire, 1 - from);
                }
                return;
            }
        }
        self.cx.travel_on(wire, from);
    }

    fn reset(&mut self, wire: u64, side: usize) {
        let Some(end) = self.end(wire, side) else { return };
        self.cx.net.drop_end(wire, side);
        if end.open {
            self.on(end.node, end.inc, |node, cx| node.ended(end.link, "connection reset", cx));
        }
    }

    /// The numbers of the nodes that run, and are not being shut down.
    fn running(&self) -> Vec<usize> {
        let runs = |index: &usize| self.hosts[*index].node.as_ref().is_some_and(|node| !node.is_stopping());
        (0..self.hosts.len()).filter(runs).collect()
    }

    fn fault(&mut self, kind: FaultKind, nodes: &[usize]) {
        let nodes = nodes.iter().map(|node| crate::node::node_id(*node).to_string()).collect();
        self.cx.record("", 0, Event::Fault { kind, nodes });
    }
}
