//! The shared database: what this node owns, the merge that a global node holds, and how a program
//! sees it (`PROTOCOL.md` §7).

pub(crate) mod client;
pub(crate) mod fit;
pub(crate) mod local;
pub(crate) mod merged;
pub(crate) mod size;
pub(crate) mod watch;

use std::collections::BTreeMap;

use crate::Value;
use crate::wire::request::Family;

/// The family of addresses: node ID → list of binds.
pub(crate) const LISTENERS: &str = "'l";

/// The family of ways to nodes that cannot be dialled: node ID → list of ways, each of a kind that
/// begins with its name. Today there is `via:NODEID`. They stand in a family of their own, for Perl
/// nodes would dial them.
pub(crate) const ROUTES: &str = "'x";

/// The family of global nodes: node ID → null.
pub(crate) const GLOBALS: &str = "'g";

/// The family in which our own global nodes tell each other which of several values for one subkey
/// is the latest. It never reaches a Perl node, nor a program.
pub(crate) const VERSIONS: &str = "'v";

/// A family as it stands in front of the space in the names of stamps.
pub(crate) fn escape_family(family: &str) -> String {
    family.replace('%', "%25").replace(' ', "%20")
}

/// The family and the subkey in the name of a stamp.
pub(crate) fn stamped(name: &str) -> Option<(String, &str)> {
    let (family, key) = name.split_once(' ')?;
    Some((family.replace("%20", " ").replace("%25", "%"), key))
}

/// Addresses of one node that count: a machine has few.
const ADDRESSES_MAX: usize = 16;

/// Global nodes that one node may list: each of them is connected to each, and every entry costs
/// all of them a dial.
pub(crate) const GLOBALS_MAX: usize = 256;

/// What has changed in one family. A subkey is in one of the two at most.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Change {
    /// Added and changed subkeys.
    pub(crate) set: Family,
    /// Deleted subkeys.
    pub(crate) deleted: Vec<String>,
}

/// How large a family is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FamilySize {
    /// How many entries it has.
    pub entries: usize,
    /// About how many bytes these have on the wire.
    pub bytes: usize,
}

/// What a query asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueryKind {
    /// Subkeys and values, as a map.
    Family,
    /// The subkeys, as a list.
    Keys,
    /// The values, as a list.
    Values,
}

/// What has changed, by family.
pub(crate) type Changes = BTreeMap<String, Change>;

/// Addresses as the value of an entry in [`LISTENERS`].
pub(crate) fn binds_to_value(binds: &[String]) -> Value {
    Value::List(binds.iter().map(|bind| Value::name(bind)).collect())
}

/// The addresses in the value of an entry in [`LISTENERS`].
pub(crate) fn binds_of_value(value: &Value) -> Vec<String> {
    match value {
        Value::List(binds) => binds.iter().take(ADDRESSES_MAX).filter_map(Value::to_name).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_names_any_family_and_any_subkey() {
        for (family, key) in [("f", "k"), ("a b", "c d"), ("100%", "%20"), ("%20", ""), (" ", " ")] {
            let name = format!("{} {key}", escape_family(family));
            assert_eq!(stamped(&name), Some((family.into(), key)), "{name}");
        }
    }
}
