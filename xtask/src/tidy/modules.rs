//! No dead files: every file under a `src` folder is reached by `mod` declarations from a crate's
//! root.

use std::collections::BTreeSet;

use super::Problem;
use super::sources::Sources;

/// Names every file that no root reaches.
pub(super) fn check(sources: &Sources) -> Vec<Problem> {
    let mut reached = BTreeSet::new();
    for (file, _) in sources.rust().filter(|(file, _)| is_root(&file.path)) {
        reach(sources, &file.path, &mut reached);
    }
    let in_src = sources.rust().map(|(file, _)| &file.path).filter(|path| path.contains("/src/"));
    in_src
        .filter(|path| !reached.contains(*path))
        .map(|path| Problem::new(path, "no `mod` leads here"))
        .collect()
}

fn is_root(path: &str) -> bool {
    path.ends_with("/src/lib.rs") || path.ends_with("/src/main.rs") || path.contains("/src/bin/")
}

fn reach(sources: &Sources, path: &str, reached: &mut BTreeSet<String>) {
    let Some(syntax) = sources.get(path).and_then(|file| file.syntax.as_ref()) else { return };
    if reached.insert(path.into()) {
        children(sources, &folder_of(path), &syntax.items, reached);
    }
}

fn children(sources: &Sources, folder: &str, items: &[syn::Item], reached: &mut BTreeSet<String>) {
    for item in items {
        let syn::Item::Mod(module) = item else { continue };
        let inside = format!("{folder}/{}", module.ident);
        match &module.content {
            Some((_, items)) => children(sources, &inside, items, reached),
            None => {
                reach(sources, &format!("{inside}.rs"), reached);
                reach(sources, &format!("{inside}/mod.rs"), reached);
            }
        }
    }
}

/// The folder in which the modules of this file lie.
fn folder_of(path: &str) -> String {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    match name.trim_end_matches(".rs") {
        "lib" | "main" | "mod" => folder.into(),
        stem => format!("{folder}/{stem}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_lie_beside_a_root_and_below_any_other_file() {
        assert_eq!(folder_of("crates/x/src/lib.rs"), "crates/x/src");
        assert_eq!(folder_of("crates/x/src/a/mod.rs"), "crates/x/src/a");
        assert_eq!(folder_of("crates/x/src/a.rs"), "crates/x/src/a");
    }
}
