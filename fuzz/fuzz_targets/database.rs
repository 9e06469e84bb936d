//! Requests of the shared database out of any bytes, and a node that acts on them.

#![no_main]

#[path = "../../crates/aemp-proto/tests/support/checks.rs"]
mod checks;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| checks::act_on_requests(bytes));
