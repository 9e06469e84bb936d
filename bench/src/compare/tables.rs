//! The tables: short ones in Markdown for a page, and all that was measured as text.

use std::fmt::Write as _;
use std::fs;

use super::results::{Results, Spread};
use crate::catalogue::{Group, Kind, SYSTEMS, WORKLOADS, Workload};

/// Other programs that use more of a core than this disturb a run.
const DISTURBED: f64 = 0.2;

/// One table a group: ours in both runtimes, the floor, the best of the others, and the ratios of
/// medians.
pub(super) fn markdown(results: &Results) -> String {
    let mut out = String::new();
    for group in Group::ALL {
        let rows: Vec<String> = of(group).filter_map(|workload| row(results, workload)).collect();
        if rows.is_empty() {
            continue;
        }
        out += &format!("### {}\n\n", group.title());
        out += "| | unit | aemp | aemp-ct | floor | aemp : floor | aemp-ct : floor | best other | aemp : other |\n";
        out += "|---|---|---|---|---|---|---|---|---|\n";
        out += &rows.concat();
        out.push('\n');
    }
    for (system, why) in &results.skipped {
        out += &format!("{system} was left out: {why}.\n");
    }
    out
}

fn of(group: Group) -> impl Iterator<Item = &'static Workload> {
    WORKLOADS.iter().filter(move |workload| workload.group == group)
}

fn row(results: &Results, workload: &Workload) -> Option<String> {
    let multi = results.figures(workload.name, "aemp");
    let single = results.figures(workload.name, "aemp-ct");
    if multi.is_none() && single.is_none() {
        return None;
    }
    let (floor, other) = (results.floor(workload), results.best(workload, Kind::Peer));
    let against = |ours: &Option<Spread>, other: Option<f64>| {
        let ratio = ours.as_ref().zip(other).map(|(ours, other)| ours.median() / other);
        ratio.map_or("–".into(), |ratio| format!("{ratio:.2}"))
    };
    let ours = |system: &str, spread: &Option<Spread>| {
        let spread = spread.as_ref()?;
        Some(format!("{}{}", with_spread(spread), beside(results, workload, system)))
    };
    // Where times stand beside a rate, they have a goal of their own.
    let times = |system: &str| -> Option<String> {
        let known = !workload.less && workload.beside.contains(&"p99_us");
        let ours = known.then(|| results.beside(workload.name, system, "p99_us"))??;
        let below = results.least_beside(workload.name, Kind::Raw, "p99_us")?;
        Some(format!(", p99 {:.2}", ours.median() / below))
    };
    let median = |best: &Option<(&str, Spread)>| best.as_ref().map(|(_, spread)| spread.median());
    Some(format!(
        "| {} | {} | {} | {} | {} | {} | {} | {} | {} |\n",
        workload.title,
        workload.unit,
        ours("aemp", &multi).unwrap_or("–".into()),
        ours("aemp-ct", &single).unwrap_or("–".into()),
        below(results, workload, &floor),
        against(&multi, median(&floor)) + &times("aemp").unwrap_or_default(),
        against(&single, median(&floor)) + &times("aemp-ct").unwrap_or_default(),
        named(&other),
        against(&multi, median(&other)),
    ))
}

fn named(best: &Option<(&str, Spread)>) -> String {
    best.as_ref().map_or("–".into(), |(name, spread)| format!("{} ({name})", short(spread.median())))
}

/// What aemp is compared with; beside a socket alone stands one with channels.
fn below(results: &Results, workload: &Workload, floor: &Option<(&str, Spread)>) -> String {
    let Some((system, _)) = floor else { return "–".into() };
    let mut out = named(floor) + &beside(results, workload, system);
    if let Some(raw) = results.best(workload, Kind::Raw).and(results.best(workload, Kind::Floor)) {
        out += &format!("; with channels {}", named(&Some(raw)));
    }
    out
}

fn with_spread(spread: &Spread) -> String {
    let (least, most) = (short(spread.least()), short(spread.most()));
    format!("**{}** ({least}–{most})", short(spread.median()))
}

fn beside(results: &Results, workload: &Workload, system: &str) -> String {
    let mut out = String::new();
    for name in workload.beside {
        if let Some(spread) = results.beside(workload.name, system, name) {
            out += &format!(", {} {}", name.replace('_', " "), short(spread.median()));
        }
    }
    out
}

/// Everything: each system of each workload with its spread, processor time and memory.
pub(super) fn text(results: &Results) -> String {
    let mut out = String::new();
    for workload in WORKLOADS {
        let mut systems: Vec<(&str, Kind, Spread)> = SYSTEMS
            .iter()
            .filter_map(|system| {
                Some((system.name, system.kind, results.figures(workload.name, system.name)?))
            })
            .collect();
        if systems.is_empty() {
            continue;
        }
        systems.sort_by(|a, b| b.2.median().total_cmp(&a.2.median()));
        if workload.less {
            systems.reverse();
        }
        let floor = results.floor(workload).map(|(_, spread)| spread.median());
        let (name, title, unit) = (workload.name, workload.title, workload.unit);
        // Writing to a string cannot fail.
        let _ = writeln!(out, "\n{name}: {title} ({unit})");
        let _ = writeln!(
            out,
            "  {:18} {:>5} {:>9} {:>20} {:>20} {:>8} {:>8} {:>8}  beside",
            "system", "runs", "median", "least–most", "quartiles", ": floor", "CPU us", "RSS MB"
        );
        for (system, _, spread) in &systems {
            out += &text_row(results, workload, system, spread, floor);
        }
    }
    for (system, why) in &results.skipped {
        let _ = writeln!(out, "left out: {system}: {why}");
    }
    for failure in &results.failures {
        let _ = writeln!(out, "failed: {failure}");
    }
    out
}

fn text_row(
    results: &Results,
    workload: &Workload,
    system: &str,
    spread: &Spread,
    floor: Option<f64>,
) -> String {
    let median = |name: &str| results.beside(workload.name, system, name).map(|spread| spread.median());
    let count = results.runs(workload.name, system).map(|line| line.count).max().unwrap_or(1);
    let work = median("cpu_s").map_or("–".into(), |seconds| format!("{:.3}", seconds * 1e6 / count as f64));
    let memory = median("peak_rss_mb").map_or("–".into(), |megabytes| format!("{megabytes:.0}"));
    let ratio = floor.map_or("–".into(), |floor| format!("{:.2}", spread.median() / floor));
    let disturbed = results.runs(workload.name, system).filter(|line| line.others > DISTURBED).count();
    let note = if disturbed > 0 {
        format!(" [{disturbed} runs disturbed by other programs]")
    } else {
        String::new()
    };
    let between = |low: f64, high: f64| format!("{}–{}", short(low), short(high));
    format!(
        "  {:18} {:>5} {:>9} {:>20} {:>20} {:>8} {:>8} {:>8} {}{}\n",
        system,
        spread.len(),
        short(spread.median()),
        between(spread.least(), spread.most()),
        between(spread.quantile(0.25), spread.quantile(0.75)),
        ratio,
        work,
        memory,
        beside(results, workload, system).trim_start_matches(','),
        note,
    )
}

/// A sentence about the machine.
pub(super) fn machine(rounds: usize) -> String {
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or("an unknown processor", |(_, name)| name.trim());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load: Vec<&str> = load.split(' ').take(1).collect();
    format!("{rounds} rounds on {cores} cores of {model}; the load at the end was {}.", load.concat())
}

fn short(figure: f64) -> String {
    match figure.abs() {
        f if f >= 1e6 => format!("{:.2} M", figure / 1e6),
        f if f >= 1e4 => format!("{:.1} k", figure / 1e3),
        f if f >= 100.0 => format!("{figure:.0}"),
        _ => format!("{figure:.2}"),
    }
}
