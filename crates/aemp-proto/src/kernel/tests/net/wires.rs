//! What becomes of the actions of the kernels: packets on wires, events of their programs.

use std::collections::BTreeSet;
use std::time::Duration;

use super::super::super::*;
use super::{Event, Net, Outbox, Packet, Wire, node};
use crate::wire::request::Family;

impl Net {
    pub(super) fn happen(&mut self, event: Event) {
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

    pub(super) fn connect(&mut self, id: &str, link: LinkId, address: &str) {
        if let Some((via, to)) = address.strip_prefix("via:").and_then(|route| route.split_once('#')) {
            return self.connect_through(id, link, via, to);
        }
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
        self.join(id, link, &there, None);
    }

    /// Lets a node relay a connection, if it can.
    fn connect_through(&mut self, id: &str, link: LinkId, via: &str, to: &str) {
        let base = |net: &Net, other: &str| {
            let neighbour = net.nodes[via].kernel.as_ref()?.is_neighbour(&node(other));
            let link = net.nodes[via].up.get(other).filter(|_| neighbour)?;
            Some(net.nodes[via].wires.get(link)?.0)
        };
        match (base(self, id), base(self, to)) {
            (Some(near), Some(far)) if near != far => {
                self.join(id, link, to, Some((via, [near, far])));
            }
            _ => {
                let reason = format!("{via} has no connection to {to}");
                self.input(id, Input::Closed { link, reason });
            }
        }
    }

    fn join(&mut self, id: &str, link: LinkId, there: &str, over: Option<(&str, [u64; 2])>) {
        let there = there.to_owned();
        self.count += 1;
        let wire = self.count;
        let other = self.node(&there);
        other.accepted += 1;
        let accepted = LinkId::accepted(other.accepted);
        other.wires.insert(accepted, (wire, 1));
        self.node(id).wires.insert(link, (wire, 0));
        let ends = [Some((id.to_owned(), link)), Some((there.clone(), accepted))];
        let made = Wire {
            ends,
            line_sent: [false; 2],
            line_came: [false; 2],
            last: [self.now; 2],
            dead: false,
            over: over.map(|(_, wires)| wires),
        };
        let via = over.map(|(via, _)| node(via));
        self.wires.insert(wire, made);
        for (side, id) in [id, &there].into_iter().enumerate() {
            let incarnation = Some(self.nodes[id].incarnation);
            let via = via.clone();
            let peer =
                Peer { node: node(id), incarnation, native: true, can_relay: true, client: false, via };
            self.transmit(wire, side, Packet::Greeting(peer));
        }
    }

    pub(super) fn arrive(&mut self, wire: u64, side: usize, packet: Packet) {
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
                self.end_relayed(wire);
                self.node(&id).wires.remove(&link);
                self.input(&id, Input::Closed { link, reason: "end of stream".into() });
            }
        }
        self.wires.retain(|_, wire| wire.ends != [None, None]);
    }

    pub(super) fn peer_of(&self, id: &str, link: LinkId) -> String {
        let peer = self.nodes[id].up.iter().find(|(_, up)| **up == link);
        peer.expect("data comes over links that are up").0.clone()
    }

    pub(super) fn drain(&mut self, id: &str) {
        while let Some(action) = self.node(id).kernel.as_mut().and_then(Kernel::poll) {
            self.act(id, action);
        }
    }

    pub(super) fn act(&mut self, id: &str, action: Action) {
        match action {
            Action::Dial { link, address, .. } => self.perform_dial(id, link, address),
            Action::Resolve { name } => self.node(id).resolved.push(name),
            Action::DialThrough { link, via, to } => {
                assert!(self.nodes[id].up.contains_key(via.as_str()), "a carrier is up");
                self.perform_dial(id, link, format!("via:{via}#{to}"));
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
            Action::Break { node, reason } => self.break_outbox(id, node.as_str(), reason),
            Action::Send { to, request } => {
                let outbox = &self.nodes[id].outboxes[to.as_str()];
                let link = outbox.link.expect("the kernel sends to nodes that are up");
                self.sent.push((self.now, id.into(), to.to_string(), request.clone()));
                self.put(id, link, Packet::Request(request));
            }
            Action::Up { link, peer } => {
                let peer = peer.node;
                self.attach(id, link, peer.as_str());
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
            Action::Watch { id: watch, added, changed, deleted, set } => {
                self.observe(id, watch, [added, changed, deleted], &set);
            }
            Action::Refused { what } => self.node(id).refused.push(what),
            // There is no broker.
            Action::BecameGlobal => {}
        }
    }

    fn perform_dial(&mut self, id: &str, link: LinkId, address: String) {
        self.dials.push((self.now, id.into(), address.clone()));
        self.node(id).dialling.insert(link);
        let at = self.now + self.some_delay();
        let incarnation = self.nodes[id].incarnation;
        self.schedule(at, Event::Dialled(id.into(), incarnation, link, address));
    }

    /// Checks an event against all before it: first once even if empty, then truthful, disjoint and
    /// never empty.
    pub(super) fn observe(&mut self, id: &str, watch: u64, lists: [Vec<String>; 3], set: &Family) {
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
            folded.insert(key.clone(), set[key].clone());
        }
        assert!(
            set.iter().all(|(key, value)| folded.get(key) == Some(value)),
            "more is put in than the lists say"
        );
        let empty = folded.is_empty();
        *known = Some(folded);
        if empty && !deleted.is_empty() {
            node.emptied += 1;
        }
    }

    pub(super) fn proceed(&mut self, id: &str, link: LinkId) {
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

    pub(super) fn close(&mut self, id: &str, link: LinkId) {
        self.node(id).dialling.remove(&link);
        if let Some((wire, side)) = self.node(id).wires.remove(&link) {
            self.transmit(wire, side, Packet::End);
            self.end_relayed(wire);
            if let Some(wire) = self.wires.get_mut(&wire) {
                wire.ends[side] = None;
            }
        }
    }

    pub(super) fn attach(&mut self, id: &str, link: LinkId, peer: &str) {
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

    pub(super) fn break_outbox(&mut self, id: &str, peer: &str, reason: String) {
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

    pub(super) fn put(&mut self, id: &str, link: LinkId, packet: Packet) {
        if let Some((wire, side)) = self.nodes[id].wires.get(&link).copied() {
            self.transmit(wire, side, packet);
        }
    }

    pub(super) fn transmit(&mut self, wire: u64, from: usize, packet: Packet) {
        let delay = self.some_delay();
        let Some(known) = self.wires.get_mut(&wire).filter(|wire| !wire.dead) else { return };
        let at = known.last[1 - from].max(self.now + delay);
        known.last[1 - from] = at;
        self.schedule(at, Event::Arrives(wire, 1 - from, packet));
    }

    pub(super) fn silence(&mut self, wire: u64) {
        self.silence_within(wire, Duration::from_secs(4));
    }

    pub(super) fn silence_within(&mut self, wire: u64, time: Duration) {
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
        self.end_relayed(wire);
    }

    /// What went over a wire that is gone is gone, too.
    pub(super) fn end_relayed(&mut self, base: u64) {
        let over = self.wires.iter().filter(|(_, wire)| wire.over.is_some_and(|over| over.contains(&base)));
        for wire in over.map(|(wire, _)| *wire).collect::<Vec<_>>() {
            self.silence_within(wire, Duration::from_millis(5));
        }
    }

    pub(super) fn some_delay(&mut self) -> Duration {
        let micros = self.random.next() % (self.delay.as_micros() as u64 + 1);
        Duration::from_micros(micros)
    }

    pub(super) fn schedule(&mut self, at: Time, event: Event) {
        self.count += 1;
        let count = self.count;
        self.queue.insert((at, count), event);
    }
}
