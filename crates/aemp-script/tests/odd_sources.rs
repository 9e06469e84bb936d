//! Sources with odd content: they run or are refused.

#![allow(clippy::unwrap_used, reason = "these are tests")]

#[path = "support/source_checks.rs"]
mod checks;
mod support;

use std::path::Path;

#[test]
fn the_corpus_of_the_fuzz_target() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/script");
    let mut files = 0;
    for entry in folder.read_dir().unwrap() {
        checks::evaluate(&std::fs::read(entry.unwrap().path()).unwrap(), support::allocated);
        files += 1;
    }
    assert!(files > 10, "there are {files}");
}
