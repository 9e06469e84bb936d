//! The entries that this node owns. They are the truth about them: whichever master we have gets
//! them whole.

use std::collections::BTreeMap;

use super::FamilySize;
use super::size::{key_size, size};
use crate::Value;
use crate::wire::Tables;

/// What this node has set and not deleted.
#[derive(Debug, Default)]
pub(crate) struct Local {
    tables: Tables,
    count: usize,
    /// Which command of the program has set an entry last. The entries of the node itself are not
    /// in it.
    claims: BTreeMap<String, BTreeMap<String, u64>>,
}

impl Local {
    /// Adds or replaces an entry. Gives whether that changed anything.
    pub(crate) fn set(&mut self, family: &str, key: &str, value: &Value) -> bool {
        let entries = self.tables.entry(family.into()).or_default();
        if entries.get(key) == Some(value) {
            return false;
        }
        if entries.insert(key.into(), value.clone()).is_none() {
            self.count += 1;
        }
        true
    }

    /// The entry, which is there, was set by this command of the program.
    pub(crate) fn claim(&mut self, family: &str, key: &str, id: u64) {
        self.claims.entry(family.into()).or_default().insert(key.into(), id);
    }

    /// Whether this command was the last one of the program that has set the entry.
    pub(crate) fn is_claimed(&self, family: &str, key: &str, id: u64) -> bool {
        self.claims.get(family).and_then(|keys| keys.get(key)) == Some(&id)
    }

    /// Takes an entry back. Gives whether it was there.
    pub(crate) fn delete(&mut self, family: &str, key: &str) -> bool {
        if let Some(keys) = self.claims.get_mut(family) {
            keys.remove(key);
            if keys.is_empty() {
                self.claims.remove(family);
            }
        }
        let Some(entries) = self.tables.get_mut(family) else { return false };
        if entries.remove(key).is_none() {
            return false;
        }
        if entries.is_empty() {
            self.tables.remove(family);
        }
        self.count -= 1;
        true
    }

    /// Takes back all entries of the program, and gives their keys by family.
    pub(crate) fn disown(&mut self) -> BTreeMap<String, Vec<String>> {
        let claimed = std::mem::take(&mut self.claims).into_iter();
        let mut gone = BTreeMap::new();
        for (family, keys) in claimed {
            let mut keys: Vec<String> = keys.into_keys().collect();
            keys.retain(|key| self.delete(&family, key));
            gone.insert(family, keys);
        }
        gone
    }

    /// Whether there is such an entry.
    pub(crate) fn contains(&self, family: &str, key: &str) -> bool {
        self.tables.get(family).is_some_and(|entries| entries.contains_key(key))
    }

    /// How many entries there are.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// How many entries each family has, and about how many bytes these have on the wire.
    pub(crate) fn sizes(&self) -> BTreeMap<String, FamilySize> {
        let sizes = self.tables.iter().map(|(family, entries)| {
            let bytes = entries.iter().map(|(key, value)| key_size(key) + size(value)).sum();
            (family.clone(), FamilySize { entries: entries.len(), bytes })
        });
        sizes.collect()
    }

    /// All of it.
    pub(crate) fn tables(&self) -> &Tables {
        &self.tables
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_belongs_to_the_command_that_has_set_it_last() {
        let mut local = Local::default();
        local.set("f", "k", &1.into());
        local.claim("f", "k", 7);
        assert!(local.is_claimed("f", "k", 7));
        local.set("f", "k", &1.into());
        local.claim("f", "k", 8);
        assert!(!local.is_claimed("f", "k", 7) && local.is_claimed("f", "k", 8));
        local.delete("f", "k");
        local.set("f", "k", &2.into());
        assert!(!local.is_claimed("f", "k", 8), "it was deleted and set anew, by the node itself");
        local.delete("f", "k");
        assert!(local.claims.is_empty());
    }

    #[test]
    fn all_entries_of_the_program_can_be_taken_back_and_those_of_the_node_stay() {
        let mut local = Local::default();
        for (family, key) in [("'l", "n"), ("f", "a"), ("f", "b"), ("g", "a")] {
            local.set(family, key, &1.into());
        }
        for (n, (family, key)) in (1..).zip([("f", "a"), ("f", "b"), ("g", "a")]) {
            local.claim(family, key, n);
        }
        local.delete("g", "a");
        let gone = local.disown();
        assert_eq!(gone, BTreeMap::from([("f".into(), vec!["a".to_owned(), "b".into()])]));
        assert_eq!((local.count(), local.contains("'l", "n")), (1, true));
        assert!(!local.is_claimed("f", "a", 1));
    }

    #[test]
    fn only_a_change_is_a_change() {
        let mut local = Local::default();
        assert!(local.set("f", "k", &1.into()));
        assert!(!local.set("f", "k", &1.into()));
        assert!(local.set("f", "k", &Value::Null));
        assert_eq!(local.count(), 1);
        assert!(local.delete("f", "k"));
        assert!(!local.delete("f", "k"));
        assert_eq!((local.count(), local.tables().len()), (0, 0));
    }
}
