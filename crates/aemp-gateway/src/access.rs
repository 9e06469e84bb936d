//! Who may do what: tokens, and the allow-list of each. Nothing here does input or output.

use std::fmt;

use aemp::{NodeId, PortId};
use serde::Deserialize;
use subtle::ConstantTimeEq as _;
use thiserror::Error;

use crate::limits::Limits;

/// The fewest bytes of a token. Shorter ones can be found by trying.
pub const TOKEN_MIN: usize = 16;

/// The rules cannot be used.
#[derive(Debug, Error)]
pub enum AccessError {
    /// The text is not JSON of the right form.
    #[error("the access rules cannot be read: {0}")]
    Form(#[from] serde_json::Error),
    /// A token is too short.
    #[error(
        "the token of client {0:?} has fewer than {TOKEN_MIN} bytes; make one with `openssl rand -hex 32`"
    )]
    ShortToken(String),
    /// Two clients have the same token.
    #[error("the clients {0:?} and {1:?} have the same token")]
    SameToken(String, String),
    /// A pattern is not one.
    #[error(
        "{pattern:?} of client {client:?} is not a pattern; write @FAMILY or NODE#NAME, where * stands for anything"
    )]
    Pattern {
        /// Whose rule it is.
        client: String,
        /// The pattern.
        pattern: String,
    },
    /// A family is one of the network's own, or has no name.
    #[error("client {client:?} must not watch the family {family:?}")]
    Family {
        /// Whose rule it is.
        client: String,
        /// The family.
        family: String,
    },
}

/// The ports that a client may send to.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Pattern {
    /// Those that stand in a family of the shared database.
    Family(String),
    /// Those whose ID is of this shape; `*` stands for anything.
    Id(String),
}

/// What one kind of client may do.
#[derive(Clone)]
pub struct Rights {
    name: String,
    token: Vec<u8>,
    send: Vec<Pattern>,
    call: Vec<Pattern>,
    watch: Vec<String>,
    ports: usize,
    limits: Limits,
}

impl fmt::Debug for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rights").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The rules of a gateway.
#[derive(Debug, Clone)]
pub struct Access {
    hosts: Vec<String>,
    origins: Vec<String>,
    clients: Vec<Rights>,
}

/// The file, as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    hosts: Vec<String>,
    #[serde(default)]
    origins: Vec<String>,
    clients: Vec<WrittenClient>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenClient {
    name: String,
    token: String,
    #[serde(default)]
    send: Vec<String>,
    #[serde(default)]
    call: Vec<String>,
    #[serde(default)]
    watch: Vec<String>,
    #[serde(default)]
    ports: usize,
    #[serde(default)]
    limits: Limits,
}

impl Access {
    /// Reads the rules, as JSON.
    ///
    /// # Errors
    ///
    /// See [`AccessError`].
    pub fn parse(text: &str) -> Result<Access, AccessError> {
        let written: Written = serde_json::from_str(text)?;
        let clients = written.clients.into_iter().map(Rights::of).collect::<Result<Vec<_>, _>>()?;
        for (at, one) in clients.iter().enumerate() {
            if let Some(other) = clients[..at].iter().find(|other| other.token == one.token) {
                return Err(AccessError::SameToken(other.name.clone(), one.name.clone()));
            }
        }
        Ok(Access { hosts: written.hosts, origins: written.origins, clients })
    }

    /// The client whose token this is. Takes as long whichever it is.
    pub fn client(&self, token: &str) -> Option<&Rights> {
        let mut found = None;
        for client in &self.clients {
            if bool::from(client.token.ct_eq(token.as_bytes())) {
                found = Some(client);
            }
        }
        found
    }

    /// Whether a request with these headers may become a connection. `own` is the address of the
    /// listener.
    ///
    /// A browser says where a page comes from (`Origin`); other programs do not. The `Host` is
    /// compared so that no other name can be made to stand for this machine.
    pub fn admits(&self, host: Option<&str>, origin: Option<&str>, own: &str) -> bool {
        let is = |name: &str| self.hosts.iter().any(|host| host.eq_ignore_ascii_case(name));
        let host = host.is_some_and(|host| host == own || is(host));
        host && origin.is_none_or(|origin| self.origins.iter().any(|known| known == origin))
    }

    /// The largest message, in bytes, that some client may send.
    pub fn message_max(&self) -> usize {
        self.clients.iter().map(|client| client.limits.message).max().unwrap_or_default()
    }

    /// The families whose members some client may send to.
    pub fn families(&self) -> Vec<String> {
        let patterns = self.clients.iter().flat_map(|client| client.send.iter().chain(&client.call));
        let mut families: Vec<String> = patterns
            .filter_map(|pattern| match pattern {
                Pattern::Family(family) => Some(family.clone()),
                Pattern::Id(_) => None,
            })
            .collect();
        families.sort();
        families.dedup();
        families
    }
}

impl Rights {
    fn of(written: WrittenClient) -> Result<Rights, AccessError> {
        let WrittenClient { name, token, send, call, watch, ports, limits } = written;
        if token.len() < TOKEN_MIN {
            return Err(AccessError::ShortToken(name));
        }
        let patterns = |texts: Vec<String>| -> Result<Vec<Pattern>, AccessError> {
            let parse = |text: String| {
                Pattern::parse(&text)
                    .ok_or_else(|| AccessError::Pattern { client: name.clone(), pattern: text.clone() })
            };
            texts.into_iter().map(parse).collect()
        };
        let (send, call) = (patterns(send)?, patterns(call)?);
        if let Some(family) = watch.iter().find(|family| !is_family(family)) {
            return Err(AccessError::Family { client: name.clone(), family: family.clone() });
        }
        Ok(Rights { name, token: token.into_bytes(), send, call, watch, ports, limits })
    }

    /// The name of the client, for logs.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How many ports it may have.
    pub fn ports(&self) -> usize {
        self.ports
    }

    /// Its limits.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Whether it may send to a port. `member` tells whether a port stands in a family.
    pub fn may_send(&self, port: &PortId, member: impl Fn(&str, &PortId) -> bool) -> bool {
        allows(&self.send, port, member)
    }

    /// Whether it may call a port.
    pub fn may_call(&self, port: &PortId, member: impl Fn(&str, &PortId) -> bool) -> bool {
        allows(&self.call, port, member)
    }

    /// Whether it may watch a family.
    pub fn may_watch(&self, family: &str) -> bool {
        self.watch.iter().any(|known| known == family)
    }
}

impl Pattern {
    fn parse(text: &str) -> Option<Pattern> {
        if let Some(family) = text.strip_prefix('@') {
            return is_family(family).then(|| Pattern::Family(family.into()));
        }
        let (node, name) = text.split_once('#')?;
        let node_is_valid = !node.is_empty() && NodeId::new(&node.replace('*', "x")).is_ok();
        (node_is_valid && !name.is_empty()).then(|| Pattern::Id(text.into()))
    }
}

/// A node port is never allowed: requests to it can do everything.
fn allows(patterns: &[Pattern], port: &PortId, member: impl Fn(&str, &PortId) -> bool) -> bool {
    !port.is_node()
        && patterns.iter().any(|pattern| match pattern {
            Pattern::Family(family) => member(family, port),
            Pattern::Id(shape) => matches(shape, &port.to_string()),
        })
}

/// The families whose names begin with an apostrophe are the network's own.
fn is_family(family: &str) -> bool {
    !family.is_empty() && !family.starts_with('\'')
}

/// Whether a text is of a shape, in which `*` stands for anything but a `#` in front of the first
/// one.
fn matches(shape: &str, text: &str) -> bool {
    let (Some((node, name)), Some((text_node, text_name))) = (shape.split_once('#'), text.split_once('#'))
    else {
        return false;
    };
    glob(node, text_node) && glob(name, text_name)
}

fn glob(shape: &str, text: &str) -> bool {
    let Some((first, rest)) = shape.split_once('*') else { return shape == text };
    let Some(mut text) = text.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        match text.find(part) {
            Some(at) => text = &text[at + part.len()..],
            None => return false,
        }
    }
    text.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: &str = r#"{
        "hosts": ["chat.example"], "origins": ["https://chat.example"],
        "clients": [
            {"name": "chat", "token": "0123456789abcdef", "send": ["@rooms", "node#fixed", "web/*#in*x*"], "watch": ["rooms"], "ports": 2},
            {"name": "reader", "token": "fedcba9876543210", "call": ["@readers"]}
        ]
    }"#;

    fn port(text: &str) -> PortId {
        PortId::parse(text).unwrap()
    }

    #[test]
    fn a_token_names_its_client() {
        let access = Access::parse(RULES).unwrap();
        assert_eq!(access.client("0123456789abcdef").unwrap().name(), "chat");
        for wrong in ["", "0123456789abcde", "0123456789abcdef ", "0123456789ABCDEF", "chat"] {
            assert!(access.client(wrong).is_none(), "{wrong:?}");
        }
        assert_eq!(access.families(), ["readers", "rooms"]);
        assert!(!format!("{access:?}").contains("0123456789abcdef"));
    }

    #[test]
    fn only_what_is_listed_is_allowed() {
        let access = Access::parse(RULES).unwrap();
        let (chat, reader) =
            (access.client("0123456789abcdef").unwrap(), access.client("fedcba9876543210").unwrap());
        let member = |family: &str, port: &PortId| (family, port.to_string().as_str()) == ("rooms", "n#room");
        for allowed in ["n#room", "node#fixed", "web/1#in-x", "web/a/b#inxx1"] {
            assert!(chat.may_send(&port(allowed), member), "{allowed}");
            assert!(!chat.may_call(&port(allowed), member), "{allowed}");
            assert!(!reader.may_send(&port(allowed), member), "{allowed}");
        }
        for refused in
            ["n#other", "node#fixed2", "node", "node#", "web/1#out", "web/1#in", "xweb/1#inx", "x#web/1#inx"]
        {
            assert!(!chat.may_send(&port(refused), member), "{refused}");
        }
        // Even a rule of a family does not open a node port that somebody has entered there.
        assert!(!chat.may_send(&port("n"), |_, _| true));
        assert!(chat.may_watch("rooms") && !chat.may_watch("'l") && !chat.may_watch(""));
        assert!(!reader.may_watch("rooms"));
    }

    #[test]
    fn hosts_and_origins_are_compared() {
        let access = Access::parse(RULES).unwrap();
        let own = "127.0.0.1:4041";
        for (host, origin) in [
            (Some(own), None),
            (Some("chat.example"), None),
            (Some("CHAT.example"), Some("https://chat.example")),
        ] {
            assert!(access.admits(host, origin, own), "{host:?} {origin:?}");
        }
        for (host, origin) in [
            (None, None),
            (Some("evil.example"), None),
            (Some("chat.example:80"), None),
            (Some(own), Some("https://evil.example")),
            (Some(own), Some("https://chat.example.evil.example")),
            (Some(own), Some("http://chat.example")),
            (Some(own), Some("null")),
            (Some(own), Some("")),
        ] {
            assert!(!access.admits(host, origin, own), "{host:?} {origin:?}");
        }
    }

    #[test]
    fn rules_that_open_too_much_are_refused() {
        let client = |rest: &str| {
            Access::parse(&format!(r#"{{"clients":[{{"name":"c","token":"0123456789abcdef",{rest}}}]}}"#))
        };
        for wrong in ["*", "node", "node#", "#x", "@", "@'l", "a b#x", ""] {
            let pattern = serde_json::to_string(wrong).unwrap();
            assert!(
                matches!(client(&format!(r#""send":[{pattern}]"#)), Err(AccessError::Pattern { .. })),
                "{wrong}"
            );
            assert!(
                matches!(client(&format!(r#""call":[{pattern}]"#)), Err(AccessError::Pattern { .. })),
                "{wrong}"
            );
        }
        assert!(matches!(client(r#""watch":["'l"]"#), Err(AccessError::Family { .. })));
        assert!(matches!(client(r#""kill":["*#*"]"#), Err(AccessError::Form(_))));
        let short = r#"{"clients":[{"name":"c","token":"short"}]}"#;
        assert!(matches!(Access::parse(short), Err(AccessError::ShortToken(_))));
        let twice = r#"{"clients":[{"name":"a","token":"0123456789abcdef"},{"name":"b","token":"0123456789abcdef"}]}"#;
        assert!(matches!(Access::parse(twice), Err(AccessError::SameToken(..))));
    }
}
