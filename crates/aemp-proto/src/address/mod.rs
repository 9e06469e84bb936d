//! Addresses as plain data: in which order those of one name are dialled ([`Race`]), which ones of
//! a machine others can use ([`usable`]), and which ones a node advertises ([`advertised`]). Names
//! are resolved, and sockets opened, elsewhere.

mod advertise;
mod race;
mod usable;

pub use advertise::{Advertised, Listener, Reach, advertised, is_elsewhere};
pub use race::{ADDRESSES_MAX, Race, STAGGER};
pub use usable::usable;
