//! What the subjects of a broker are called.
//!
//! ```text
//!   aemp.NETWORK.node.NODE.open        who wants a stream to a node says so here
//!   aemp.NETWORK.node.NODE.SESSION     what is for one end of a stream at a node
//!   aemp.NETWORK.global                asked by those who look for a global node
//! ```

use std::fmt::Write as _;
use std::str::FromStr;

use sha3::{Digest as _, Sha3_256};
use thiserror::Error;

use super::Session;
use crate::NodeId;

/// The most bytes of a subject that this module makes.
pub const SUBJECT_MAX: usize = 300;

/// The most bytes of a node ID in a subject; a longer one is replaced by a digest.
const NODE_MAX: usize = 200;

/// The most bytes of the name of a network.
const NETWORK_MAX: usize = 32;

/// What stands before the node ID where a node is to be reached through a broker, as `HOST:PORT`
/// stands where it is dialled. No host name has this form.
const THROUGH: &str = "broker:";

/// The address of a node that is reached through the broker.
pub fn address_of(node: &NodeId) -> String {
    format!("{THROUGH}{node}")
}

/// The address of any global node that is reached through the broker.
pub const ANY_GLOBAL: &str = THROUGH;

/// Whether an address leads through the broker.
pub fn is_address(address: &str) -> bool {
    address.starts_with(THROUGH)
}

/// The node of such an address, if it names one.
pub fn node_of(address: &str) -> Option<NodeId> {
    NodeId::new(address.strip_prefix(THROUGH)?).ok()
}

/// The name of a network at a broker. Networks of different names do not see each other there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network(String);

/// A text that is no name of a network at a broker.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "{0:?} is no name of a network at a broker; it has from 1 to {NETWORK_MAX} of the characters A-Z a-z 0-9 _ -"
)]
pub struct NetworkError(String);

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Network, NetworkError> {
        let is_usable = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
        match (1..=NETWORK_MAX).contains(&text.len()) && text.bytes().all(is_usable) {
            true => Ok(Network(text.into())),
            false => Err(NetworkError(text.into())),
        }
    }
}

impl Network {
    /// Where a stream to a node is asked for.
    pub fn open(&self, node: &NodeId) -> String {
        format!("{}.open", self.node(node))
    }

    /// Where one end of a stream at a node gets its chunks.
    pub fn stream(&self, node: &NodeId, session: Session) -> String {
        format!("{}.{session}", self.node(node))
    }

    /// All that is for a node.
    pub fn all_of(&self, node: &NodeId) -> String {
        format!("{}.*", self.node(node))
    }

    /// Where global nodes answer.
    pub fn global(&self) -> String {
        format!("aemp.{}.global", self.0)
    }

    /// Whether this is a subject of a node of this network.
    pub fn is_of_node(&self, subject: &str) -> bool {
        subject.strip_prefix(&self.nodes()).is_some_and(|rest| !rest.is_empty())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn node(&self, node: &NodeId) -> String {
        format!("{}{}", self.nodes(), token(node.as_str()))
    }

    fn nodes(&self) -> String {
        format!("aemp.{}.node.", self.0)
    }
}

/// A node ID as one word of a subject. Different IDs have different words: `=` itself is always
/// written as a number, and `=h` begins no number.
fn token(node: &str) -> String {
    let mut token = String::with_capacity(node.len());
    for b in node.bytes() {
        match b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'/') {
            true => token.push(char::from(b)),
            false => append_number(&mut token, "=", b),
        }
    }
    if token.len() <= NODE_MAX {
        return token;
    }
    let mut digest = String::from("=h");
    Sha3_256::digest(node).iter().for_each(|b| append_number(&mut digest, "", *b));
    digest
}

fn append_number(out: &mut String, mark: &str, b: u8) {
    // Writing into a string does not fail.
    let _ = write!(out, "{mark}{b:02x}");
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn node_ids_are_words_of_subjects() {
        for (id, word) in [
            ("shop/1", "shop/1"),
            ("10.0.0.1:4040", "10=2e0=2e0=2e1=3a4040"),
            ("a*b>c", "a=2ab=3ec"),
            ("=h", "=3dh"),
        ] {
            assert_eq!(token(id), word);
        }
    }

    #[test]
    fn different_node_ids_have_different_words() {
        let long = |last: char| format!("{}{last}", ".".repeat(1023));
        let mut ids = vec![long('a'), long('b'), long('.'), "=".repeat(66), "=".repeat(67)];
        ids.extend((0x21..0x7f_u8).map(|b| format!("n{}", char::from(b))));
        ids.extend((0x21..0x7f_u8).map(|b| format!("=h{}", char::from(b))));
        ids.extend((0x21..0x7f_u8).map(|b| format!("n=2{}", char::from(b))));
        let words: BTreeSet<String> = ids.iter().map(|id| token(id)).collect();
        assert_eq!(words.len(), ids.len());
        for word in words {
            assert!(word.len() <= NODE_MAX, "{word}");
            assert!(!word.contains(['.', '*', '>', ' ']), "{word}");
        }
    }

    #[test]
    fn subjects_of_the_longest_names_are_short_enough_for_a_broker() {
        let network: Network = "n".repeat(NETWORK_MAX).parse().unwrap();
        let node = NodeId::new(&"x".repeat(NODE_MAX)).unwrap();
        let subject = network.stream(&node, Session::new(u128::MAX));
        assert!(subject.len() <= SUBJECT_MAX, "{}", subject.len());
        let session = subject.rsplit_once('.').and_then(|(_, last)| Session::from_hex(last));
        assert_eq!(session, Some(Session::new(u128::MAX)));
        assert_eq!(Session::from_hex("open"), None);
    }

    #[test]
    fn the_name_of_a_network_has_no_special_characters() {
        for text in ["", "a.b", "a b", "*", ">", "é", &"n".repeat(NETWORK_MAX + 1)] {
            assert!(text.parse::<Network>().is_err(), "{text}");
        }
    }
}
