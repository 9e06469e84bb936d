//! IDs and addresses with odd content: they are taken or refused, and mean the same when they are
//! written again.

#[path = "support/name_checks.rs"]
mod checks;
#[path = "../../aemp-proto/tests/support/corpus.rs"]
mod corpus;

#[test]
fn the_corpus_of_the_fuzz_target() {
    corpus::replay("name", checks::name);
}
