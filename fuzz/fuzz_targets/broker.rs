//! Streams over a broker that loses, repeats, reorders and cuts, and over one that forges.

#![no_main]

#[path = "../../crates/aemp-proto/tests/support/broker_checks.rs"]
mod checks;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    checks::lossy(bytes);
    checks::forged(bytes);
});
