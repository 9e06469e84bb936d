//! One seed: processes, proxies, faults, and at the end the verdict.

use std::collections::BTreeMap;
use std::io::{self, BufRead as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use aemp_sim::check::{self, Compared, Violation};
use aemp_sim::history::{Event, FaultKind, History, Record};
use aemp_sim::random::Random;
use rustix::process::Signal;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::time::{Instant, sleep};

use crate::clock;
use crate::faults::Relief;
use crate::node::{Command, Report, Start};
use crate::plan::{Plan, Sabotage};
use crate::process::Process;
use crate::proxy::Network;

pub use crate::process::NODE;

/// How often somebody looks.
const TICK: Duration = Duration::from_millis(10);

/// Who was not run for so long has stood still.
const STOOD_STILL: Duration = Duration::from_millis(200);

/// When nobody has noted anything for so long, nothing is on its way.
const REST: Duration = Duration::from_millis(1500);

/// A network that is not at rest after this time is not going to be.
const REST_LIMIT: Duration = Duration::from_secs(60);

/// The function that every node has registered.
const FUNCTION: &str = "torture::port";

/// Ports that a node is told of when it starts.
const POOL: usize = 40;

/// Rules that cannot be judged when the machine has stood still after the last fault: they are
/// about time, or what there is in the end.
const TIMED: [&str; 15] =
    ["C2", "D1", "DB1", "DB6", "DB8", "M6", "M13", "MON2", "N2", "N4", "N5", "N6", "N7", "NET1", "NET2"];

/// What came of a seed.
#[derive(Debug)]
pub struct Verdict {
    /// Which seed, and what it meant.
    pub plan: Plan,
    /// Broken promises.
    pub violations: Vec<Violation>,
    /// All that happened.
    pub history: History,
    /// What the flight recorders of the nodes had to tell of each other.
    pub compared: Compared,
    /// Connections that were made.
    pub connections: u64,
    /// Connections that the proxies have ended.
    pub cuts: u64,
    /// Processes that were killed.
    pub kills: u64,
    /// The machine has stood still when it should not have: rules about time have not judged.
    pub stood_still: bool,
}

/// The place of a node.
#[derive(Default)]
pub(crate) struct Slot {
    pub(crate) process: Option<Process>,
    inc: u64,
    pub(crate) paused: bool,
    /// It is being shut down, and has to be gone by then.
    pub(crate) ending: Option<Instant>,
    /// The address of its proxy.
    address: Option<String>,
}

/// A seed that is being run.
pub(crate) struct Run {
    pub(crate) plan: Plan,
    pub(crate) random: Random,
    pub(crate) network: Network,
    pub(crate) slots: Vec<Slot>,
    pub(crate) reliefs: Vec<(Instant, Relief)>,
    pub(crate) cuts: u64,
    pub(crate) kills: u64,
    folder: tempfile::TempDir,
    certificate: Option<PathBuf>,
    records: Vec<Record>,
    files: Vec<PathBuf>,
    dumps: Vec<PathBuf>,
    dumped: usize,
    reports: UnboundedReceiver<(usize, Report)>,
    reporting: UnboundedSender<(usize, Report)>,
    pool: Vec<String>,
    looked: Instant,
}

/// Runs a seed.
///
/// # Errors
///
/// A process cannot be started, or has ended by itself, or a history cannot be read.
pub async fn run(plan: Plan) -> io::Result<Verdict> {
    let mut run = Run::new(plan).await?;
    for node in 0..run.plan.nodes {
        run.start(node)?;
    }
    if run.plan.sabotage == Some(Sabotage::DropFrame) {
        run.network.steal();
    }
    run.work().await?;
    run.mend_all().await?;
    run.note("", 0, Event::Quiet);
    run.tell_all(&Command::Calm);
    let heal = run.plan.heal();
    run.wait(heal).await?;
    run.tell_all(&Command::Rest);
    run.rest().await?;
    run.tell_all(&Command::Probe);
    run.rest().await?;
    run.tell_all(&Command::Ask);
    run.rest().await?;
    run.note("", 0, Event::End);
    let end = clock::now();
    run.dump().await?;
    for slot in &mut run.slots {
        if let Some(process) = &mut slot.process {
            process.kill().await?;
        }
    }
    let (connections, cuts, kills) = (run.network.made(), run.cuts, run.kills);
    let judged = tokio::task::spawn_blocking(move || {
        let history = run.history(end)?;
        let (found, stood_still) = judge(&run.plan, &history);
        let (mut violations, compared) = check::dumps(&run.recorded()?);
        violations.extend(found);
        Ok::<_, io::Error>((run.plan.clone(), violations, history, stood_still, compared))
    });
    let (plan, violations, history, stood_still, compared) = judged.await.map_err(io::Error::other)??;
    Ok(Verdict { plan, violations, history, compared, connections, cuts, kills, stood_still })
}

/// Lets the checkers look at a history.
pub fn judge(plan: &Plan, history: &History) -> (Vec<Violation>, bool) {
    let mut violations = check::all(history, &plan.bounds());
    let quiet = history.records.iter().position(|record| record.event == Event::Quiet).unwrap_or_default();
    let stood_still = history.records[quiet..]
        .iter()
        .any(|record| matches!(record.event, Event::Fault { kind: FaultKind::Resume, .. }));
    if stood_still {
        violations.retain(|violation| !TIMED.contains(&violation.rule));
    }
    (violations, stood_still)
}

impl Run {
    async fn new(plan: Plan) -> io::Result<Run> {
        let folder = tempfile::tempdir()?;
        let network = Network::default();
        let mut slots = Vec::new();
        for node in 0..plan.nodes {
            let private = plan.is_private(node);
            let address = if private { None } else { Some(network.open(plan.name(node)).await?) };
            slots.push(Slot { address, ..Slot::default() });
        }
        let certificate = if plan.tls { Some(certificate(folder.path())?) } else { None };
        let (reporting, reports) = mpsc::unbounded_channel();
        Ok(Run {
            random: Random::new(plan.seed),
            plan,
            network,
            slots,
            reliefs: Vec::new(),
            cuts: 0,
            kills: 0,
            folder,
            certificate,
            records: Vec::new(),
            files: Vec::new(),
            dumps: Vec::new(),
            dumped: 0,
            reports,
            reporting,
            pool: Vec::new(),
            looked: Instant::now(),
        })
    }

    /// Notes what happens.
    fn note(&mut self, node: &str, inc: u64, event: Event) {
        let idx = self.records.len() as u64;
        self.records.push(Record { idx, t: clock::now(), node: node.to_owned(), inc, event });
    }

    pub(crate) fn fault(&mut self, kind: FaultKind, nodes: &[String]) {
        self.note("", 0, Event::Fault { kind, nodes: nodes.to_vec() });
    }

    /// Starts a node that does not run.
    pub(crate) fn start(&mut self, node: usize) -> io::Result<()> {
        if self.slots[node].process.is_some() {
            return Ok(());
        }
        let name = self.plan.name(node);
        if self.slots[node].inc > 0 {
            self.fault(FaultKind::Start, &[name.to_owned()]);
        }
        self.slots[node].inc += 1;
        let inc = self.slots[node].inc;
        let others: Vec<usize> = (0..self.plan.seeds).filter(|seed| *seed != node).collect();
        let start = Start {
            plan: self.plan.clone(),
            index: node,
            inc,
            advertised: self.slots[node].address.clone(),
            seeds: others.iter().filter_map(|seed| self.slots[*seed].address.clone()).collect(),
            certificate: self.certificate.clone(),
            history: self.folder.path().join(format!("{name}-{inc}.jsonl")),
            dump: self.folder.path().join(format!("{name}-{inc}.dump")),
        };
        let seeds = others.iter().map(|seed| self.plan.name(*seed).to_owned()).collect();
        let address = start.advertised.clone().unwrap_or_default();
        self.note(
            name,
            inc,
            Event::Start { global: false, seeds, functions: vec![FUNCTION.into()], address },
        );
        let process = Process::start(&start, &self.reporting)?;
        self.pool.iter().for_each(|port| process.tell(Command::Known(port.clone())));
        self.files.push(process.history.clone());
        self.dumps.push(start.dump.clone());
        self.slots[node].process = Some(process);
        Ok(())
    }

    /// Kills a node.
    pub(crate) async fn stop(&mut self, node: usize) -> io::Result<()> {
        if let Some(mut process) = self.slots[node].process.take() {
            process.kill().await?;
        }
        self.gone(node);
        Ok(())
    }

    fn gone(&mut self, node: usize) {
        let (name, slot) = (self.plan.name(node), &mut self.slots[node]);
        (slot.process, slot.ending, slot.paused) = (None, None, false);
        let inc = slot.inc;
        self.network.target(name, None);
        self.note(name, inc, Event::Stop);
    }

    fn tell_all(&self, command: &Command) {
        let running = self.slots.iter().filter_map(|slot| slot.process.as_ref());
        running.for_each(|process| process.tell(command.clone()));
    }

    /// Lets the programs work, and things go wrong.
    async fn work(&mut self) -> io::Result<()> {
        let until = Instant::now() + self.plan.duration;
        let mut next = self.next_fault();
        while Instant::now() < until {
            self.tick().await?;
            let due = |relief: &(Instant, Relief)| relief.0 <= Instant::now();
            while let Some(at) = self.reliefs.iter().position(due) {
                let (_, relief) = self.reliefs.swap_remove(at);
                self.relieve(relief)?;
            }
            if next.is_some_and(|next| next <= Instant::now()) {
                self.strike().await?;
                next = self.next_fault();
            }
        }
        Ok(())
    }

    fn next_fault(&mut self) -> Option<Instant> {
        let mean = self.plan.faults;
        (!mean.is_zero()).then(|| Instant::now() + self.random.up_to(mean * 2))
    }

    /// A moment passes: what the nodes report is heard, and who has been shut down is gone.
    async fn tick(&mut self) -> io::Result<()> {
        sleep(TICK).await;
        if self.looked.elapsed() > STOOD_STILL {
            // So have the proxies.
            let nodes: Vec<String> =
                (0..self.plan.nodes).map(|node| self.plan.name(node).to_owned()).collect();
            self.fault(FaultKind::Pause, &nodes);
            self.fault(FaultKind::Resume, &nodes);
        }
        self.looked = Instant::now();
        while let Ok((node, report)) = self.reports.try_recv() {
            match report {
                Report::Listening(address) => self.network.target(self.plan.name(node), address),
                Report::Dumped => self.dumped += 1,
                Report::Port(port) => {
                    self.tell_all(&Command::Known(port.clone()));
                    self.pool.push(port);
                    if self.pool.len() > POOL {
                        self.pool.remove(0);
                    }
                }
            }
        }
        for node in 0..self.slots.len() {
            let slot = &mut self.slots[node];
            let Some(process) = &mut slot.process else { continue };
            match (process.ended()?, slot.ending) {
                (Some(true), Some(_)) => {
                    self.gone(node);
                    self.later(Relief::Start(node));
                }
                (Some(_), _) => {
                    return Err(io::Error::other(format!(
                        "node {} has ended by itself",
                        self.plan.name(node)
                    )));
                }
                (None, Some(limit)) if limit < Instant::now() => {
                    return Err(io::Error::other(format!(
                        "node {} does not end when shut down",
                        self.plan.name(node)
                    )));
                }
                (None, _) => {}
            }
        }
        Ok(())
    }

    async fn wait(&mut self, time: Duration) -> io::Result<()> {
        let until = Instant::now() + time;
        while Instant::now() < until {
            self.tick().await?;
        }
        Ok(())
    }

    /// Mends everything, and lets all nodes run again.
    async fn mend_all(&mut self) -> io::Result<()> {
        for node in 0..self.slots.len() {
            self.resume(node);
        }
        self.network.mend();
        for (_, relief) in std::mem::take(&mut self.reliefs) {
            self.relieve(relief)?;
        }
        while self.slots.iter().any(|slot| slot.ending.is_some()) {
            self.tick().await?;
        }
        for node in 0..self.slots.len() {
            self.start(node)?;
        }
        self.reliefs.clear();
        Ok(())
    }

    /// Waits until nobody notes anything any more.
    async fn rest(&mut self) -> io::Result<()> {
        let limit = Instant::now() + REST_LIMIT;
        let (mut size, mut since) = (0, Instant::now());
        while since.elapsed() < REST {
            if Instant::now() > limit {
                return Ok(());
            }
            self.tick().await?;
            let mut now = 0;
            for file in &self.files {
                now += std::fs::metadata(file).map_or(0, |file| file.len());
            }
            if now != size {
                (size, since) = (now, Instant::now());
            }
        }
        self.note("", 0, Event::Rest);
        Ok(())
    }

    /// Has the flight recorders of all nodes written: twice, for the first time they ask each other
    /// for marks, which all of them have the second time.
    async fn dump(&mut self) -> io::Result<()> {
        for _ in 0..2 {
            self.dumped = 0;
            self.tell_all(&Command::Dump);
            let running = self.slots.iter().filter(|slot| slot.process.is_some()).count();
            let limit = Instant::now() + REST_LIMIT;
            while self.dumped < running {
                if Instant::now() > limit {
                    return Err(io::Error::other("a node does not write what its flight recorder has"));
                }
                self.tick().await?;
            }
        }
        Ok(())
    }

    /// What the flight recorders have told. Of a process that was killed there is nothing.
    fn recorded(&self) -> io::Result<History> {
        let mut records = Vec::new();
        for dump in self.dumps.iter().filter(|dump| dump.exists()) {
            records.extend(History::read(io::BufReader::new(std::fs::File::open(dump)?))?.records);
        }
        Ok(History::merge(records))
    }

    /// What all processes have noted until then.
    fn history(&mut self, end: u64) -> io::Result<History> {
        let mut records = std::mem::take(&mut self.records);
        for file in &self.files {
            // A process may have been killed before it could begin.
            let Ok(text) = std::fs::read(file) else { continue };
            for line in text.as_slice().lines() {
                let line = line?;
                match serde_json::from_str(&line) {
                    Ok(record) => records.push(record),
                    // The last line may have been torn by a kill.
                    Err(_) if text.ends_with(line.as_bytes()) => {}
                    Err(error) => {
                        return Err(io::Error::other(format!("{}: {error}: {line}", file.display())));
                    }
                }
            }
        }
        records.retain(|record: &Record| record.t <= end);
        let mut history = History::merge(records);
        // Which run of a peer has come up: the one that there was.
        let mut runs: BTreeMap<String, u64> = BTreeMap::new();
        for record in &mut history.records {
            match &mut record.event {
                Event::Start { .. } => drop(runs.insert(record.node.clone(), record.inc)),
                Event::Up { peer, pinc, .. } => *pinc = runs.get(peer).copied().unwrap_or_default(),
                _ => {}
            }
        }
        Ok(history)
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        // What is stopped ends all the same.
        let running = self.slots.iter().filter_map(|slot| slot.process.as_ref());
        running.for_each(|process| process.signal(Signal::KILL));
    }
}

/// Makes a certificate that all nodes share.
fn certificate(folder: &Path) -> io::Result<PathBuf> {
    let key = rcgen::KeyPair::generate().map_err(io::Error::other)?;
    let mut params = rcgen::CertificateParams::new(vec!["aemp".into()]).map_err(io::Error::other)?;
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let certificate = params.self_signed(&key).map_err(io::Error::other)?;
    let path = folder.join("network.pem");
    std::fs::write(&path, format!("{}{}", key.serialize_pem(), certificate.pem()))?;
    Ok(path)
}
