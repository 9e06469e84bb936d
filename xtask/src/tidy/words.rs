//! Words, names and openings of files.

use super::Problem;
use super::sources::{SourceFile, Sources};

/// What must not be left in code; written in halves, because this file is checked too.
const LEFTOVERS: [&str; 6] = [
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X"),
    concat!("db", "g!"),
    concat!("to", "do!"),
    concat!("#[ign", "ore"),
];

/// Folders of somebody's machine.
const MACHINE_PATHS: [&str; 2] = [concat!("/wo", "rk/"), concat!("/ro", "ot/")];

/// File names that say nothing about what is in the file.
const EMPTY_NAMES: [&str; 7] = ["common", "helper", "helpers", "manager", "misc", "util", "utils"];

/// Checks every file.
pub(super) fn check(sources: &Sources) -> Vec<Problem> {
    let mut problems = Vec::new();
    for file in sources.files() {
        name(file, &mut problems);
        lines(file, &mut problems);
        if file.syntax.is_some() {
            opening(file, &mut problems);
            sleeps(file, &mut problems);
        }
    }
    problems
}

fn name(file: &SourceFile, problems: &mut Vec<Problem>) {
    let says_nothing = |part: &str| EMPTY_NAMES.contains(&part.strip_suffix(".rs").unwrap_or(part));
    if !file.is_test() && file.path.split('/').any(says_nothing) {
        problems.push(Problem::new(&file.path, "the name does not say what is in it"));
    }
}

fn lines(file: &SourceFile, problems: &mut Vec<Problem>) {
    for (at, line) in file.text.lines().enumerate() {
        let found = |word: &&&str| contains_word(line, word);
        if let Some(word) = LEFTOVERS.iter().find(found).filter(|_| is_code(file)) {
            problems.push(Problem::at(&file.path, at + 1, format!("{word} is not for the repository")));
        }
        if let Some(path) = MACHINE_PATHS.iter().find(found) {
            problems.push(Problem::at(&file.path, at + 1, format!("{path} is a path of one machine")));
        }
    }
}

/// Documents may speak of what code must not have.
fn is_code(file: &SourceFile) -> bool {
    [".rs", ".toml", ".sh", "/run"].iter().any(|end| file.path.ends_with(end))
}

/// Whether `word` stands in `line` and not within a longer word or path.
fn contains_word(line: &str, word: &str) -> bool {
    let joins = |c: char| c.is_alphanumeric() || "_-.".contains(c);
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        let ends_open = !word.ends_with(char::is_alphanumeric);
        !before.is_some_and(joins) && (ends_open || !after.is_some_and(joins))
    })
}

fn opening(file: &SourceFile, problems: &mut Vec<Problem>) {
    // The unit tests of a module need no introduction, and what lies in a folder of a test is its
    // input.
    let inside = file
        .path
        .split_once("/tests/")
        .is_some_and(|(_, rest)| rest.contains('/') && !rest.ends_with("/mod.rs"));
    if inside || file.path.ends_with("/tests.rs") {
        return;
    }
    let first = file.text.lines().next().unwrap_or_default();
    if !first.starts_with("//! ") && !first.starts_with("#![doc") {
        problems.push(Problem::at(&file.path, 1, "a file begins with `//!` and what it is for"));
    }
}

/// A test that sleeps says why it cannot wait for something instead.
fn sleeps(file: &SourceFile, problems: &mut Vec<Problem>) {
    let tests_from = file.code_lines().count();
    let lines: Vec<&str> = file.text.lines().collect();
    for (at, line) in lines.iter().enumerate().skip(tests_from) {
        let explained =
            [at.checked_sub(1), Some(at)].into_iter().flatten().any(|at| lines[at].contains("// sleep: "));
        if calls_sleep(line) && !explained {
            problems.push(Problem::at(&file.path, at + 1, "a test sleeps without `// sleep: REASON`"));
        }
    }
}

fn calls_sleep(line: &str) -> bool {
    [concat!("sle", "ep("), concat!("sle", "ep_until(")].iter().any(|call| {
        line.match_indices(call).any(|(at, _)| {
            let before = &line[..at];
            !before.ends_with(|c: char| c.is_alphanumeric() || c == '_') && !before.ends_with("fn ")
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(path: &str, text: &str) -> Vec<String> {
        let file = SourceFile::new(path.into(), text.into()).unwrap();
        let mut problems = Vec::new();
        name(&file, &mut problems);
        lines(&file, &mut problems);
        opening(&file, &mut problems);
        sleeps(&file, &mut problems);
        problems.into_iter().map(|p| p.place).collect()
    }

    #[test]
    fn leftovers_are_found_as_words() {
        let word = LEFTOVERS[0];
        assert_eq!(problems("a.rs", &format!("//! A.\n// {word}: more\n")), ["a.rs:2"]);
        assert_eq!(problems("a.rs", &format!("//! A.\n// {word}S and my_{word}\n")), [""; 0]);
        assert_eq!(
            problems("a.rs", &format!("//! A.\n{} = \"slow\"]\nfn f() {{}}", LEFTOVERS[5])),
            ["a.rs:2"]
        );
    }

    #[test]
    fn machine_paths_are_found_from_their_beginning_only() {
        let path = MACHINE_PATHS[0];
        assert_eq!(problems("a.rs", &format!("//! See {path}notes.\n")), ["a.rs:1"]);
        assert_eq!(problems("a.rs", &format!("//! See src{path}notes.\n")), [""; 0]);
    }

    #[test]
    fn names_must_speak_and_files_open_with_docs() {
        assert_eq!(problems("crates/x/src/utils.rs", "//! X.\n"), ["crates/x/src/utils.rs"]);
        assert_eq!(problems("crates/x/tests/common/mod.rs", "//! X.\n"), [""; 0]);
        assert_eq!(problems("a.rs", "fn f() {}\n"), ["a.rs:1"]);
        assert_eq!(problems("crates/x/tests/refused/a.rs", "fn f() {}\n"), [""; 0]);
    }

    #[test]
    fn only_tests_must_explain_a_sleep() {
        let call = concat!("sle", "ep(D);");
        assert_eq!(problems("crates/x/src/a.rs", &format!("//! X.\nfn f() {{ {call} }}\n")), [""; 0]);
        assert_eq!(
            problems("crates/x/tests/a.rs", &format!("//! X.\nfn f() {{ {call} }}\n")),
            ["crates/x/tests/a.rs:2"]
        );
        let said = format!("//! X.\n// sleep: the clock itself is tested\nfn f() {{ {call} }}\n");
        assert_eq!(problems("crates/x/tests/a.rs", &said), [""; 0]);
    }
}
