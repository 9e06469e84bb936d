//! Edge clients at a gateway: what they can do, what they cannot, and what becomes of those that do
//! not behave.

#![allow(clippy::unwrap_used)] // a test may

mod allowed;
mod client;
mod forbidden;
mod loss;
