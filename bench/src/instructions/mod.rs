//! What the hot paths cost in instructions, compared with a budget that lies in the repository.
//!
//! Time says little on a busy machine; instructions are nearly the same in every run. Each path
//! runs under valgrind twice, with two counts and on one thread, and the difference is what one
//! more turn costs: start and end cancel out. The budget is what was counted when it was renewed; a
//! path may cost [`TOLERANCE`] more.
//!
//! ```text
//!   cargo run --release -p aemp-bench -- instructions            compare
//!   cargo run --release -p aemp-bench -- instructions --bless    renew the budget
//! ```

mod hot;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::{fs, io};

use clap::Args;

pub(crate) use hot::run as turn;

/// How much more than its budget a path may cost: compilers and hash seeds move the counts a
/// little.
const TOLERANCE: f64 = 0.05;

/// How often a path is counted: the scheduler looks at the clock, so a turn costs more or less now
/// and then.
const TRIES: usize = 3;

/// What to do with the counts.
#[derive(Args)]
pub(crate) struct Options {
    /// Write what was counted into the budget
    #[arg(long)]
    bless: bool,
    /// Only paths whose name begins so
    #[arg(long, default_value = "")]
    only: String,
    /// The file with the budget
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/instructions.txt"))]
    budget: PathBuf,
}

/// Counts all paths, and fails if one is over its budget or has none.
pub(crate) fn run(options: &Options) -> ExitCode {
    match compare(options) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("the instructions cannot be counted: {error}");
            ExitCode::FAILURE
        }
    }
}

fn compare(options: &Options) -> io::Result<bool> {
    if !cfg!(target_arch = "x86_64") {
        println!("the budget is for x86_64: nothing is compared here");
        return Ok(true);
    }
    let mut budget = match fs::read_to_string(&options.budget) {
        Ok(text) => parse(&text)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound && options.bless => BTreeMap::new(),
        Err(error) => return Err(error),
    };
    let mut good = true;
    println!("{:20} {:>12} {:>12} {:>8}", "instructions a turn", "counted", "budget", "");
    for (path, turns) in hot::PATHS.iter().filter(|(path, _)| path.starts_with(&options.only)) {
        let allowed = budget.get(*path).copied();
        let counted = match allowed {
            Some(allowed) if !options.bless => below(path, *turns, allowed * (1.0 + TOLERANCE))?,
            _ => middle(path, *turns)?,
        };
        let change = allowed.map_or(f64::INFINITY, |allowed| counted / allowed - 1.0);
        let verdict = match change {
            c if c > TOLERANCE && !options.bless => "over",
            c if c < -TOLERANCE && !options.bless => "under: renew it",
            _ => "",
        };
        good &= verdict != "over";
        println!(
            "{path:20} {counted:>12.1} {:>12.1} {:>+7.1}% {verdict}",
            allowed.unwrap_or(0.0),
            change * 100.0
        );
        budget.insert(path.to_string(), counted);
    }
    if options.bless {
        fs::write(&options.budget, print(&budget))?;
        println!("written to {}", options.budget.display());
    } else if !good {
        println!(
            "A path costs over {:.0} % more than its budget. If that is meant, renew it:\n    \
             cargo run --release -p aemp-bench -- instructions --bless",
            TOLERANCE * 100.0
        );
    }
    Ok(good)
}

/// The least of some counts; no more once one is within the limit.
fn below(path: &str, turns: u64, limit: f64) -> io::Result<f64> {
    let mut least = f64::INFINITY;
    for _ in 0..TRIES {
        least = least.min(of_a_turn(path, turns)?);
        if least <= limit {
            break;
        }
    }
    Ok(least)
}

/// The middle one of some counts.
fn middle(path: &str, turns: u64) -> io::Result<f64> {
    let counts: io::Result<Vec<f64>> = (0..TRIES).map(|_| of_a_turn(path, turns)).collect();
    let mut counts = counts?;
    counts.sort_by(f64::total_cmp);
    Ok(counts[TRIES / 2])
}

fn of_a_turn(path: &str, turns: u64) -> io::Result<f64> {
    // In the shorter run queues and tables grow to their size.
    let more = count(path, 2 * turns)?.saturating_sub(count(path, turns)?);
    Ok(more as f64 / turns as f64)
}

/// All instructions of a run of the path with this many turns.
fn count(path: &str, turns: u64) -> io::Result<u64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(std::env::current_exe()?)
        .args(["turn", path, &turns.to_string()])
        .stdin(Stdio::null())
        .output()
        .map_err(|error| io::Error::other(format!("valgrind does not start ({error}); install it")))?;
    let text = String::from_utf8_lossy(&output.stderr);
    let line = text.lines().find_map(|line| line.split_once("Collected : "));
    line.and_then(|(_, number)| number.trim().parse().ok()).filter(|_| output.status.success()).ok_or_else(
        || {
            let last: Vec<&str> = text.lines().rev().take(5).collect();
            io::Error::other(format!("{path} did not run to its end under valgrind: {}", last.join(" / ")))
        },
    )
}

fn parse(text: &str) -> io::Result<BTreeMap<String, f64>> {
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    lines
        .map(|line| {
            let bad = || io::Error::other(format!("not PATH NUMBER: {line:?}"));
            let (path, number) = line.split_once(' ').ok_or_else(bad)?;
            Ok((path.into(), number.trim().parse().map_err(|_| bad())?))
        })
        .collect()
}

fn print(budget: &BTreeMap<String, f64>) -> String {
    let mut text = String::from(
        "# Instructions of one turn of each hot path. Renew: cargo run --release -p aemp-bench -- instructions --bless\n",
    );
    for (path, counted) in budget {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{path} {counted:.0}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_written_budget_can_be_read() {
        let budget = BTreeMap::from([("call".to_string(), 1234.0), ("send".to_string(), 99.0)]);
        assert_eq!(parse(&print(&budget)).unwrap(), budget);
        assert!(parse("call").is_err());
    }

    #[test]
    fn every_path_has_a_budget() {
        let text = include_str!("../../instructions.txt");
        let budget = parse(text).unwrap();
        assert!(budget.keys().map(String::as_str).eq(hot::sorted()));
    }
}
