//! What programs do: send, kill, spawn, open ports, use the database.

use std::hash::{Hash as _, Hasher as _};

use aemp_ports::PortNo;
use aemp_ports::exit::adopt;
use aemp_ports::extra::Child;
use aemp_proto::kernel::{DbCommand, QueryKind};
use aemp_proto::outbox::Queued;
use aemp_proto::wire::request::Family;
use aemp_proto::wire::{Body, Request};
use aemp_proto::{AnyMessage, NodeId, PortId, Reason, Value};
use rustc_hash::FxHasher;

use super::Node;
use super::driver::{Told, text};
use super::habit::Habit;
use super::host::{Notice, WhenDropped};
use super::ports::Post;
use crate::cx::Cx;
use crate::history::{Event, Kind};
use crate::options::Sabotage;

/// What messages are filled with.
const ALPHABET: &str = "abcdefghijklmnopqrstuvwxyz";

/// How many messages a handler sends to each receiver of a flood.
pub(crate) const FLOOD: usize = 20;

/// How often the handler of a flood runs.
const ROUNDS: u64 = 10;

/// Where a port ID leads.
pub(super) enum Place {
    Here(PortNo),
    Node,
    Nowhere,
    There,
}

/// Who sends, as an outbox wants to know it.
pub(super) fn sender(port: &PortId) -> u64 {
    let mut hasher = FxHasher::default();
    port.hash(&mut hasher);
    hasher.finish()
}

/// What the simulated programs send.
pub(super) struct Letter {
    pub(super) k: u64,
    pub(super) from: String,
    payload: String,
    /// What the receiver is to do.
    pub(super) wish: u64,
    /// There is a value in it that has no form as JSON.
    odd: bool,
}

impl Letter {
    pub(crate) const NOTHING: u64 = 0;
    /// Send one back.
    pub(crate) const ECHO: u64 = 1;
    /// Send to two ports here, and go on with one less until none is left.
    pub(crate) const FLOOD: u64 = 100;
    /// Send three back, then die.
    pub(crate) const LAST_WORDS: u64 = 2;

    pub(super) fn read(values: &[Value]) -> Option<Letter> {
        let (values, odd) = match values {
            [values @ .., Value::Float(_)] => (values, true),
            values => (values, false),
        };
        let [k, from, payload, wish] = values else { return None };
        let number = |value: &Value| match value {
            Value::Int(number) => u64::try_from(*number).ok(),
            _ => None,
        };
        Some(Letter {
            k: number(k)?,
            from: from.to_name()?,
            payload: payload.to_name()?,
            wish: number(wish)?,
            odd,
        })
    }

    pub(super) fn message(&self) -> AnyMessage {
        AnyMessage(self.values())
    }

    fn body(&self) -> Body {
        Body::encode(&self.values()).expect("numbers and strings have a wire form")
    }

    fn values(&self) -> Vec<Value> {
        let payload = Value::Text(self.payload.clone());
        let mut values = vec![self.k.into(), Value::name(&self.from), payload, self.wish.into()];
        if self.odd {
            values.push(Value::Float(f64::NAN));
        }
        values
    }

    /// A hash of all that it says.
    pub(super) fn hash(&self) -> u64 {
        let mut hasher = FxHasher::default();
        (self.k, &self.from, &self.payload, self.wish, self.odd).hash(&mut hasher);
        hasher.finish()
    }
}

/// A reason as the history shows it.
pub(super) fn reason_texts(reason: &Reason) -> Vec<String> {
    reason.values().iter().map(text).collect()
}

impl Node {
    pub(super) fn place(&self, port: &PortId) -> Place {
        if port.node() != &self.id {
            return Place::There;
        }
        if port.is_node() {
            return Place::Node;
        }
        let (home, number) = port.parts();
        self.ports.number(home.head(), number).map_or(Place::Nowhere, Place::Here)
    }

    /// The number of a port of this node.
    pub(super) fn here(&self, port: &PortId) -> Option<PortNo> {
        match self.place(port) {
            Place::Here(number) => Some(number),
            _ => None,
        }
    }

    /// The ports that are alive.
    pub(crate) fn alive(&self) -> Vec<PortId> {
        self.ports.alive().cloned().collect()
    }

    /// Some port that is alive, and how many there are.
    pub(crate) fn some_alive(&self, cx: &mut Cx) -> (Option<PortId>, usize) {
        let count = self.ports.alive().count();
        (self.ports.alive().nth(cx.random.below(count)).cloned(), count)
    }

    /// The port that has been alive for longest.
    pub(crate) fn oldest(&self) -> Option<PortId> {
        self.ports.oldest().cloned()
    }

    /// Whether this is a port of this node, and alive.
    pub(crate) fn has(&self, port: &PortId) -> bool {
        self.here(port).is_some_and(|number| self.ports.is_alive(number))
    }

    /// Opens a port.
    pub(crate) fn open_port(&mut self, cx: &mut Cx) -> PortId {
        let habit = Habit::draw(cx);
        let number = self.open(None, habit, cx);
        self.ports.id(number)
    }

    /// Sends a message.
    pub(crate) fn send(&mut self, from: &PortId, to: &PortId, wish: u64, cx: &mut Cx) {
        if let Some(letter) = self.letter(from, wish, cx) {
            self.post(from, to, &letter, cx);
        }
    }

    /// A message that `from` is going to send; none while the node is shut down, for that fails.
    pub(super) fn letter(&self, from: &PortId, wish: u64, cx: &mut Cx) -> Option<Letter> {
        let length = cx.options.work.payload;
        let length = cx.random.within(1, length);
        let mut payload = ALPHABET.repeat(length.div_ceil(ALPHABET.len()));
        payload.truncate(length);
        let share = cx.options.work.odd;
        let odd = cx.random.percent(share);
        let letter = Letter { k: cx.id(), from: from.to_string(), payload, wish, odd };
        (!self.is_stopping()).then_some(letter)
    }

    /// Lets `from` send this.
    fn post(&mut self, from: &PortId, to: &PortId, letter: &Letter, cx: &mut Cx) {
        let (k, hash) = (letter.k, letter.hash());
        let (sid, p) = (from.to_string(), to.to_string());
        match self.place(to) {
            Place::There => {
                let body = letter.body();
                if self.is_refused(to, &body, cx) {
                    return;
                }
                let by = if cx.sabotage(Sabotage::Overtake, 1) { cx.id() } else { sender(from) };
                let outbox = &self.remote(to.node(), cx).outbox;
                let (epoch, gated) = (Some(outbox.epoch()), outbox.is_gated(to));
                let queued = match gated && cx.sabotage(Sabotage::DropHeld, 1) {
                    true => Queued::Dropped,
                    false => self.remote(to.node(), cx).outbox.by(|| by).send(to, &body),
                };
                let held = gated && queued == Queued::Behind;
                self.record(Event::Snd { sid, p, k, hash, epoch, held }, cx);
                self.queued(to.node(), queued, cx);
                self.weigh(to.node(), cx);
            }
            place => {
                self.record(Event::Snd { sid, p, k, hash, epoch: None, held: false }, cx);
                if let Place::Here(number) = place
                    && let Some(message) = self.post_answer(number, letter.message(), cx)
                {
                    self.deliver(number, Post::Local(message), cx);
                }
            }
        }
    }

    /// Lets a port flood two others.
    pub(crate) fn start_flood(&mut self, me: &PortId, cx: &mut Cx) {
        let (Some(first), _) = self.some_alive(cx) else { return };
        if first != *me {
            self.send(&first, me, Letter::FLOOD + ROUNDS, cx);
        }
    }

    /// Whether it is known already that the other node cannot read this: its sender is told, and
    /// nothing is sent.
    fn is_refused(&mut self, to: &PortId, body: &Body, cx: &mut Cx) -> bool {
        self.remote(to.node(), cx).outbox.check(to, body.items()).is_err()
            && !cx.sabotage(Sabotage::Unchecked, 1)
    }

    /// Sends a lot to this port and another one here, and goes on with itself.
    pub(super) fn flood(&mut self, (me, number): (&PortId, PortNo), first: &PortId, wish: u64, cx: &mut Cx) {
        // The code of an async port has to wait by itself.
        if self.ports.is_task(number) {
            return;
        }
        let second = self.ports.alive().find(|port| *port != first && *port != me).cloned();
        for to in [Some(first.clone()), second].into_iter().flatten() {
            for _ in 0..FLOOD {
                self.send(me, &to, Letter::NOTHING, cx);
            }
        }
        if wish > Letter::FLOOD {
            let again = Letter {
                k: cx.id(),
                from: first.to_string(),
                payload: String::new(),
                wish: wish - 1,
                odd: false,
            };
            self.post(me, me, &again, cx);
        }
    }

    /// Kills a port.
    pub(crate) fn kill(&mut self, sid: &PortId, port: &PortId, normal: bool, cx: &mut Cx) {
        let reason = if normal { Reason::NORMAL } else { Reason::text("killed", cx.id()) };
        let told = reason_texts(&reason);
        let (by, p) = (sid.to_string(), port.to_string());
        match self.place(port) {
            Place::There => {
                let outbox = &mut self.remote(port.node(), cx).outbox;
                let gated = outbox.is_gated(port);
                let queued = outbox.by(|| sender(sid)).kill(port, &reason);
                let held = gated && queued == Queued::Behind;
                self.record(Event::Kil { sid: by, p, reason: told, held }, cx);
                self.queued(port.node(), queued, cx);
            }
            place => {
                self.record(Event::Kil { sid: by, p, reason: told, held: false }, cx);
                if let Place::Here(number) = place {
                    self.kill_here(number, reason, cx);
                }
            }
        }
    }

    /// Makes a port on a node.
    pub(crate) fn spawn(&mut self, sid: &PortId, node: &NodeId, function: &str, cx: &mut Cx) -> PortId {
        let (by, sid) = (sender(sid), sid.to_string());
        if node == &self.id {
            let number = self.open_nascent(None, function.into(), cx);
            let port = self.ports.id(number);
            self.record(Event::Spawn { sid, p: port.to_string(), function: function.into() }, cx);
            cx.born.push(port.clone());
            return port;
        }
        let number = cx.id();
        let port = self.remote(node, cx).spawned.port(number);
        self.record(Event::Spawn { sid, p: port.to_string(), function: function.into() }, cx);
        let request = Request::Spawn {
            name: port.name().to_string(),
            function: function.into(),
            args: Body::default(),
        };
        let queued = self.remote(node, cx).outbox.by(|| by).request(&request);
        self.queued(node, queued.expect("it is small, and has a form in every framing"), cx);
        port
    }

    /// Sets a database entry; one that belongs to a port goes with it.
    pub(crate) fn set(&mut self, family: &str, key: &str, value: String, with: Option<&PortId>, cx: &mut Cx) {
        let (family, key) = (family.to_owned(), key.to_owned());
        let number = with.map(|port| self.here(port));
        if number.is_some_and(|number| number.is_none_or(|number| !self.ports.exists(number))) {
            return; // the port is gone, and so would the entry be
        }
        self.record(Event::Set { f: family.clone(), k: key.clone(), v: value.clone() }, cx);
        if let Some(number) = number.flatten() {
            let unset = Notice::Unset(family.clone(), key.clone());
            let guard = WhenDropped::new(self.ports.host.notices(), unset);
            adopt(&self.ports.host, number, Child::Guard(Box::new(guard)));
        }
        if !cx.sabotage(Sabotage::ForgetSet, 3) {
            let id = cx.id();
            self.tell(Told::Db(DbCommand::Set { family, key, value: Value::Text(value), id }), cx);
        }
    }

    /// Takes a database entry back.
    pub(crate) fn delete(&mut self, family: &str, key: &str, cx: &mut Cx) {
        let (family, key) = (family.to_owned(), key.to_owned());
        self.record(Event::Del { f: family.clone(), k: key.clone() }, cx);
        if !cx.sabotage(Sabotage::ForgetDelete, 1) {
            self.tell(Told::Db(DbCommand::Delete { family, key }), cx);
        }
    }

    /// Watches a family.
    pub(crate) fn watch(&mut self, family: &str, cx: &mut Cx) {
        let id = cx.id();
        self.record(Event::Dbmon { m: id, f: family.into() }, cx);
        self.watches.insert(id, Family::new());
        self.tell(Told::Db(DbCommand::Watch { id, family: family.into() }), cx);
    }

    /// How many watches there are.
    pub(crate) fn watches(&self) -> usize {
        self.watches.len()
    }

    /// Ends the oldest watch.
    pub(crate) fn unwatch(&mut self, cx: &mut Cx) {
        if let Some((m, _)) = self.watches.pop_first() {
            self.record(Event::Dbunmon { m }, cx);
            self.tell(Told::Db(DbCommand::Unwatch { id: m }), cx);
        }
    }

    /// Asks the database.
    pub(crate) fn query(&mut self, kind: Kind, family: &str, cx: &mut Cx) {
        let id = cx.id();
        self.record(Event::Q { id, f: family.into(), kind }, cx);
        self.queries.insert(id, kind);
        let kind = match kind {
            Kind::Family => QueryKind::Family,
            Kind::Keys => QueryKind::Keys,
            Kind::Values => QueryKind::Values,
        };
        self.tell(Told::Db(DbCommand::Query { id, kind, family: family.into() }), cx);
    }
}
