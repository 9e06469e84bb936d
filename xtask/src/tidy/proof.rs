//! `SEMANTICS.md` names for each of its sentences the rules and tests that show it, and these
//! exist.

use super::Problem;
use super::sources::Sources;

const PAGE: &str = "SEMANTICS.md";
const HEADING: &str = "## What shows it";
const RULES: &str = "crates/aemp-sim/src/check/rules.rs";

/// What stands in the place of a test that there is not.
const NONE: &str = "none";

/// One row: how the sentence begins, rules, and tests.
struct Row<'a> {
    sentence: &'a str,
    rules: Vec<&'a str>,
    tests: &'a str,
}

/// Checks the page.
pub(super) fn check(sources: &Sources) -> Vec<Problem> {
    let Some(page) = sources.get(PAGE) else { return vec![Problem::new(PAGE, "is not there")] };
    let Some((promises, table)) = page.text.split_once(HEADING) else {
        return vec![Problem::new(PAGE, format!("has no section {HEADING:?}"))];
    };
    let rows = rows(table);
    let rules = sources.get(RULES).map_or("", |file| file.text.as_str());
    let is_test = |name: &str| {
        let Some((stem, function)) = name.rsplit_once("::") else { return false };
        let code = format!("fn {function}(");
        sources.files().any(|file| file.path.ends_with(&format!("/{stem}.rs")) && file.text.contains(&code))
    };
    let mut problems = unshown(&bullets(promises), &rows);
    for row in &rows {
        problems.extend(wrong(row, promises, rules, is_test));
    }
    problems.into_iter().map(|what| Problem::new(PAGE, what)).collect()
}

fn rows(table: &str) -> Vec<Row<'_>> {
    let lines = table.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| sentence"));
    let cells = lines.map(|line| line.trim_matches('|').split('|').map(str::trim).collect::<Vec<_>>());
    cells
        .filter_map(|cells| match cells[..] {
            [sentence, rules, tests] => {
                Some(Row { sentence, rules: rules.split_whitespace().collect(), tests })
            }
            _ => None,
        })
        .collect()
}

/// The points of the page, each in one line.
fn bullets(page: &str) -> Vec<String> {
    let mut bullets: Vec<String> = Vec::new();
    for line in page.lines() {
        if let Some(begin) = line.strip_prefix("- ") {
            bullets.push(begin.to_owned());
        } else if let (Some(more), Some(last)) = (line.strip_prefix("  "), bullets.last_mut()) {
            last.push(' ');
            last.push_str(more);
        }
    }
    bullets
}

/// Points that no row begins with.
fn unshown(bullets: &[String], rows: &[Row<'_>]) -> Vec<String> {
    let shown = |bullet: &String| rows.iter().any(|row| bullet.starts_with(row.sentence));
    let unshown = bullets.iter().filter(|bullet| !shown(bullet));
    unshown.map(|bullet| format!("nothing shows: {}", bullet.chars().take(60).collect::<String>())).collect()
}

/// What is wrong with a row.
fn wrong(row: &Row<'_>, promises: &str, rules: &str, is_test: impl Fn(&str) -> bool) -> Vec<String> {
    let Row { sentence, rules: named, tests } = row;
    let mut problems = Vec::new();
    if !promises.contains(sentence) {
        problems.push(format!("no sentence begins with {sentence:?}"));
    }
    let unknown = named.iter().filter(|rule| !rules.contains(&format!("\"{rule}\"")));
    problems.extend(unknown.map(|rule| format!("{RULES} has no rule {rule}")));
    let names: Vec<&str> = tests.split('`').skip(1).step_by(2).collect();
    problems
        .extend(names.iter().filter(|name| !is_test(name)).map(|name| format!("there is no test {name}")));
    if named.is_empty() && names.is_empty() && !tests.starts_with(NONE) {
        problems.push(format!("neither a rule nor a test shows {sentence:?}"));
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "## Send\n\n- **Order.** What one\n  port sends.\n- Twice.\n";

    #[test]
    fn each_point_needs_a_row() {
        let table = rows("| sentence | rules | tests |\n|---|---|---|\n| **Order.** | M3 | `a::b` |\n");
        assert_eq!(bullets(PAGE), ["**Order.** What one port sends.", "Twice."]);
        assert_eq!(unshown(&bullets(PAGE), &table), ["nothing shows: Twice."]);
    }

    #[test]
    fn what_a_row_names_exists() {
        let problems = |row: &str| wrong(&rows(row)[0], PAGE, "rule(\"M3\", …)", |test| test == "a::b").len();
        assert_eq!(problems("| **Order.** | M3 | `a::b` |"), 0);
        assert_eq!(problems("| Twice. | | none: it is no promise |"), 0);
        for bad in ["| Thrice. | M3 | |", "| Twice. | M4 | |", "| Twice. | | `a::c` |", "| Twice. | | |"] {
            assert_eq!(problems(bad), 1, "{bad}");
        }
    }
}
