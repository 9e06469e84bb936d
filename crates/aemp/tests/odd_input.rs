//! The corpora of fuzz targets that need nodes, replayed: what was found once is checked for ever.

#[path = "support/record_checks.rs"]
mod record_checks;
#[path = "support/typed_checks.rs"]
mod typed_checks;

use std::path::Path;

fn replay(target: &str, check: impl Fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let mut files = 0;
    for entry in folder.read_dir().expect("the corpus is beside the fuzz targets") {
        check(&std::fs::read(entry.expect("an entry").path()).expect("a file"));
        files += 1;
    }
    assert!(files > 10, "{target} has a corpus of {files}");
}

#[test]
fn log_records_of_others() {
    replay("record", record_checks::catch);
}

#[test]
fn messages_for_typed_ports() {
    replay("typed", typed_checks::deliver);
}
