//! The rules of aemp, without input or output.

pub mod address;
pub mod budget;
mod db;
mod deadlines;
pub mod kernel;
pub mod link;
mod link_id;
mod mesh;
pub mod name;
pub mod outbox;
mod peer;
mod random;
pub mod relay;
mod time;
pub mod typed;
pub mod value;
pub mod wire;

pub use link_id::LinkId;
pub use name::{Home, NameError, NodeId, PortId, PortName};
pub use peer::{Peer, Route};
pub use time::Time;
pub use value::{AnyMessage, Reason, Value};
pub use wire::{Body, Framing};
