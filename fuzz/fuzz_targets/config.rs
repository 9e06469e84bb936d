//! Configuration files with any content.

#![no_main]

#[path = "../../crates/aemp-config/tests/support/config_checks.rs"]
mod checks;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| checks::read_config(bytes));
