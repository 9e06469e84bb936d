//! The corpora of the fuzz targets, replayed: what was found once is checked for ever.

use std::path::Path;

/// Gives every file in the corpus of a fuzz target to `check`.
pub(crate) fn replay(target: &str, check: impl Fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let mut files = 0;
    for entry in folder.read_dir().expect("the corpus is beside the fuzz targets") {
        check(&std::fs::read(entry.expect("an entry").path()).expect("a file"));
        files += 1;
    }
    assert!(files > 10, "{target} has a corpus of {files}");
}
