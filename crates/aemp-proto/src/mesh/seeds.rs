//! The seeds: nodes that are contacted first and kept connected (`PROTOCOL.md` §6).

use std::time::Duration;

use crate::NodeId;
use crate::kernel::random::Random;
use crate::kernel::{LinkId, Time};

/// The shortest time before missing seeds are tried again; the first time is once to twice this.
const FIRST_RETRY: Duration = Duration::from_millis(600);

#[derive(Debug)]
struct Seed {
    address: String,
    /// Who answered there last.
    node: Option<NodeId>,
    /// The dial under way.
    link: Option<LinkId>,
}

/// The list of seeds, and when the missing ones are tried again.
#[derive(Debug)]
pub(crate) struct Seeds {
    seeds: Vec<Seed>,
    longest: Duration,
    retry: Duration,
    next: Option<Time>,
}

impl Seeds {
    /// The seeds at these addresses; the time between two tries grows up to `longest`.
    pub(crate) fn new(addresses: &[String], longest: Duration, random: &mut Random, now: Time) -> Seeds {
        let mut seeds: Vec<Seed> = Vec::new();
        for address in addresses {
            if seeds.iter().all(|seed| seed.address != *address) {
                seeds.push(Seed { address: address.clone(), node: None, link: None });
            }
        }
        let next = (!seeds.is_empty()).then_some(now);
        Seeds { seeds, longest, retry: random.once_or_twice(FIRST_RETRY), next }
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.seeds.is_empty()
    }

    /// The addresses to be dialled now, if it is time to try again.
    pub(crate) fn due(&mut self, up: impl Fn(&NodeId) -> bool, now: Time) -> Vec<String> {
        if self.next.is_none_or(|next| next > now) {
            return Vec::new();
        }
        let missing: Vec<&Seed> = self.seeds.iter().filter(|seed| seed.is_missing(&up)).collect();
        if missing.is_empty() {
            self.next = None;
            return Vec::new();
        }
        let addresses = missing.iter().filter(|seed| seed.link.is_none()).map(|seed| seed.address.clone());
        let addresses = addresses.collect();
        self.next = Some(now + self.retry);
        self.retry = (self.retry * 2).min(self.longest);
        addresses
    }

    /// Not all could be dialled: tries again at this time, if it is not due earlier anyway.
    pub(crate) fn postpone(&mut self, until: Time) {
        self.next = Some(self.next.map_or(until, |next| next.min(until)));
    }

    /// A seed is being dialled.
    pub(crate) fn dialled(&mut self, address: &str, link: LinkId) {
        if let Some(seed) = self.seeds.iter_mut().find(|seed| seed.address == address) {
            seed.link = Some(link);
        }
    }

    /// Somebody has answered on this link.
    pub(crate) fn greeted(&mut self, link: LinkId, node: &NodeId) {
        if let Some(seed) = self.seeds.iter_mut().find(|seed| seed.link == Some(link)) {
            seed.node = Some(node.clone());
        }
    }

    /// The seed that this link has reached is this very node: it is none.
    pub(crate) fn drop_own(&mut self, link: LinkId) {
        self.seeds.retain(|seed| seed.link != Some(link));
    }

    /// The dial is over, well or badly.
    pub(crate) fn ended(&mut self, link: LinkId) {
        if let Some(seed) = self.seeds.iter_mut().find(|seed| seed.link == Some(link)) {
            seed.link = None;
        }
    }

    /// A node went down. If it is a seed, the search for seeds starts over.
    pub(crate) fn lost(&mut self, node: &NodeId, random: &mut Random, now: Time) {
        if self.contains(node) {
            self.start_over(random, now);
        }
    }

    /// Tries missing seeds at once, and then with the shortest waiting times.
    pub(crate) fn start_over(&mut self, random: &mut Random, now: Time) {
        self.retry = random.once_or_twice(FIRST_RETRY);
        self.next = (!self.seeds.is_empty()).then_some(now);
    }

    /// Whether this node has answered at the address of a seed.
    pub(crate) fn contains(&self, node: &NodeId) -> bool {
        self.seeds.iter().any(|seed| seed.node.as_ref() == Some(node))
    }

    /// The addresses at which this node has answered.
    pub(crate) fn addresses_of(&self, node: &NodeId) -> Vec<String> {
        let seeds = self.seeds.iter().filter(|seed| seed.node.as_ref() == Some(node));
        seeds.map(|seed| seed.address.clone()).collect()
    }

    /// The first seed that is up.
    pub(crate) fn first_up(&self, up: impl Fn(&NodeId) -> bool) -> Option<&NodeId> {
        self.seeds.iter().filter_map(|seed| seed.node.as_ref()).find(|node| up(node))
    }

    /// Whether a seed is not connected.
    pub(crate) fn any_missing(&self, up: impl Fn(&NodeId) -> bool) -> bool {
        self.seeds.iter().any(|seed| seed.is_missing(&up))
    }

    /// When [`Seeds::due`] has something to do.
    pub(crate) fn next_timeout(&self) -> Option<Time> {
        self.next
    }
}

impl Seed {
    fn is_missing(&self, up: impl Fn(&NodeId) -> bool) -> bool {
        !self.node.as_ref().is_some_and(up)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Time {
        Time::from_millis(millis)
    }

    fn seeds(list: &[&str]) -> Seeds {
        let list: Vec<String> = list.iter().map(|address| (*address).into()).collect();
        Seeds::new(&list, at(5000), &mut Random::new(3), at(0))
    }

    #[test]
    fn missing_seeds_are_tried_at_once_and_then_ever_more_rarely() {
        let mut seeds = seeds(&["a:1"]);
        let (mut now, mut gaps) = (at(0), Vec::new());
        for n in 0..8 {
            assert_eq!(seeds.due(|_| false, now), ["a:1"]);
            seeds.dialled("a:1", LinkId::dialled(n));
            seeds.ended(LinkId::dialled(n));
            let next = seeds.next_timeout().unwrap();
            gaps.push(next - now);
            now = next;
        }
        assert!(gaps[0] >= at(600) && gaps[0] <= at(1200), "{gaps:?}");
        assert_eq!(gaps[1], gaps[0] * 2);
        assert_eq!(gaps[7], at(5000));
    }

    #[test]
    fn a_seed_that_is_being_dialled_is_not_dialled_again() {
        let mut seeds = seeds(&["a:1", "b:1", "a:1"]);
        assert_eq!(seeds.due(|_| false, at(0)), ["a:1", "b:1"]);
        seeds.dialled("a:1", LinkId::dialled(1));
        assert_eq!(seeds.due(|_| false, at(2000)), ["b:1"]);
    }

    #[test]
    fn with_all_seeds_up_there_is_nothing_to_do_until_one_is_lost() {
        let mut seeds = seeds(&["a:1"]);
        let node = NodeId::new("n").unwrap();
        seeds.due(|_| false, at(0));
        seeds.dialled("a:1", LinkId::dialled(1));
        seeds.greeted(LinkId::dialled(1), &node);
        seeds.ended(LinkId::dialled(1));
        assert!(seeds.due(|_| true, at(2000)).is_empty());
        assert_eq!(seeds.next_timeout(), None);
        seeds.lost(&node, &mut Random::new(0), at(3000));
        assert_eq!(seeds.due(|_| false, at(3000)), ["a:1"]);
    }

    #[test]
    fn a_seed_that_is_this_node_is_dropped() {
        let mut seeds = seeds(&["a:1"]);
        seeds.dialled("a:1", LinkId::dialled(1));
        seeds.drop_own(LinkId::dialled(1));
        assert!(seeds.is_empty());
    }
}
