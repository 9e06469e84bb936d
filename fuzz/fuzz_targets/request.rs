//! Requests to the node port out of any bytes.

#![no_main]

#[path = "../../crates/aemp-proto/tests/support/checks.rs"]
mod checks;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| checks::read_request(bytes));
