//! Outboxes that took more than they may hold. They must break: what came after the limit is lost,
//! and monitors tell of it.
//!
//! Owners of monitors set them again when they are told, and send again. If all that they send is
//! too much once more, the outbox breaks at once again, and the node would do nothing else. So the
//! first break comes at once, and each further one later than the one before. Until it comes the
//! outbox drops what is sent, and nobody has been told, so the promise holds.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Action, Kernel};
use crate::NodeId;
use crate::deadlines::Deadlines;
use crate::time::Time;

/// The first delay.
const MIN_DELAY: Duration = Duration::from_millis(20);

/// The longest delay. A loss must be told within the time in which a silent node is noticed, which
/// is 2 s at least.
const MAX_DELAY: Duration = Duration::from_secs(1);

/// After so long without an overflow the next one counts as the first.
const FORGET: Duration = Duration::from_secs(10);

/// The nodes whose outboxes have overflowed.
#[derive(Debug, Default)]
pub(super) struct Overflows {
    due: Deadlines<NodeId>,
    recent: BTreeMap<NodeId, Recent>,
}

/// The last break of an outbox that had overflowed.
#[derive(Debug)]
struct Recent {
    broke: Time,
    /// What the next one waits.
    delay: Duration,
}

impl Overflows {
    /// An outbox has overflowed: it has to break, at once or a little later.
    fn overflowed(&mut self, node: &NodeId, now: Time) {
        self.recent.retain(|_, recent| now < recent.broke.saturating_add(FORGET));
        let delay = self.recent.get(node).map_or(Duration::ZERO, |recent| recent.delay);
        self.due.set(node, Some(now.saturating_add(delay)));
    }

    /// Whether the outbox has overflowed, and not broken yet.
    pub(super) fn contains(&self, node: &NodeId) -> bool {
        self.due.contains(node)
    }

    /// The outbox breaks, for this reason or another one.
    fn broke(&mut self, node: &NodeId, now: Time) {
        if !self.due.clear(node) {
            return;
        }
        let next = |recent: &Recent| (recent.delay * 2).clamp(MIN_DELAY, MAX_DELAY);
        let delay = self.recent.get(node).map_or(MIN_DELAY, next);
        self.recent.insert(node.clone(), Recent { broke: now, delay });
    }

    /// When the next outbox has to break.
    pub(super) fn next_timeout(&self) -> Option<Time> {
        self.due.next()
    }
}

impl Kernel {
    /// The outbox of a node has overflowed.
    pub(super) fn overflow(&mut self, node: &NodeId, now: Time) {
        self.overflows.overflowed(node, now);
    }

    /// Breaks the outboxes for which it is time. An attempt to connect goes on, for it is what
    /// empties the outbox.
    pub(super) fn break_overflowed(&mut self, now: Time) {
        for node in self.overflows.due.due(now) {
            self.break_outbox(node.clone(), OVERFLOW, now);
            if self.links.is_up(&node) {
                self.links.disconnect(&node, OVERFLOW);
                self.follow_links_except_break(&node, now);
            }
        }
    }

    /// Has the outbox of a node broken.
    pub(super) fn break_outbox(&mut self, node: NodeId, reason: &str, now: Time) {
        self.overflows.broke(&node, now);
        self.actions.push_back(Action::Break { node, reason: reason.into() });
    }
}

/// Why such an outbox breaks, for people.
pub(super) const OVERFLOW: &str = "more was queued for the node than it took";

#[cfg(test)]
mod tests {
    use super::*;

    fn node() -> NodeId {
        NodeId::new("n").unwrap()
    }

    /// Overflows as soon as it has broken, for this long; returns when it broke.
    fn breaks(overflows: &mut Overflows, from: Time, to: Time) -> Vec<Time> {
        let (mut now, mut breaks) = (from, Vec::new());
        while now < to {
            overflows.overflowed(&node(), now);
            now = overflows.next_timeout().unwrap();
            overflows.broke(&node(), now);
            breaks.push(now);
        }
        breaks
    }

    #[test]
    fn the_first_break_comes_at_once_and_the_others_come_ever_later() {
        let mut overflows = Overflows::default();
        let breaks = breaks(&mut overflows, Time::ZERO, Time::from_secs(20));
        assert_eq!(breaks[0], Time::ZERO);
        let delays: Vec<Duration> = breaks.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert_eq!(delays[0], MIN_DELAY);
        assert!(delays.windows(2).all(|pair| pair[0] <= pair[1]), "{delays:?}");
        assert_eq!(delays.last(), Some(&MAX_DELAY));
    }

    #[test]
    fn after_a_pause_the_next_one_is_the_first_again() {
        let mut overflows = Overflows::default();
        let last = *breaks(&mut overflows, Time::ZERO, Time::from_secs(20)).last().unwrap();
        let later = last + FORGET;
        overflows.overflowed(&node(), later);
        assert_eq!(overflows.next_timeout(), Some(later));
    }

    #[test]
    fn a_break_for_another_reason_settles_it() {
        let mut overflows = Overflows::default();
        breaks(&mut overflows, Time::ZERO, Time::from_millis(1));
        overflows.overflowed(&node(), Time::from_millis(30));
        overflows.broke(&node(), Time::from_millis(31));
        assert!(!overflows.contains(&node()));
        assert_eq!(overflows.next_timeout(), None);
    }
}
