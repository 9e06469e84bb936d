//! The ports of a node. What waits in them, when they run, and how they end is the business of the
//! real ones; here is what the node does around that, and hears of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use aemp_ports::deliver::{deliver, deliver_envelope};
use aemp_ports::exit::end_port;
use aemp_ports::mailbox::Signal;
use aemp_ports::message::Envelope;
use aemp_ports::pressure::{Pressure, unpark};
use aemp_ports::scheduler::Work;
use aemp_ports::signal::signal;
use aemp_ports::slot::State;
use aemp_ports::{Host as _, PortNo};
use aemp_proto::name::join_name;
use aemp_proto::wire::Body;
use aemp_proto::{AnyMessage, NodeId, PortId, Reason, Value};
use rustc_hash::FxHashMap;

use super::Node;
use super::calls::Call;
use super::habit::Habit;
use super::host::{Code, Notice, PortHost};
use super::tasks::Task;
use super::verbs::reason_texts;
use crate::cx::{Cx, Happening};
use crate::history::Event;
use crate::options::Sabotage;

/// How long a quick port takes for one thing.
const QUICK: Duration = Duration::from_micros(200);

/// How much a quick port may handle in one run, as a new one of the library does.
const AT_ONCE: usize = 8;

/// A message for a port of this node.
#[derive(Clone)]
pub(super) enum Post {
    /// From a port here.
    Local(AnyMessage),
    /// From another node.
    Remote(Body),
}

/// What the code of a port has asked for.
#[derive(Default)]
pub(super) struct Asked {
    pub(super) end: Option<Reason>,
    /// Receivers that were behind.
    pub(super) behind: Vec<Pressure<PortHost>>,
    pub(super) becomes: Option<Habit>,
}

/// What the node knows of a port.
struct Entry {
    id: PortId,
    habit: Habit,
    /// Its place among all ports of the node.
    born: u64,
}

/// The ports of a node.
pub(super) struct Ports {
    pub(super) host: PortHost,
    known: BTreeMap<PortNo, Entry>,
    born: u64,
    /// Ports whose names others have chosen.
    names: BTreeMap<String, PortNo>,
    /// Why a port with such a name is gone.
    failed: BTreeMap<String, Reason>,
    /// The code of async ports.
    pub(super) tasks: BTreeMap<PortNo, Task>,
    /// Calls that are not over, by the port for the answer.
    pub(super) calls: BTreeMap<PortNo, Call>,
    /// The port whose code runs, and what it has asked for.
    running: Option<(PortNo, Asked)>,
    /// Which of the messages that came from other nodes a message is.
    came: FxHashMap<u64, u64>,
    count: u64,
    /// Notices are being heard.
    hearing: bool,
    /// Messages that a bug lets others overtake.
    overtaken: BTreeMap<PortNo, Post>,
}

impl Ports {
    pub(super) fn new(host: PortHost) -> Ports {
        Ports {
            host,
            known: BTreeMap::new(),
            born: 0,
            names: BTreeMap::new(),
            failed: BTreeMap::new(),
            tasks: BTreeMap::new(),
            calls: BTreeMap::new(),
            running: None,
            came: FxHashMap::default(),
            count: 0,
            hearing: false,
            overtaken: BTreeMap::new(),
        }
    }

    /// The number of the port with this name, which may be dead if it is one of our own.
    pub(super) fn number(&self, head: &str, number: u64) -> Option<PortNo> {
        if head == self.host.home().head()
            && let Some(number) = PortNo::new(number)
        {
            return Some(number);
        }
        self.names.get(&join_name(head, number)).copied()
    }

    /// The ID of a port, dead or alive.
    pub(super) fn id(&self, number: PortNo) -> PortId {
        self.known.get(&number).map_or_else(|| self.host.own_port(number), |known| known.id.clone())
    }

    /// Whether there is such a port, which may have to die.
    pub(super) fn exists(&self, number: PortNo) -> bool {
        self.known.contains_key(&number)
    }

    /// Whether this is, or is going to be, an async port.
    pub(super) fn is_task(&self, number: PortNo) -> bool {
        self.known.get(&number).is_some_and(|known| known.habit.task)
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

    /// Whether something that is sent to it now counts.
    pub(super) fn is_alive(&self, number: PortNo) -> bool {
        self.host.ports().table.get(number).is_some_and(|cell| !cell.is_closing())
    }

    /// Whether there is such a port, and it is to die.
    pub(super) fn is_dying(&self, number: PortNo) -> bool {
        self.host.ports().table.get(number).is_some_and(|cell| cell.is_doomed())
    }

    /// Whether nothing waits in any mailbox.
    pub(super) fn are_idle(&self) -> bool {
        let mut idle = self.tasks.values().all(Task::is_idle);
        self.host.ports().table.each(|_, cell| {
            let rests = matches!(cell.state(), State::Idle | State::Task | State::Unscheduled);
            idle &= rests && cell.waiting() == 0;
        });
        idle
    }

    /// The ports that are alive, and not there for an answer alone.
    pub(super) fn alive(&self) -> impl Iterator<Item = &PortId> {
        self.known.iter().filter(|(number, _)| self.is_alive(**number)).map(|(_, known)| &known.id)
    }

    /// The port that has been alive for longest.
    pub(super) fn oldest(&self) -> Option<&PortId> {
        let alive = self.known.iter().filter(|(number, _)| self.is_alive(**number));
        alive.min_by_key(|(_, known)| known.born).map(|(_, known)| &known.id)
    }

    /// A message has come from another node.
    pub(super) fn came(&mut self, body: &Body) {
        self.count += 1;
        if let Some(Value::Int(k)) = body.first_scalar() {
            self.came.insert(u64::try_from(k).unwrap_or_default(), self.count);
        }
    }

    /// Which of the messages from other nodes this one was, if it came from there.
    pub(super) fn place_of(&mut self, k: u64) -> Option<u64> {
        self.came.remove(&k)
    }

    /// Something to add to what the code of the port that runs has asked for.
    pub(super) fn asked(&mut self) -> Option<(PortNo, &mut Asked)> {
        self.running.as_mut().map(|(number, asked)| (*number, asked))
    }
}

impl Node {
    /// Opens a port, with a name of our own or one that another node has chosen.
    pub(super) fn open(&mut self, name: Option<PortId>, habit: Habit, cx: &mut Cx) -> PortNo {
        let (state, code) = match habit.task {
            true => (State::Task, None),
            false => (State::Idle, Some(habit.code())),
        };
        let number = self.ports.host.ports().table.insert(state, habit.mailbox(), code, None);
        self.opened_as(number, name, habit, cx);
        if habit.task {
            self.start_task(number, cx);
        }
        number
    }

    /// Opens a port that becomes what it is to be when its function has run.
    pub(super) fn open_nascent(&mut self, name: Option<PortId>, function: String, cx: &mut Cx) -> PortNo {
        let habit = Habit::draw(cx);
        let nascent = Habit::default();
        let table = &self.ports.host.ports().table;
        let number = table.insert(State::Idle, nascent.mailbox(), Some(nascent.code()), None);
        self.opened_as(number, name, habit, cx);
        let init = move |code: &mut Code<'_>| {
            code.on_node(|node, number, cx| node.init(number, habit, &function, cx));
        };
        signal(&self.ports.host, number, Signal::Job(Box::new(init)));
        self.hear(cx);
        number
    }

    fn opened_as(&mut self, number: PortNo, name: Option<PortId>, habit: Habit, cx: &mut Cx) {
        let ports = &mut self.ports;
        let id = name.clone().unwrap_or_else(|| ports.host.own_port(number));
        if let Some(name) = name {
            ports.names.insert(name.name().to_string(), number);
        }
        if let Some(mut cell) = ports.host.ports().table.get(number) {
            cell.make_extra().name = Some(Arc::new(id.clone()));
        }
        ports.born += 1;
        ports.known.insert(number, Entry { id: id.clone(), habit, born: ports.born });
        let (p, task) = (id.to_string(), habit.task);
        if cx.sabotage(Sabotage::ReusePort, 5) {
            self.record(Event::PortNew { p: p.clone(), task }, cx);
        }
        self.record(Event::PortNew { p, task }, cx);
    }

    /// Puts a message into a mailbox.
    pub(super) fn deliver(&mut self, number: PortNo, post: Post, cx: &mut Cx) {
        if !self.ports.is_alive(number) && cx.sabotage(Sabotage::DeliverToDead, 1) {
            return self.handle_post(number, post, cx);
        }
        if cx.sabotage(Sabotage::DropMessage, 60) {
            return;
        }
        if cx.sabotage(Sabotage::DoubleMessage, 20) {
            self.put(number, post.clone(), cx);
        }
        if !self.ports.overtaken.contains_key(&number) && cx.sabotage(Sabotage::SwapMessages, 2) {
            self.ports.overtaken.insert(number, post);
            return;
        }
        self.put(number, post, cx);
        if let Some(post) = self.ports.overtaken.remove(&number) {
            self.put(number, post, cx);
        }
    }

    fn handle_post(&mut self, number: PortNo, post: Post, cx: &mut Cx) {
        match post {
            Post::Local(message) => self.handle(number, &message.0, cx),
            Post::Remote(body) => {
                let values = body.decode().unwrap_or_default();
                self.handle(number, &values, cx);
            }
        }
    }

    fn put(&mut self, number: PortNo, post: Post, cx: &mut Cx) {
        let open = self.ports.is_alive(number);
        let host = &self.ports.host;
        let behind = match post {
            Post::Local(message) => deliver(host, number, message).ok().flatten(),
            Post::Remote(body) => deliver_envelope(host, number, Envelope::Encoded(body)),
        };
        self.note_closed(number, open, cx);
        if let Some(receiver) = behind {
            self.wait_for_receiver(receiver, cx);
        }
        self.hear(cx);
    }

    /// The port that runs waits for a receiver that is behind before it runs again.
    fn wait_for_receiver(&mut self, receiver: Pressure<PortHost>, cx: &mut Cx) {
        if let Some((_, asked)) = self.ports.asked() {
            if cx.sabotage(Sabotage::OneReceiver, 1) {
                asked.behind.clear();
            }
            asked.behind.push(receiver);
        }
    }

    /// Something was sent to a node: perhaps so much waits for it that who has sent it waits.
    pub(super) fn weigh(&mut self, peer: &NodeId, cx: &mut Cx) {
        if self.ports.asked().is_some() && self.is_behind(peer, cx) {
            self.ports.host.falls_behind(peer);
            self.wait_for_receiver(Pressure::Peer(peer.clone()), cx);
        }
    }

    fn is_behind(&self, peer: &NodeId, cx: &Cx) -> bool {
        self.remotes.get(peer).is_some_and(|remote| remote.outbox.backlog() > cx.options.high_water)
    }

    /// Ports that have waited for nodes which have caught up go on.
    pub(super) fn relieve(&mut self, cx: &mut Cx) {
        let waited = self.ports.host.caught_up(|peer| self.is_behind(peer, cx));
        if !waited.is_empty() && !cx.sabotage(Sabotage::ForgetWaiting, 3) {
            unpark(&self.ports.host, waited);
            self.hear(cx);
        }
    }

    /// Notes that a port which was open takes nothing more, if that is so.
    fn note_closed(&mut self, number: PortNo, open: bool, cx: &mut Cx) {
        if open && self.ports.exists(number) && !self.ports.is_alive(number) {
            let p = self.ports.id(number).to_string();
            self.record(Event::PortClosed { p }, cx);
        }
    }

    /// A kill has come: it takes its turn, and nothing comes after it.
    pub(super) fn kill_here(&mut self, number: PortNo, reason: Reason, cx: &mut Cx) {
        let open = self.ports.is_alive(number);
        signal(&self.ports.host, number, Signal::Kill(reason));
        self.note_closed(number, open, cx);
        self.hear(cx);
    }

    /// Ends a port at once.
    pub(super) fn end_here(&mut self, number: PortNo, reason: Reason, cx: &mut Cx) {
        end_port(&self.ports.host, number, reason);
        self.hear(cx);
    }

    /// Does something for code that runs in a port. Gives what it has asked for.
    pub(super) fn in_port(
        &mut self,
        number: PortNo,
        cx: &mut Cx,
        action: impl FnOnce(&mut Node, PortNo, &mut Cx),
    ) -> Option<Asked> {
        self.ports.running = Some((number, Asked::default()));
        action(self, number, cx);
        let (_, asked) = self.ports.running.take()?;
        Some(asked)
    }

    /// Code of a port ends that: the one that runs when it has ended, an async one soon.
    pub(super) fn end_own(&mut self, number: PortNo, reason: Reason, cx: &mut Cx) {
        match self.ports.asked() {
            Some((running, asked)) if running == number => {
                asked.end.get_or_insert(reason);
            }
            _ => self.kill_here(number, reason, cx),
        }
    }

    /// Hears what ports have told, and puts in the queue what they want to run.
    pub(super) fn hear(&mut self, cx: &mut Cx) {
        if std::mem::replace(&mut self.ports.hearing, true) {
            return;
        }
        while let Some(notice) = self.ports.host.notices().next() {
            self.heard_of(notice, cx);
        }
        self.ports.hearing = false;
        while let Some(work) = self.ports.host.ports().scheduler.take() {
            match work {
                Work::Port(number) => self.schedule(number, cx),
                Work::Call(code) => self.call_later(code, cx),
            }
        }
    }

    fn heard_of(&mut self, notice: Notice, cx: &mut Cx) {
        match notice {
            Notice::Ended(number, reason) => self.port_ended(number, &reason, cx),
            Notice::Exited { number, port, peer, link, reason } => {
                self.exited((number, &port), (&peer, link), &reason, cx);
            }
            Notice::Told { port, m } => self.told_owner(port, m, cx),
            Notice::Withdrawn(monitor) => self.forget_monitor(&monitor, cx),
            Notice::Unset(family, key) => self.delete(&family, &key, cx),
            Notice::News { m, reason, gate } => self.news_for_task(m, reason, gate, cx),
            Notice::Woken(number) => self.woken(number, cx),
            Notice::BecameTask(number) => self.start_task(number, cx),
            Notice::AllTold(peer) => self.tell_news(&peer, cx),
        }
    }

    /// A port has ended.
    fn port_ended(&mut self, number: PortNo, reason: &Reason, cx: &mut Cx) {
        let Some(known) = self.ports.known.remove(&number) else { return };
        self.victim_ends(number, cx);
        self.record(Event::PortDied { p: known.id.to_string(), reason: reason_texts(reason) }, cx);
        self.news_for_linked(&known.id, reason, cx);
        let name = known.id.name().to_string();
        if self.ports.names.remove(&name).is_some() {
            self.ports.failed.insert(name, reason.clone());
        }
    }

    /// Lets a port run soon.
    pub(super) fn schedule(&mut self, number: PortNo, cx: &mut Cx) {
        let pace = self.ports.known.get(&number).map_or(Duration::ZERO, |known| known.habit.pace);
        let wait = cx.random.up_to(pace.min(cx.options.work.slow).max(QUICK));
        cx.after(wait, Happening::Port(self.index, self.inc, number));
    }

    /// How much a callback port handles when it runs now; `None` if it is no such port.
    pub(crate) fn portion(&self, number: PortNo, cx: &mut Cx) -> Option<u16> {
        let known = self.ports.known.get(&number)?;
        let slow = known.habit.pace.min(cx.options.work.slow) > QUICK;
        let most = if slow { 1 } else { cx.random.within(1, AT_ONCE) };
        u16::try_from(most).ok()
    }

    /// A port has run; `again` says that it wants to go on.
    pub(crate) fn has_run(&mut self, number: PortNo, again: bool, cx: &mut Cx) {
        if again {
            self.schedule(number, cx);
        }
        self.hear(cx);
        self.settle(cx);
    }

    /// Code outside of any port has run.
    pub(crate) fn has_called(&mut self, cx: &mut Cx) {
        self.hear(cx);
        self.settle(cx);
    }

    /// What the ports of this node belong to.
    pub(crate) fn port_host(&self) -> PortHost {
        self.ports.host.clone()
    }
}
