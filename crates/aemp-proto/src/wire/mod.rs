//! The wire: what is written to a connection and read from it (`PROTOCOL.md`).

pub mod body;
pub mod error;
pub mod frame;
pub mod framing;
pub mod limits;
pub mod native;
pub mod records;
pub mod request;
pub mod text;

mod cbor;
pub(crate) mod forms;
mod json;
pub(crate) mod memory;
pub(crate) mod parts;
mod room;
mod scan;
mod tlv;

pub use body::{Body, BodyBuilder};
pub use error::{EncodeError, FrameError, Malformed};
pub use frame::{Found, Frame, FrameReader, Span};
pub use framing::Framing;
pub use limits::Limits;
pub use native::{Control, message_len, write_control, write_message};
pub use records::{Records, reframe};
pub use request::{MeshRequest, RelayId, RelayRequest, Request, RequestError, Tables};
pub use room::Room;
pub use text::Str;
