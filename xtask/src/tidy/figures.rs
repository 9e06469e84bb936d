//! The figures in `README.md` are those of `docs/bench.md`: a row there is made of the row with the
//! same title here.

use std::error::Error;
use std::fs;
use std::path::Path;

use super::sources::Sources;
use super::{Mode, Problem};

const PAGE: &str = "README.md";
const RESULTS: &str = "docs/bench.md";
const BEGIN: &str = "<!-- begin figures of docs/bench.md -->\n";
const END: &str = "<!-- end figures -->";

/// Compares the table, and writes it where `mode` allows.
///
/// # Errors
///
/// The page cannot be written.
pub(super) fn check(root: &Path, sources: &Sources, mode: Mode) -> Result<Vec<Problem>, Box<dyn Error>> {
    let (Some(page), Some(results)) = (sources.get(PAGE), sources.get(RESULTS)) else {
        return Ok(vec![Problem::new(PAGE, format!("it or {RESULTS} is missing"))]);
    };
    match renewed(&page.text, &results.text) {
        Err(problem) => Ok(vec![Problem::new(PAGE, problem)]),
        Ok(text) if text == page.text => Ok(Vec::new()),
        Ok(text) if mode != Mode::Check => {
            fs::write(root.join(PAGE), text)?;
            Ok(Vec::new())
        }
        Ok(_) => Ok(vec![Problem::new(
            PAGE,
            format!("its figures are not those of {RESULTS}; `cargo run -p xtask -- tidy` copies them"),
        )]),
    }
}

/// The page with the figures of the results.
fn renewed(page: &str, results: &str) -> Result<String, String> {
    let (before, rest) = page.split_once(BEGIN).ok_or_else(|| format!("no line {}", BEGIN.trim()))?;
    let (table, after) = rest.split_once(END).ok_or_else(|| format!("no line {END}"))?;
    let mut rows = String::new();
    for (at, line) in table.lines().enumerate() {
        // The heading and the rule below it.
        let row = if at < 2 { line.to_string() } else { row(title(line), results)? };
        rows.push_str(&row);
        rows.push('\n');
    }
    Ok(format!("{before}{BEGIN}{rows}{END}{after}"))
}

fn title(line: &str) -> &str {
    cells(line).next().unwrap_or_default()
}

fn cells(line: &str) -> impl Iterator<Item = &str> {
    line.trim().trim_matches('|').split('|').map(str::trim)
}

/// A row of the results, without spreads and what is measured beside.
fn row(title_here: &str, results: &str) -> Result<String, String> {
    let found = results.lines().find(|line| line.starts_with('|') && title(line) == title_here);
    let cells: Vec<&str> = found.map(|line| cells(line).collect()).unwrap_or_default();
    let [_, unit, ours, _, floor, against_floor, _, other, against_other] = cells[..] else {
        return Err(format!("{RESULTS} has no row {title_here:?}"));
    };
    let ours = ours.split("**").nth(1).unwrap_or(ours);
    let [floor, against_floor] = [floor, against_floor].map(first);
    Ok(format!("| {title_here} | {ours} {unit} | {floor} | {against_floor} | {other} | {against_other} |"))
}

/// What stands in front of the name of a system, or of further figures.
fn first(cell: &str) -> &str {
    cell.split([',', ';', '(']).next().unwrap_or_default().trim_end()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESULT: &str = "| x | unit | aemp | aemp-ct | floor | a | b | other | c |\n\
        | pairs | trips/s | **1.5 M** (1–2) | **9** (8–9) | 3.0 M (raw), p50 us 2 | 0.50, p99 7 | 3 | 1.0 M (nats) | 1.50 |\n";

    #[test]
    fn a_row_is_made_of_medians_and_ratios() {
        let page = format!("a\n{BEGIN}| | aemp |\n|---|---|\n| pairs | old |\n{END}\nb\n");
        let renewed = renewed(&page, RESULT).unwrap();
        let row = "| pairs | 1.5 M trips/s | 3.0 M | 0.50 | 1.0 M (nats) | 1.50 |\n";
        assert_eq!(renewed, format!("a\n{BEGIN}| | aemp |\n|---|---|\n{row}{END}\nb\n"));
        assert_eq!(super::renewed(&renewed, RESULT).unwrap(), renewed);
    }

    #[test]
    fn a_row_that_was_not_measured_is_a_problem() {
        let page = format!("{BEGIN}h\n|-\n| threads | 7 |\n{END}");
        assert!(renewed(&page, RESULT).unwrap_err().contains("threads"));
        assert!(renewed("no table", RESULT).is_err());
    }
}
