//! Documents name files that exist: links in every document, and paths in `ARCHITECTURE.md`.
//!
//! A block of code in a document that begins with `// crates/…` is a part of that file.
//!
//! The code map is complete and true: what lies directly in the `src` folder of a crate has a line,
//! and nothing else has.

use std::path::Path;

use super::Problem;
use super::sources::{SourceFile, Sources};

const MAP: &str = "ARCHITECTURE.md";

/// Files that are not in the map by themselves: a crate's heading stands for them.
const ROOTS: [&str; 2] = ["lib.rs", "main.rs"];

/// Checks all documents.
pub(super) fn check(root: &Path, sources: &Sources) -> Vec<Problem> {
    let documents =
        sources.files().filter(|file| file.path.ends_with(".md") && !file.path.contains("/fixtures/"));
    let mut problems: Vec<Problem> = documents
        .flat_map(|file| dead_links(root, file).into_iter().chain(foreign_code(sources, file)))
        .collect();
    if let Some(map) = sources.get(MAP) {
        let named = map.text.split('`').skip(1).step_by(2).filter(|text| is_path(text));
        let dead = named.filter(|path| !root.join(path).exists());
        problems.extend(dead.map(|path| Problem::new(MAP, format!("there is no {path}"))));
        problems.extend(unmapped(sources, &map.text));
        problems.extend(mapped_in_vain(root, &map.text));
    }
    problems
}

fn is_path(text: &str) -> bool {
    ["crates/", "xtask/", ".ci/"].iter().any(|folder| text.starts_with(folder))
        && !text.contains([' ', '*', '{'])
}

fn dead_links(root: &Path, file: &SourceFile) -> Vec<Problem> {
    let folder = root.join(&file.path);
    let folder = folder.parent().unwrap_or(root);
    let targets = file.text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    targets
        .filter_map(|target| target.split('#').next())
        .filter(|target| !target.is_empty() && !target.contains(':') && !folder.join(target).exists())
        .map(|target| Problem::new(&file.path, format!("a link leads to {target}, which is not there")))
        .collect()
}

/// Blocks of code that say which file they are from, and are not.
fn foreign_code(sources: &Sources, file: &SourceFile) -> Vec<Problem> {
    let blocks = file.text.split("```rust\n// ").skip(1).filter_map(|rest| rest.split("```").next());
    let named = blocks.filter_map(|block| block.split_once('\n')).filter(|(path, _)| is_path(path));
    named
        .filter(|(path, code)| sources.get(path).is_none_or(|file| !file.text.contains(code.trim_end())))
        .map(|(path, _)| Problem::new(&file.path, format!("the code that is said to be in {path} is not")))
        .collect()
}

/// What lies in a `src` folder and is not named in the section of its crate, as `name` or `name/`.
fn unmapped(sources: &Sources, map: &str) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (file, _) in sources.rust() {
        let Some((name, inside)) =
            file.path.strip_prefix("crates/").and_then(|path| path.split_once("/src/"))
        else {
            continue;
        };
        let entry = match inside.split_once('/') {
            Some((folder, _)) => format!("`{folder}/`"),
            None => format!("`{}`", inside.trim_end_matches(".rs")),
        };
        if !ROOTS.contains(&inside) && !section(map, name).contains(&entry) {
            let problem = Problem::new(MAP, format!("the map of {name} has no line for {entry}"));
            if problems.last() != Some(&problem) {
                problems.push(problem);
            }
        }
    }
    problems
}

/// Lines of the map, which begin with `name` or `name/`, for what is not there.
fn mapped_in_vain(root: &Path, map: &str) -> Vec<Problem> {
    let mut folder = String::new();
    let mut problems = Vec::new();
    for line in map.lines() {
        if let Some(heading) = line.strip_prefix('#') {
            folder = heading.split('`').nth(1).map(|path| format!("{path}/src/")).unwrap_or_default();
        }
        let Some(name) = line.strip_prefix("| `").and_then(|rest| rest.split('`').next()) else { continue };
        let file = if name.ends_with('/') { name.to_string() } else { format!("{name}.rs") };
        if !folder.is_empty() && !root.join(format!("{folder}{file}")).exists() {
            problems.push(Problem::new(MAP, format!("there is no {folder}{file}")));
        }
    }
    problems
}

/// The text from the heading of a crate to the next heading.
fn section<'a>(map: &'a str, name: &str) -> &'a str {
    let heading = format!("### `crates/{name}`");
    let from = map.split_once(heading.as_str()).map(|(_, rest)| rest).unwrap_or_default();
    from.split("\n#").next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_ends_at_the_next_heading() {
        let map = "### `crates/a`: x\n`one`\n### `crates/b`\n`two`\n";
        assert!(section(map, "a").contains("`one`") && !section(map, "a").contains("`two`"));
        assert_eq!(section(map, "c"), "");
    }

    #[test]
    fn links_to_other_sites_and_within_the_page_are_left_alone() {
        let file = |text: &str| SourceFile::new("a.md".into(), text.into()).unwrap();
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        assert!(dead_links(here, &file("[a](#b) [c](https://example.org/d) [e](Cargo.toml#f)")).is_empty());
        assert_eq!(dead_links(here, &file("[a](missing.md)")).len(), 1);
    }
}
