//! The connections of a node, and which of them need a look: a node with thousands looks after each
//! step only at those that the step had to do with.

use std::collections::{BTreeMap, BTreeSet};

use aemp_proto::kernel::{LinkId, Time};

use super::link::Link;

/// The connections of a node.
#[derive(Default)]
pub(super) struct Links {
    all: BTreeMap<LinkId, Link>,
    /// Those that something may have changed at, in order.
    touched: Vec<LinkId>,
    /// When each one has to be looked at, which is when it has something due or earlier, and the
    /// same by time.
    due: BTreeMap<LinkId, Time>,
    order: BTreeSet<(Time, LinkId)>,
}

impl Links {
    pub(super) fn insert(&mut self, link: LinkId, new: Link) {
        self.all.insert(link, new);
        self.touch(link);
    }

    pub(super) fn get(&self, link: &LinkId) -> Option<&Link> {
        self.all.get(link)
    }

    pub(super) fn get_mut(&mut self, link: &LinkId) -> Option<&mut Link> {
        self.touch(*link);
        self.all.get_mut(link)
    }

    pub(super) fn remove(&mut self, link: &LinkId) -> Option<Link> {
        self.touch(*link);
        self.all.remove(link)
    }

    /// All of them.
    pub(super) fn all(&self) -> Vec<LinkId> {
        self.all.keys().copied().collect()
    }

    /// There may be something to write to this one.
    pub(super) fn touch(&mut self, link: LinkId) {
        if let Err(place) = self.touched.binary_search(&link) {
            self.touched.insert(place, link);
        }
    }

    /// The touched one that follows.
    pub(super) fn touched_after(&self, last: Option<LinkId>) -> Option<LinkId> {
        let from = last.map_or(0, |last| self.touched.partition_point(|link| *link <= last));
        self.touched.get(from).copied()
    }

    /// Whether any has bytes that did not fit into its connection.
    pub(super) fn have_more(&self) -> bool {
        self.all.values().any(Link::has_more)
    }

    /// Those that have something due, in the order of their numbers.
    pub(super) fn due(&mut self, now: Time) -> Vec<LinkId> {
        self.look(|_| true);
        let mut due = Vec::new();
        while let Some((at, link)) = self.order.first().copied().filter(|(at, _)| *at <= now) {
            self.order.remove(&(at, link));
            self.due.remove(&link);
            // It may have got more time since.
            if self.all.get(&link).is_some_and(|known| known.next() <= now) {
                due.push(link);
            }
            self.touch(link);
        }
        due.sort_unstable();
        due
    }

    /// When the next one has something due. Those whose bytes did not fit stay touched, all others
    /// are at rest from here on.
    pub(super) fn next_due(&mut self) -> Option<Time> {
        self.look(Link::has_more);
        self.order.first().map(|(at, _)| *at)
    }

    /// Finds out when the touched ones have something due; those that are to stay touched do.
    fn look(&mut self, stays: impl Fn(&Link) -> bool) {
        let Links { all, touched, due, order } = self;
        touched.retain(|link| {
            let before = due.get(link).copied();
            let Some(known) = all.get(link) else {
                if let Some(before) = before {
                    due.remove(link);
                    order.remove(&(before, *link));
                }
                return false;
            };
            // Signs of life put the time off again and again; that is found out when it has come.
            let at = known.next();
            if before.is_none_or(|before| at < before) {
                if let Some(before) = before {
                    order.remove(&(before, *link));
                }
                due.insert(*link, at);
                order.insert((at, *link));
            }
            stays(known)
        });
    }
}
