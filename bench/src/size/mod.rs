//! A network of many real nodes, many of them in a process: how long until all are known, what an
//! idle link costs, what two nodes say to each other while a global node is killed, and how long
//! until the database is whole again.
//!
//! ```text
//!   cargo run --release -p aemp-bench -- size --nodes 10000
//! ```
//!
//! Two global nodes, which are the seeds, have a process each. All connections are over loopback;
//! each process of members listens on an address of its own, so that ports do not run out.

mod global;
mod member;
mod messages;

use std::time::{Duration, Instant};

use aemp::{Addr, CallError, Node, PortId};
use clap::Args;
use tokio::time::sleep;

use crate::measure::{cpu_seconds, status_kib};
use crate::process::Peer;
use messages::{Asked, Control, Report};

pub(crate) use global::serve as global;
pub(crate) use member::serve as members;

/// The families of the controllers of processes, of all members, and of those that registered after
/// the kill.
const CONTROLLERS: &str = "controllers";
const MEMBERS: &str = "members";
const LATE: &str = "late";

/// Where the other processes find the seeds, how many members they have, and on which address.
const SEEDS: &str = "AEMP_BENCH_SEEDS";
const COUNT: &str = "AEMP_BENCH_COUNT";
const LISTEN: &str = "AEMP_BENCH_LISTEN";

/// The ports of the global nodes that are asked what they know.
const GLOBALS: &str = "globals";

/// How often something is looked at that is waited for.
const LOOK: Duration = Duration::from_millis(20);

/// Far more than anything takes.
const LIMIT: Duration = Duration::from_secs(600);

/// How large the network is, and what is said in it.
#[derive(Args)]
pub(crate) struct Options {
    /// Members, besides the two global nodes
    #[arg(long, default_value_t = 1000)]
    nodes: usize,
    /// Processes that they are spread over
    #[arg(long, default_value_t = 10)]
    processes: usize,
    /// Messages a second that each member sends to one other member
    #[arg(long, default_value_t = 1.0)]
    rate: f64,
    /// How long it does so, in seconds
    #[arg(long, default_value_t = 20)]
    seconds: u64,
}

/// Forms the network, and prints what was measured, one figure a line.
pub(crate) async fn run(options: Options) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let Options { nodes, processes, rate, seconds } = options;
    let mut first = Peer::start("aemp", "size-global");
    let second = Peer::start_with("aemp", "size-global", &[(SEEDS, &first.line)]);
    let seeds = format!("{} {}", first.line, second.line);
    let observer = seeds.split(' ').fold(Node::builder().secret("bench").client(true), |b, s| b.seed(s));
    let observer = observer.start().await?;
    let globals = registered::<Asked>(&observer, GLOBALS, 2).await?;
    let survivor = globals.iter().find(|port| port.node().as_str() == "global/2").ok_or("no second one")?;

    let began = Instant::now();
    let empty = [&first, &second].map(|peer| status_kib(&peer.id(), "VmRSS:"));
    let peers = start(nodes, processes, &seeds);
    for global in &globals {
        knows(&observer, global, MEMBERS, nodes).await?;
    }
    figure("members", nodes as f64, "");
    figure("all are known to both global nodes after", began.elapsed().as_secs_f64(), "s");

    let links = [&first, &second].map(|peer| status_kib(&peer.id(), "VmRSS:"));
    let each = links.iter().zip(empty).map(|(full, empty)| full.saturating_sub(empty)).max().unwrap_or(0);
    figure("memory of a global node for each member, with its entries", each as f64 / nodes as f64, "KiB");
    let own: u64 = peers.iter().map(|peer| status_kib(&peer.id(), "VmRSS:")).sum();
    figure("memory of a member, the process's own share included", own as f64 / nodes as f64, "KiB");

    let all = || [&first, &second].into_iter().chain(&peers).map(|peer| cpu_seconds(&peer.id())).sum::<f64>();
    let (before, idle) = (all(), Instant::now());
    sleep(Duration::from_secs(10)).await;
    figure(
        "processor time when idle",
        100.0 * (all() - before) / idle.elapsed().as_secs_f64(),
        "% of a core",
    );

    let controllers = registered::<Control>(&observer, CONTROLLERS, processes).await?;
    let mut members = Vec::new();
    for controller in &controllers {
        members.push(observer.call(controller, LIMIT, |reply| Control::Members { reply }).await?);
    }
    begin(&observer, &controllers, &members, (rate, seconds))?;
    sleep(Duration::from_secs(seconds / 2)).await;
    first.kill();
    let killed = Instant::now();
    for controller in &controllers {
        observer.send(controller, Control::Register)?;
    }
    knows(&observer, survivor, LATE, processes).await?;
    figure("a new entry is known, after a global node was killed", killed.elapsed().as_secs_f64(), "s");
    knows(&observer, survivor, MEMBERS, nodes).await?;
    figure("all entries are", killed.elapsed().as_secs_f64(), "s");
    let connected = observer.call(survivor, LIMIT, |reply| Asked::Connected { reply }).await?;
    figure("nodes that the other one is connected to", connected as f64, "");

    sleep(Duration::from_secs(seconds)).await;
    judge(&reports(&observer, &controllers).await?);
    observer.shutdown().await;
    Ok(())
}

/// Each member has sent to the one that stands half of the network away. Without a monitor that
/// fired all has arrived, and in any case what has arrived has no holes.
fn judge(reports: &[Report]) {
    let sum = |count: fn(&Report) -> u64| reports.iter().map(count).sum::<u64>() as f64;
    figure("messages sent meanwhile", sum(|report| report.sent), "");
    figure("monitors that fired", sum(|report| u64::from(report.fired.is_some())), "");
    if let Some(reason) = reports.iter().find_map(|report| report.fired.as_ref()) {
        println!("one of them: {reason}");
    }
    let lost = reports.iter().enumerate().filter(|(_, report)| report.fired.is_none());
    let lost = lost
        .map(|(index, report)| report.sent.saturating_sub(reports[partner(index, reports.len())].received));
    figure("messages lost without a monitor that fired", lost.sum::<u64>() as f64, "");
    figure("holes", sum(|report| report.gaps), "");
}

/// The member that a member talks to.
fn partner(index: usize, members: usize) -> usize {
    (index + members / 2 + 1) % members
}

fn figure(what: &str, value: f64, unit: &str) {
    println!("{what:<60} {value:>12.2} {unit}");
}

/// Starts all members; each process says that it is ready when its members have started.
fn start(nodes: usize, processes: usize, seeds: &str) -> Vec<Peer> {
    let share = |index: usize| (nodes * (index + 1) / processes) - (nodes * index / processes);
    std::thread::scope(|scope| {
        let start = |index: usize| {
            let (count, listen) = (share(index).to_string(), format!("127.0.{}.1", index + 1));
            let environment = [(SEEDS, seeds), (COUNT, count.as_str()), (LISTEN, listen.as_str())];
            Peer::start_with("aemp", "size-members", &environment)
        };
        let starts: Vec<_> = (0..processes).map(|index| scope.spawn(move || start(index))).collect();
        starts.into_iter().map(|start| start.join().expect("the process starts")).collect()
    })
}

/// The ports of a family, once this many are there.
async fn registered<M>(
    node: &Node,
    family: &str,
    count: usize,
) -> Result<Vec<Addr<M>>, Box<dyn std::error::Error + Send + Sync>> {
    let mut watch = node.db().watch(family);
    loop {
        let change = watch.next().await.ok_or("the observer has ended")?;
        if change.content.len() >= count {
            let ports: Result<Vec<PortId>, _> = change.content.keys().map(|port| port.parse()).collect();
            return Ok(ports?.into_iter().map(PortId::assume).collect());
        }
    }
}

/// Waits until a global node knows this many entries of a family.
async fn knows(node: &Node, global: &Addr<Asked>, family: &str, count: usize) -> Result<(), CallError> {
    let mut asked = 0;
    while asked != count as u64 {
        sleep(LOOK).await;
        let question = |reply| Asked::Entries { family: family.into(), reply };
        asked = node.call(global, LIMIT, question).await?;
    }
    Ok(())
}

/// Has each member talk to the one that stands half of the network away.
fn begin(
    node: &Node,
    controllers: &[Addr<Control>],
    members: &[Vec<PortId>],
    (rate, seconds): (f64, u64),
) -> Result<(), aemp::SendError> {
    let all: Vec<&PortId> = members.iter().flatten().collect();
    let mut partners = (0..all.len()).map(|index| all[partner(index, all.len())].clone());
    for (controller, members) in controllers.iter().zip(members) {
        let partners = partners.by_ref().take(members.len()).collect();
        let (pause, count) = (Duration::from_secs_f64(1.0 / rate), (rate * seconds as f64) as u64);
        node.send(controller, Control::Begin { partners, pause, count })?;
    }
    Ok(())
}

async fn reports(node: &Node, controllers: &[Addr<Control>]) -> Result<Vec<Report>, CallError> {
    let mut all = Vec::new();
    for controller in controllers {
        all.extend(node.call(controller, LIMIT, |reply| Control::Report { reply }).await?);
    }
    Ok(all)
}
