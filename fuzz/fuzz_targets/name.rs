//! Any text where an ID or an address is expected.

#![no_main]

#[path = "../../crates/aemp-config/tests/support/name_checks.rs"]
mod checks;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| checks::name(bytes));
