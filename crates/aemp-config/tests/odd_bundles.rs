//! Certificate bundles with odd content: they are used or refused.

#[path = "support/pem_checks.rs"]
mod checks;
#[path = "../../aemp-proto/tests/support/corpus.rs"]
mod corpus;

#[test]
fn the_corpus_of_the_fuzz_target() {
    corpus::replay("bundle", checks::use_bundle);
}
