//! Times at which things are due, one for each key. The kernel asks for the earliest after each
//! input, so that is found without a look at all of them.

use std::collections::{BTreeMap, BTreeSet};

use crate::time::Time;

/// When something is due for these keys.
#[derive(Debug)]
pub(crate) struct Deadlines<K> {
    times: BTreeMap<K, Time>,
    order: BTreeSet<(Time, K)>,
}

impl<K: Ord + Clone> Deadlines<K> {
    /// Something is due for this key at this time, and no longer when it was before; `None`:
    /// nothing is.
    pub(crate) fn set(&mut self, key: &K, due: Option<Time>) {
        self.clear(key);
        if let Some(due) = due {
            self.times.insert(key.clone(), due);
            self.order.insert((due, key.clone()));
        }
    }

    /// Nothing is due for this key. Gives whether something was.
    pub(crate) fn clear(&mut self, key: &K) -> bool {
        let Some((key, due)) = self.times.remove_entry(key) else { return false };
        self.order.remove(&(due, key))
    }

    /// The keys for which something is due by now, in their own order. They stay until they are set
    /// anew or cleared.
    pub(crate) fn due(&self, now: Time) -> Vec<K> {
        let due = self.order.iter().take_while(|(due, _)| *due <= now);
        let mut keys: Vec<K> = due.map(|(_, key)| key.clone()).collect();
        keys.sort();
        keys
    }

    /// Whether something is, or will be, due for this key.
    pub(crate) fn contains(&self, key: &K) -> bool {
        self.times.contains_key(key)
    }

    /// When the first of all is due.
    pub(crate) fn next(&self) -> Option<Time> {
        self.order.first().map(|(due, _)| *due)
    }
}

impl<K> Default for Deadlines<K> {
    fn default() -> Deadlines<K> {
        Deadlines { times: BTreeMap::new(), order: BTreeSet::new() }
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_order_is_what_a_look_at_all_keys_gives(
            steps in vec((0..6u8, proptest::option::of(0..9u64), 0..9u64), 0..40),
        ) {
            let mut deadlines = Deadlines::default();
            let mut all: BTreeMap<u8, Time> = BTreeMap::new();
            for (key, due, now) in steps {
                let (due, now) = (due.map(Time::from_millis), Time::from_millis(now));
                let known = match due {
                    Some(due) => all.insert(key, due),
                    None => all.remove(&key),
                };
                match due {
                    None if now.is_zero() => prop_assert_eq!(deadlines.clear(&key), known.is_some()),
                    due => deadlines.set(&key, due),
                }
                prop_assert_eq!(deadlines.next(), all.values().min().copied());
                prop_assert_eq!(deadlines.contains(&key), due.is_some());
                let late: Vec<u8> = all.iter().filter(|(_, due)| **due <= now).map(|(key, _)| *key).collect();
                prop_assert_eq!(deadlines.due(now), late);
            }
        }
    }
}
