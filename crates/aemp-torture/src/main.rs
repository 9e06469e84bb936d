//! Runs seeds with real processes, and says which of them break a promise.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use aemp_sim::history::{Event, RELAYED};
use aemp_torture::plan::{Plan, Sabotage};
use aemp_torture::supervisor::{self, NODE, Verdict};
use aemp_torture::{command, node};
use clap::Parser;
use tokio::task::{JoinSet, LocalSet};

/// Runs small networks of real processes under faults, and checks what they promise.
#[derive(Parser)]
struct Arguments {
    /// Run this seed alone.
    #[arg(long)]
    seed: Option<u64>,
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Begin with a seed that is drawn now.
    #[arg(long, conflicts_with_all = ["seed", "from"])]
    fresh: bool,
    /// How often a single seed is run, or how many seeds are.
    #[arg(long)]
    times: Option<u64>,
    /// Begin no further seed after this time.
    #[arg(long)]
    minutes: Option<f64>,
    /// How long things go wrong in a seed, in seconds.
    #[arg(long, default_value_t = 8.0)]
    work: f64,
    /// How many seeds are run at a time.
    #[arg(long, default_value_t = 3)]
    jobs: usize,
    /// Go on after a seed that breaks a promise.
    #[arg(long)]
    all: bool,
    /// Build in a mistake, to see whether it is noticed.
    #[arg(long)]
    sabotage: Option<Sabotage>,
    /// Where the histories of failing seeds are kept.
    #[arg(long, default_value = "target/torture")]
    keep: PathBuf,
    /// Judge a kept history again, with the plan of its seed.
    #[arg(long, requires = "seed")]
    judge: Option<PathBuf>,
}

/// What has been run so far.
#[derive(Default)]
struct Totals {
    seeds: u64,
    events: BTreeMap<&'static str, u64>,
    connections: u64,
    cuts: u64,
    kills: u64,
    stood_still: u64,
    marks: u64,
    failed: Vec<u64>,
}

impl Totals {
    fn add(&mut self, verdict: &Verdict) {
        self.seeds += 1;
        self.connections += verdict.connections;
        self.cuts += verdict.cuts;
        self.kills += verdict.kills;
        self.stood_still += u64::from(verdict.stood_still);
        self.marks += verdict.compared.marks as u64;
        for record in &verdict.history.records {
            let name = match &record.event {
                Event::Snd { .. } => "messages sent",
                Event::Rcv { .. } => "messages received",
                Event::Mon { .. } => "monitors set",
                Event::Fire { .. } => "monitors fired",
                Event::Up { conn: RELAYED, .. } => "connections that may be relayed, at each end",
                Event::Up { .. } => "connections, at each end",
                Event::Spawn { .. } => "spawns",
                Event::Call { .. } => "calls",
                Event::Set { .. } => "database entries set",
                Event::Dbev { .. } => "watch events",
                Event::A { .. } => "queries answered",
                Event::Fault { .. } => "faults and their ends",
                _ => "other events",
            };
            *self.events.entry(name).or_default() += 1;
        }
    }

    fn print(&self, time: Duration) {
        let still = self.stood_still;
        println!(
            "{} seeds in {:.1} s; the machine stood still in {still} of them",
            self.seeds,
            time.as_secs_f64()
        );
        for (what, count) in &self.events {
            println!("  {count:>10} {what}");
        }
        let (made, cuts, kills) = (self.connections, self.cuts, self.kills);
        println!(
            "  {} marks of connections compared, in what flight recorders of both ends tell",
            self.marks
        );
        println!("  {made} connections of sockets, {cuts} ended by the proxies; {kills} processes killed");
    }
}

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    if words.next().as_deref() == Some(NODE) {
        let start = words.next().and_then(|start| serde_json::from_str(&start).ok());
        let Some(start) = start else { return ExitCode::FAILURE };
        node::run(start);
        return ExitCode::SUCCESS;
    }
    let arguments = Arguments::parse();
    if let (Some(path), Some(seed)) = (&arguments.judge, arguments.seed) {
        return judge_again(path, plan(seed, &arguments));
    }
    // One thread, so that the processes end with it.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime.map(|runtime| runtime.block_on(LocalSet::new().run_until(run(&arguments)))) {
        Ok(Ok(true)) => ExitCode::SUCCESS,
        Ok(Ok(false)) => ExitCode::FAILURE,
        Ok(Err(error)) | Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn plan(seed: u64, arguments: &Arguments) -> Plan {
    Plan::of_seed(seed, Duration::from_secs_f64(arguments.work)).with(arguments.sabotage)
}

fn judge_again(path: &Path, plan: Plan) -> ExitCode {
    let history =
        std::fs::File::open(path).map(std::io::BufReader::new).and_then(aemp_sim::history::History::read);
    match history {
        Ok(history) => {
            let (violations, _) = supervisor::judge(&plan, &history);
            violations.iter().for_each(|violation| println!("{violation}"));
            if violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("cannot read {}: {error}", path.display());
            ExitCode::FAILURE
        }
    }
}

/// Runs seeds until there are no more, the time is up, or one fails; says whether all have kept all
/// promises.
async fn run(arguments: &Arguments) -> std::io::Result<bool> {
    let base = match (arguments.seed, arguments.fresh) {
        (Some(seed), _) => seed,
        (None, true) => u64::from(getrandom::u32().map_err(std::io::Error::other)?) << 16,
        (None, false) => arguments.from,
    };
    println!("seeds from {base} on");
    let count = arguments.times.unwrap_or(if arguments.minutes.is_some() { u64::MAX } else { 1 });
    let started = Instant::now();
    let over = || arguments.minutes.is_some_and(|minutes| started.elapsed().as_secs_f64() > minutes * 60.0);
    let (mut totals, mut begun, mut jobs) = (Totals::default(), 0, JoinSet::new());
    loop {
        let goes_on = (totals.failed.is_empty() || arguments.all) && begun < count && !over();
        if goes_on && jobs.len() < arguments.jobs {
            let seed = if arguments.seed.is_some() { base } else { base + begun };
            let plan = plan(seed, arguments);
            jobs.spawn_local(async move { (seed, supervisor::run(plan).await) });
            begun += 1;
            continue;
        }
        let done = tokio::select! {
            done = jobs.join_next() => done,
            _ = tokio::signal::ctrl_c() => {
                println!("interrupted");
                return Ok(false);
            }
        };
        let Some(done) = done else { break };
        let (seed, verdict) = done.map_err(std::io::Error::other)?;
        if !settle(seed, verdict, arguments, &mut totals) {
            totals.failed.push(seed);
        }
    }
    totals.print(started.elapsed());
    if !totals.failed.is_empty() {
        println!("seeds that break a promise: {:?}", totals.failed);
    }
    Ok(totals.failed.is_empty())
}

/// Says what came of a seed; false if it has failed.
fn settle(seed: u64, verdict: std::io::Result<Verdict>, arguments: &Arguments, totals: &mut Totals) -> bool {
    let verdict = match verdict {
        Ok(verdict) => verdict,
        Err(error) => {
            println!("seed {seed} ({}): {error}\nrepeat it: {}", plan(seed, arguments), command(seed));
            return false;
        }
    };
    totals.add(&verdict);
    if verdict.violations.is_empty() {
        return true;
    }
    println!("seed {seed} ({}) breaks {} promises:", verdict.plan, verdict.violations.len());
    verdict.violations.iter().take(10).for_each(|violation| println!("  {violation}"));
    println!("repeat it: {}", command(seed));
    match keep(&arguments.keep, &verdict) {
        Ok(path) => println!("its history: {}", path.display()),
        Err(error) => println!("its history cannot be kept: {error}"),
    }
    false
}

fn keep(folder: &Path, verdict: &Verdict) -> std::io::Result<PathBuf> {
    std::fs::create_dir_all(folder)?;
    let path = folder.join(format!("{}.jsonl", verdict.plan.seed));
    let file = std::fs::File::create(&path)?;
    verdict.history.write(std::io::BufWriter::new(file))?;
    Ok(path)
}
