//! Octets that must not be seen.

use std::fmt;

use aemp_proto::value::to_latin1;

/// A secret, or the text of a private key. It never shows in `Debug` output.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Box<[u8]>);

impl Secret {
    /// The octets that a configured text stands for. A string of the file is a sequence of code points, and code points
    /// up to U+FF are octets, as in Perl; a text with others, which Perl cannot use as a key, counts as UTF-8.
    pub fn from_text(text: &str) -> Secret {
        Secret(to_latin1(text).unwrap_or_else(|| text.as_bytes().to_vec()).into())
    }

    /// The text that stands for these octets in the file.
    ///
    /// ```
    /// use aemp::config::Secret;
    ///
    /// let typed = "caf\u{e9}";
    /// assert_eq!(Secret::from_text(&Secret::to_text(typed.as_bytes())).octets(), typed.as_bytes());
    /// ```
    pub fn to_text(octets: &[u8]) -> String {
        octets.iter().copied().map(char::from).collect()
    }

    /// The octets.
    pub fn octets(&self) -> &[u8] {
        &self.0
    }
}

impl From<Vec<u8>> for Secret {
    fn from(octets: Vec<u8>) -> Secret {
        Secret(octets.into())
    }
}

impl From<Secret> for Vec<u8> {
    fn from(secret: Secret) -> Vec<u8> {
        secret.0.into()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({} octets)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_octets_as_in_perl_and_never_shown() {
        assert_eq!(Secret::from_text("caf\u{e9}").octets(), b"caf\xe9");
        assert_eq!(Secret::from_text("\u{20ac}").octets(), "\u{20ac}".as_bytes());
        assert_eq!(format!("{:?}", Secret::from_text("geheim")), "Secret(6 octets)");
    }
}
