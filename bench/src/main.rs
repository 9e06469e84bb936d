//! Benchmarks of aemp beside what lies below it and beside other frameworks; `docs/bench.md` has
//! the figures and how to read them.
//!
//! ```text
//!   cargo run --release -p aemp-bench                   ours and the floors, five rounds; curves
//!   cargo run --release -p aemp-bench -- --peers        other frameworks too
//!   cargo run --release -p aemp-bench -- --only l       workloads and curves whose name begins so
//!   cargo run --release -p aemp-bench -- size           a network of many nodes
//!   cargo run --release -p aemp-bench -- instructions   those of the hot paths, and their budget
//! ```
//!
//! | file | what |
//! |---|---|
//! | [`catalogue`] | the workloads and the systems: what runs where, how often, in which unit |
//! | [`compare`] | rounds, medians, tables |
//! | [`curves`] | how the cost grows with the work, and the plots |
//! | [`instructions`] | what the hot paths cost in instructions, and the budget |
//! | [`ours`] | the workloads on aemp |
//! | [`floor`] | the workloads on a channel or a socket |
//! | [`measure`] | what a run measured, readings of this process, the runtime |
//! | [`size`] | a network of many nodes: how fast it forms, what it costs, what a kill does |
//! | [`process`] | other processes: runs, the far end of a workload |
//!
//! Every run is a process of its own. In a round all systems of a workload run one after another,
//! so that a ratio compares what happened within seconds.

mod catalogue;
mod compare;
mod curves;
mod floor;
mod instructions;
mod measure;
mod ours;
mod process;
mod size;

use std::io::Write as _;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::measure::on_runtime;

#[derive(Parser)]
#[command(about = "What aemp costs, side by side with what lies below it and with other frameworks")]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    compare: compare::Options,
}

#[derive(Subcommand)]
enum Command {
    /// What the workloads and the systems are
    List,
    /// Count the instructions of the hot paths and compare them with their budget
    Instructions(instructions::Options),
    /// A network of many real nodes on this machine, of which a global one is killed
    Size(size::Options),
    /// One run in this process, as a line of JSON
    #[command(hide = true)]
    One { system: String, workload: String, count: u64 },
    /// The other process of a workload; it leaves when its standard input ends
    #[command(hide = true)]
    Peer { system: String, workload: String },
    /// One point of a curve
    #[command(hide = true)]
    Point { work: String, size: u64 },
    /// One hot path, this many times
    #[command(hide = true)]
    Turn { path: String, turns: u64 },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match arguments.command {
        None => compare::run(&arguments.compare),
        Some(Command::List) => {
            say(&catalogue::list());
            ExitCode::SUCCESS
        }
        Some(Command::Instructions(options)) => instructions::run(&options),
        Some(Command::Size(options)) => match on_runtime("aemp", size::run(options)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{error}");
                ExitCode::FAILURE
            }
        },
        Some(Command::Point { work, size }) => match on_runtime("aemp", curves::point(work, size)) {
            Some(values) => {
                println!("{values}");
                ExitCode::SUCCESS
            }
            None => ExitCode::from(3),
        },
        Some(Command::Turn { path, turns }) => {
            let known = on_runtime("turn-ct", instructions::turn(path, turns));
            if known { ExitCode::SUCCESS } else { ExitCode::from(3) }
        }
        Some(Command::One { system, workload, count }) => one(&system, &workload, count),
        Some(Command::Peer { system, workload }) => peer(&system, workload),
    }
}

/// Writes to standard output. Anyone who reads it may have had enough, like `head`: that is no
/// failure.
fn say(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}

fn one(system: &str, workload: &str, count: u64) -> ExitCode {
    let name = workload.to_string();
    let measured = if floor::has(system) {
        on_runtime(system, floor::run(system.to_string(), name, count))
    } else {
        on_runtime(system, ours::run(system.to_string(), name, count))
    };
    let Some(measured) = measured else {
        eprintln!("{system} has no workload {workload}");
        return ExitCode::from(3);
    };
    println!("{}", measured.to_json(system, workload));
    ExitCode::SUCCESS
}

fn peer(system: &str, workload: String) -> ExitCode {
    if workload == "size-global" {
        on_runtime(system, size::global());
    } else if workload == "size-members" {
        on_runtime(system, size::members());
    } else if floor::has(system) {
        on_runtime(system, floor::peer(system.to_string(), workload));
    } else {
        on_runtime(system, ours::peer(workload));
    }
    ExitCode::SUCCESS
}
