//! One connection as a machine: the handshake before there is trust, and its life afterwards.
//!
//! Reading order: [`hello`] (the greeting line), [`auth`] (digests), [`handshake`] (the machine that joins them),
//! [`liveness`] (when to probe, when to give up).

pub mod auth;
pub mod handshake;
pub mod hello;
pub mod liveness;

pub use auth::Method as AuthMethod;
pub use handshake::{Handshake, HandshakeError, HandshakeEvent, LinkConfig, PeerAddress, Side, Terms};
pub use hello::{Greeting, HelloError};
pub use liveness::{Liveness, Pulse};
