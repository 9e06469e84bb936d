//! The entries that this node owns. They are the truth about them: whichever master we have gets them whole.

use crate::Value;
use crate::wire::Tables;

/// What this node has set and not deleted.
#[derive(Debug, Default)]
pub(crate) struct Local {
    tables: Tables,
    count: usize,
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

    /// Takes an entry back. Gives whether it was there.
    pub(crate) fn delete(&mut self, family: &str, key: &str) -> bool {
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

    /// Whether there is such an entry.
    pub(crate) fn contains(&self, family: &str, key: &str) -> bool {
        self.tables.get(family).is_some_and(|entries| entries.contains_key(key))
    }

    /// How many entries there are.
    pub(crate) fn count(&self) -> usize {
        self.count
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
