//! Runs seeds, and says which of them break a promise.

mod judge;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use aemp_sim::history::{Event, History, RELAYED};
use aemp_sim::options::Options;
use aemp_sim::world;
use clap::{Parser, Subcommand};
use judge::Judge;

/// Runs many small networks under seeded faults and checks what they promise.
#[derive(Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// Run this seed alone.
    #[arg(long)]
    seed: Option<u64>,
    /// Run these seeds, the last one not included.
    #[arg(long, default_value = "0..2000", value_parser = range)]
    seeds: (u64, u64),
    /// Run seeds that nobody has run before, from one on that is drawn now.
    #[arg(long, conflicts_with_all = ["seed", "seeds"], requires = "minutes")]
    fresh: bool,
    /// Go on after a seed that breaks a promise.
    #[arg(long)]
    all: bool,
    /// Begin no further seed after this time.
    #[arg(long)]
    minutes: Option<f64>,
    /// Say on standard error what happens.
    #[arg(long)]
    trace: bool,
    /// Write the history of a single seed to this file, as lines of JSON.
    #[arg(long)]
    history: Option<std::path::PathBuf>,
}

#[derive(Subcommand)]
enum Command {
    /// Judge what flight recorders of nodes have told: files of `aemp dump` and `aemp gather`
    Judge(Judge),
}

fn range(text: &str) -> Result<(u64, u64), String> {
    let (from, to) = text.split_once("..").ok_or("a range has the form FROM..TO")?;
    let number = |text: &str| text.parse::<u64>().map_err(|error| error.to_string());
    Ok((number(from)?, number(to)?))
}

impl Arguments {
    /// The first seed, and the one after the last.
    fn range(&self) -> Result<(u64, u64), getrandom::Error> {
        if !self.fresh {
            return Ok(self.seed.map_or(self.seeds, |seed| (seed, seed + 1)));
        }
        let from = u64::from(getrandom::u32()?) << 24;
        println!("fresh seeds, from {from} on");
        Ok((from, from + (1 << 24)))
    }
}

/// What has been run so far.
#[derive(Default)]
struct Totals {
    seeds: u64,
    happenings: u64,
    virtual_seconds: u64,
    events: BTreeMap<&'static str, u64>,
    faults: BTreeMap<String, u64>,
    failed: Vec<u64>,
}

impl Totals {
    fn add(&mut self, history: &History, happenings: u64) {
        self.seeds += 1;
        self.happenings += happenings;
        self.virtual_seconds += history.records.last().map_or(0, |record| record.t / 1_000_000);
        for record in &history.records {
            let name = match &record.event {
                Event::Snd { .. } => "messages sent",
                Event::Rcv { .. } => "messages received",
                Event::Mon { .. } => "monitors set",
                Event::Fire { .. } => "monitors fired",
                Event::Up { conn, .. } if conn & RELAYED != 0 => "carried connections",
                Event::Up { .. } => "connections",
                Event::Spawn { .. } => "spawns",
                Event::Set { .. } => "database entries set",
                Event::Dbev { .. } => "watch events",
                Event::A { .. } => "queries answered",
                Event::Fault { kind, .. } => {
                    *self.faults.entry(format!("{kind:?}").to_lowercase()).or_default() += 1;
                    "faults"
                }
                _ => "other events",
            };
            *self.events.entry(name).or_default() += 1;
        }
    }
}

/// Runs a seed; says whether it kept all promises.
fn run(seed: u64, arguments: &Arguments, totals: &Mutex<Totals>) -> bool {
    let mut options = Options::of_seed(seed);
    options.trace = arguments.trace;
    let outcome = world::run(options);
    let violations = outcome.violations();
    if let (Some(path), Some(_)) = (&arguments.history, arguments.seed) {
        let written =
            std::fs::File::create(path).and_then(|file| outcome.history.write(std::io::BufWriter::new(file)));
        if let Err(error) = written {
            eprintln!("cannot write {}: {error}", path.display());
        }
    }
    let mut totals = totals.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    totals.add(&outcome.history, outcome.happenings);
    if violations.is_empty() {
        return true;
    }
    totals.failed.push(seed);
    println!("seed {seed} breaks {} promises:", violations.len());
    for violation in violations.iter().take(10) {
        println!("  {violation}");
    }
    println!("repeat it: {}", aemp_sim::command(seed));
    false
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(Command::Judge(judge)) = &arguments.command {
        return judge.run();
    }
    let (from, to) = match arguments.range() {
        Ok(range) => range,
        Err(error) => {
            eprintln!("the system's random number generator failed: {error}");
            return ExitCode::FAILURE;
        }
    };
    let deadline = arguments.minutes.map(|minutes| Instant::now() + Duration::from_secs_f64(minutes * 60.0));
    let started = Instant::now();
    let totals = Mutex::new(Totals::default());
    let (next, failed) = (AtomicU64::new(from), AtomicBool::new(false));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while !failed.load(Ordering::Relaxed) && deadline.is_none_or(|end| Instant::now() < end) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= to {
                        return;
                    }
                    if !run(seed, &arguments, &totals) && !arguments.all {
                        failed.store(true, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let totals = totals.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    println!(
        "{} seeds, {} s of virtual time in {:.1} s, {} steps",
        totals.seeds,
        totals.virtual_seconds,
        started.elapsed().as_secs_f64(),
        totals.happenings
    );
    for (what, count) in &totals.events {
        println!("  {count:>10} {what}");
    }
    let faults: Vec<String> = totals.faults.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    println!("  of the faults and their ends: {}", faults.join(", "));
    if totals.failed.is_empty() {
        return ExitCode::SUCCESS;
    }
    println!("seeds that break a promise: {:?}", totals.failed);
    ExitCode::FAILURE
}
