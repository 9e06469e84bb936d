//! What runs in a node's process: a node, its programs, and the history that they write.
//!
//! | file | what |
//! |---|---|
//! | `world` | what all programs of a node share, and how they send |
//! | `history` | the history, record by record |
//! | `ports` | callback ports |
//! | `tasks` | async ports, and tasks that wait for a death |
//! | `monitors` | monitors: set, fired, withdrawn |
//! | `directory` | the shared database |
//!
//! The supervisor says on standard input what must be done ([`Command`]), and the node answers on
//! standard output ([`Report`]).

mod directory;
mod history;
mod monitors;
mod ports;
mod tasks;
mod world;

use std::io::{BufRead as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use aemp::{Context, Dump, Limits, Node, NodeEvent, NodeEvents, NodeId, OutboxLimits, PortId, Reason};
use aemp_sim::history::{Event, FaultKind, RELAYED};
use rustix::process::{Signal, set_parent_process_death_signal};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::clock;
use crate::plan::Plan;
use history::History;
use world::{FUNCTION, Phase, Shared, World, wish};

/// Ports that a node begins with.
const PORTS: usize = 4;

/// Ports of each other node that are sent to at the end.
const PROBED: usize = 3;

/// Bytes of a flight recorder: enough for all of a seed.
const RECORDER: usize = 16 << 20;

/// How often a process looks whether it has been kept from running, and from when on this counts as
/// being stopped.
const TICK: Duration = Duration::from_millis(50);
const STOOD_STILL: Duration = Duration::from_millis(200);

/// What a node's process is started with.
#[derive(Debug, Serialize, Deserialize)]
pub struct Start {
    /// What the seed decides.
    pub plan: Plan,
    /// Which node.
    pub index: usize,
    /// Which run of it.
    pub inc: u64,
    /// Where it says that it can be dialled; nothing if it cannot.
    pub advertised: Option<String>,
    /// The addresses of its seeds.
    pub seeds: Vec<String>,
    /// Where the certificate is, if there is TLS.
    pub certificate: Option<PathBuf>,
    /// Where the history goes.
    pub history: PathBuf,
    /// Where the records of the flight recorder go.
    pub dump: PathBuf,
}

/// What a node is told.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Command {
    /// There is a port.
    Known(String),
    /// From here on only streams of messages go on.
    Calm,
    /// Nobody begins anything any more.
    Rest,
    /// Send something to ports of all other nodes.
    Probe,
    /// Ask the database for everything.
    Ask,
    /// Write what the flight recorder has.
    Dump,
    /// Shut down in order.
    Shutdown,
}

/// What a node tells.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Report {
    /// It listens there; nowhere if it cannot be dialled.
    Listening(Option<String>),
    /// There is a port.
    Port(String),
    /// What the flight recorder has is written.
    Dumped,
}

/// Runs a node until it is told to end, or its supervisor is gone.
///
/// # Panics
///
/// The node cannot be started.
pub fn run(start: Start) {
    // However the supervisor ends, this process does not outlive it, even while it is stopped.
    set_parent_process_death_signal(Some(Signal::KILL)).expect("a process may ask for a signal");
    std::panic::set_hook(Box::new(|panic| {
        eprintln!("a program has panicked: {panic}");
        std::process::abort();
    }));
    let runtime = match start.plan.threads {
        true => tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build(),
        false => tokio::runtime::Builder::new_current_thread().enable_all().build(),
    };
    runtime.expect("a runtime can be had").block_on(live(start));
}

async fn live(start: Start) {
    let file = std::fs::File::create(&start.history).expect("the history can be created");
    let name = start.plan.name(start.index);
    let history = History::new(file, start.index, name, start.inc);
    let (plan, index) = (start.plan.clone(), start.index);
    let world = World::new(plan, index, start.inc, history);
    let node = build(&start, &world).await;
    let events = node.node_events();
    world.node.get_or_init(|| node.clone());
    // They came up while the node started, before anybody could follow.
    let early = node.connected_nodes();
    tokio::spawn(follow(world.clone(), events, early, index));
    let listening =
        node.local_addrs().first().map(ToString::to_string).filter(|_| start.advertised.is_some());
    report(&Report::Listening(listening));
    let watched = world.clone();
    std::thread::spawn(move || watch_the_clock(&watched));
    for _ in 0..PORTS {
        ports::open(&world);
    }
    tasks::open_async(&world);
    let mut commands = commands();
    while let Some(command) = commands.recv().await {
        match command {
            Command::Shutdown => {
                end(&world).await;
                return write_dump(&start.dump, &node.dump_now("the node has ended"));
            }
            Command::Dump => {
                write_dump(&start.dump, &node.dump("the end of the seed").await);
                report(&Report::Dumped);
            }
            command => obey(&world, command),
        }
    }
}

async fn build(start: &Start, world: &Shared) -> Node {
    let plan = &start.plan;
    let limits = Limits::default().mailbox_high(plan.mailbox_high);
    let mut builder = Node::builder()
        .id(plan.name(start.index))
        .secret("torture")
        .monitor_timeout(plan.silence)
        .framings(plan.framings(start.index))
        .outbox_limits(OutboxLimits::default().part(plan.part))
        .limits(limits)
        .always_encode(plan.encode)
        .recorder(RECORDER);
    if let Some(address) = &start.advertised {
        builder = builder.bind("127.0.0.1:0").advertise(address);
    }
    if let Some(path) = &start.certificate {
        builder = builder.certificate_pem(std::fs::read(path).expect("the certificate can be read"));
    }
    for seed in &start.seeds {
        builder = builder.seed(seed);
    }
    let of = world.clone();
    let function = move |cx: &mut Context<'_>, (): ()| {
        // Others may spawn here before the start of the node has returned.
        of.node.get_or_init(|| cx.node().clone());
        ports::spawned(cx, &of);
        Ok::<(), Reason>(())
    };
    builder.function(FUNCTION, function).start().await.expect("the node can be started")
}

/// Says something to the supervisor.
fn report(report: &Report) {
    let mut out = std::io::stdout().lock();
    let line = serde_json::to_string(report).expect("a report is text");
    // A supervisor that is gone ends this process soon.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// Tells other nodes of a port.
fn announce(port: &PortId) {
    report(&Report::Port(port.to_string()));
}

fn write_dump(path: &Path, dump: &Dump) {
    std::fs::write(path, dump.to_lines()).expect("the dump can be written");
}

fn commands() -> mpsc::UnboundedReceiver<Command> {
    let (sender, commands) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        let lines = std::io::stdin().lock().lines();
        let read = lines.map_while(Result::ok).filter_map(|line| serde_json::from_str(&line).ok());
        read.for_each(|command| drop(sender.send(command)));
    });
    commands
}

fn obey(world: &Shared, command: Command) {
    match command {
        Command::Known(port) => world.learn(port.parse().expect("the supervisor tells port IDs")),
        Command::Calm => world.enter(Phase::Streams),
        Command::Rest => world.enter(Phase::Rest),
        Command::Probe => probe(world),
        Command::Ask => directory::ask_all(world),
        Command::Dump | Command::Shutdown => {}
    }
}

/// Sends to some of the latest ports of every other node.
fn probe(world: &Shared) {
    let Some(me) = world.some_own_port() else { return };
    let known = world.known.lock().unwrap_or_else(PoisonError::into_inner).clone();
    for index in 0..world.plan.nodes {
        let there = known.iter().rev().filter(|port| port.node().as_str() == world.plan.name(index));
        let ports: Vec<PortId> =
            there.take(PROBED).filter(|port| port.node() != me.node()).cloned().collect();
        let of = world.clone();
        world.node().run_in(&me, move |cx| ports.iter().for_each(|port| of.send(cx, port, wish::NOTHING)));
    }
}

/// Notes who comes and goes. Those who were there early are told of again, if they came after
/// `events` began.
async fn follow(world: Shared, mut events: NodeEvents, mut early: Vec<NodeId>, index: usize) {
    let private =
        |peer: &str| (0..world.plan.nodes).any(|n| world.plan.name(n) == peer && world.plan.is_private(n));
    let up = |node: &NodeId| {
        let peer = node.to_string();
        // A node that cannot be dialled may be reached through another one.
        let relayed = private(&peer) || world.plan.is_private(index);
        let conn = if relayed { RELAYED } else { 0 };
        // The supervisor knows which run of the peer this is.
        world.history.note(Event::Up { peer, pinc: 0, conn });
    };
    early.iter().for_each(up);
    loop {
        match events.next().await {
            Some(NodeEvent::Up(node)) => match early.iter().position(|known| *known == node) {
                Some(at) => drop(early.swap_remove(at)),
                None => up(&node),
            },
            Some(NodeEvent::Down(node, reason)) => {
                early.retain(|known| *known != node);
                world.history.note(Event::Down { peer: node.to_string(), conn: 0, reason });
            }
            None => return,
            Some(other) => panic!("nodes come and go faster than can be noted: {other:?}"),
        }
    }
}

/// Notes when this process is kept from running: then nothing can be expected to be in time.
fn watch_the_clock(world: &World) {
    loop {
        let (before, from) = (Instant::now(), clock::now());
        // sleep: what is measured is how much longer it takes
        std::thread::sleep(TICK);
        if before.elapsed() > TICK + STOOD_STILL {
            let nodes = vec![world.node().id().to_string()];
            let mut pen = world.history.pen();
            pen.note_at(from, Event::Fault { kind: FaultKind::Pause, nodes: nodes.clone() });
            pen.note(Event::Fault { kind: FaultKind::Resume, nodes });
        }
    }
}

/// Ends the node in order. All that has been noted as sent has been given to the library.
async fn end(world: &Shared) {
    {
        let mut ending = world.ending.write().unwrap_or_else(PoisonError::into_inner);
        *ending = true;
        let nodes = vec![world.node().id().to_string()];
        let mut pen = world.history.pen();
        pen.note(Event::Fault { kind: FaultKind::Shutdown, nodes });
        pen.close();
    }
    world.node().shutdown().await;
}
