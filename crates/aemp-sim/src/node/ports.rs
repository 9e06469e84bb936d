//! Ports: what waits in their mailboxes, who is told when they die.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use aemp_proto::kernel::LinkId;
use aemp_proto::name::join_name;
use aemp_proto::wire::Body;
use aemp_proto::{Home, NodeId, PortId, Reason};

use super::monitors::Fire;
use super::verbs::{Letter, reason_texts, sender};
use super::{FUNCTIONS, Node};
use crate::cx::{Cx, Happening};
use crate::history::{Event, Over};
use crate::options::Sabotage;

/// How long a quick port takes for one thing.
const QUICK: Duration = Duration::from_micros(200);

/// What waits in a mailbox.
pub(super) enum Item {
    /// With its place among those that came from other nodes.
    Message(Body, Option<u64>),
    Fire(Fire),
    Init(String),
    Kill(Reason),
}

/// Who is told of a death.
pub(super) enum Watcher {
    Local(u64),
    /// A node that asked over this link.
    Remote(NodeId, LinkId),
}

/// What a port is like.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Habit {
    /// How long it takes for one thing.
    pub(super) pace: Duration,
    /// It is an async port.
    pub(super) task: bool,
}

pub(super) struct Port {
    id: PortId,
    pub(super) mailbox: VecDeque<Item>,
    /// A kill is on its way: nothing later counts.
    closing: bool,
    /// Monitors that fired too late for it. Their gates open when it ends: until then what it sends
    /// must not pass a loss that it does not hear of.
    unheard: Vec<Fire>,
    scheduled: bool,
    /// Receivers that were behind when its handler sent to them, and may be so still.
    pub(super) behind: Vec<u64>,
    pace: Duration,
    /// It is an async port.
    task: bool,
    pub(super) watchers: Vec<Watcher>,
    /// Entries of the database that go with the port.
    pub(super) entries: Vec<(String, String)>,
}

/// The ports of a node.
pub(super) struct Ports {
    home: Arc<Home>,
    count: u64,
    table: BTreeMap<u64, Port>,
    /// Ports whose names others have chosen.
    names: BTreeMap<String, u64>,
    /// Why a port with such a name is gone.
    failed: BTreeMap<String, Reason>,
}

impl Ports {
    pub(super) fn new(home: Arc<Home>) -> Ports {
        Ports { home, count: 0, table: BTreeMap::new(), names: BTreeMap::new(), failed: BTreeMap::new() }
    }

    /// The number of the port with this name, which may be dead if it is one of our own.
    pub(super) fn number(&self, head: &str, number: u64) -> Option<u64> {
        if number != 0 && head == self.home.head() {
            return Some(number);
        }
        self.names.get(&join_name(head, number)).copied()
    }

    pub(super) fn port(&mut self, number: u64) -> Option<&mut Port> {
        self.table.get_mut(&number)
    }

    /// The ID of a port, dead or alive.
    pub(super) fn id(&self, number: u64) -> PortId {
        self.table.get(&number).map_or_else(|| self.home.port(number), |port| port.id.clone())
    }

    /// Why there is no such port.
    pub(super) fn why_missing(&self, port: &PortId) -> Reason {
        let known = self.failed.get(&port.name().to_string());
        known.filter(|reason| !reason.is_normal()).cloned().unwrap_or_else(|| Reason::no_such_port(port))
    }

    /// Whether nobody may have a port of this name any more.
    pub(super) fn is_taken(&self, name: &str) -> bool {
        self.names.contains_key(name) || self.failed.contains_key(name)
    }

    pub(super) fn is_alive(&self, number: u64) -> bool {
        self.table.get(&number).is_some_and(|port| !port.closing)
    }

    /// The ports that wait for this one to catch up.
    pub(super) fn parked_behind(&self, number: u64) -> Vec<u64> {
        let behind = self.table.iter().filter(|(_, port)| port.behind.contains(&number));
        behind.map(|(sender, _)| *sender).collect()
    }

    /// Whether nothing waits in any mailbox.
    pub(super) fn are_idle(&self) -> bool {
        self.table.values().all(|port| port.mailbox.is_empty())
    }

    /// The ports that are alive.
    pub(super) fn alive(&self) -> impl Iterator<Item = &PortId> {
        self.table.values().filter(|port| !port.closing).map(|port| &port.id)
    }
}

impl Node {
    /// Opens a port, with a name of our own or one that another node has chosen.
    pub(super) fn open(&mut self, name: Option<PortId>, habit: Habit, cx: &mut Cx) -> u64 {
        self.ports.count += 1;
        let number = self.ports.count;
        let id = name.clone().unwrap_or_else(|| self.ports.home.port(number));
        if let Some(name) = name {
            self.ports.names.insert(name.name().to_string(), number);
        }
        let p = id.to_string();
        let Habit { pace, task } = habit;
        if cx.sabotage(Sabotage::ReusePort, 5) {
            self.record(Event::PortNew { p: p.clone(), task }, cx);
        }
        self.record(Event::PortNew { p, task }, cx);
        let port = Port {
            id,
            mailbox: VecDeque::new(),
            closing: false,
            unheard: Vec::new(),
            scheduled: false,
            behind: Vec::new(),
            pace,
            task,
            watchers: Vec::new(),
            entries: Vec::new(),
        };
        self.ports.table.insert(number, port);
        number
    }

    /// Puts a message into a mailbox.
    pub(super) fn deliver(&mut self, number: u64, body: Body, n: Option<u64>, cx: &mut Cx) {
        let Some(port) = self.ports.table.get_mut(&number).filter(|port| !port.closing) else {
            if cx.sabotage(Sabotage::DeliverToDead, 1) {
                self.receive(number, &body, n, cx);
            }
            return;
        };
        if cx.sabotage(Sabotage::DropMessage, 60) {
            return;
        }
        if cx.sabotage(Sabotage::DoubleMessage, 20) {
            port.mailbox.push_back(Item::Message(body.clone(), n));
        }
        let last = port.mailbox.len();
        if matches!(port.mailbox.back(), Some(Item::Message(..))) && cx.sabotage(Sabotage::SwapMessages, 2) {
            port.mailbox.insert(last - 1, Item::Message(body, n));
        } else {
            port.mailbox.push_back(Item::Message(body, n));
        }
        self.schedule(number, cx);
        self.weigh(number, cx);
    }

    /// Puts something other than a message into a mailbox. After a kill nothing counts.
    pub(super) fn signal(&mut self, number: u64, item: Item, cx: &mut Cx) {
        let Some(port) = self.ports.table.get_mut(&number) else { return self.discard(item, cx) };
        if port.closing {
            return match item {
                Item::Fire(fire) if !cx.sabotage(Sabotage::OpenForDying, 1) => port.unheard.push(fire),
                item => self.discard(item, cx),
            };
        }
        let task = port.task;
        match item {
            Item::Kill(reason) => return self.close(number, reason, cx),
            // The code of an async port need not look at its mailbox for this.
            Item::Fire(fire) if task => {
                if let Some(reason) = self.linked(&fire) {
                    self.open_fire(fire, cx);
                    return self.close(number, reason, cx);
                }
                self.push(number, Item::Fire(fire));
            }
            item => self.push(number, item),
        }
        self.schedule(number, cx);
    }

    fn push(&mut self, number: u64, item: Item) {
        if let Some(port) = self.ports.port(number) {
            port.mailbox.push_back(item);
        }
    }

    /// A kill has come: it takes its turn, and nothing comes after it. An async port ends at once,
    /// unless it does something.
    pub(super) fn close(&mut self, number: u64, reason: Reason, cx: &mut Cx) {
        let Some(port) = self.ports.port(number) else { return };
        port.closing = true;
        // An async port looks at nothing more, and ends a moment later.
        if port.task {
            for item in std::mem::take(&mut port.mailbox) {
                if let Item::Fire(fire) = item {
                    port.unheard.push(fire);
                }
            }
        }
        let (p, busy) = (port.id.to_string(), port.scheduled || !port.mailbox.is_empty());
        self.record(Event::PortClosed { p }, cx);
        if busy {
            self.push(number, Item::Kill(reason));
            self.schedule(number, cx);
        } else {
            self.end_port(number, &reason, cx);
        }
    }

    pub(super) fn schedule(&mut self, number: u64, cx: &mut Cx) {
        let Some(port) = self.ports.table.get_mut(&number) else { return };
        // A port that is behind itself is never parked, nor is one that is to die.
        let parked = !port.behind.is_empty() && !port.closing;
        if parked && port.mailbox.len() <= cx.options.mailbox.high {
            return;
        }
        if !std::mem::replace(&mut port.scheduled, true) {
            let pace = port.pace.min(cx.options.work.slow).max(QUICK);
            let wait = cx.random.up_to(pace);
            cx.after(wait, Happening::Port(self.index, self.inc, number));
        }
    }

    /// A port handles one thing.
    pub(crate) fn run_port(&mut self, number: u64, cx: &mut Cx) {
        let Some(port) = self.ports.table.get_mut(&number) else { return };
        let task = port.task;
        let item = port.mailbox.pop_front();
        self.relieve(number, cx);
        match item {
            None => {}
            Some(Item::Message(body, n)) => {
                self.running = Some(number).filter(|_| !task);
                self.receive(number, &body, n, cx);
                self.running = None;
                self.end_call(number, Over::Answer, cx);
            }
            Some(Item::Fire(fire)) => {
                let linked = self.linked(&fire);
                self.open_fire(fire, cx);
                self.end_call(number, Over::Died, cx);
                if let Some(reason) = linked.filter(|_| !cx.sabotage(Sabotage::LoseLink, 1)) {
                    self.end_port(number, &reason, cx);
                }
            }
            Some(Item::Init(function)) => self.init(number, function, cx),
            Some(Item::Kill(reason)) => self.end_port(number, &reason, cx),
        }
        if let Some(port) = self.ports.table.get_mut(&number) {
            port.scheduled = false;
            if !port.mailbox.is_empty() {
                self.schedule(number, cx);
            }
        }
        self.settle(cx);
    }

    fn receive(&mut self, number: u64, body: &Body, n: Option<u64>, cx: &mut Cx) {
        let me = self.ports.id(number);
        self.read_letter(&me, body, n, cx);
    }

    /// A port takes a message and does what it says.
    pub(super) fn read_letter(&mut self, me: &PortId, body: &Body, n: Option<u64>, cx: &mut Cx) {
        let Some(letter) = Letter::read(body) else { return };
        let hash = letter.hash() ^ u64::from(cx.sabotage(Sabotage::AlterMessage, 30));
        let p = me.to_string();
        if cx.sabotage(Sabotage::InventMessage, 100) {
            let k = cx.id();
            self.record(Event::Rcv { p: p.clone(), k, hash, n }, cx);
        }
        self.record(Event::Rcv { p, k: letter.k, hash, n }, cx);
        let Ok(from) = PortId::parse(&letter.from) else { return };
        match letter.wish {
            Letter::ECHO => self.send(me, &from, Letter::NOTHING, cx),
            wish if wish >= Letter::FLOOD => self.flood(me, &from, wish, cx),
            Letter::LAST_WORDS => {
                let Some(number) = self.here(me) else { return };
                let reason = Reason::text("last words", letter.k);
                let late = cx.sabotage(Sabotage::NewsFirst, 1);
                if late {
                    self.end_port(number, &reason, cx);
                }
                for _ in 0..3 {
                    self.send(me, &from, Letter::NOTHING, cx);
                }
                if !late {
                    self.end_port(number, &reason, cx);
                }
            }
            _ => {}
        }
    }

    fn init(&mut self, number: u64, function: String, cx: &mut Cx) {
        let p = self.ports.id(number).to_string();
        let known = FUNCTIONS.contains(&function.as_str());
        if known || cx.sabotage(Sabotage::InitUnknown, 1) {
            self.record(Event::Init { p: p.clone(), function: function.clone() }, cx);
        }
        if cx.sabotage(Sabotage::InitTwice, 2) {
            self.record(Event::Init { p, function: function.clone() }, cx);
        }
        let reason = match function.as_str() {
            "sim::port" => return,
            "sim::fails" => Reason::died("the function fails"),
            "sim::nothing" => Reason::no_such_port(&self.ports.id(number)),
            _ => Reason::text("spawn_refused", "no such function"),
        };
        self.end_port(number, &reason, cx);
    }

    /// Ends a port: everything that belongs to it goes, those who watch it are told.
    pub(super) fn end_port(&mut self, number: u64, reason: &Reason, cx: &mut Cx) {
        let Some(port) = self.ports.table.remove(&number) else { return };
        self.relieve(number, cx);
        self.record(Event::PortDied { p: port.id.to_string(), reason: reason_texts(reason) }, cx);
        let name = port.id.name().to_string();
        if self.ports.names.remove(&name).is_some() {
            self.ports.failed.insert(name.clone(), reason.clone());
        }
        for (family, key) in port.entries {
            self.delete(&family, &key, cx);
        }
        for watcher in port.watchers {
            match watcher {
                Watcher::Local(monitor) => self.fire(monitor, reason.clone(), None, cx),
                Watcher::Remote(peer, link) => {
                    let remote = self.remote(&peer, cx);
                    remote.watching.ports.remove(&number);
                    if remote.outbox.link() == Some(link) {
                        let queued = remote.outbox.by(|| sender(&port.id)).died(name.clone(), reason);
                        self.queued(&peer, queued, cx);
                    }
                }
            }
        }
        for item in port.mailbox.into_iter().chain(port.unheard.into_iter().map(Item::Fire)) {
            self.discard(item, cx);
        }
    }

    /// Something will not be handled by anybody.
    fn discard(&mut self, item: Item, cx: &mut Cx) {
        if let Item::Fire(fire) = item {
            self.open_gate(fire.gate, fire.monitor, cx);
        }
    }
}
