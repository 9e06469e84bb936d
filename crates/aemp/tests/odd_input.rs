//! The corpora of fuzz targets that need nodes.

#[path = "../../aemp-proto/tests/support/corpus.rs"]
mod corpus;
#[path = "support/record_checks.rs"]
mod record_checks;
#[path = "support/typed_checks.rs"]
mod typed_checks;

use corpus::replay;

#[test]
fn log_records_of_others() {
    replay("record", record_checks::catch);
}

#[test]
fn messages_for_typed_ports() {
    replay("typed", typed_checks::deliver);
}
