//! The table: every system and workload in turn, several rounds, medians and ratios.

use std::collections::BTreeMap;
use std::process::{Command, ExitCode, Stdio};

use crate::{SYSTEMS, WORKLOADS};

/// Figures of one workload of one system, one a round.
type Figures = BTreeMap<(usize, &'static str), Vec<f64>>;

/// Runs everything and prints a table in Markdown; the lines of JSON go to standard error as they come.
pub(crate) fn table(arguments: &[&str]) -> ExitCode {
    let option = |name: &str| arguments.windows(2).find(|pair| pair[0] == name).map(|pair| pair[1]);
    let rounds: usize = option("--rounds").and_then(|text| text.parse().ok()).unwrap_or(5);
    let divide: u64 = option("--divide").and_then(|text| text.parse().ok()).unwrap_or(1);
    let only = option("--only").unwrap_or("");
    if arguments.contains(&"--help") {
        println!("usage: aemp-bench [--rounds N] [--only WORKLOAD] [--divide N: smaller counts]");
        return ExitCode::SUCCESS;
    }
    let mut figures = Figures::new();
    for round in 0..rounds {
        for (at, (workload, count)) in WORKLOADS.iter().enumerate() {
            if !workload.starts_with(only) {
                continue;
            }
            for turn in 0..SYSTEMS.len() {
                // Another one begins in each round.
                let system = SYSTEMS[(turn + round) % SYSTEMS.len()];
                if let Some(rate) = one(system, workload, count / divide) {
                    figures.entry((at, system)).or_default().push(rate);
                }
            }
        }
    }
    print(&figures);
    ExitCode::SUCCESS
}

fn one(system: &str, workload: &str, count: u64) -> Option<f64> {
    let binary = std::env::current_exe().ok()?;
    let output = Command::new(binary)
        .args(["--one", system, workload, &count.to_string()])
        .stderr(Stdio::inherit())
        .output()
        .ok()?;
    let line = String::from_utf8(output.stdout).ok()?;
    if line.trim().is_empty() {
        return None;
    }
    eprint!("{line}");
    let result: serde_json::Value = serde_json::from_str(&line).ok()?;
    result["per_sec"].as_f64()
}

fn print(figures: &Figures) {
    println!("| workload | aemp, median (least–most) | floor, median | aemp / floor |");
    println!("|---|---|---|---|");
    for (at, (workload, _)) in WORKLOADS.iter().enumerate() {
        let Some(ours) = figures.get(&(at, "aemp")).map(|all| spread(all)) else { continue };
        let floor = figures.get(&(at, "floor")).map(|all| spread(all).1);
        let (least, middle, most) = (short(ours.0), short(ours.1), short(ours.2));
        let (floor_text, ratio) = match floor {
            Some(floor) => (short(floor), format!("{:.2}", ours.1 / floor)),
            None => ("–".into(), "–".into()),
        };
        println!("| {workload} | {middle} ({least}–{most}) | {floor_text} | {ratio} |");
    }
}

/// Least, median and most.
fn spread(all: &[f64]) -> (f64, f64, f64) {
    let mut sorted = all.to_vec();
    sorted.sort_by(f64::total_cmp);
    (sorted[0], sorted[sorted.len() / 2], sorted[sorted.len() - 1])
}

fn short(figure: f64) -> String {
    match figure {
        f if f >= 1e6 => format!("{:.2} M", f / 1e6),
        f if f >= 1e4 => format!("{:.1} k", f / 1e3),
        f => format!("{f:.0}"),
    }
}
