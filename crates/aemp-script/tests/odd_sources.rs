//! Sources with odd content: they run or are refused.

#[path = "support/source_checks.rs"]
mod checks;
#[path = "../../aemp-proto/tests/support/corpus.rs"]
mod corpus;
mod support;

#[test]
fn the_corpus_of_the_fuzz_target() {
    corpus::replay("script", |source| checks::evaluate(source, support::allocated));
}
