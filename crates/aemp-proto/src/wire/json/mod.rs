//! The framing `json`: JSON arrays one after the other, turned into CBOR when read and out of CBOR
//! when written.
//!
//! Strings become text; anyone who needs bytes takes the code points up to U+00FF. Integers in the
//! range of 64 bits stay exact, all other numbers become the nearest float.

mod boundary;
mod read;
mod write;

pub(crate) use boundary::Boundary;
pub(crate) use read::read_frame;
pub(crate) use write::{frame_len, write_frame};
