//! The names of the framings.

use std::fmt;

/// How messages are framed in one direction of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Framing {
    /// `aemp1`: numbered frames between our own nodes.
    Native,
    /// `cbor`: CBOR arrays one after the other.
    Cbor,
    /// `json`: JSON arrays one after the other.
    Json,
}

impl Framing {
    /// All framings, best first, as they are offered.
    pub const ALL: [Framing; 3] = [Framing::Native, Framing::Cbor, Framing::Json];

    /// The name in the greeting.
    pub fn as_str(self) -> &'static str {
        match self {
            Framing::Native => "aemp1",
            Framing::Cbor => "cbor",
            Framing::Json => "json",
        }
    }

    /// The framing with this name.
    pub fn from_name(name: &str) -> Option<Framing> {
        Framing::ALL.into_iter().find(|framing| framing.as_str() == name)
    }
}

impl fmt::Display for Framing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
