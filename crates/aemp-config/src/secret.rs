//! Bytes that must not be seen.

use std::fs::File;
use std::{env, fmt, io};

use aemp_proto::value::to_latin1;

use super::{ConfigError, parse_text, read};

/// An eavesdropper who has seen one handshake can find a shorter secret by trying all.
const SHORT: usize = 16;

/// A secret, or the text of a private key. It never shows in `Debug` output.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Box<[u8]>);

impl Secret {
    /// The bytes that a configured text stands for. A string of the file is a sequence of code
    /// points, and code points up to U+FF are bytes, as in Perl; a text with others, which Perl
    /// cannot use as a key, counts as UTF-8.
    pub fn from_text(text: &str) -> Secret {
        Secret(to_latin1(text).unwrap_or_else(|| text.as_bytes().to_vec()).into())
    }

    /// The bytes that somebody means who types this for a key: the bytes of the text; `@FILE`, what
    /// is in a file; `env:NAME`, what an environment variable has; `-`, what comes on standard
    /// input. All but the first keep it out of the list of processes, which other users of the
    /// machine can see. A line end behind it does not count. A JSON string, in quotes, is always
    /// meant itself, as [`Secret::from_text`] says.
    ///
    /// # Errors
    ///
    /// It cannot be read from there, or is no JSON string where it begins as one.
    pub fn typed(key: &str, text: &str) -> Result<Secret, ConfigError> {
        if text.starts_with('"') {
            return Ok(Secret::from_text(&parse_text(text)?));
        }
        let (from, bytes) = if let Some(file) = text.strip_prefix('@') {
            (format!("the file {file}"), File::open(file).and_then(read::secret))
        } else if let Some(name) = text.strip_prefix("env:") {
            let value = env::var_os(name).ok_or_else(|| io::Error::other("it is not set"));
            (format!("the environment variable {name}"), value.map(|value| value.into_encoded_bytes()))
        } else if text == "-" {
            ("standard input".into(), read::secret(io::stdin().lock()))
        } else {
            return Ok(Secret::from(parse_text(text)?.into_bytes()));
        };
        let mut bytes =
            bytes.map_err(|source| ConfigError::SecretSource { key: key.into(), from, source })?;
        if bytes.ends_with(b"\n") {
            bytes.pop();
        }
        if bytes.ends_with(b"\r") {
            bytes.pop();
        }
        Ok(Secret::from(bytes))
    }

    /// Whether it is so short that it can be found by trying.
    ///
    /// ```
    /// # use aemp_config::Secret;
    /// assert!(Secret::from_text("geheim").is_short());
    /// ```
    pub fn is_short(&self) -> bool {
        self.0.len() < SHORT
    }

    /// The text that stands for these bytes in the file.
    ///
    /// ```
    /// use aemp_config::Secret;
    ///
    /// let typed = "caf\u{e9}";
    /// assert_eq!(Secret::from_text(&Secret::to_text(typed.as_bytes())).bytes(), typed.as_bytes());
    /// ```
    pub fn to_text(bytes: &[u8]) -> String {
        bytes.iter().copied().map(char::from).collect()
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl From<Vec<u8>> for Secret {
    fn from(bytes: Vec<u8>) -> Secret {
        Secret(bytes.into())
    }
}

impl From<Secret> for Vec<u8> {
    fn from(secret: Secret) -> Vec<u8> {
        secret.0.into()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({} bytes)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_need_not_be_typed() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        std::fs::write(&file, b"caf\xe9\r\n").unwrap();
        let typed = |text: &str| Secret::typed("secret", text).map(|secret| secret.bytes().to_vec());
        assert_eq!(typed(&format!("@{}", file.display())).unwrap(), b"caf\xe9");
        assert_eq!(typed("env:PATH").unwrap(), env::var_os("PATH").unwrap().into_encoded_bytes());
        assert_eq!(typed("gehe\u{ef}m").unwrap(), "gehe\u{ef}m".as_bytes());
        assert_eq!((typed("\"-\"").unwrap(), typed("\"@x\"").unwrap()), (b"-".to_vec(), b"@x".to_vec()));
        let error = |text: &str| typed(text).unwrap_err().to_string();
        assert!(error("@/no/such/file").starts_with("secret: the file /no/such/file cannot be read: "));
        assert_eq!(
            error("env:NO_SUCH_VARIABLE"),
            "secret: the environment variable NO_SUCH_VARIABLE cannot be read: it is not set"
        );
    }

    #[test]
    fn a_secret_is_bytes_as_in_perl_and_never_shown() {
        assert_eq!(Secret::from_text("caf\u{e9}").bytes(), b"caf\xe9");
        assert_eq!(Secret::from_text("\u{20ac}").bytes(), "\u{20ac}".as_bytes());
        assert_eq!(format!("{:?}", Secret::from_text("geheim")), "Secret(6 bytes)");
    }
}
