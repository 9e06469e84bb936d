//! The greeting: the first line that each side sends (`PROTOCOL.md`, greeting).
//!
//! Reading is strict, for nothing here is authenticated yet: one form, printable ASCII, no key
//! twice.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use thiserror::Error;

use crate::{NameError, NodeId};

/// The most bytes of a line until authentication, line end included.
pub const LINE_MAX: usize = 4096;

/// A shorter limit of silence of a peer counts as this: it sets the pace at which we send.
pub const HEARTBEAT_MIN: Duration = Duration::from_secs(1);

/// A longer one counts as this.
pub const HEARTBEAT_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// A greeting that cannot be accepted.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum HelloError {
    /// The line is not printable ASCII.
    #[error("the greeting has a byte that is not printable ASCII; is this an aemp node?")]
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
    /// The node ID is not valid.
    #[error("bad node ID in the greeting: {0}")]
    NodeId(#[from] NameError),
    /// A key stands twice.
    #[error("the greeting has the key {0:?} twice")]
    DuplicateKey(String),
    /// The value of a key that has to be a number is not one, or none that can be meant.
    #[error("the greeting has {key}={value:?}, which is not {wanted}")]
    Number {
        /// The key.
        key: &'static str,
        /// The beginning of its value.
        value: String,
        /// What it has to be.
        wanted: &'static str,
    },
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

    /// The limit of silence of a peer that knows our heartbeat, within [`HEARTBEAT_MIN`] and
    /// [`HEARTBEAT_MAX`].
    ///
    /// # Errors
    ///
    /// It is not a number of seconds above 0.
    pub fn heartbeat(&self) -> Result<Option<Duration>, HelloError> {
        let Some(text) = self.get("hb") else { return Ok(None) };
        let seconds: Option<f64> = text.parse().ok().filter(|s: &f64| s.is_finite() && *s > 0.0);
        let seconds = seconds.ok_or_else(|| number("hb", text, "a number of seconds above 0"))?;
        let clamped = seconds.clamp(HEARTBEAT_MIN.as_secs_f64(), HEARTBEAT_MAX.as_secs_f64());
        Ok(Some(Duration::from_secs_f64(clamped)))
    }

    /// The incarnation.
    ///
    /// # Errors
    ///
    /// It is not what tells one run of a node from another: 32 hexadecimal digits.
    pub fn incarnation(&self) -> Result<Option<u128>, HelloError> {
        let Some(text) = self.get("inc") else { return Ok(None) };
        let digits = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let incarnation = if digits { u128::from_str_radix(text, 16).ok() } else { None };
        incarnation.map(Some).ok_or_else(|| number("inc", text, "32 hexadecimal digits"))
    }

    /// The value of this key.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.pairs.get(key).map(String::as_str)
    }
}

fn number(key: &'static str, value: &str, wanted: &'static str) -> HelloError {
    HelloError::Number { key, value: value.chars().take(40).collect(), wanted }
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

    fn with(pair: &str) -> Greeting {
        Greeting::parse(format!("aemp;1;n;a;b;{pair}").as_bytes()).unwrap()
    }

    #[test]
    fn a_heartbeat_has_a_floor_and_a_ceiling() {
        let (day, hb) = (HEARTBEAT_MAX.as_secs_f64(), |text: &str| with(&format!("hb={text}")).heartbeat());
        for (text, seconds) in [
            ("0.04", 1.0),
            ("5e-324", 1.0),
            ("0.999", 1.0),
            ("1", 1.0),
            ("1.001", 1.001),
            ("30", 30.0),
            ("86400", day),
            ("86401", day),
            ("65536000", day),
            ("1.7976931348623157e308", day),
        ] {
            assert_eq!(hb(text), Ok(Some(Duration::from_secs_f64(seconds))), "{text}");
        }
        for text in ["0", "-0", "-1", "-1e308", "nan", "inf", "-inf", "1e400", "", "soon", "1s", "0x1"] {
            assert!(hb(text).is_err(), "{text}");
        }
        assert_eq!(with("k=").heartbeat(), Ok(None));
    }

    #[test]
    fn an_incarnation_is_32_digits() {
        let inc = |text: &str| with(&format!("inc={text}")).incarnation();
        assert_eq!(inc(&"0".repeat(32)), Ok(Some(0)));
        assert_eq!(inc(&"f".repeat(32)), Ok(Some(u128::MAX)));
        for text in ["", "1", "-1", &"0".repeat(31), &"0".repeat(33), &"+".repeat(32), &"g".repeat(32)] {
            assert!(inc(text).is_err(), "{text}");
        }
        assert!(inc(&format!("+{}", "0".repeat(31))).is_err());
        assert_eq!(with("k=").incarnation(), Ok(None));
    }

    #[test]
    fn thousands_of_keys_are_no_reason_to_refuse() {
        let keys: String = (0..1000).map(|n| format!(";{n}=")).collect();
        assert!(Greeting::parse(format!("aemp;1;n;a;b{keys}").as_bytes()).is_ok());
    }
}
