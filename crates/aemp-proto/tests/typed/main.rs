//! Rust types as messages and back.

// An unwrap in a test is an assertion.
#![allow(clippy::unwrap_used)]

mod common;
mod decode;
mod encode;
mod garbage;
mod limits;
mod perl;
mod round_trip;
mod tagged;
