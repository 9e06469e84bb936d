//! Words that this repository does not use any more, and comments that are too wide.
//!
//! What is still there is counted in `xtask/words.txt`, one `COUNT WORD` a line. A count may only
//! go down. A word is listed there until its count is zero, and stays banned afterwards.
//! `docs/glossary.md` has the words that are used instead.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::Path;

use super::sources::{SourceFile, Sources};
use super::{Mode, Problem};

const FILE: &str = "xtask/words.txt";

const HEAD: &str = "\
# How often banned words (and comments over 100 columns) are still there. A count may only go down:
# `cargo run -p xtask -- tidy` lowers it. docs/glossary.md has the words that are used instead.
";

/// Words and phrases that no text may have, in halves where they are words of this file.
const PHRASES: [&str; 8] = [
    concat!("oct", "et"),
    concat!("is no", "ne"),
    concat!("who", "ever"),
    concat!("what", "ever"),
    concat!("so ma", "ny"),
    concat!("is to be d", "one"),
    concat!("leave w", "ord"),
    concat!("be o", "ver"),
];

/// Parts that no name in code may have.
const PARTS: [&str; 2] = [concat!("w", "ay"), concat!("car", "ry")];

/// The forms in which the parts occur.
const FORMS: [(&str, usize); 7] = [
    (concat!("w", "ay"), 0),
    (concat!("w", "ays"), 0),
    (concat!("car", "ry"), 1),
    (concat!("car", "ries"), 1),
    (concat!("car", "ried"), 1),
    (concat!("car", "rying"), 1),
    (concat!("car", "rier"), 1),
];

const WIDTH: usize = 100;
const WIDE: &str = "comment over 100 columns";

type Counts = BTreeMap<String, usize>;

/// Compares the counts with the recorded ones, and records what `mode` allows.
pub(super) fn check(root: &Path, sources: &Sources, mode: Mode) -> Result<Vec<Problem>, Box<dyn Error>> {
    let recorded = parse(&fs::read_to_string(root.join(FILE)).unwrap_or_default())?;
    let mut counts = Counts::new();
    sources.files().filter(|file| is_ours(&file.path)).for_each(|file| count(file, &mut counts));
    let limit = |word: &str| recorded.get(word).copied().unwrap_or_default();
    let problems = counts.iter().filter(|&(word, &now)| mode != Mode::Bless && now > limit(word));
    let problems = problems
        .map(|(word, &now)| {
            let what = format!("{now} times, and {} are recorded: it may only go down", limit(word));
            Problem::new(format_args!("the word {word:?}"), what)
        })
        .collect();
    if mode != Mode::Check {
        let next = counts
            .iter()
            .map(|(word, &now)| (word.clone(), if mode == Mode::Bless { now } else { now.min(limit(word)) }));
        write(root, &next.filter(|(_, count)| *count > 0).collect())?;
    }
    Ok(problems)
}

/// The wire has words of its own, recordings and results are as they are, and programs of others
/// are in their words.
fn is_ours(path: &str) -> bool {
    let text = path.ends_with(".rs") || path.ends_with(".md");
    let foreign = ["PROTOCOL.md", "CHANGELOG.md", "docs/glossary.md", "docs/bench.md"].contains(&path)
        || ["/fixtures/", "bench/peers/"].iter().any(|folder| path.contains(folder));
    text && !foreign
}

fn count(file: &SourceFile, counts: &mut Counts) {
    let text = file.text.to_lowercase();
    for phrase in PHRASES {
        let found = text.match_indices(phrase).filter(|(at, _)| {
            let after = text[at + phrase.len()..].chars().next();
            phrase == PHRASES[0] || !after.is_some_and(char::is_alphanumeric)
        });
        add(counts, phrase, found.count());
    }
    if file.syntax.is_none() {
        return;
    }
    let is_comment = |line: &&str| line.trim_start().starts_with("//");
    // The row of a table is one line.
    let is_row = |line: &&str| line.trim_start().trim_start_matches(['/', '!', ' ']).starts_with('|');
    let comments = file.text.lines().filter(is_comment).filter(|line| !is_row(line));
    let wide = comments.filter(|line| line.chars().count() > WIDTH);
    add(counts, WIDE, wide.count());
    for line in file.code_lines().filter(|line| !is_comment(line)) {
        for part in line.split(|c: char| !c.is_alphanumeric()).flat_map(words_of) {
            if let Some((_, which)) = FORMS.iter().find(|(form, _)| *form == part) {
                add(counts, &format!("{} in a name", PARTS[*which]), 1);
            }
        }
    }
}

fn add(counts: &mut Counts, word: &str, times: usize) {
    *counts.entry(word.into()).or_default() += times;
}

/// The words of a name in camel case, in small letters.
fn words_of(name: &str) -> Vec<String> {
    let mut words = Vec::new();
    for c in name.chars() {
        if c.is_uppercase() || words.is_empty() {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut() {
            word.extend(c.to_lowercase());
        }
    }
    words
}

fn parse(text: &str) -> Result<Counts, Box<dyn Error>> {
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let (count, word) =
                line.split_once(' ').ok_or_else(|| format!("{FILE}: no count in {line:?}"))?;
            Ok((word.to_owned(), count.parse().map_err(|e| format!("{FILE}: {line:?}: {e}"))?))
        })
        .collect()
}

fn write(root: &Path, counts: &Counts) -> Result<(), Box<dyn Error>> {
    let lines: String = counts.iter().map(|(word, count)| format!("{count} {word}\n")).collect();
    Ok(fs::write(root.join(FILE), format!("{HEAD}{lines}"))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(path: &str, text: &str) -> Vec<(String, usize)> {
        let mut counts = Counts::new();
        count(&SourceFile::new(path.into(), text.into()).unwrap(), &mut counts);
        counts.into_iter().filter(|(_, count)| *count > 0).collect()
    }

    #[test]
    fn banned_words_are_counted_in_text_and_in_names() {
        let word = PHRASES[0];
        assert_eq!(counted("a.md", &format!("{word}s, and one {word}")), [(word.to_owned(), 2)]);
        let (_, form) = (PARTS[1], FORMS[3].0);
        let text = format!("//! X.\nfn f() {{ a.b_{form}_c(); }}\n");
        assert_eq!(counted("a.rs", &text), [(format!("{} in a name", PARTS[1]), 1)]);
        assert_eq!(counted("a.rs", "//! X.\nfn always() {}\n"), []);
    }

    #[test]
    fn wide_comments_are_counted_and_wide_code_is_not() {
        let wide = "x".repeat(WIDTH);
        assert_eq!(
            counted("a.rs", &format!("//! {wide}\nconst A: &str = \"{wide}\";\n")),
            [(WIDE.into(), 1)]
        );
    }

    #[test]
    fn names_are_taken_apart() {
        assert_eq!(words_of("SpawnWays"), ["spawn", "ways"]);
    }
}
