//! One connection as a machine: the handshake before there is trust, and its life afterwards.
//!
//! Reading order: [`hello`] (the greeting line), [`auth`] (digests), `config` and `error`,
//! [`handshake`] (the machine that joins them), [`liveness`] (when to probe, when to give up).

pub mod auth;
mod config;
mod error;
pub mod handshake;
pub mod hello;
pub mod liveness;

pub use auth::Method as AuthMethod;
pub use config::{LinkConfig, PeerAddress, Side};
pub use error::HandshakeError;
pub use handshake::{Handshake, HandshakeEvent, Terms};
pub use hello::{Greeting, HelloError};
pub use liveness::{Liveness, Pulse};
