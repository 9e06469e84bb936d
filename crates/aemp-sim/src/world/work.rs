//! What the programs on the nodes do: a random mixture, and steady streams of messages to ports
//! that are monitored.

use std::time::Duration;

use aemp_proto::PortId;

use super::World;
use crate::cx::{Cx, Happening};
use crate::history::Kind;
use crate::node::{FUNCTIONS, Node, node_id};

/// The families of the database that are used.
pub(super) const FAMILIES: [&str; 3] = ["alpha", "beta", "gamma"];

/// Ports that are known to everybody; older ones are forgotten.
const KNOWN: usize = 40;

/// Ports of a node beyond which old ones are killed.
const CROWD: usize = 25;

/// The longest limit of a call.
const CALL: Duration = Duration::from_secs(3);

/// Watches of a node beyond which the oldest ends.
const WATCHES: usize = 2;

/// What a message of the work may ask for: mostly nothing.
const WISHES: [u64; 5] = [0, 0, 0, 1, 1];

/// What a message asks for that only has to arrive.
pub(super) const NOTHING: u64 = 0;

/// The state of the work.
#[derive(Default)]
pub(super) struct Work {
    /// Ports, dead or alive, that somebody may use.
    known: Vec<PortId>,
    /// Monitors that may be withdrawn: node, run, monitor.
    monitors: Vec<(usize, u64, u64)>,
    flows: Vec<Flow>,
    values: u64,
    stopped: bool,
}

/// A steady stream of messages from one port to another.
#[derive(Default)]
struct Flow {
    node: usize,
    sender: Option<PortId>,
    target: Option<PortId>,
    monitors: Vec<u64>,
}

impl Work {
    pub(super) fn new(flows: usize) -> Work {
        Work { flows: (0..flows).map(|_| Flow::default()).collect(), ..Work::default() }
    }

    /// Nobody does anything any more.
    pub(super) fn stop(&mut self) {
        self.stopped = true;
    }

    fn learn(&mut self, port: PortId) {
        if self.known.len() >= KNOWN {
            self.known.remove(0);
        }
        self.known.push(port);
    }

    fn some_port(&self, cx: &mut Cx) -> Option<PortId> {
        cx.random.pick(&self.known).cloned()
    }

    fn value(&mut self) -> String {
        self.values += 1;
        format!("v{}", self.values)
    }
}

impl World {
    /// Somebody does something.
    pub(super) fn work_on(&mut self) {
        if self.quiet {
            return;
        }
        let pause = self.cx.options.work.pause;
        let wait = self.cx.random.up_to(pause * 2);
        self.cx.after(wait, Happening::Work);
        let awake: Vec<usize> =
            self.running().into_iter().filter(|index| !self.hosts[*index].paused).collect();
        let Some(index) = self.cx.random.pick(&awake).copied() else { return };
        self.introduce();
        let nodes = self.hosts.len();
        let (cx, work) = (&mut self.cx, &mut self.work);
        let Some(node) = &mut self.hosts[index].node else { return };
        let (some, alive) = node.some_alive(cx);
        let me = match some {
            Some(me) if alive > 2 => me,
            _ => {
                let port = node.open_port(cx);
                work.learn(port.clone());
                port
            }
        };
        if alive > CROWD
            && let Some(oldest) = node.oldest()
        {
            node.kill(&me, &oldest, true, cx);
        }
        let database = cx.options.work.database;
        if cx.random.percent(database) {
            work.use_database(node, &me, cx);
        } else {
            work.use_ports(node, &me, nodes, cx);
        }
        node.settle(cx);
    }

    /// Spawned ports become known once they exist, as a port does that introduces itself: who
    /// learns of one before that is told that there is no such port.
    fn introduce(&mut self) {
        for port in std::mem::take(&mut self.cx.born) {
            self.work.learn(port);
        }
    }

    /// Whether this is a port that is alive.
    fn is_alive(&self, port: Option<&PortId>) -> bool {
        let nodes = || self.hosts.iter().filter_map(|host| host.node.as_ref());
        port.is_some_and(|port| nodes().any(|node| node.id == *port.node() && node.has(port)))
    }

    /// A stream of messages goes on.
    pub(super) fn flow_on(&mut self, flow: usize) {
        if self.work.stopped {
            return;
        }
        let wait = self.cx.random.up_to(Duration::from_millis(150));
        self.cx.after(wait, Happening::Flow(flow));
        let known = std::mem::take(&mut self.work.flows[flow]);
        self.work.flows[flow] = self.flow(known);
    }

    fn flow(&mut self, mut flow: Flow) -> Flow {
        let running = self.running();
        if !self.is_alive(flow.sender.as_ref()) {
            let Some(index) = self.cx.random.pick(&running).copied() else { return flow };
            let Some(node) = &mut self.hosts[index].node else { return flow };
            flow = Flow { node: index, sender: Some(node.open_port(&mut self.cx)), ..Flow::default() };
        }
        let stops = self.hosts[flow.node].node.as_deref().is_some_and(Node::is_stopping);
        if self.hosts[flow.node].paused || stops {
            return flow;
        }
        if !self.is_alive(flow.target.as_ref()) && self.cx.random.percent(20) {
            let others: Vec<usize> = running.into_iter().filter(|index| *index != flow.node).collect();
            let Some(index) = self.cx.random.pick(&others).copied() else { return flow };
            let Some(node) = &mut self.hosts[index].node else { return flow };
            flow.target = Some(node.open_port(&mut self.cx));
            flow.monitors.clear();
        }
        let (Some(sender), Some(target)) = (&flow.sender, &flow.target) else { return flow };
        let cx = &mut self.cx;
        let Some(node) = &mut self.hosts[flow.node].node else { return flow };
        flow.monitors.retain(|m| node.is_set(*m));
        if flow.monitors.is_empty() && cx.random.percent(80) {
            for _ in 0..cx.random.within(1, 3) {
                let to = cx.random.percent(70).then_some(sender);
                let waits = to.is_none() && cx.random.percent(50);
                flow.monitors.push(match waits {
                    true => node.wait_for(sender, target, cx),
                    false => node.monitor(sender, target, to, cx),
                });
            }
        } else if cx.random.percent(2)
            && let Some(m) = flow.monitors.pop()
        {
            node.unmonitor(m, cx);
        }
        for _ in 0..cx.random.within(1, 5) {
            node.send(sender, target, 0, cx);
        }
        // Something for a slow sender to be busy with, so that a fire has to wait behind it.
        if cx.random.percent(30) {
            node.send(sender, sender, 0, cx);
        }
        node.settle(cx);
        flow
    }
}

impl Work {
    /// A program sends what it has come to, and ends.
    pub(super) fn say_goodbye(&self, node: &mut Node, cx: &mut Cx) {
        let (Some(me), _) = node.some_alive(cx) else { return };
        let id = node.id.clone();
        for port in self.known.iter().filter(|port| *port.node() != id) {
            for _ in 0..3 {
                node.send(&me, port, 0, cx);
            }
        }
        node.settle(cx);
    }

    fn use_ports(&mut self, node: &mut Node, me: &PortId, nodes: usize, cx: &mut Cx) {
        let Some(target) = self.some_port(cx) else { return };
        match cx.random.below(100) {
            0..8 => {
                let port = node.open_port(cx);
                self.learn(port);
            }
            8..45 => {
                let neighbours: Vec<&PortId> =
                    self.known.iter().filter(|port| port.node() == target.node()).collect();
                let neighbour = cx.random.pick(&neighbours).map(|port| PortId::clone(port));
                let neighbour = neighbour.filter(|_| cx.random.percent(20));
                for _ in 0..cx.random.within(1, 8) {
                    let wish = *cx.random.pick(&WISHES).unwrap_or(&0);
                    node.send(me, &target, wish, cx);
                    // What one sender sends to different ports is in order, too.
                    if let Some(neighbour) = &neighbour {
                        node.send(me, neighbour, 0, cx);
                    }
                }
            }
            45..62 => {
                let to = cx.random.percent(50).then_some(me);
                let m = node.monitor(me, &target, to, cx);
                self.monitors.push((node.index, node.inc, m));
            }
            62..66 => self.withdraw(node, cx),
            66..69 => {
                let limit = cx.random.up_to(CALL);
                node.call(me, &target, limit, cx);
            }
            69..70 => {
                let m = node.wait_for(me, &target, cx);
                self.monitors.push((node.index, node.inc, m));
            }
            70..72 => {
                let m = node.link(me, &target, cx);
                self.monitors.push((node.index, node.inc, m));
            }
            72..77 => {
                node.send(me, &target, 0, cx);
                let normal = cx.random.percent(30);
                node.kill(me, &target, normal, cx);
                node.send(me, &target, 0, cx);
            }
            77..87 => self.spawn(node, me, nodes, cx),
            87..93 => {
                node.monitor(me, &target, Some(me), cx);
                node.send(me, &target, 2, cx);
            }
            93..94 => node.start_flood(me, cx),
            94..96 => {
                let other = node_id(cx.random.below(nodes));
                let m = node.monitor(me, &other.control_port(), None, cx);
                self.monitors.push((node.index, node.inc, m));
            }
            _ => {
                for other in node.alive() {
                    node.send(me, &other, 1, cx);
                }
            }
        }
    }

    fn withdraw(&mut self, node: &mut Node, cx: &mut Cx) {
        self.monitors.retain(|(index, inc, _)| *index != node.index || *inc == node.inc);
        let own: Vec<u64> =
            self.monitors.iter().filter(|(index, ..)| *index == node.index).map(|(.., m)| *m).collect();
        let Some(m) = cx.random.pick(&own).copied() else { return };
        self.monitors.retain(|(.., other)| *other != m);
        node.unmonitor(m, cx);
    }

    fn spawn(&mut self, node: &mut Node, me: &PortId, nodes: usize, cx: &mut Cx) {
        let on = node_id(cx.random.below(nodes));
        let function = match cx.random.below(10) {
            0 => "sim::unknown",
            1 => FUNCTIONS[1],
            2 => FUNCTIONS[2],
            _ => FUNCTIONS[0],
        };
        let port = node.spawn(me, &on, function, cx);
        if cx.random.percent(70) {
            let to = cx.random.percent(50).then_some(me);
            node.monitor(me, &port, to, cx);
        }
        for _ in 0..3 {
            node.send(me, &port, 1, cx);
        }
    }

    fn use_database(&mut self, node: &mut Node, me: &PortId, cx: &mut Cx) {
        let family = *cx.random.pick(&FAMILIES).unwrap_or(&FAMILIES[0]);
        let number = cx.random.below(4);
        // Keys of one node alone, and keys that several may set.
        let key = match cx.random.percent(60) {
            true => format!("{}{number}", node.id),
            false => format!("shared{number}"),
        };
        match cx.random.below(100) {
            0..50 => {
                let value = self.value();
                node.set(family, &key, value, None, cx);
            }
            50..60 => {
                let value = self.value();
                node.set(family, &format!("port{}", cx.id()), value, Some(me), cx);
            }
            60..80 => node.delete(family, &key, cx),
            80..88 => {
                node.watch(family, cx);
                if node.watches() > WATCHES {
                    node.unwatch(cx);
                }
            }
            88..91 => node.unwatch(cx),
            _ => {
                let kind =
                    *cx.random.pick(&[Kind::Family, Kind::Keys, Kind::Values]).unwrap_or(&Kind::Family);
                node.query(kind, family, cx);
            }
        }
    }
}
