//! Completion: nodes, families and ports, as the shared database has them.
//!
//! The database cannot be asked which families there are. So what was typed is tried: a word that
//! is a family with something in it is completed from then on, and so are its ports.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

use aemp::{Database, PortId};
use rustyline::completion::Completer;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::validate::Validator;
use rustyline::{Context, Helper};

/// The most families that are watched, which is what each of them costs the network.
const FAMILIES_MAX: usize = 64;

/// Where a word ends to the left.
const BREAKS: &str = " \t\"'`()[]{}<>,;=|&!?+*$\\";

/// The names that can be completed; kept up to date by tasks that watch the database.
#[derive(Debug, Clone, Default)]
pub(super) struct Names(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    nodes: BTreeSet<String>,
    /// The families that were tried, with what is in them.
    families: BTreeMap<String, BTreeSet<String>>,
}

/// Names that can stand on the line: others, which anybody may have set, could steer the terminal.
fn offered<'a>(keys: impl Iterator<Item = &'a String>) -> BTreeSet<String> {
    keys.filter(|key| key.chars().all(aemp::log::is_plain)).cloned().collect()
}

impl Names {
    /// Watches the nodes from now on.
    pub(super) fn watch_nodes(&self, database: &Database) {
        let (names, mut watch) = (self.clone(), database.watch("'l"));
        tokio::spawn(async move {
            while let Some(change) = watch.next().await {
                names.known().nodes = offered(change.content.keys());
            }
        });
    }

    /// Tries the words of a line as families, and watches them from now on.
    pub(super) fn try_families(&self, database: &Database, line: &str) {
        for word in families(line) {
            let mut known = self.known();
            if known.families.len() >= FAMILIES_MAX || known.families.contains_key(word) {
                continue;
            }
            known.families.insert(word.to_owned(), BTreeSet::new());
            let (names, family, mut watch) = (self.clone(), word.to_owned(), database.watch(word));
            tokio::spawn(async move {
                while let Some(change) = watch.next().await {
                    names.known().families.insert(family.clone(), offered(change.content.keys()));
                }
            });
        }
    }

    /// Where the word before the cursor begins, and what it can become.
    fn complete(&self, line: &str, cursor: usize) -> (usize, Vec<String>) {
        let before = &line[..cursor];
        let start = before.rfind(|c| BREAKS.contains(c)).map_or(0, |at| at + 1);
        let word = &before[start..];
        let known = self.known();
        let mut found: BTreeSet<&String> = known.nodes.iter().collect();
        if !before.trim_start().starts_with('=') {
            let filled = known.families.iter().filter(|(_, keys)| !keys.is_empty());
            for (family, keys) in filled {
                found.insert(family);
                found.extend(keys.iter().filter(|key| PortId::parse(key).is_ok_and(|port| !port.is_node())));
            }
        }
        (start, found.into_iter().filter(|name| name.starts_with(word)).cloned().collect())
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().expect("nothing panics while it holds this lock")
    }
}

/// The words of a line that are likely to be families of applications: in quotes, or with `::` in
/// them.
fn families(line: &str) -> impl Iterator<Item = &str> {
    let quoted = |word: &str| {
        let start = word.as_ptr().addr() - line.as_ptr().addr();
        line[..start].ends_with(['"', '\''])
    };
    let words = line.split(|c| BREAKS.contains(c)).filter(|word| is_family(word));
    words.filter(move |word| word.contains("::") || quoted(word))
}

/// Whether this can be a family of applications.
fn is_family(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_alphabetic())
        && word.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':')
}

impl Completer for Names {
    type Candidate = String;

    fn complete(&self, line: &str, pos: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<String>)> {
        Ok(self.complete(line, pos))
    }
}

impl Hinter for Names {
    type Hint = String;
}

impl Highlighter for Names {}

impl Validator for Names {}

impl Helper for Names {}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        let set = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        let families = BTreeMap::from([
            ("work::queue".to_owned(), set(&["worker/1#a1", "worker/2#b2"])),
            ("workers".to_owned(), set(&["not a port"])),
            ("work".to_owned(), set(&[])),
        ]);
        let known = Known { nodes: set(&["seed", "worker/1", "worker/2"]), families };
        Names(Arc::new(Mutex::new(known)))
    }

    #[test]
    fn nodes_families_and_ports_are_completed() {
        let complete = |line: &str| names().complete(line, line.len());
        assert_eq!(complete("=wo"), (1, vec!["worker/1".into(), "worker/2".into()]));
        assert_eq!(complete("="), (1, vec!["seed".into(), "worker/1".into(), "worker/2".into()]));
        let all = ["work::queue", "worker/1", "worker/1#a1", "worker/2", "worker/2#b2", "workers"];
        assert_eq!(complete("x('wo"), (3, all.map(String::from).to_vec()));
        assert_eq!(complete("send(\"worker/1#"), (6, vec!["worker/1#a1".into()]));
        assert_eq!(complete("nothing"), (0, vec![]));
        assert_eq!(names().complete("sé +seed", 4), (4, complete("").1), "the cursor is behind the blank");
        assert_eq!(complete("").1.len(), 7);
    }

    #[test]
    fn words_that_look_like_families_are_tried() {
        let line = r#"db_keys "my_2", 'x' => 'l', my::own, $y, "2x", "a-b", ""x; sub { }"#;
        assert_eq!(families(line).collect::<Vec<_>>(), ["my_2", "x", "l", "my::own", "x"]);
    }
}
