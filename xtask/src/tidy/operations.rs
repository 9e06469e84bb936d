//! The log lines that the operator's page explains are in the sources, word for word.

use super::Problem;
use super::sources::Sources;

const PAGE: &str = "docs/operations.md";

/// The heading of the table of log lines.
const HEADING: &str = "| line | what it means | what to do |";

/// Checks the page.
pub(super) fn check(sources: &Sources) -> Vec<Problem> {
    let Some(page) = sources.get(PAGE) else { return vec![Problem::new(PAGE, "is missing")] };
    let code = || sources.rust().filter(|(file, _)| !file.is_test()).map(|(file, _)| file.text.as_str());
    let lines = lines(&page.text);
    if lines.is_empty() {
        return vec![Problem::new(PAGE, "it has no table of log lines")];
    }
    lines
        .into_iter()
        .filter(|(_, line)| !code().any(|text| text.contains(line)))
        .map(|(at, line)| Problem::at(PAGE, at, format!("nothing logs {line:?}")))
        .collect()
}

/// The first cells of the table, each with the number of its line.
fn lines(page: &str) -> Vec<(usize, &str)> {
    let rows = page.lines().enumerate().skip_while(|(_, line)| *line != HEADING).skip(2);
    let rows = rows.take_while(|(_, line)| line.starts_with('|'));
    rows.filter_map(|(at, line)| Some((at + 1, line.split('`').nth(1)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_rows_of_the_table_are_log_lines() {
        let page = format!("`a`\n{HEADING}\n|---|---|---|\n| `it broke` | `x` | y |\n\n| `b` |\n");
        assert_eq!(lines(&page), [(4, "it broke")]);
    }
}
