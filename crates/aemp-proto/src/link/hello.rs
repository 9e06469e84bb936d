//! The greeting: the first line that each side sends (`PROTOCOL.md`, greeting).
//!
//! Reading is strict, for nothing here is authenticated yet: one form, printable ASCII, no key twice.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use thiserror::Error;

use crate::{NameError, NodeId};

/// The most octets of a line until authentication, line end included.
pub const LINE_MAX: usize = 4096;

/// A greeting that cannot be accepted.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum HelloError {
    /// The line is not printable ASCII.
    #[error("the greeting has an octet that is not printable ASCII; is this an aemp node?")]
    NotText,
    /// Fewer than five fields.
    #[error("the greeting has {0} of at least 5 fields; is this an aemp node?")]
    Fields(usize),
    /// The first field is neither `aemp` nor `aemp-NAME`.
    #[error("the greeting starts with {0:?} instead of \"aemp\"")]
    Protocol(String),
    /// A version other than `1`.
    #[error("protocol version {0:?} is not supported (only \"1\" is)")]
    Version(String),
    /// The node ID is none.
    #[error("bad node ID in the greeting: {0}")]
    NodeId(#[from] NameError),
    /// A key stands twice.
    #[error("the greeting has the key {0:?} twice")]
    DuplicateKey(String),
}

/// A greeting line, parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Greeting {
    /// `aemp`, or `aemp-NAME` for another protocol on the same listener.
    pub protocol: String,
    /// Who speaks.
    pub node: NodeId,
    /// The authentication methods that the speaker accepts, best first.
    pub methods: Vec<String>,
    /// The framings that the speaker reads, best first.
    pub framings: Vec<String>,
    /// Everything else, unknown keys included.
    pub pairs: BTreeMap<String, String>,
}

impl Greeting {
    /// Reads a line without its end.
    ///
    /// # Errors
    ///
    /// The line is not a greeting of version 1.
    pub fn parse(line: &[u8]) -> Result<Greeting, HelloError> {
        if !line.iter().all(|b| b.is_ascii_graphic() || *b == b' ') {
            return Err(HelloError::NotText);
        }
        let text = std::str::from_utf8(line).map_err(|_| HelloError::NotText)?;
        let fields: Vec<&str> = text.split(';').collect();
        let protocol = fields[0];
        if protocol != "aemp" && protocol.strip_prefix("aemp-").is_none_or(str::is_empty) {
            return Err(HelloError::Protocol(protocol.chars().take(40).collect()));
        }
        let [_, version, node, methods, framings, pairs @ ..] = fields.as_slice() else {
            return Err(HelloError::Fields(fields.len()));
        };
        if *version != "1" {
            return Err(HelloError::Version(version.chars().take(40).collect()));
        }
        Ok(Greeting {
            protocol: protocol.into(),
            node: NodeId::new(node)?,
            methods: list(methods),
            framings: list(framings),
            pairs: read_pairs(pairs)?,
        })
    }

    /// The line, without its end.
    pub fn to_line(&self) -> String {
        let mut line = format!(
            "{};1;{};{};{}",
            self.protocol,
            self.node,
            self.methods.join(","),
            self.framings.join(",")
        );
        for (key, value) in &self.pairs {
            let _ = write!(line, ";{key}={}", value.replace('%', "%25").replace(';', "%3b"));
        }
        line
    }

    /// The value of this key.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.pairs.get(key).map(String::as_str)
    }
}

fn list(field: &str) -> Vec<String> {
    field.split(',').filter(|name| !name.is_empty()).map(String::from).collect()
}

fn read_pairs(fields: &[&str]) -> Result<BTreeMap<String, String>, HelloError> {
    let mut pairs = BTreeMap::new();
    for field in fields.iter().filter(|field| !field.is_empty()) {
        let (key, value) = field.split_once('=').unwrap_or((field, ""));
        // Nothing but these two is ever escaped, and Perl escapes nothing.
        let value = value.replace("%3b", ";").replace("%25", "%");
        if pairs.insert(key.to_string(), value).is_some() {
            return Err(HelloError::DuplicateKey(key.into()));
        }
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recorded_greeting_is_read() {
        let line = b"aemp;1;b;tls_sha3_512,hmac_sha3_512,tls_anon,cleartext;cbor,json,storable;gproto=1;peeraddr=127.0.0.1:15140";
        let greeting = Greeting::parse(line).unwrap();
        assert_eq!(greeting.node.as_str(), "b");
        assert_eq!(greeting.methods[1], "hmac_sha3_512");
        assert_eq!(greeting.framings, ["cbor", "json", "storable"]);
        assert_eq!(greeting.get("peeraddr"), Some("127.0.0.1:15140"));
    }

    #[test]
    fn a_greeting_survives_print_and_parse_with_reserved_characters() {
        let mut greeting = Greeting::parse(b"aemp-x;1;n/1;a,b;json").unwrap();
        greeting.pairs.insert("k".into(), "a;b%c%3b".into());
        assert_eq!(Greeting::parse(greeting.to_line().as_bytes()).unwrap(), greeting);
    }

    #[test]
    fn other_versions_are_refused() {
        for version in ["0", "2", "01", "1x", " 1", "", "11111111111111111111"] {
            let line = format!("aemp;{version};n;hmac_sha3_512;json");
            assert!(matches!(Greeting::parse(line.as_bytes()), Err(HelloError::Version(_))), "{version}");
        }
    }

    #[test]
    fn what_is_no_greeting_is_refused() {
        for line in [
            &b""[..],
            b"GET / HTTP/1.1",
            b"SSH-2.0-OpenSSH_9",
            b"\x16\x03\x01\x02\x00",
            b"aemp",
            b"aemp;1;n;a",
            b"aemp-;1;n;a;b",
            b"aemp;1;;a;b",
            b"aemp;1;a#b;a;b",
            b"aemp;1;n\0;a;b",
            b"aemp;1;n\xe9;a;b",
            b"aemp;1;n;a;b;k=1;k=2",
        ] {
            assert!(Greeting::parse(line).is_err(), "{line:?}");
        }
    }

    #[test]
    fn thousands_of_keys_are_no_reason_to_refuse() {
        let keys: String = (0..1000).map(|n| format!(";{n}=")).collect();
        assert!(Greeting::parse(format!("aemp;1;n;a;b{keys}").as_bytes()).is_ok());
    }
}
