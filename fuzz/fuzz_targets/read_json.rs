//! Frames out of any bytes in the framing `json`.

#![no_main]

#[path = "../../crates/aemp-proto/tests/support/checks.rs"]
mod checks;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| checks::read_frames(aemp_proto::wire::Framing::Json, bytes));
