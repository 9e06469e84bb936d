//! Carried connections, as an end and as a carrier.

#![no_main]

#[path = "../../crates/aemp-proto/tests/support/carry_checks.rs"]
mod checks;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| checks::carry(bytes));
