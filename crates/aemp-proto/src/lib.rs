//! The rules of aemp, without input or output.

pub mod address;
pub mod budget;
pub mod carry;
mod db;
pub mod kernel;
pub mod link;
mod mesh;
pub mod name;
pub mod outbox;
pub mod typed;
pub mod value;
pub mod wire;

pub use name::{Home, NameError, NodeId, PortId, PortName};
pub use value::{Message, Reason, Value};
pub use wire::{Body, Framing};
