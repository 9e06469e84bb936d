//! Every queue has a limit: the table of `ARCHITECTURE.md` names each file that has one, and names
//! none that has none.

use std::collections::BTreeSet;

use super::Problem;
use super::sources::{SourceFile, Sources};

const PAGE: &str = "ARCHITECTURE.md";
const HEADING: &str = "## Queues";

/// Where queues are looked for: what runs in a node.
const PLACES: [&str; 2] = ["crates/aemp-proto/src/", "crates/aemp/src/"];

/// What a queue is made of.
const MARKS: [&str; 4] = [": VecDeque<", "unbounded_channel()", "mpsc::channel(", "broadcast::Sender::new("];

/// Compares the table with the sources.
pub(super) fn check(sources: &Sources) -> Vec<Problem> {
    let Some(page) = sources.get(PAGE) else { return vec![Problem::new(PAGE, "is not there")] };
    let found = sources.files().filter(|file| is_place(file) && has_queue(&file.text));
    compare(&named(&page.text), &found.map(|file| file.path.as_str()).collect())
}

fn is_place(file: &SourceFile) -> bool {
    PLACES.iter().any(|place| file.path.starts_with(place)) && file.path.ends_with(".rs") && !file.is_test()
}

/// Whether there is a queue in this source, tests and comments excepted.
fn has_queue(text: &str) -> bool {
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.into_iter().any(|line| MARKS.iter().any(|mark| line.contains(mark)))
}

/// The files that the table names.
fn named(page: &str) -> BTreeSet<&str> {
    let section = page.split_once(HEADING).map_or("", |(_, rest)| rest);
    let section = section.split("\n## ").next().unwrap_or_default();
    let words = section.lines().filter(|line| line.starts_with('|')).flat_map(|line| line.split('`'));
    words.filter(|word| PLACES.iter().any(|place| word.starts_with(place))).collect()
}

fn compare(named: &BTreeSet<&str>, found: &BTreeSet<&str>) -> Vec<Problem> {
    let missing =
        found.difference(named).map(|path| format!("{path} has a queue that the table does not name"));
    let vain =
        named.difference(found).map(|path| format!("the table of queues names {path}, which has none"));
    missing.chain(vain).map(|what| Problem::new(PAGE, what)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queues_are_found_where_they_are_made() {
        assert!(has_queue("struct S {\n    waiting: VecDeque<u8>,\n}"));
        assert!(has_queue("let (a, b) = mpsc::unbounded_channel();"));
        assert!(!has_queue("// unbounded_channel()\n#[cfg(test)]\nlet (a, b) = unbounded_channel();"));
    }

    #[test]
    fn the_table_names_them_all_and_no_others() {
        let page = "## Queues\n| a | `crates/aemp/src/a.rs` | 1 |\n| b | `crates/aemp/src/b.rs` |\n## Next\n| `crates/aemp/src/c.rs` |";
        let named = named(page);
        assert_eq!(
            named.iter().copied().collect::<Vec<_>>(),
            ["crates/aemp/src/a.rs", "crates/aemp/src/b.rs"]
        );
        let found = BTreeSet::from(["crates/aemp/src/b.rs", "crates/aemp/src/c.rs"]);
        assert_eq!(compare(&named, &found).len(), 2);
    }
}
