//! What all programs of a node share.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use aemp::{Context, Message, Node, NodeId, PortId, ReplyTo};
use aemp_sim::history::Event;
use aemp_sim::random::Random;
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;

use super::directory::Own;
use super::history::{History, hash};
use super::monitors::Kept;
use crate::plan::{Plan, Sabotage};

/// Ports that a node knows of; older ones are forgotten.
const KNOWN: usize = 40;

/// What messages are filled with.
const ALPHABET: &str = "abcdefghijklmnopqrstuvwxyz";

/// The function that makes ports for others.
pub(super) const FUNCTION: &str = "torture::port";

/// What ports say to each other.
#[derive(Debug, Serialize, Deserialize, Message)]
pub(super) enum Letter {
    /// A message with this number; `wish` is what the receiver is asked for.
    Say { k: u64, from: PortId, payload: String, wish: u64 },
    /// A call: the answer is a message, too.
    Ask { k: u64, from: PortId, payload: String, reply: ReplyTo<Answer> },
    /// To an async port, by itself: a monitor has fired.
    Told { m: u64, reason: Vec<String> },
}

/// What an answer says: its number, and a hash.
pub(super) type Answer = (u64, u64);

/// What a message asks for.
pub(super) mod wish {
    /// Nothing.
    pub(crate) const NOTHING: u64 = 0;
    /// Send one back.
    pub(crate) const ECHO: u64 = 1;
    /// Send three back, then die.
    pub(crate) const LAST_WORDS: u64 = 2;
    /// Send many to two ports of the node, and ask oneself for the same with one less.
    pub(crate) const FLOOD: u64 = 100;
}

/// How far the run has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd)]
#[repr(u8)]
pub(super) enum Phase {
    /// Everything.
    Work,
    /// Streams of messages alone.
    Streams,
    /// Nobody begins anything.
    Rest,
}

/// One run of a node and its programs.
pub(super) struct World {
    pub(super) plan: Plan,
    pub(super) history: History,
    pub(super) known: Mutex<Vec<PortId>>,
    /// Callback ports here that do something by themselves.
    pub(super) own: Mutex<Vec<PortId>>,
    /// Monitors with a callback.
    pub(super) kept: Mutex<Vec<Kept>>,
    /// Written when the node is about to be shut down: everything that has been noted as sent is
    /// sent by then.
    pub(super) ending: RwLock<bool>,
    /// Where things are found that are about the whole node; set when it has started.
    pub(super) node: OnceLock<Node>,
    pub(super) entries: Mutex<Own>,
    /// Tasks of programs run here.
    pub(super) runtime: Handle,
    inc: u64,
    dice: Mutex<Random>,
    phase: AtomicU8,
}

pub(super) type Shared = Arc<World>;

impl World {
    pub(super) fn new(plan: Plan, index: usize, inc: u64, history: History) -> Shared {
        let seed = plan.seed ^ ((index as u64 + 1) << 32) ^ (inc << 40);
        Arc::new(World {
            plan,
            history,
            known: Mutex::default(),
            own: Mutex::default(),
            kept: Mutex::default(),
            ending: RwLock::new(false),
            node: OnceLock::new(),
            entries: Mutex::default(),
            runtime: Handle::current(),
            inc,
            dice: Mutex::new(Random::new(seed)),
            phase: AtomicU8::new(Phase::Work as u8),
        })
    }

    pub(super) fn random<T>(&self, f: impl FnOnce(&mut Random) -> T) -> T {
        f(&mut self.dice.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn percent(&self, chance: u32) -> bool {
        self.random(|random| random.percent(chance))
    }

    /// Whether this mistake is built in and happens now, in one of `of` cases.
    pub(super) fn sabotage(&self, which: Sabotage, of: usize) -> bool {
        self.plan.sabotage == Some(which) && self.random(|random| random.below(of) == 0)
    }

    pub(super) fn enter(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::SeqCst);
    }

    pub(super) fn is_in(&self, phase: Phase) -> bool {
        self.phase.load(Ordering::SeqCst) <= phase as u8
    }

    pub(super) fn node(&self) -> &Node {
        self.node.get().expect("programs run on a node that has started")
    }

    /// Makes a port known here.
    pub(super) fn learn(&self, port: PortId) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= KNOWN {
            known.remove(0);
        }
        known.push(port);
    }

    /// Some port that was known once, dead or alive; the latest ones more often.
    pub(super) fn some_port(&self) -> Option<PortId> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let from = if self.percent(60) { known.len().saturating_sub(KNOWN / 4) } else { 0 };
        self.random(|random| random.pick(&known[from..]).cloned())
    }

    /// A number that grows within a run, and from one run to the next.
    pub(super) fn number(&self, count: u64) -> u64 {
        self.inc * 1_000_000 + count
    }

    /// Some port of this node that does something by itself.
    pub(super) fn some_own_port(&self) -> Option<PortId> {
        let own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        self.random(|random| random.pick(&own).cloned())
    }

    /// Some port of another node.
    pub(super) fn some_far_port(&self) -> Option<PortId> {
        (0..5).filter_map(|_| self.some_port()).find(|port| port.node() != self.node().id())
    }

    /// Some node, this one included.
    pub(super) fn some_node(&self) -> NodeId {
        let index = self.random(|random| random.below(self.plan.nodes));
        NodeId::new(self.plan.name(index)).expect("a letter is a node ID")
    }

    /// A time with this mean.
    pub(super) fn pause(&self, mean: Duration) -> Duration {
        self.random(|random| random.up_to(mean * 2))
    }

    /// Notes that `sid` sends a message, and makes it. To be sent at once, while [`World::ending`]
    /// is read.
    pub(super) fn letter(&self, sid: &str, from: &PortId, to: &PortId, wish: u64) -> Letter {
        let payload = self.payload();
        let mut pen = self.history.pen();
        let k = pen.id();
        let hash = hash(k, from, &payload, wish);
        pen.note(sent(sid, to, k, hash));
        Letter::Say { k, from: from.clone(), payload, wish }
    }

    /// Notes a call and its request, whose answer goes to this port, and makes the message. `m` is
    /// its monitor.
    pub(super) fn question(&self, call: &CallOf<'_>, reply: ReplyTo<Answer>) -> Letter {
        let payload = self.payload();
        let (sid, r) = (call.me.to_string(), reply.port().to_string());
        let mut pen = self.history.pen();
        let k = pen.id();
        let hash = hash(k, call.me, &payload, wish::NOTHING);
        pen.note(Event::PortNew { p: r.clone(), task: true });
        let (p, limit) = (call.port.to_string(), u64::try_from(call.limit.as_micros()).unwrap_or(u64::MAX));
        pen.note(Event::Call { id: call.id, sid: sid.clone(), p: p.clone(), r: r.clone(), limit });
        pen.note(Event::Mon { sid: sid.clone(), m: call.id, p, to: Some(r), waits: false });
        pen.note(sent(&sid, call.port, k, hash));
        Letter::Ask { k, from: call.me.clone(), payload, reply }
    }

    /// Lets a port send a message from its handler.
    pub(super) fn send(&self, cx: &mut Context<'_>, to: &PortId, wish: u64) {
        let ending = self.ending.read().unwrap_or_else(PoisonError::into_inner);
        if !*ending {
            let me = cx.me();
            let letter = self.letter(&me.to_string(), &me, to, wish);
            cx.send(to, letter);
        }
    }

    /// Lets a task or an async port send a message.
    pub(super) fn send_outside(&self, sid: &str, from: &PortId, to: &PortId, wish: u64) {
        let ending = self.ending.read().unwrap_or_else(PoisonError::into_inner);
        if !*ending {
            let letter = self.letter(sid, from, to, wish);
            self.node().send(to, letter).expect("what is sent has a form everywhere");
        }
    }

    /// Notes that a port handles a message; false if it is to do nothing about it.
    pub(super) fn received(&self, me: &PortId, k: u64, hash: u64) -> bool {
        if self.sabotage(Sabotage::DropMessage, 100) {
            return false;
        }
        let event = Event::Rcv { p: me.to_string(), k, hash, n: None };
        if self.sabotage(Sabotage::DoubleMessage, 100) {
            self.history.note(event.clone());
        }
        self.history.note(event);
        true
    }

    /// Notes an answer of a port to the port of a call, and makes it.
    pub(super) fn answer(&self, me: &PortId, to: &PortId) -> Answer {
        let mut pen = self.history.pen();
        let k = pen.id();
        let hash = hash(k, me, "", wish::NOTHING);
        pen.note(sent(&me.to_string(), to, k, hash));
        (k, hash)
    }

    /// Mostly short, sometimes so long that it travels in parts.
    fn payload(&self) -> String {
        let length = self.random(|random| match random.below(1000) {
            0..900 => random.below(200),
            900..980 => random.below(8000),
            980..998 => random.below(40_000),
            _ => random.below(300_000),
        });
        let mut payload = ALPHABET.repeat(length.div_ceil(ALPHABET.len()));
        payload.truncate(length);
        payload
    }
}

/// What is known of a call before its message is made.
pub(super) struct CallOf<'a> {
    pub(super) id: u64,
    pub(super) me: &'a PortId,
    pub(super) port: &'a PortId,
    pub(super) limit: Duration,
}

fn sent(sid: &str, to: &PortId, k: u64, hash: u64) -> Event {
    Event::Snd { sid: sid.to_owned(), p: to.to_string(), k, hash, epoch: None, held: false }
}
