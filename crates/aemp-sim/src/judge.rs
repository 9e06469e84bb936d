//! `judge`: whether what flight recorders tell keeps the promises.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use aemp_sim::check;
use aemp_sim::history::{Event, History, Record};
use clap::Args;
use serde_json::Value as Json;

/// Of each rule this many violations are shown.
const SHOWN: usize = 20;

#[derive(Args)]
pub(crate) struct Judge {
    /// Files of `aemp dump`, of SIGUSR1, of panics, or of `aemp gather`
    #[arg(required = true)]
    dumps: Vec<PathBuf>,
}

impl Judge {
    /// Judges all of them together: 0 if nothing is wrong, 1 if a promise is broken, 2 if something
    /// cannot be read.
    pub(crate) fn run(&self) -> ExitCode {
        let mut records = Vec::new();
        for path in &self.dumps {
            match read(path) {
                Ok(more) => records.extend(more),
                Err(error) => {
                    eprintln!("{}: {error}", path.display());
                    return ExitCode::from(2);
                }
            }
        }
        let history = History::merge(once(records));
        tell_runs(&history);
        let (violations, compared) = check::dumps(&history);
        println!(
            "{} directions of connections, {} of them told of by both ends, {} marks compared",
            compared.directions, compared.from_both, compared.marks
        );
        let mut shown: BTreeMap<&str, usize> = BTreeMap::new();
        for violation in &violations {
            let count = shown.entry(violation.rule).or_default();
            *count += 1;
            if *count <= SHOWN {
                println!("{violation}");
            }
        }
        if violations.is_empty() {
            println!("nothing is wrong");
            return ExitCode::SUCCESS;
        }
        println!("{} promises are broken", violations.len());
        ExitCode::FAILURE
    }
}

/// Several dumps of one node have many records in common.
fn once(records: Vec<Record>) -> Vec<Record> {
    let place = |record: &Record| {
        let is_end = matches!(record.event, Event::Dumped { .. });
        (record.node.clone(), record.inc, record.idx, is_end)
    };
    let places = records.iter().map(place).collect::<Vec<_>>();
    places.into_iter().zip(records).collect::<BTreeMap<_, _>>().into_values().collect()
}

/// Whose records there are.
fn tell_runs(history: &History) {
    let mut runs: BTreeMap<(&str, u64), (usize, u64)> = BTreeMap::new();
    for record in &history.records {
        let (count, lost) = runs.entry((&record.node, record.inc)).or_default();
        *count += 1;
        if let Event::Dumped { overwritten, .. } = record.event {
            *lost = overwritten.max(*lost);
        }
    }
    for ((node, run), (count, lost)) in runs {
        println!("{node}, run {run:x}: {count} records, {lost} overwritten");
    }
}

fn read(path: &Path) -> Result<Vec<Record>, String> {
    let text = fs::read_to_string(path).map_err(|error| error.to_string())?;
    if let Ok(gathered) = serde_json::from_str::<Json>(&text)
        && let Some(nodes) = gathered["network"].as_object()
    {
        let recorders = nodes.values().filter_map(|node| node["recorder"].as_array());
        let records = recorders.flatten().map(|record| serde_json::from_value(record.clone()));
        return records.collect::<Result<_, _>>().map_err(|error| error.to_string());
    }
    let lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
    let read = |(number, line)| {
        Record::from_line(line).map_err(|error| format!("line {number} is no record: {error}"))
    };
    lines.map(read).collect()
}
