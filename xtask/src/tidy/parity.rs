//! Every row of the comparison with the Perl family names a test or example that shows what it
//! says, and that exists.

use super::Problem;
use super::sources::Sources;

const PAGE: &str = "docs/parity.md";

/// Checks the page.
pub(super) fn check(sources: &Sources) -> Vec<Problem> {
    let Some(page) = sources.get(PAGE) else { return vec![Problem::new(PAGE, "is not there")] };
    let rows = page.text.lines().enumerate().filter(|(_, line)| is_row(line));
    rows.filter_map(|(at, line)| {
        let missing = unproven(line, |path| sources.get(path).map(|file| file.text.as_str()))?;
        Some(Problem::at(PAGE, at + 1, missing))
    })
    .collect()
}

/// A line of a table that is neither its heading nor the rule below it.
fn is_row(line: &str) -> bool {
    line.starts_with('|') && !line.starts_with("|-") && !line.ends_with("| shown by |")
}

/// What is wrong with the evidence of a row, in its last column: `path::function`.
fn unproven<'a>(row: &str, text: impl Fn(&str) -> Option<&'a str>) -> Option<String> {
    let cell = row.trim_end_matches('|').rsplit('|').next().unwrap_or_default().trim();
    let Some((path, function)) = cell.trim_matches('`').rsplit_once("::") else {
        return Some("the row names no test or example".into());
    };
    match text(path) {
        None => Some(format!("there is no {path}")),
        Some(text) if !text.contains(&format!("fn {function}")) => Some(format!("{path} has no {function}")),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_needs_a_function_that_exists() {
        let text = |path: &str| (path == "a/b.rs").then_some("fn shown() {}");
        assert_eq!(unproven("| x | `y` | `a/b.rs::shown` |", text), None);
        for bad in ["| x | y | `a/b.rs::other` |", "| x | y | `c.rs::shown` |", "| x | y | later |"] {
            assert!(unproven(bad, text).is_some(), "{bad}");
        }
    }

    #[test]
    fn headings_are_no_rows() {
        assert!(!is_row("| Perl | here | shown by |") && !is_row("|---|---|---|") && !is_row("text"));
        assert!(is_row("| a | b | c |"));
    }
}
