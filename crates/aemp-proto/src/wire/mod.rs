//! The wire: what is written to a connection and read from it (`PROTOCOL.md`).

pub mod body;
pub mod framing;
pub mod request;

pub use body::Body;
pub use framing::Framing;
pub use request::{MeshRequest, Request, Tables};
