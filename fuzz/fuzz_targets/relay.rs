//! Relayed connections, as an end and as the node between.

#![no_main]

#[path = "../../crates/aemp-proto/tests/support/relay_checks.rs"]
mod checks;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| checks::relay(bytes));
