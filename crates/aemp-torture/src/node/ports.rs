//! Callback ports: what they do by themselves, and what they do when they get something.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use aemp::{CallError, Context, PortId, Reason, ReplyTo};
use aemp_sim::history::{Event, Over};

use super::directory;
use super::history::{hash, texts};
use super::monitors::{self, Kept, born};
use super::world::{Answer, CallOf, FUNCTION, Letter, Phase, Shared, wish};
use crate::clock;
use crate::plan::Sabotage;

/// How many messages a handler sends to each receiver of a flood, and how often it runs.
const FLOOD: usize = 20;
const ROUNDS: u64 = 10;

/// The longest limit of a call.
const CALL: Duration = Duration::from_secs(2);

/// Ports of a node beyond which one is killed.
const CROWD: usize = 12;

/// Monitors that a port keeps; the oldest is withdrawn.
const KEPT: usize = 3;

/// How long a slow port takes for a message, at most.
const SLOW: Duration = Duration::from_millis(2);

/// What runs in a callback port. Its handler owns it, so it ends with the port.
pub(super) struct Program {
    pub(super) world: Shared,
    habits: Mutex<Habits>,
    slow: bool,
}

/// What a port has to do with.
#[derive(Default)]
struct Habits {
    kept: Vec<Kept>,
    /// Where its stream of messages goes.
    aim: Option<PortId>,
}

/// Opens a port that does something by itself.
pub(super) fn open(world: &Shared) -> PortId {
    let program = Program::new(world);
    let weak = Arc::downgrade(&program);
    let port = world.node().port(move |cx: &mut Context<'_>, letter: Letter| program.take(cx, letter));
    born(world, &port, false);
    world.node().run_in(&port, move |cx| begin(cx, &weak));
    port.into()
}

/// Runs in a port that another one has spawned.
pub(super) fn spawned(cx: &mut Context<'_>, world: &Shared) {
    born(world, &cx.me(), false);
    world.history.note(Event::Init { p: cx.me().to_string(), function: FUNCTION.into() });
    let program = Program::new(world);
    begin(cx, &Arc::downgrade(&program));
    cx.receive(move |cx, letter: Letter| program.take(cx, letter));
}

fn begin(cx: &mut Context<'_>, program: &Weak<Program>) {
    let Some(known) = program.upgrade() else { return };
    let me = cx.me();
    known.world.own.lock().unwrap_or_else(PoisonError::into_inner).push(me.clone());
    super::announce(&me);
    go_on(cx, program);
}

/// A port does something, and again later.
fn go_on(cx: &mut Context<'_>, weak: &Weak<Program>) {
    let Some(program) = weak.upgrade() else { return };
    let world = &program.world;
    if world.is_in(Phase::Streams) {
        program.stream(cx, weak);
    }
    if world.is_in(Phase::Work) {
        program.act(cx, weak);
    }
    let (pause, again) = (world.pause(world.plan.pace * 5), weak.clone());
    cx.after(pause, move |cx| go_on(cx, &again));
}

impl Program {
    fn new(world: &Shared) -> Arc<Program> {
        Arc::new(Program { world: world.clone(), habits: Mutex::default(), slow: world.percent(10) })
    }

    fn habits(&self) -> MutexGuard<'_, Habits> {
        self.habits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A message is handled.
    fn take(&self, cx: &mut Context<'_>, letter: Letter) {
        match letter {
            Letter::Say { k, from, payload, wish } => {
                if self.world.received(&cx.me(), k, hash(k, &from, &payload, wish)) {
                    self.grant(cx, &from, k, wish);
                }
            }
            Letter::Ask { k, from, payload, reply } => {
                if self.world.received(&cx.me(), k, hash(k, &from, &payload, wish::NOTHING)) {
                    self.answer(cx, reply);
                }
            }
            Letter::Told { .. } => {}
        }
        if self.slow {
            let pause = self.world.pause(SLOW / 2);
            std::thread::sleep(pause);
        }
    }

    fn grant(&self, cx: &mut Context<'_>, from: &PortId, k: u64, wish: u64) {
        let world = &self.world;
        match wish {
            wish::ECHO => world.send(cx, from, wish::NOTHING),
            wish::LAST_WORDS => {
                (0..3).for_each(|_| world.send(cx, from, wish::NOTHING));
                cx.end(Reason::text("last words", k));
            }
            round if round >= wish::FLOOD => self.flood(cx, from, round),
            _ => {}
        }
    }

    fn flood(&self, cx: &mut Context<'_>, from: &PortId, round: u64) {
        let other = self.world.some_own_port();
        for to in [Some(from.clone()), other].into_iter().flatten() {
            if to != cx.me() {
                (0..FLOOD).for_each(|_| self.world.send(cx, &to, wish::NOTHING));
            }
        }
        if round > wish::FLOOD {
            let me = cx.me();
            let ending = self.world.ending.read().unwrap_or_else(PoisonError::into_inner);
            if !*ending {
                let letter = self.world.letter(&me.to_string(), from, &me, round - 1);
                cx.send(&me, letter);
            }
        }
    }

    fn answer(&self, cx: &mut Context<'_>, reply: ReplyTo<Answer>) {
        let ending = self.world.ending.read().unwrap_or_else(PoisonError::into_inner);
        if !*ending {
            let answer = self.world.answer(&cx.me(), reply.port());
            cx.reply(reply, answer);
        }
    }

    /// Sends to the port that this one aims at, and monitors it.
    fn stream(&self, cx: &mut Context<'_>, weak: &Weak<Program>) {
        let world = &self.world;
        let aim = self.habits().aim.clone();
        let Some(aim) = aim.filter(|_| !world.percent(1)) else {
            let next = if world.percent(80) { world.some_far_port() } else { world.some_port() };
            self.habits().aim = next.filter(|port| *port != cx.me());
            return;
        };
        if self.habits().kept.is_empty() && world.percent(80) {
            for _ in 0..world.random(|random| random.within(1, 2)) {
                keep(cx, weak, &aim);
            }
        }
        for _ in 0..world.random(|random| random.within(1, 5)) {
            world.send(cx, &aim, wish::NOTHING);
        }
    }

    /// Does one thing out of many.
    fn act(&self, cx: &mut Context<'_>, weak: &Weak<Program>) {
        let world = &self.world;
        let Some(port) = world.some_port() else { return };
        match world.random(|random| random.below(200)) {
            0..20 => self.write_to_two(cx, &port),
            20..26 => {
                keep(cx, weak, &port);
                world.send(cx, &port, wish::LAST_WORDS);
            }
            26..36 => monitors::call_back(cx, world, &port),
            36..40 => monitors::call_back(cx, world, &port.node().control_port()),
            40..44 => monitors::link(cx, world, &port),
            44..50 => self.withdraw(),
            50..58 => call(cx, weak, &port),
            58..62 => {
                world.send(cx, &port, wish::NOTHING);
                kill(cx, world, &port);
                world.send(cx, &port, wish::NOTHING);
            }
            62..68 => self.spawn(cx, weak),
            68..70 => {
                let Some(other) = world.some_own_port() else { return };
                let ending = world.ending.read().unwrap_or_else(PoisonError::into_inner);
                if other != cx.me() && !*ending {
                    let letter = world.letter(&cx.me().to_string(), &other, &cx.me(), wish::FLOOD + ROUNDS);
                    cx.send(&cx.me(), letter);
                }
            }
            70..80 => directory::use_entries(world, &cx.me()),
            80..82 => super::tasks::begin(world),
            _ => self.keep_number(cx),
        }
    }

    /// Several messages, to two ports of one node in turn.
    fn write_to_two(&self, cx: &mut Context<'_>, port: &PortId) {
        let world = &self.world;
        let neighbour = world.some_port().filter(|other| other.node() == port.node());
        for _ in 0..world.random(|random| random.within(1, 8)) {
            let wish = if world.percent(30) { wish::ECHO } else { wish::NOTHING };
            world.send(cx, port, wish);
            if let Some(neighbour) = &neighbour {
                world.send(cx, neighbour, wish::NOTHING);
            }
        }
    }

    fn withdraw(&self) {
        let mut habits = self.habits();
        if !habits.kept.is_empty() {
            let kept = habits.kept.remove(0);
            drop(habits);
            kept.withdraw(&self.world);
            return;
        }
        drop(habits);
        let kept = self.world.kept.lock().unwrap_or_else(PoisonError::into_inner).pop();
        if let Some(kept) = kept {
            kept.withdraw(&self.world);
        }
    }

    fn spawn(&self, cx: &mut Context<'_>, weak: &Weak<Program>) {
        let world = &self.world;
        let function = if world.percent(90) { FUNCTION } else { "torture::unknown" };
        let (node, t) = (world.some_node(), clock::now());
        let port = {
            let ending = world.ending.read().unwrap_or_else(PoisonError::into_inner);
            if *ending {
                return;
            }
            cx.spawn(&node, function, ())
        };
        let (sid, p) = (cx.me().to_string(), port.to_string());
        world.history.pen().note_at(t, Event::Spawn { sid, p, function: function.into() });
        if world.percent(70) {
            keep(cx, weak, &port);
        }
        for _ in 0..3 {
            world.send(cx, &port, wish::ECHO);
        }
    }

    /// There are neither too few ports on the node nor too many.
    fn keep_number(&self, cx: &mut Context<'_>) {
        let own = self.world.own.lock().unwrap_or_else(PoisonError::into_inner);
        let (count, oldest) = (own.len(), own.first().cloned());
        drop(own);
        if count < 4 {
            open(&self.world);
        } else if let Some(oldest) = oldest.filter(|_| count > CROWD) {
            kill(cx, &self.world, &oldest);
        }
    }
}

/// Monitors a port, and keeps the monitor.
pub(super) fn keep(cx: &mut Context<'_>, program: &Weak<Program>, port: &PortId) {
    let Some(known) = program.upgrade() else { return };
    let kept = monitors::monitor(cx, program, &known.world, port);
    let mut habits = known.habits();
    habits.kept.push(kept);
    let oldest = (habits.kept.len() > KEPT).then(|| habits.kept.remove(0));
    drop(habits);
    if let Some(oldest) = oldest {
        oldest.withdraw(&known.world);
    }
}

/// Kills another port. The own one would end at once, no matter what it has sent to itself.
fn kill(cx: &mut Context<'_>, world: &Shared, port: &PortId) {
    let ending = world.ending.read().unwrap_or_else(PoisonError::into_inner);
    if *ending || *port == cx.me() {
        return;
    }
    let mut pen = world.history.pen();
    let reason = if world.percent(30) { Reason::NORMAL } else { Reason::text("killed", pen.id()) };
    let (sid, p) = (cx.me().to_string(), port.to_string());
    pen.note(Event::Kil { sid, p, reason: texts(&reason), held: false });
    drop(pen);
    cx.kill(port, reason);
}

fn call(cx: &mut Context<'_>, weak: &Weak<Program>, port: &PortId) {
    let Some(program) = weak.upgrade() else { return };
    let world = program.world.clone();
    let ending = world.ending.read().unwrap_or_else(PoisonError::into_inner);
    if *ending {
        return;
    }
    let (id, me) = (world.history.pen().id(), cx.me());
    let limit = world.pause(CALL / 2);
    let calling = Arc::new(Calling { world: world.clone(), id, answers: OnceLock::new() });
    let (of, begun) = (world.clone(), calling.clone());
    let question = |reply: ReplyTo<Answer>| {
        let _ = begun.answers.set(reply.port().to_string());
        of.question(&CallOf { id, me: &me, port, limit }, reply)
    };
    cx.call(port, limit, question, move |_, answer| calling.over(answer));
}

/// A call that is not over. When it is dropped, because it is over or its port has ended, nobody
/// waits for the answer any more.
struct Calling {
    world: Shared,
    id: u64,
    /// The port for the answer.
    answers: OnceLock<String>,
}

impl Calling {
    /// Notes how the call has ended.
    fn over(&self, answer: Result<Answer, CallError>) {
        let (id, mut pen) = (self.id, self.world.history.pen());
        let how = match answer {
            Ok((k, hash)) => {
                let p = self.answers.get().cloned().unwrap_or_default();
                pen.note(Event::Rcv { p, k, hash, n: None });
                Over::Answer
            }
            Err(CallError::Died(reason)) => {
                pen.note(Event::Fire { m: id, reason: texts(&reason) });
                Over::Died
            }
            Err(CallError::TimedOut(_)) => Over::TimedOut,
            Err(error) => panic!("a call has failed: {error}"),
        };
        pen.note(Event::CallOver { id, how });
        if self.world.sabotage(Sabotage::EndTwice, 3) {
            pen.note(Event::CallOver { id, how });
        }
    }
}

impl Drop for Calling {
    fn drop(&mut self) {
        if let Some(p) = self.answers.take() {
            self.world.history.note(Event::PortDied { p, reason: Vec::new() });
        }
    }
}
