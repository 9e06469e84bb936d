//! Names: node IDs and port IDs, how they are read and printed.
//!
//! A [`PortId`] is small and cheap to clone. Names that our own nodes make have the shape *head +
//! number*; they are kept as a shared head and a number, so that a million ports of one node share
//! one allocation. The split is a pure function of the text, so two port IDs are equal exactly if
//! their texts are.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::str::FromStr;
use std::sync::Arc;

use thiserror::Error;

/// Bytes of the head of a name that our own nodes make; the number in base 62 follows.
pub const HEAD_LEN: usize = 12;

/// The most bytes that a node ID may have: a greeting line must hold it beside everything else.
pub const NODE_ID_MAX: usize = 1024;

/// The most bytes (as UTF-8) that a port name may have; the native framing has sixteen bits for it.
pub const PORT_NAME_MAX: usize = 4096;

/// A text that cannot be a node ID or a port ID.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum NameError {
    /// The node ID is empty.
    #[error("a node ID must not be empty")]
    Empty,
    /// The name is longer than [`NODE_ID_MAX`] or [`PORT_NAME_MAX`].
    #[error("a name of {len} bytes is longer than the {limit} allowed")]
    TooLong {
        /// Bytes that the text has.
        len: usize,
        /// Bytes that it may have.
        limit: usize,
    },
    /// The node ID has a character that the protocol reserves.
    #[error(
        "a node ID must not contain {0:?} (allowed are printable ASCII characters without '#', ';' and white space)"
    )]
    Forbidden(char),
    /// A port ID without `#`, where one was needed.
    #[error("a port ID has the form NODE#PORT, and {0:?} has no '#'")]
    NoHash(String),
}

/// The name of one node in a network.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(Arc<str>);

impl NodeId {
    /// Takes a text as a node ID.
    ///
    /// # Errors
    ///
    /// The text is empty, too long, or has a character that is not printable ASCII, or a `#` or
    /// `;`: the greeting could not carry it.
    pub fn new(text: &str) -> Result<NodeId, NameError> {
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        if text.len() > NODE_ID_MAX {
            return Err(NameError::TooLong { len: text.len(), limit: NODE_ID_MAX });
        }
        if let Some(bad) = text.chars().find(|&c| c == '#' || c == ';' || !c.is_ascii_graphic()) {
            return Err(NameError::Forbidden(bad));
        }
        Ok(NodeId(text.into()))
    }

    /// The text of the ID.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The node port of this node: the destination of requests to the node itself.
    pub fn control_port(&self) -> PortId {
        self.named("")
    }

    /// The port with this name on this node. The name is taken as it is.
    pub fn named(&self, name: &str) -> PortId {
        let (head, number) = split_name(name);
        PortId { home: At::Shared(Home::new(self.clone(), head)), number }
    }
}

impl FromStr for NodeId {
    type Err = NameError;

    fn from_str(text: &str) -> Result<NodeId, NameError> {
        NodeId::new(text)
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeId({})", self.0)
    }
}

/// A node together with the head that a group of its port names shares. A node makes one for its
/// own ports and numbers them with [`Home::port`].
pub struct Home {
    node: NodeId,
    head: Box<str>,
    /// Whether names may be numbered, which is asked for every port ID that is made.
    numbered: bool,
}

impl PartialEq for Home {
    fn eq(&self, other: &Home) -> bool {
        self.node == other.node && self.head == other.head
    }
}

impl Eq for Home {}

impl Home {
    /// A home for names that begin with `head`. For [`Home::port`] the head must have [`HEAD_LEN`]
    /// bytes of `[0-9A-Za-z.]`; a whole name without number is a head too.
    pub fn new(node: NodeId, head: &str) -> Arc<Home> {
        Arc::new(Home { node, head: head.into(), numbered: is_head(head) })
    }

    /// The port with this number, which must not be 0.
    ///
    /// # Panics
    ///
    /// The head is not one for numbered names, or the number is 0.
    pub fn port(self: &Arc<Home>, number: u64) -> PortId {
        self.check(number);
        PortId { home: At::Shared(self.clone()), number }
    }

    /// A home that is never given back (some hundred bytes), for the node that runs here: IDs of
    /// its ports are copied without a count of references, which all threads would have to share.
    ///
    /// The library tells nodes apart by the address of their home, also after the end of a node:
    /// memory that was given back could become the home of another one.
    pub fn lasting(node: NodeId, head: &str) -> &'static Home {
        Box::leak(Box::new(Home { node, head: head.into(), numbered: is_head(head) }))
    }

    /// As [`Home::port`], for a home that lasts.
    ///
    /// # Panics
    ///
    /// As [`Home::port`].
    #[inline]
    pub fn own_port(&'static self, number: u64) -> PortId {
        self.check(number);
        PortId { home: At::Lasting(self), number }
    }

    #[inline]
    fn check(&self, number: u64) {
        assert!(number != 0 && self.numbered, "only a numbered home numbers its ports, from 1 on");
    }

    /// The node of these names.
    pub fn node(&self) -> &NodeId {
        &self.node
    }

    /// What these names begin with.
    pub fn head(&self) -> &str {
        &self.head
    }
}

/// Where a home is kept.
#[derive(Clone)]
enum At {
    Lasting(&'static Home),
    Shared(Arc<Home>),
}

impl Deref for At {
    type Target = Home;

    #[inline]
    fn deref(&self) -> &Home {
        match self {
            At::Lasting(home) => home,
            At::Shared(home) => home,
        }
    }
}

/// The name of a port: `NODE#NAME`. Holding one keeps nothing alive, and the port need not exist.
#[derive(Clone)]
pub struct PortId {
    home: At,
    number: u64,
}

impl PortId {
    /// Reads `NODE#NAME`; a text without `#` is a node ID and means its node port, as in the
    /// protocol.
    ///
    /// # Errors
    ///
    /// The part before the first `#` is not a node ID, or the name is too long.
    pub fn parse(text: &str) -> Result<PortId, NameError> {
        let (node, name) = text.split_once('#').unwrap_or((text, ""));
        if name.len() > PORT_NAME_MAX {
            return Err(NameError::TooLong { len: name.len(), limit: PORT_NAME_MAX });
        }
        Ok(NodeId::new(node)?.named(name))
    }

    /// The node that the port is on.
    #[inline]
    pub fn node(&self) -> &NodeId {
        &self.home.node
    }

    /// What the name shares with others, and the number after it; 0 where the head is the whole
    /// name.
    #[inline]
    pub fn parts(&self) -> (&Home, u64) {
        (&self.home, self.number)
    }

    /// The name of the port on its node, as it stands on the wire; empty for the node port.
    pub fn name(&self) -> PortName<'_> {
        PortName { head: &self.home.head, number: self.number }
    }

    /// Whether this is the node port.
    #[inline]
    pub fn is_node(&self) -> bool {
        self.number == 0 && self.home.head.is_empty()
    }
}

impl PartialEq for PortId {
    fn eq(&self, other: &PortId) -> bool {
        self.number == other.number && (std::ptr::eq(&*self.home, &*other.home) || *self.home == *other.home)
    }
}

impl Eq for PortId {}

impl Hash for PortId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // The head is random per process, so head and number tell nearly all ports apart.
        self.home.head.hash(state);
        self.number.hash(state);
    }
}

impl PartialOrd for PortId {
    fn partial_cmp(&self, other: &PortId) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for PortId {
    fn cmp(&self, other: &PortId) -> std::cmp::Ordering {
        let (home, others) = (&self.home, &other.home);
        (&home.node, &home.head, self.number).cmp(&(&others.node, &others.head, other.number))
    }
}

impl FromStr for PortId {
    type Err = NameError;

    fn from_str(text: &str) -> Result<PortId, NameError> {
        PortId::parse(text)
    }
}

impl From<NodeId> for PortId {
    fn from(node: NodeId) -> PortId {
        node.control_port()
    }
}

impl fmt::Display for PortId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_node() {
            return self.home.node.fmt(f);
        }
        self.home.node.fmt(f)?;
        f.write_str("#")?;
        self.name().fmt(f)
    }
}

impl fmt::Debug for PortId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PortId({self})")
    }
}

/// The part of a port ID after the `#`, ready to be written somewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortName<'a> {
    head: &'a str,
    number: u64,
}

impl PortName<'_> {
    /// Appends the name to `out`.
    pub fn write_to(&self, out: &mut String) {
        out.push_str(self.head);
        if self.number != 0 {
            let mut digits = [0u8; 11];
            out.push_str(base62(self.number, &mut digits));
        }
    }
}

impl fmt::Display for PortName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.head)?;
        if self.number == 0 {
            return Ok(());
        }
        f.write_str(base62(self.number, &mut [0; 11]))
    }
}

const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Twelve characters out of random bytes, for the head of a node's port names (71 random bits).
pub fn random_head(random: [u8; HEAD_LEN]) -> String {
    random.iter().map(|b| DIGITS[usize::from(*b) % 62] as char).collect()
}

fn is_head(head: &str) -> bool {
    head.len() == HEAD_LEN && head.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.')
}

/// Splits a name into head and number; the one rule that makes texts and parts correspond one to
/// one.
pub fn split_name(name: &str) -> (&str, u64) {
    match name.split_at_checked(HEAD_LEN) {
        Some((head, tail)) if is_head(head) => match parse_base62(tail) {
            Some(number) => (head, number),
            None => (name, 0),
        },
        _ => (name, 0),
    }
}

/// The name that [`split_name`] splits into these parts.
pub fn join_name(head: &str, number: u64) -> String {
    let mut name = String::with_capacity(head.len() + 11);
    PortName { head, number }.write_to(&mut name);
    name
}

fn base62(mut number: u64, digits: &mut [u8; 11]) -> &str {
    let mut at = digits.len();
    while number > 0 {
        at -= 1;
        digits[at] = DIGITS[(number % 62) as usize];
        number /= 62;
    }
    std::str::from_utf8(&digits[at..]).unwrap_or_default()
}

fn parse_base62(text: &str) -> Option<u64> {
    if text.is_empty() || text.len() > 11 || text.starts_with('0') {
        return None;
    }
    text.bytes().try_fold(0u64, |number, b| {
        let digit = match b {
            b'0'..=b'9' => b - b'0',
            b'A'..=b'Z' => b - b'A' + 10,
            b'a'..=b'z' => b - b'a' + 36,
            _ => return None,
        };
        number.checked_mul(62)?.checked_add(u64::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_bare_node_id_means_its_node_port() {
        let port = PortId::parse("seed/1").unwrap();
        assert!(port.is_node());
        assert_eq!(port.to_string(), "seed/1");
        assert_eq!(port, PortId::parse("seed/1#").unwrap());
    }

    #[test]
    fn the_first_hash_separates() {
        let port = PortId::parse("a#b#c").unwrap();
        assert_eq!(port.node().as_str(), "a");
        assert_eq!(port.name().to_string(), "b#c");
    }

    #[test]
    fn node_ids_with_reserved_characters_are_refused() {
        for bad in ["", "a;b", "a b", "a\n", "a\u{0}", "a\u{7f}", "é"] {
            assert!(NodeId::new(bad).is_err(), "{bad:?}");
        }
        assert!(NodeId::new("a#b").is_err());
        assert!(NodeId::new(&"x".repeat(NODE_ID_MAX)).is_ok());
        assert!(NodeId::new(&"x".repeat(NODE_ID_MAX + 1)).is_err());
    }

    #[test]
    fn a_numbered_port_equals_its_parsed_text() {
        let home = Home::new(NodeId::new("n").unwrap(), "0123456789ab");
        for number in [1, 61, 62, u64::from(u32::MAX), u64::MAX] {
            let port = home.port(number);
            let parsed = PortId::parse(&port.to_string()).unwrap();
            assert_eq!(parsed, port);
            assert_eq!(parsed.parts().1, number);
        }
    }

    #[test]
    fn a_lasting_home_makes_the_same_names() {
        let node = NodeId::new("n").unwrap();
        let lasting = Home::lasting(node.clone(), "0123456789ab").own_port(7);
        assert_eq!(lasting, Home::new(node, "0123456789ab").port(7));
        assert_eq!(lasting, PortId::parse(&lasting.to_string()).unwrap());
    }

    proptest! {
        #[test]
        fn every_name_survives_print_and_parse(name in "[0-9A-Za-z.#/é]{0,26}") {
            let port = NodeId::new("n").unwrap().named(&name);
            prop_assert_eq!(port.name().to_string(), name);
        }

        #[test]
        fn ids_are_equal_exactly_if_their_texts_are(a in "[0-2a.]{11,15}", b in "[0-2a.]{11,15}") {
            let node = NodeId::new("n").unwrap();
            prop_assert_eq!(node.named(&a) == node.named(&b), a == b);
        }
    }
}
