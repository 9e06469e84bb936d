//! What a node knows of the messages that it follows: which ones it begins with, how many more
//! there may be now, and what became of the last ones.

use std::collections::VecDeque;
use std::hash::{BuildHasher as _, RandomState};
use std::num::{NonZeroU64, NonZeroU128};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use aemp_proto::kernel::Time;
use aemp_proto::{PortId, TraceContext};
use parking_lot::Mutex;

use super::hop::{Hop, Hops};
use super::rule::{Rule, Subject};
use crate::log::clock;
use crate::rate_limit::RateLimit;

/// Hops that are remembered.
const HOPS_MAX: usize = 2048;

/// Rules that count at once. The oldest one ends first.
const RULES_MAX: usize = 16;

/// Messages that are followed at once, and in a second in the long run.
const FOLLOWED_MAX: f64 = 200.0;

/// What a node knows of the messages that it follows.
pub(crate) struct Tracer {
    /// Whether there are rules: what comes from other nodes is looked at one by one then.
    ruled: AtomicBool,
    rules: Mutex<VecDeque<Active>>,
    limit: Mutex<RateLimit>,
    /// Messages that were not followed because of it.
    withheld: AtomicU64,
    hops: Mutex<HopLog>,
    /// IDs are made of a number each, so that none comes twice, with a key that nobody knows.
    key: RandomState,
    ids: AtomicU64,
}

struct Active {
    subject: Subject,
    left: u32,
    until: Time,
}

#[derive(Default)]
struct HopLog {
    last: VecDeque<Hop>,
    number: u64,
}

impl Default for Tracer {
    fn default() -> Tracer {
        Tracer {
            ruled: AtomicBool::default(),
            rules: Mutex::default(),
            limit: Mutex::new(RateLimit::new(FOLLOWED_MAX, FOLLOWED_MAX, Time::ZERO)),
            withheld: AtomicU64::default(),
            hops: Mutex::default(),
            key: RandomState::new(),
            ids: AtomicU64::default(),
        }
    }
}

impl Tracer {
    /// Whether there are rules.
    #[inline]
    pub(crate) fn has_rules(&self) -> bool {
        self.ruled.load(Ordering::Relaxed)
    }

    /// From now on this rule counts, in the place of another one for the same. Says whether there
    /// were rules before, and are now.
    pub(super) fn set_rule(&self, rule: Rule, now: Time) -> (bool, bool) {
        let mut rules = self.rules.lock();
        rules.retain(|other| other.subject != rule.subject && other.until > now);
        if rule.count > 0 {
            if rules.len() == RULES_MAX {
                rules.pop_front();
            }
            rules.push_back(Active { subject: rule.subject, left: rule.count, until: now + rule.lasts });
        }
        let after = !rules.is_empty();
        (self.ruled.swap(after, Ordering::Relaxed), after)
    }

    /// Whether a message begins a trace, by a rule. Of a rule that is used up nothing is left; says
    /// with `false` that it was the last one.
    pub(super) fn matches(
        &self,
        port: &PortId,
        tag: impl FnOnce() -> Option<String>,
        now: Time,
    ) -> (bool, bool) {
        let mut rules = self.rules.lock();
        rules.retain(|rule| rule.until > now);
        let by_tag = rules.iter().any(|rule| matches!(rule.subject, Subject::Tag(_)));
        let tag = by_tag.then(tag).flatten();
        let found = rules.iter().position(|rule| match &rule.subject {
            Subject::Port(wanted) => wanted == port,
            Subject::Tag(wanted) => tag.as_ref() == Some(wanted),
        });
        if let Some(at) = found
            && let Some(rule) = rules.get_mut(at)
        {
            rule.left -= 1;
            if rule.left == 0 {
                rules.remove(at);
            }
        }
        let after = !rules.is_empty();
        let ended = self.ruled.swap(after, Ordering::Relaxed) && !after;
        (found.is_some(), !ended)
    }

    /// Whether one more message may be followed now.
    pub(super) fn may_follow(&self, now: Time) -> bool {
        let may = self.limit.lock().take(1.0, now);
        if !may {
            self.withheld.fetch_add(1, Ordering::Relaxed);
        }
        may
    }

    /// The ID of a new span.
    pub(super) fn new_span(&self) -> NonZeroU64 {
        loop {
            let number = self.ids.fetch_add(1, Ordering::Relaxed);
            if let Some(id) = NonZeroU64::new(self.key.hash_one(number)) {
                return id;
            }
        }
    }

    /// A new trace, at its beginning.
    pub(super) fn new_trace(&self) -> TraceContext {
        let [high, low, span] = [(); 3].map(|()| self.new_span());
        TraceContext::sampled(NonZeroU128::from(high) | (u128::from(low.get()) << 64), span)
    }

    pub(super) fn remember(&self, hop: Hop) {
        let mut memory = self.hops.lock();
        memory.number += 1;
        let number = memory.number;
        if memory.last.len() == HOPS_MAX {
            memory.last.pop_front();
        }
        memory.last.push_back(Hop { number, ..hop });
    }

    /// What is remembered, from this number on.
    pub(super) fn hops(&self, from: u64) -> Hops {
        let memory = self.hops.lock();
        let hops = memory.last.iter().filter(|hop| hop.number >= from).cloned().collect();
        let next = memory.number + 1;
        drop(memory);
        Hops { time: clock::now(), withheld: self.withheld.load(Ordering::Relaxed), next, hops }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::time::Duration;

    use super::*;

    fn rule(subject: Subject, count: u32) -> Rule {
        Rule { subject, count, lasts: Duration::from_secs(10) }
    }

    fn port(name: &str) -> PortId {
        PortId::parse(&format!("node#{name}")).expect("a port ID")
    }

    const NOW: Time = Duration::from_secs(100);

    #[test]
    fn a_rule_counts_for_so_many_messages_and_so_long() {
        let tracer = Tracer::default();
        assert_eq!(tracer.set_rule(rule(Subject::Port(port("a")), 2), NOW), (false, true));
        let at = |name: &str, now| tracer.matches(&port(name), || None, now);
        assert_eq!(at("b", NOW), (false, true));
        assert_eq!(at("a", NOW), (true, true));
        assert_eq!(at("a", NOW), (true, false), "the last one");
        assert_eq!(at("a", NOW), (false, true));
        assert!(!tracer.has_rules());
        tracer.set_rule(rule(Subject::Port(port("a")), 2), NOW);
        assert_eq!(at("a", NOW + Duration::from_secs(10)), (false, false), "it is over");
    }

    #[test]
    fn a_tag_is_asked_for_only_if_a_rule_wants_one() {
        let tracer = Tracer::default();
        tracer.set_rule(rule(Subject::Port(port("a")), 1), NOW);
        tracer.matches(&port("b"), || panic!("nobody wants it"), NOW);
        tracer.set_rule(rule(Subject::Tag("t".into()), 1), NOW);
        assert_eq!(tracer.matches(&port("b"), || Some("x".into()), NOW), (false, true));
        assert_eq!(tracer.matches(&port("b"), || Some("t".into()), NOW), (true, true));
    }

    #[test]
    fn of_very_many_messages_two_hundred_a_second_are_followed() {
        let tracer = Tracer::default();
        let ms = Duration::from_millis;
        let taken = (0..10_000u64).filter(|n| tracer.may_follow(ms(*n))).count();
        assert!((2190..=2210).contains(&taken), "{taken}");
        assert_eq!(tracer.hops(0).withheld, 10_000 - taken as u64);
    }

    #[test]
    fn what_is_remembered_is_limited_and_no_id_comes_twice() {
        let tracer = Tracer::default();
        let mut spans = HashSet::new();
        for _ in 0..3 * HOPS_MAX {
            assert!(spans.insert(tracer.new_span()));
            tracer.remember(Hop::default());
        }
        let hops = tracer.hops(0).hops;
        assert_eq!(hops.len(), HOPS_MAX);
        assert_eq!(hops.first().map(|hop| hop.number), Some(2 * HOPS_MAX as u64 + 1));
        assert_eq!(tracer.hops(3 * HOPS_MAX as u64).hops.len(), 1);
        assert_ne!(tracer.new_trace().trace(), tracer.new_trace().trace());
    }
}
