//! The loop around the kernel, as the library has it: events in, in their order; actions out.

use std::collections::BTreeMap;
use std::time::Duration;

use aemp_proto::kernel::{Action, DbCommand, Input, LinkId, Peer};
use aemp_proto::outbox::Queued;
use aemp_proto::wire::MeshRequest;
use aemp_proto::{NodeId, Value};

use super::{Node, index_of};
use crate::cx::{Cx, Happening};
use crate::history::{Direction, Event, FaultKind, Kind, Mark};
use crate::options::Sabotage;

/// What the driver is told.
#[derive(Debug)]
pub(super) enum Told {
    Wanted(NodeId),
    Overflow(NodeId),
    Refused(NodeId),
    Greeted(LinkId, Peer),
    Verified(LinkId),
    Established(LinkId),
    ProbeDone(LinkId, bool),
    Closed(LinkId, String),
    Request(NodeId, MeshRequest),
    Db(DbCommand),
}

/// How long a host takes to find out that it knows no such address.
const NOWHERE: Duration = Duration::from_millis(1);

impl Node {
    /// Tells the driver; it looks at it soon.
    pub(super) fn tell(&mut self, told: Told, cx: &mut Cx) {
        self.told.push_back(told);
        if !std::mem::replace(&mut self.driving, true) {
            let longest = cx.options.driver_delay;
            let wait = cx.random.up_to(longest);
            cx.after(wait, Happening::Drive(self.index, self.inc));
        }
    }

    /// What must be done after something was put into an outbox.
    pub(super) fn queued(&mut self, node: &NodeId, queued: Queued, cx: &mut Cx) {
        match queued {
            Queued::Dropped | Queued::Behind | Queued::Wake | Queued::Bulk => {}
            Queued::Wanted => self.tell(Told::Wanted(node.clone()), cx),
            Queued::Overflow => {
                let nodes = vec![self.name.clone(), node.to_string()];
                self.record(Event::Fault { kind: FaultKind::Overflow, nodes }, cx);
                self.tell(Told::Overflow(node.clone()), cx);
            }
            Queued::Refused => {
                let nodes = vec![self.name.clone(), node.to_string()];
                self.record(Event::Fault { kind: FaultKind::Overflow, nodes }, cx);
                self.tell(Told::Refused(node.clone()), cx);
            }
        }
    }

    /// The driver looks at what it was told.
    pub(crate) fn drive(&mut self, cx: &mut Cx) {
        self.driving = false;
        for told in std::mem::take(&mut self.told) {
            let input = match told {
                Told::Wanted(node) => Input::Wanted(node),
                Told::Overflow(node) => Input::Overflow(node),
                Told::Refused(node) => {
                    self.fire_refused(&node, cx);
                    if !self.remote(&node, cx).outbox.is_wanted() {
                        continue;
                    }
                    Input::Wanted(node)
                }
                Told::Greeted(link, peer) => Input::Greeted { link, peer },
                Told::Verified(link) => Input::Verified { link },
                Told::Established(link) => Input::Established { link },
                Told::ProbeDone(link, alive) => Input::ProbeDone { link, alive },
                Told::Closed(link, reason) => Input::Closed { link, reason },
                Told::Request(from, request) => Input::Request { from, request },
                Told::Db(command) => Input::Db(command),
            };
            self.input(input, cx);
        }
        self.settle(cx);
    }

    pub(super) fn input(&mut self, input: Input, cx: &mut Cx) {
        cx.trace(&self.name, || format!("<- {input:?}"));
        self.kernel.handle(input, cx.now);
        self.act(cx);
    }

    pub(super) fn act(&mut self, cx: &mut Cx) {
        while let Some(action) = self.kernel.poll() {
            cx.trace(&self.name, || format!("-> {action:?}"));
            self.perform(action, cx);
        }
    }

    fn perform(&mut self, action: Action, cx: &mut Cx) {
        match action {
            Action::Dial { link, address, .. } => self.dial(link, address, cx),
            // Names stand for one address here, and there is no broker.
            Action::Resolve { .. } | Action::BecameGlobal => {}
            Action::DialThrough { link, via, to } => self.dial_through(link, &via, &to, cx),
            Action::Proceed { link } => self.proceed(link, cx),
            Action::Close { link, reason } => self.close_link(link, &reason, cx),
            Action::Probe { link } => self.probe(link, cx),
            Action::Up { link, peer } => self.up(link, &peer, cx),
            Action::Break { node, reason } => self.break_outbox(&node, &reason, cx),
            Action::Send { to, request } => {
                if introduces(&to, &request) && cx.sabotage(Sabotage::NoIntroduction, 1) {
                    return;
                }
                cx.requests += 1;
                let (queued, _) = self.remote(&to, cx).outbox.mesh(request);
                self.queued(&to, queued, cx);
            }
            Action::NodeDown(peer, reason) => {
                if !cx.sabotage(Sabotage::HideDown, 2) {
                    let conn = 0;
                    self.tell_of(&peer, Event::Down { peer: peer.to_string(), conn, reason }, cx);
                }
            }
            Action::QueryAnswer { id, result } => self.answered(id, result, cx),
            Action::Watch { id, added, changed, deleted, set } => {
                let Some(content) = self.watches.get_mut(&id) else { return };
                for key in &deleted {
                    content.remove(key);
                }
                content.extend(set.iter().map(|(key, value)| (key.clone(), value.clone())));
                if cx.options.history && !cx.sabotage(Sabotage::HideWatchEvent, 8) {
                    let content = content.iter().map(|(key, value)| (key.clone(), text(value)));
                    let db: BTreeMap<String, String> = content.collect();
                    self.record(Event::Dbev { m: id, add: added, chg: changed, del: deleted, db }, cx);
                }
            }
            Action::Refused { what } => cx.trace(&self.name, || format!("refused: {what}")),
        }
    }

    fn up(&mut self, link: LinkId, peer: &Peer, cx: &mut Cx) {
        let node = &peer.node;
        self.attach_outbox(link, node, cx);
        self.attach(link, node, cx);
        if peer.is_neighbour() {
            self.relay.up(node);
        }
        let (conn, pinc) = self.conn_to(node);
        self.tell_of(node, Event::Up { peer: node.to_string(), pinc, conn }, cx);
    }

    fn dial(&mut self, link: LinkId, address: String, cx: &mut Cx) {
        self.dialling.insert(link);
        let (node, inc) = (self.index, self.inc);
        match index_of(&address) {
            Some(to) => {
                let wait = cx.latency();
                cx.after(wait, Happening::Connect { node, inc, link, to });
            }
            None => cx.after(NOWHERE, Happening::Refused { node, inc, link }),
        }
        self.record(Event::Dial { address }, cx);
    }

    /// Lets a link drain the outbox of a node; the monitors fire of ports that lost what its peer
    /// cannot read.
    fn attach_outbox(&mut self, link: LinkId, node: &NodeId, cx: &mut Cx) {
        let framing = self.sends_in(link);
        let attached = self.remote(node, cx).outbox.attach(link, framing);
        for lost in attached.lost {
            self.record(Event::Unreadable { p: lost.port.to_string() }, cx);
            self.fire_losses(node, lost.fires, &lost.why, cx);
        }
    }

    /// Breaks the outbox of a node: its monitors fire, what it monitors here is forgotten.
    fn break_outbox(&mut self, node: &NodeId, reason: &str, cx: &mut Cx) {
        let remote = self.remote(node, cx);
        let epoch = remote.outbox.epoch();
        let mut broken = remote.outbox.break_now();
        // The outbox keeps them in a hash map; a run has to be repeatable.
        broken.fires.sort_by(|a, b| (&a.port, a.id).cmp(&(&b.port, b.id)));
        if let Some((conn, _)) = broken.link.and_then(|link| self.conns.get(&link)).copied() {
            let (peer, n) = (node.to_string(), broken.counts.messages + broken.counts.requests);
            let (dir, mark) = (Direction::Sent, Mark::Break);
            self.record(Event::Frames { peer, conn, dir, n, last: None, mark }, cx);
        }
        let (lost, fires) = (broken.counts.lost, broken.fires.len() as u64);
        self.record(Event::Broke { peer: node.to_string(), epoch, lost, fires }, cx);
        self.relay.down(node, reason);
        self.go_on(cx);
        if !cx.sabotage(Sabotage::KeepWatchers, 1) {
            self.forget_watchers(node, cx);
        }
        self.fire_losses(node, broken.fires, reason, cx);
        if let Some(link) = broken.link {
            self.close_link(link, reason, cx);
        }
    }

    fn conn_to(&self, peer: &NodeId) -> (u64, u64) {
        let link = self.remotes.get(peer).and_then(|remote| remote.outbox.link());
        link.and_then(|link| self.conns.get(&link)).copied().unwrap_or_default()
    }

    fn answered(&mut self, id: u64, result: Value, cx: &mut Cx) {
        let (mut keys, mut values) = (Vec::new(), Vec::new());
        match (self.queries.get(&id), result) {
            (Some(Kind::Values), Value::List(list)) => values = list.iter().map(text).collect(),
            (_, Value::List(list)) => keys = list.iter().map(text).collect(),
            (_, Value::Map(entries)) => {
                for (key, value) in &entries {
                    keys.push(text(key));
                    values.push(text(value));
                }
            }
            _ => {}
        }
        if cx.sabotage(Sabotage::AnswerTwice, 3) {
            self.record(Event::A { id, keys: keys.clone(), values: values.clone() }, cx);
        }
        self.record(Event::A { id, keys, values }, cx);
    }
}

/// Whether a node is asked for its own addresses, which is how its introduction to another one
/// begins.
fn introduces(to: &NodeId, request: &MeshRequest) -> bool {
    matches!(request, MeshRequest::Find(node) if node == to)
}

/// A value of the database as the history shows it.
pub(super) fn text(value: &Value) -> String {
    value.to_name().unwrap_or_else(|| format!("{value:?}"))
}
