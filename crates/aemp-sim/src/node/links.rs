//! The connections of a node, and which of them need a look: a node with thousands looks after each step only at those that the
//! step had to do with.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use aemp_proto::kernel::{LinkId, Time};

use super::link::Link;

/// The connections of a node.
#[derive(Default)]
pub(super) struct Links {
    all: BTreeMap<LinkId, Link>,
    /// Those that something may have changed at.
    touched: BTreeSet<LinkId>,
    /// When each of the others has something due, and the same by time.
    due: BTreeMap<LinkId, Time>,
    order: BTreeSet<(Time, LinkId)>,
}

impl Links {
    pub(super) fn insert(&mut self, link: LinkId, new: Link) {
        self.all.insert(link, new);
        self.touched.insert(link);
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

    /// There may be something to write to this one.
    pub(super) fn touch(&mut self, link: LinkId) {
        self.touched.insert(link);
    }

    /// The touched one that follows.
    pub(super) fn touched_after(&self, last: Option<LinkId>) -> Option<LinkId> {
        let from = last.map_or(Bound::Unbounded, Bound::Excluded);
        self.touched.range((from, Bound::Unbounded)).next().copied()
    }

    /// Those that have something due, in the order of their numbers.
    pub(super) fn due(&mut self, now: Time) -> Vec<LinkId> {
        self.look(|_| true);
        let mut due: Vec<LinkId> =
            self.order.iter().take_while(|(at, _)| *at <= now).map(|(_, link)| *link).collect();
        due.sort_unstable();
        due
    }

    /// When the next one has something due. Those whose octets did not fit stay touched, all others are at rest from here on.
    pub(super) fn next_due(&mut self) -> Option<Time> {
        self.look(|link| !link.out.is_empty());
        self.order.first().map(|(at, _)| *at)
    }

    /// Finds out when the touched ones have something due; those that are to stay touched do.
    fn look(&mut self, stays: impl Fn(&Link) -> bool) {
        for link in std::mem::take(&mut self.touched) {
            if let Some(at) = self.due.remove(&link) {
                self.order.remove(&(at, link));
            }
            let Some(known) = self.all.get(&link) else { continue };
            let at = known.next();
            self.due.insert(link, at);
            self.order.insert((at, link));
            if stays(known) {
                self.touched.insert(link);
            }
        }
    }
}
