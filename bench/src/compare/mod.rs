//! Rounds: every workload on every system in turn, and the tables that come of it.
//!
//! | file | what |
//! |---|---|
//! | [`outside`] | other frameworks: built and started if they are asked for |
//! | [`results`] | the lines of all runs; medians and spreads |
//! | [`tables`] | text for a terminal, Markdown for a page |

mod outside;
mod results;
mod tables;

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;

use crate::catalogue::{Kind, SYSTEMS, System, WORKLOADS, Workload};
use crate::curves::{CURVES, Curve, Points};
use crate::measure::{children_seconds, cpu_seconds, machine_seconds};
use crate::{process, say};
use outside::Outside;
use results::{Line, Results};

/// The page that `--update` writes into, from the root of the repository.
const PAGE: &str = "docs/bench.md";

/// Where `--update` puts the plots.
const PLOTS: &str = "docs/bench";

/// The longest that one run may take.
const LIMIT: Duration = Duration::from_secs(90);

/// What is measured, and where the results go.
#[derive(Args)]
pub(crate) struct Options {
    /// How often each workload runs on each system; 0 for the curves alone
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Divides all counts: for trying things out
    #[arg(long, default_value_t = 1)]
    divide: u64,
    /// Only workloads and curves whose name begins so; several with commas
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Only systems whose name begins so; several with commas
    #[arg(long, value_delimiter = ',')]
    systems: Vec<String>,
    /// Other frameworks too; they are built first, which takes some minutes
    #[arg(long)]
    peers: bool,
    /// Where results.jsonl, results.txt and results.md go
    #[arg(long, default_value = "target/bench")]
    out: PathBuf,
    /// Measure no curves
    #[arg(long)]
    no_curves: bool,
    /// Put the tables into docs/bench.md, and the plots beside it
    #[arg(long)]
    update: bool,
}

impl Options {
    fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|start| name.starts_with(start.as_str()))
    }

    fn wants_system(&self, system: &System) -> bool {
        let named =
            self.systems.is_empty() || self.systems.iter().any(|start| system.name.starts_with(start));
        named && (self.peers || system.kind != Kind::Peer)
    }
}

/// Runs everything that is wanted, and writes the tables.
pub(crate) fn run(options: &Options) -> ExitCode {
    let results = rounds(options);
    eprintln!("\r\x1b[K");
    let curves: Vec<&Curve> = CURVES.iter().filter(|curve| options.wants(curve.name)).collect();
    let points = Points::measure(if options.no_curves { &[] } else { &curves }, options.divide);
    match write(&results, options).and_then(|()| draw(&points, &curves, options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("the results cannot be written: {error}");
            ExitCode::FAILURE
        }
    }
}

/// All rounds of all workloads on all systems.
fn rounds(options: &Options) -> Results {
    let (mut results, mut outside) = (Results::default(), Outside::new());
    // What has failed once is not tried again: it may have taken all the time that a run is given.
    let mut failed = BTreeSet::new();
    for round in 0..options.rounds {
        for workload in WORKLOADS.iter().filter(|workload| options.wants(workload.name)) {
            let has = |system: &&System| system.has(workload.name) && options.wants_system(system);
            let mut systems: Vec<&System> = SYSTEMS.iter().filter(has).collect();
            systems.retain(|system| match outside.prepare(system) {
                Ok(()) => true,
                Err(why) => {
                    results.skip(system.name, why);
                    false
                }
            });
            for turn in 0..systems.len() {
                let system = systems[(turn + round) % systems.len()];
                eprint!(
                    "\r\x1b[Kround {} of {}: {} {}",
                    round + 1,
                    options.rounds,
                    workload.name,
                    system.name
                );
                if failed.contains(&(workload.name, system.name)) {
                    continue;
                }
                let line = one(&outside, system, workload, options.divide, round);
                if line.is_err() {
                    failed.insert((workload.name, system.name));
                }
                results.add(line);
            }
        }
    }
    results
}

/// One run, in a process of its own. Says how busy other programs were meanwhile.
fn one(
    outside: &Outside,
    system: &System,
    workload: &Workload,
    divide: u64,
    round: usize,
) -> Result<Line, String> {
    let name = || format!("{} on {}, round {}", workload.name, system.name, round + 1);
    let count = (system.count(workload) / divide).max(1);
    let command = outside.command(system, workload.name, count);
    let used = || machine_seconds() - cpu_seconds("self") - children_seconds();
    let (began, before) = (Instant::now(), used());
    let text = process::output(command, LIMIT).ok_or_else(|| format!("{} failed", name()))?;
    let others = (used() - before) / began.elapsed().as_secs_f64();
    let line = text.lines().rev().find(|line| line.starts_with('{')).unwrap_or_default();
    let mut line: Line =
        serde_json::from_str(line).map_err(|error| format!("{} says nothing useful: {error}", name()))?;
    (line.round, line.others) = (round, others.max(0.0));
    Ok(line)
}

fn write(results: &Results, options: &Options) -> io::Result<()> {
    fs::create_dir_all(&options.out)?;
    let (text, markdown) = (tables::text(results), tables::markdown(results));
    fs::write(options.out.join("results.jsonl"), results.lines()?)?;
    fs::write(options.out.join("results.txt"), &text)?;
    fs::write(options.out.join("results.md"), &markdown)?;
    say(&format!("{text}\nwritten to {}\n", options.out.display()));
    if options.update && !markdown.is_empty() {
        let facts = format!("{}\n\n{markdown}", tables::machine(options.rounds));
        insert(Path::new(PAGE), "results", &facts)?;
        say(&format!("and into {PAGE}\n"));
    }
    Ok(())
}

fn draw(points: &Points, curves: &[&Curve], options: &Options) -> io::Result<()> {
    let table = points.table(curves);
    if table.is_empty() {
        return Ok(());
    }
    say(&format!("\n{table}"));
    points.plots(curves, &options.out)?;
    if options.update {
        points.plots(curves, Path::new(PLOTS))?;
        insert(Path::new(PAGE), "curves", &table)?;
    }
    Ok(())
}

/// Replaces what stands between the markers of this name.
fn insert(page: &Path, name: &str, text: &str) -> io::Result<()> {
    let (begin, end) = (format!("<!-- begin {name} -->\n"), format!("<!-- end {name} -->"));
    let old = fs::read_to_string(page)?;
    let missing = || io::Error::other(format!("{} has no markers for {name}", page.display()));
    let start = old.find(&begin).ok_or_else(missing)? + begin.len();
    let stop = start + old[start..].find(&end).ok_or_else(missing)?;
    fs::write(page, format!("{}{}\n{}", &old[..start], text.trim_end(), &old[stop..]))
}
