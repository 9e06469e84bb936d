//! Greetings, nonces and authentication lines out of any octets.

#![no_main]

#[path = "../../crates/aemp-proto/tests/support/checks.rs"]
mod checks;

libfuzzer_sys::fuzz_target!(|octets: &[u8]| checks::read_handshake(octets));
