//! IDs and addresses with odd content: they are taken or refused, and mean the same when they are written again.

#![allow(clippy::unwrap_used, reason = "these are tests")]

#[path = "support/name_checks.rs"]
mod checks;

use std::path::Path;

#[test]
fn the_corpus_of_the_fuzz_target() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/name");
    let mut files = 0;
    for entry in folder.read_dir().unwrap() {
        checks::name(&std::fs::read(entry.unwrap().path()).unwrap());
        files += 1;
    }
    assert!(files > 10, "there are {files}");
}
