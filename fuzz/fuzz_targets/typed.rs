//! Any values for ports of many types.

#![no_main]

#[path = "../../crates/aemp/tests/support/typed_checks.rs"]
mod checks;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| checks::deliver(bytes));
