//! Greetings, nonces and authentication lines out of any bytes.

#![no_main]

#[path = "../../crates/aemp-proto/tests/support/checks.rs"]
mod checks;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| checks::read_handshake(bytes));
