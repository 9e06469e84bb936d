//! The node ID that a configured text stands for.

use super::{ConfigError, random_text};
use aemp::NodeId;

/// Letters and digits of the random part: 107 bits, so that no two nodes of any network share one.
const RANDOM_LEN: usize = 18;

/// Expands a configured node ID: `%n` becomes the host's node name, `%u` and the end after a
/// trailing `/` a random text (the same one wherever it stands).
///
/// # Errors
///
/// The outcome is not a node ID, or there are no random numbers.
pub fn expand_node_id(text: &str, host_name: &str) -> Result<NodeId, ConfigError> {
    let mut text = text.replace("%n", host_name);
    if text.ends_with('/') {
        text.push_str("%u");
    }
    if text.contains("%u") {
        text = text.replace("%u", &random_text(RANDOM_LEN)?);
    }
    NodeId::new(&text).map_err(|source| ConfigError::NodeId { text, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expand(text: &str) -> String {
        expand_node_id(text, "host").unwrap().as_str().to_owned()
    }

    #[test]
    fn plain_ids_and_host_names() {
        assert_eq!(expand("seed"), "seed");
        assert_eq!(expand("aemp/%n/x"), "aemp/host/x");
    }

    #[test]
    fn a_trailing_slash_and_percent_u_are_random() {
        let (one, other) = (expand("anon/"), expand("anon/"));
        assert_eq!(one.len(), "anon/".len() + RANDOM_LEN);
        assert_ne!(one, other);
        let inner = expand("a/%u/b");
        assert!(inner.starts_with("a/") && inner.ends_with("/b"), "{inner}");
        let twice = expand("%u-%u");
        let (left, right) = twice.split_once('-').unwrap();
        assert_eq!(left, right);
    }

    #[test]
    fn what_cannot_be_an_id_is_refused() {
        for bad in ["", "a#b", "a;b", "a b"] {
            assert!(matches!(expand_node_id(bad, "host"), Err(ConfigError::NodeId { .. })), "{bad}");
        }
    }
}
