//! Log records of other nodes, caught and shown.

#![no_main]

#[path = "../../crates/aemp/tests/support/record_checks.rs"]
mod checks;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| checks::catch(bytes));
