//! A global node stays connected to every other one that it has heard of.
//!
//! A global node that is lost vanishes from the database, and with it its address. So that two of
//! them find together again after the network between them was cut, its last addresses are kept
//! here for a day, and tried ever more rarely.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::NodeId;
use crate::deadlines::Deadlines;
use crate::random::Random;
use crate::time::Time;

/// The shortest time before a lost node is tried again; the first time is once to twice this.
const FIRST_RETRY: Duration = Duration::from_millis(300);

/// When nodes are tried for which there was no room; all together, so that they cost one look.
const POSTPONED: Duration = Duration::from_millis(500);

/// Of two nodes that hear of each other at the same moment, the one with the higher ID waits once
/// to twice this.
const COURTESY: Duration = Duration::from_millis(100);

/// How long a node is looked for that nobody has mentioned since.
const REMEMBERED: Duration = Duration::from_secs(24 * 3600);

#[derive(Debug)]
struct Kept {
    /// Whether the database lists it.
    listed: bool,
    addresses: Vec<String>,
    retry: Duration,
    /// When to try again; `None` while it is up.
    next: Option<Time>,
    /// When to give up, if it is not listed.
    until: Time,
}

/// The global nodes to stay connected to.
#[derive(Debug)]
pub(crate) struct Keep {
    own: NodeId,
    longest: Duration,
    nodes: BTreeMap<NodeId, Kept>,
    /// When nodes are tried again.
    tries: Deadlines<NodeId>,
    /// When nodes are given up.
    ends: Deadlines<NodeId>,
}

impl Keep {
    /// Nobody yet. The time between two tries grows up to `longest`.
    pub(crate) fn new(own: NodeId, longest: Duration) -> Keep {
        let (tries, ends) = Default::default();
        Keep { own, longest, nodes: BTreeMap::new(), tries, ends }
    }

    /// The database lists this node as global.
    pub(crate) fn list(&mut self, node: &NodeId, is_up: bool, random: &mut Random, now: Time) {
        if *node == self.own {
            return;
        }
        let kept = self.nodes.entry(node.clone()).or_insert_with(|| Kept::new(random, now));
        if !kept.listed && !is_up {
            let wait = if self.own < *node { Duration::ZERO } else { random.once_or_twice(COURTESY) };
            kept.retry = random.once_or_twice(FIRST_RETRY);
            kept.next = Some(now + wait);
        }
        kept.listed = true;
        self.schedule(node);
    }

    /// The database does not list it any more.
    pub(crate) fn unlist(&mut self, node: &NodeId) {
        let Some(kept) = self.nodes.get_mut(node) else { return };
        kept.listed = false;
        // A node that never was connected with us has left by its own will, as far as we know.
        if kept.next.is_some() && kept.addresses.is_empty() {
            self.nodes.remove(node);
        }
        self.schedule(node);
    }

    /// The node is up.
    pub(crate) fn came_up(&mut self, node: &NodeId) {
        if let Some(kept) = self.nodes.get_mut(node) {
            kept.next = None;
            self.schedule(node);
        }
    }

    /// The node, a global one, is down; these were its addresses.
    pub(crate) fn lost(&mut self, node: &NodeId, addresses: Vec<String>, random: &mut Random, now: Time) {
        let kept = self.nodes.entry(node.clone()).or_insert_with(|| Kept::new(random, now));
        kept.retry = random.once_or_twice(FIRST_RETRY);
        kept.next = Some(now + kept.retry);
        kept.until = now + REMEMBERED;
        if !addresses.is_empty() {
            kept.addresses = addresses;
        }
        self.schedule(node);
    }

    /// Somebody else answers where this node was.
    pub(crate) fn replaced(&mut self, node: &NodeId) {
        if self.nodes.get(node).is_some_and(|kept| !kept.listed) {
            self.nodes.remove(node);
            self.schedule(node);
        }
    }

    /// Its last known addresses.
    pub(crate) fn addresses_of(&self, node: &NodeId) -> Vec<String> {
        self.nodes.get(node).map_or_else(Vec::new, |kept| kept.addresses.clone())
    }

    /// Whether we want to be connected with this node.
    pub(crate) fn contains(&self, node: &NodeId) -> bool {
        self.nodes.contains_key(node)
    }

    /// At most this many of the nodes to be tried now: those first that have failed least often.
    /// The others are tried a little later.
    pub(crate) fn due(&mut self, most: impl FnOnce() -> usize, now: Time) -> Vec<NodeId> {
        for node in self.ends.due(now) {
            self.nodes.remove(&node);
            self.schedule(&node);
        }
        let mut due = self.tries.due(now);
        if due.is_empty() {
            return due;
        }
        let most = most();
        if due.len() > most {
            due.sort_by_key(|node| self.nodes.get(node).map(|kept| kept.retry));
        }
        let later = due.split_off(due.len().min(most));
        for node in &due {
            if let Some(kept) = self.nodes.get_mut(node) {
                kept.next = Some(now + kept.retry);
                kept.retry = (kept.retry * 2).min(self.longest);
            }
            self.schedule(node);
        }
        for node in later {
            if let Some(kept) = self.nodes.get_mut(&node) {
                kept.next = Some(now + POSTPONED);
            }
            self.schedule(&node);
        }
        due
    }

    /// The network seems to be back: tries all soon.
    pub(crate) fn start_over(&mut self, random: &mut Random, now: Time) {
        for (node, kept) in &mut self.nodes {
            kept.retry = random.once_or_twice(FIRST_RETRY);
            kept.next = kept.next.map(|next| next.min(now + kept.retry));
            self.tries.set(node, kept.next);
        }
    }

    /// When [`Keep::due`] has something to do.
    pub(crate) fn next_timeout(&self) -> Option<Time> {
        self.tries.next()
    }

    /// Notes when something is due for this node, which has changed or is gone.
    fn schedule(&mut self, node: &NodeId) {
        let kept = self.nodes.get(node);
        self.tries.set(node, kept.and_then(|kept| kept.next));
        self.ends.set(node, kept.and_then(Kept::end));
    }
}

impl Kept {
    fn new(random: &mut Random, now: Time) -> Kept {
        let retry = random.once_or_twice(FIRST_RETRY);
        Kept { listed: false, addresses: Vec::new(), retry, next: None, until: now + REMEMBERED }
    }

    /// When nobody looks for it any more.
    fn end(&self) -> Option<Time> {
        (self.next.is_some() && !self.listed).then_some(self.until)
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn node(id: &str) -> NodeId {
        NodeId::new(id).unwrap()
    }

    fn keep() -> (Keep, Random) {
        (Keep::new(node("m"), Duration::from_secs(5)), Random::new(5))
    }

    #[test]
    fn the_lower_id_goes_first() {
        let (mut keep, mut random) = keep();
        keep.list(&node("z"), false, &mut random, Time::ZERO);
        keep.list(&node("a"), false, &mut random, Time::ZERO);
        keep.list(&node("m"), false, &mut random, Time::ZERO);
        assert_eq!(keep.due(|| 9, Time::ZERO), [node("z")]);
        assert_eq!(keep.due(|| 9, Time::from_millis(200)), [node("a")]);
    }

    #[test]
    fn a_lost_node_is_tried_ever_more_rarely_with_its_last_addresses() {
        let (mut keep, mut random) = keep();
        keep.list(&node("a"), true, &mut random, Time::ZERO);
        assert_eq!(keep.next_timeout(), None);
        keep.lost(&node("a"), vec!["a:1".into()], &mut random, Time::ZERO);
        keep.unlist(&node("a"));
        assert_eq!(keep.addresses_of(&node("a")), ["a:1"]);
        let mut now = Time::ZERO;
        let gaps: Vec<Duration> = (0..7)
            .map(|_| {
                let next = keep.next_timeout().unwrap();
                let gap = next - now;
                now = next;
                assert_eq!(keep.due(|| 9, now), [node("a")]);
                gap
            })
            .collect();
        assert!(gaps[0] >= FIRST_RETRY && gaps[0] <= FIRST_RETRY * 2, "{gaps:?}");
        assert_eq!(gaps[2], gaps[1] * 2);
        assert_eq!(gaps[6], Duration::from_secs(5));
        assert!(keep.due(|| 9, now + REMEMBERED).is_empty());
        assert!(!keep.contains(&node("a")));
    }

    #[test]
    fn of_many_that_are_due_those_go_first_that_have_failed_least_often() {
        let (mut keep, mut random) = keep();
        let nodes = ["n1", "n2", "n3"].map(node);
        for node in &nodes {
            keep.list(node, false, &mut random, Time::ZERO);
        }
        let first = keep.due(|| 2, Time::ZERO);
        assert_eq!(first.len(), 2);
        assert_eq!(keep.due(|| 2, Time::ZERO), []);
        let (left, later) = (nodes.iter().find(|node| !first.contains(node)).unwrap(), Time::from_secs(9));
        keep.list(&node("z"), false, &mut random, later);
        let second = keep.due(|| 2, later);
        assert!(second.len() == 2 && second.contains(&node("z")) && second.contains(left), "{second:?}");
        assert_eq!(keep.due(|| 2, Time::from_secs(10)).len(), 2, "the others come later");
    }

    #[test]
    fn a_node_whose_place_is_taken_is_given_up() {
        let (mut keep, mut random) = keep();
        keep.lost(&node("a"), vec!["a:1".into()], &mut random, Time::ZERO);
        keep.replaced(&node("a"));
        assert!(!keep.contains(&node("a")));
    }

    proptest! {
        #[test]
        fn what_is_due_is_what_a_look_at_all_nodes_gives(
            events in vec((0..6u8, 0..4usize, any::<bool>(), 0..40_000u64), 0..60),
        ) {
            let (mut keep, mut random) = keep();
            let nodes = ["a", "k", "x", "z"].map(node);
            let mut now = Time::ZERO;
            for (event, at, yes, seconds) in events {
                now += Duration::from_secs(if yes { seconds } else { seconds % 2 });
                let node = &nodes[at];
                match event {
                    0 => keep.list(node, yes, &mut random, now),
                    1 => keep.unlist(node),
                    2 => keep.came_up(node),
                    3 => keep.lost(node, vec!["a:1".into(); yes.into()], &mut random, now),
                    4 => keep.replaced(node),
                    _ => keep.start_over(&mut random, now),
                }
                prop_assert_eq!(keep.next_timeout(), keep.nodes.values().filter_map(|kept| kept.next).min());
                let stays = |kept: &Kept| kept.listed || kept.next.is_none() || kept.until > now;
                let left: Vec<NodeId> =
                    keep.nodes.iter().filter(|(_, kept)| stays(kept)).map(|(node, _)| node.clone()).collect();
                let is_due = |node: &&NodeId| keep.nodes[*node].next.is_some_and(|next| next <= now);
                let due: Vec<NodeId> = left.iter().filter(is_due).cloned().collect();
                prop_assert_eq!(keep.due(|| 9, now), due);
                prop_assert_eq!(keep.nodes.keys().cloned().collect::<Vec<_>>(), left);
                prop_assert!(keep.next_timeout().is_none_or(|next| next > now));
            }
        }
    }
}
