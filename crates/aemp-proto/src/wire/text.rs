//! Text that is a slice of the octets it arrived in.

use std::fmt;
use std::ops::Deref;

use bytes::Bytes;

use crate::value::latin1;

/// UTF-8 text inside shared octets; cheap to clone, and made without a copy.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Str(Bytes);

impl Str {
    /// These octets as text, if they are UTF-8.
    pub fn from_utf8(octets: Bytes) -> Option<Str> {
        std::str::from_utf8(&octets).is_ok().then_some(Str(octets))
    }

    /// These octets as the code points U+0000–U+00FF; copied only if one of them is not ASCII.
    pub fn from_latin1(octets: Bytes) -> Str {
        if octets.is_ascii() { Str(octets) } else { Str(latin1(&octets).into()) }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("every constructor has checked that this is UTF-8")
    }
}

impl Deref for Str {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl From<String> for Str {
    fn from(text: String) -> Str {
        Str(text.into())
    }
}

impl From<&str> for Str {
    fn from(text: &str) -> Str {
        Str(Bytes::copy_from_slice(text.as_bytes()))
    }
}

impl PartialEq<str> for Str {
    fn eq(&self, other: &str) -> bool {
        self.0 == other.as_bytes()
    }
}

impl PartialEq<&str> for Str {
    fn eq(&self, other: &&str) -> bool {
        self.0 == other.as_bytes()
    }
}

impl fmt::Display for Str {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

impl fmt::Debug for Str {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}
