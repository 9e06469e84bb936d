//! Watches: what a program on this node knows of a family, and how it learns of changes.
//!
//! All that a master reports is compared with what was known, so that a watcher sees only what is
//! true: what is added was absent, what is deleted was there, and a new master's snapshot is a
//! change like any other.
//!
//! An event carries what it puts in, not the family after it: a family that grows by one entry at a
//! time would be copied for each as long as somebody holds the one before, and cost the square of
//! its size.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Change;
use crate::wire::request::Family;

/// What one watch is told.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Event {
    /// Which watch.
    pub(crate) id: u64,
    /// Subkeys that were absent.
    pub(crate) added: Vec<String>,
    /// Subkeys with another value.
    pub(crate) changed: Vec<String>,
    /// Subkeys that are gone.
    pub(crate) deleted: Vec<String>,
    /// All that was added or changed, with its value; it may name what is as it was. The family
    /// before without what was deleted, and with this put in, is the family now.
    pub(crate) set: Arc<Family>,
}

#[derive(Debug, Default)]
struct Watched {
    /// What was last known; nothing before the first snapshot.
    known: Option<Arc<Family>>,
    /// Whether `known` is what the present master has told, so that its changes can be applied to
    /// it.
    current: bool,
    ids: Vec<u64>,
    /// Whether the kernel itself needs the family, so that it stays watched without any watch of
    /// the program.
    held: bool,
}

/// All watches of this node.
#[derive(Debug, Default)]
pub(crate) struct Watches {
    families: BTreeMap<String, Watched>,
    by_id: BTreeMap<u64, String>,
}

impl Watches {
    /// Begins a watch. Gives its first event if the family is known already, and whether it is the
    /// first watch of this family, so that the master has to be asked.
    pub(crate) fn watch(&mut self, id: u64, family: &str) -> (Option<Event>, bool) {
        self.by_id.insert(id, family.into());
        let first = !self.families.contains_key(family);
        let watched = self.families.entry(family.into()).or_default();
        watched.ids.push(id);
        (watched.known.clone().map(|content| introduction(id, content)), first)
    }

    /// Ends a watch. Gives the family if that was its last one.
    pub(crate) fn unwatch(&mut self, id: u64) -> Option<String> {
        let family = self.by_id.remove(&id)?;
        let watched = self.families.get_mut(&family)?;
        watched.ids.retain(|other| *other != id);
        if !watched.ids.is_empty() || watched.held {
            return None;
        }
        self.families.remove(&family);
        Some(family)
    }

    /// Watches a family for the kernel itself. Returns whether it is the first watch of this
    /// family, so that the master has to be asked.
    pub(crate) fn hold(&mut self, family: &str) -> bool {
        let first = !self.families.contains_key(family);
        self.families.entry(family.into()).or_default().held = true;
        first
    }

    /// Ends what [`Watches::hold`] began. Returns whether that was the last watch of this family.
    pub(crate) fn release(&mut self, family: &str) -> bool {
        let Some(watched) = self.families.get_mut(family).filter(|watched| watched.held) else {
            return false;
        };
        watched.held = false;
        let last = watched.ids.is_empty();
        if last {
            self.families.remove(family);
        }
        last
    }

    /// Returns the content of a watched family, if the present master has told it.
    pub(crate) fn current(&self, family: &str) -> Option<&Family> {
        self.families.get(family).filter(|watched| watched.current)?.known.as_deref()
    }

    /// The families that are watched.
    pub(crate) fn families(&self) -> impl Iterator<Item = &String> {
        self.families.keys()
    }

    /// There is another master, or none: what it says counts only after its snapshot.
    pub(crate) fn new_master(&mut self) {
        for watched in self.families.values_mut() {
            watched.current = false;
        }
    }

    /// The master's snapshot of a family.
    pub(crate) fn content(&mut self, family: &str, content: Family) -> Vec<Event> {
        let Some(watched) = self.families.get_mut(family) else { return Vec::new() };
        watched.current = true;
        match watched.known.take() {
            None => {
                let content = watched.known.insert(Arc::new(content)).clone();
                watched.ids.iter().map(|id| introduction(*id, content.clone())).collect()
            }
            Some(known) => {
                let (added, changed) = differences(&content, &known);
                let deleted: Vec<String> =
                    known.keys().filter(|key| !content.contains_key(*key)).cloned().collect();
                let content = Arc::new(content);
                watched.known = Some(content.clone());
                watched.tell(&added, &changed, &deleted, content)
            }
        }
    }

    /// A change of a family that the master reports.
    pub(crate) fn changed(&mut self, family: &str, change: Change) -> Vec<Event> {
        let Some(watched) = self.families.get_mut(family).filter(|watched| watched.current) else {
            return Vec::new();
        };
        let Some(known) = &mut watched.known else { return Vec::new() };
        let (added, changed) = differences(&change.set, known);
        // A Perl master also names subkeys that are still there, or were not.
        let mut deleted = change.deleted;
        deleted.retain(|key| known.contains_key(key) && !change.set.contains_key(key));
        deleted.sort();
        deleted.dedup();
        if added.is_empty() && changed.is_empty() && deleted.is_empty() {
            return Vec::new();
        }
        // Copied only while the first event of a watch, which shares it, is on its way.
        let known = Arc::make_mut(known);
        for key in &deleted {
            known.remove(key);
        }
        known.extend(change.set.iter().map(|(key, value)| (key.clone(), value.clone())));
        watched.tell(&added, &changed, &deleted, Arc::new(change.set))
    }
}

impl Watched {
    fn tell(&self, added: &[String], changed: &[String], deleted: &[String], set: Arc<Family>) -> Vec<Event> {
        if added.is_empty() && changed.is_empty() && deleted.is_empty() {
            return Vec::new();
        }
        let event = |id: &u64| Event {
            id: *id,
            added: added.to_vec(),
            changed: changed.to_vec(),
            deleted: deleted.to_vec(),
            set: set.clone(),
        };
        self.ids.iter().map(event).collect()
    }
}

fn introduction(id: u64, content: Arc<Family>) -> Event {
    Event {
        id,
        added: content.keys().cloned().collect(),
        changed: Vec::new(),
        deleted: Vec::new(),
        set: content,
    }
}

/// The subkeys of `new` that are absent from `old`, and those that have another value there.
fn differences(new: &Family, old: &Family) -> (Vec<String>, Vec<String>) {
    let (mut added, mut changed) = (Vec::new(), Vec::new());
    for (key, value) in new {
        match old.get(key) {
            None => added.push(key.clone()),
            Some(known) if known != value => changed.push(key.clone()),
            Some(_) => {}
        }
    }
    (added, changed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Value;

    fn family(entries: &[(&str, i32)]) -> Family {
        entries.iter().map(|(key, value)| ((*key).into(), Value::from(*value))).collect()
    }

    fn change(set: &[(&str, i32)], deleted: &[&str]) -> Change {
        Change { set: family(set), deleted: deleted.iter().map(|key| (*key).into()).collect() }
    }

    fn lists(event: &Event) -> (Vec<&str>, Vec<&str>, Vec<&str>) {
        (
            event.added.iter().map(String::as_str).collect(),
            event.changed.iter().map(String::as_str).collect(),
            event.deleted.iter().map(String::as_str).collect(),
        )
    }

    #[test]
    fn the_first_event_comes_even_when_there_is_nothing() {
        let mut watches = Watches::default();
        assert_eq!(watches.watch(1, "f"), (None, true));
        let events = watches.content("f", Family::new());
        assert_eq!(events.len(), 1);
        assert_eq!(lists(&events[0]), (vec![], vec![], vec![]));
        assert!(watches.content("f", Family::new()).is_empty());
    }

    #[test]
    fn a_second_watch_starts_with_what_is_known() {
        let mut watches = Watches::default();
        watches.watch(1, "f");
        watches.content("f", family(&[("a", 1)]));
        let (event, first) = watches.watch(2, "f");
        assert!(!first);
        assert_eq!(lists(&event.unwrap()), (vec!["a"], vec![], vec![]));
    }

    #[test]
    fn only_what_is_true_is_told() {
        let mut watches = Watches::default();
        watches.watch(1, "f");
        watches.content("f", family(&[("a", 1), ("b", 2)]));
        let events = watches.changed("f", change(&[("a", 1), ("b", 3), ("c", 4)], &["b", "x", "x"]));
        assert_eq!(lists(&events[0]), (vec!["c"], vec!["b"], vec![]));
        assert_eq!(*events[0].set, family(&[("a", 1), ("b", 3), ("c", 4)]));
        assert!(watches.changed("f", change(&[("a", 1)], &["x"])).is_empty());
        let events = watches.changed("f", change(&[], &["a"]));
        assert_eq!(lists(&events[0]), (vec![], vec![], vec!["a"]));
    }

    #[test]
    fn an_event_has_what_it_puts_in_and_not_the_whole_family() {
        let mut watches = Watches::default();
        watches.watch(1, "f");
        watches.content("f", family(&[("a", 1), ("b", 2)]));
        let events = watches.changed("f", change(&[("c", 3)], &[]));
        assert_eq!(*events[0].set, family(&[("c", 3)]));
    }

    #[test]
    fn a_new_masters_snapshot_is_told_as_a_difference() {
        let mut watches = Watches::default();
        watches.watch(1, "f");
        watches.content("f", family(&[("a", 1), ("b", 2)]));
        watches.new_master();
        assert!(watches.changed("f", change(&[("z", 1)], &[])).is_empty(), "before its snapshot");
        let events = watches.content("f", family(&[("b", 3), ("c", 4)]));
        assert_eq!(lists(&events[0]), (vec!["c"], vec!["b"], vec!["a"]));
    }

    #[test]
    fn a_family_that_the_kernel_holds_outlives_the_watches_of_the_program() {
        let mut watches = Watches::default();
        assert!(watches.hold("f"));
        assert_eq!(watches.watch(1, "f"), (None, false));
        assert_eq!(watches.unwatch(1), None);
        assert_eq!(watches.current("f"), None, "nobody has told it yet");
        assert!(watches.content("f", family(&[("a", 1)])).is_empty());
        assert_eq!(watches.current("f"), Some(&family(&[("a", 1)])));
        watches.new_master();
        assert_eq!(watches.current("f"), None, "another master has not told it yet");
        assert!(watches.release("f"));
        assert!(!watches.release("f"));
    }

    #[test]
    fn the_last_watch_of_a_family_ends_it() {
        let mut watches = Watches::default();
        watches.watch(1, "f");
        watches.watch(2, "f");
        assert_eq!(watches.unwatch(1), None);
        assert_eq!(watches.unwatch(1), None);
        assert_eq!(watches.unwatch(2).as_deref(), Some("f"));
        assert!(watches.content("f", family(&[("a", 1)])).is_empty());
        assert_eq!(watches.watch(3, "f"), (None, true));
    }
}
