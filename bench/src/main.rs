//! Benchmarks: `cargo run --release -p aemp-bench [-- --rounds N] [--only REGEX-LESS-SUBSTRING]`.
//!
//! Every run is a process of its own; in a round all systems of a workload run one after another, so that a ratio compares
//! what happened within seconds. Ratios mean something, absolute figures only on this machine on this day.
//!
//! | name | what |
//! |---|---|
//! | `l1` | one producer sends messages (a tag and a number) to one port, until the port has had them all |
//! | `l1x4` | the same from four producers |
//! | `l1pairs` | a thousand producers, each to its own port |
//! | `l2` | two ports, one message between them |
//! | `l2pairs` | a thousand such pairs at once |
//! | `l3` | create 10,000 ports, kill them, wait until they are gone; again |
//! | `l3mem` | octets of an idle port |
//! | `l4` | calls with an answer, one after another |
//! | `r1` | messages to a port of another process |
//! | `r2` | round trips to another process |
//! | `r3` | messages of 64 KiB to another process |

mod floor;
mod local;
mod measure;
mod remote;
mod run;

use std::process::ExitCode;

/// The systems that are compared, in the order in which they run.
const SYSTEMS: [&str; 2] = ["floor", "aemp"];

/// Workload and how often it does its thing.
const WORKLOADS: [(&str, u64); 11] = [
    ("l1", 5_000_000),
    ("l1x4", 5_000_000),
    ("l1pairs", 5_000_000),
    ("l2", 1_000_000),
    ("l2pairs", 2_000_000),
    ("l3", 500_000),
    ("l3mem", 500_000),
    ("l4", 500_000),
    ("r1", 2_000_000),
    ("r2", 50_000),
    ("r3", 32_768),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["--one", system, workload, count] => one(system, workload, count),
        ["--peer", system, workload] => peer(system, workload),
        _ => run::table(&arguments),
    }
}

/// Runs one workload of one system in this process and prints one line of JSON.
fn one(system: &str, workload: &str, count: &str) -> ExitCode {
    let Ok(count) = count.parse() else { return ExitCode::from(2) };
    let measured = match (system, workload.starts_with('r')) {
        ("floor", false) => measure::on_runtime(floor::local(workload.to_string(), count)),
        ("floor", true) => measure::on_runtime(floor::remote(workload.to_string(), count)),
        (_, false) => measure::on_runtime(local::run(workload.to_string(), count)),
        (_, true) => measure::on_runtime(remote::run(workload.to_string(), count)),
    };
    match measured {
        Some(result) => {
            println!("{}", result.to_json(system, workload));
            ExitCode::SUCCESS
        }
        None => ExitCode::from(3),
    }
}

/// The other process of a remote workload; it leaves when its standard input ends.
fn peer(system: &str, workload: &str) -> ExitCode {
    match system {
        "floor" => measure::on_runtime(floor::peer(workload.to_string())),
        _ => measure::on_runtime(remote::peer()),
    }
    ExitCode::SUCCESS
}
