#![doc = include_str!("../README.md")]

pub mod access;
mod families;
mod gateway;
mod grants;
pub mod limits;
mod outgoing;
pub mod protocol;
mod session;

pub use access::{Access, AccessError};
pub use gateway::{Gateway, Refused};
