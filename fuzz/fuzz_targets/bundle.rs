//! Certificate bundles with any content, and nodes that use them.

#![no_main]

#[path = "../../crates/aemp-config/tests/support/pem_checks.rs"]
mod checks;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| checks::use_bundle(bytes));
