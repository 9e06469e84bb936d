//! The seeds: nodes that are contacted first and kept connected (`PROTOCOL.md` §6).
//!
//! A name may stand for several nodes, one of which is ourselves: that of a service, say, behind
//! which all seeds are. One connection to the nearest of them would make islands of two nodes each,
//! so from then on every address of the name is a seed by itself, and the name is looked up again
//! from time to time.

use core::net::SocketAddr;
use std::collections::BTreeSet;
use std::time::Duration;

use crate::NodeId;
use crate::broker::is_address;
use crate::link_id::LinkId;
use crate::random::Random;
use crate::time::Time;

/// The shortest time before missing seeds are tried again; the first time is once to twice this.
const FIRST_RETRY: Duration = Duration::from_millis(600);

#[derive(Debug)]
struct Seed {
    address: String,
    /// Who answered there last.
    node: Option<NodeId>,
    /// The dial under way.
    link: Option<LinkId>,
    kind: Kind,
}

#[derive(Debug, PartialEq)]
enum Kind {
    /// The node that answers at the address is the seed.
    Single,
    /// A name that stands for us and for others.
    Group,
    /// An address of this group.
    Member(String),
}

/// What must be done about a seed.
#[derive(Debug, PartialEq)]
pub(crate) enum Try {
    /// Dial this address.
    Dial(String),
    /// Look this name up, whose addresses are seeds.
    Resolve(String),
}

/// The list of seeds, and when the missing ones are tried again.
#[derive(Debug)]
pub(crate) struct Seeds {
    seeds: Vec<Seed>,
    /// Addresses of groups that are ourselves.
    own: BTreeSet<String>,
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
                seeds.push(Seed::new(address, Kind::Single));
            }
        }
        let next = (!seeds.is_empty()).then_some(now);
        Seeds { seeds, own: BTreeSet::new(), longest, retry: random.once_or_twice(FIRST_RETRY), next }
    }

    /// From now on these are the seeds. What is known of those that stay is kept, and the others
    /// are forgotten; gives the links that were being dialled to them. New ones are tried at once.
    pub(crate) fn replace(&mut self, addresses: &[String], now: Time) -> Vec<LinkId> {
        let stays = |seed: &Seed| match &seed.kind {
            Kind::Single | Kind::Group => addresses.contains(&seed.address),
            Kind::Member(group) => addresses.contains(group),
        };
        let (mut kept, dropped): (Vec<_>, Vec<_>) = self.seeds.drain(..).partition(stays);
        // One that is named stays a seed when the name of its group stands for others.
        let named =
            |seed: &&mut Seed| matches!(seed.kind, Kind::Member(_)) && addresses.contains(&seed.address);
        kept.iter_mut().filter(named).for_each(|seed| seed.kind = Kind::Single);
        for (at, address) in addresses.iter().enumerate() {
            if self.own.contains(address) || kept.iter().any(|seed| seed.address == *address) {
                continue;
            }
            kept.insert(at.min(kept.len()), Seed::new(address, Kind::Single));
            self.next = Some(now);
        }
        self.seeds = kept;
        dropped.into_iter().filter_map(|seed| seed.link).collect()
    }

    /// This name stands for us and for others, if it is the name of a seed.
    pub(crate) fn stands_for_many(&mut self, name: &str, now: Time) {
        if let Some(seed) = self.seeds.iter_mut().find(|seed| seed.address == name) {
            seed.kind = Kind::Group;
            self.next = Some(now);
        }
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.seeds.is_empty()
    }

    /// What must be done now, if it is time to try again.
    pub(crate) fn due(&mut self, up: impl Fn(&NodeId) -> bool, now: Time) -> Vec<Try> {
        if self.next.is_none_or(|next| next > now) {
            return Vec::new();
        }
        let wanted: Vec<&Seed> = self.seeds.iter().filter(|seed| seed.is_wanted(&up)).collect();
        if wanted.is_empty() {
            self.next = None;
            return Vec::new();
        }
        let due = wanted.iter().filter(|seed| seed.link.is_none()).map(|seed| seed.next_try());
        let due = due.collect();
        self.next = Some(now + self.retry);
        self.retry = (self.retry * 2).min(self.longest);
        due
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

    /// This link has reached this very node. An address is no seed, then; a name may have other
    /// addresses, too, now or later.
    pub(crate) fn is_own(&mut self, link: LinkId, now: Time) {
        let Some(at) = self.seeds.iter().position(|seed| seed.link == Some(link)) else { return };
        if self.seeds[at].address.parse::<SocketAddr>().is_ok() {
            self.own.insert(self.seeds.remove(at).address);
        } else {
            self.seeds[at].link = None;
            self.seeds[at].kind = Kind::Group;
            self.next = Some(now);
        }
    }

    /// The name of a group stands for these addresses. Where nobody is any more, nobody is looked
    /// for.
    pub(crate) fn resolved(&mut self, name: &str, addresses: &[String], now: Time) {
        if addresses.is_empty() || !self.seeds.iter().any(|seed| seed.address == name) {
            return;
        }
        let member = Kind::Member(name.into());
        self.seeds
            .retain(|seed| seed.kind != member || seed.link.is_some() || addresses.contains(&seed.address));
        for address in addresses {
            if !self.own.contains(address) && self.seeds.iter().all(|seed| seed.address != *address) {
                self.seeds.push(Seed::new(address, Kind::Member(name.into())));
                self.next = Some(now);
            }
        }
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

    /// The addresses at which this node has answered, and at which others can dial it as well.
    pub(crate) fn addresses_of(&self, node: &NodeId) -> Vec<String> {
        let seeds = self.seeds.iter().filter(|seed| seed.node.as_ref() == Some(node));
        let addresses = seeds.map(|seed| &seed.address).filter(|address| !is_address(address));
        addresses.cloned().collect()
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
    fn new(address: &str, kind: Kind) -> Seed {
        Seed { address: address.into(), node: None, link: None, kind }
    }

    /// Whether it is a node that we are not connected to.
    fn is_missing(&self, up: impl Fn(&NodeId) -> bool) -> bool {
        self.kind != Kind::Group && !self.node.as_ref().is_some_and(up)
    }

    /// Whether something must be done about it.
    fn is_wanted(&self, up: impl Fn(&NodeId) -> bool) -> bool {
        self.kind == Kind::Group || self.is_missing(up)
    }

    fn next_try(&self) -> Try {
        match self.kind {
            Kind::Group => Try::Resolve(self.address.clone()),
            Kind::Single | Kind::Member(_) => Try::Dial(self.address.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Time {
        Time::from_millis(millis)
    }

    fn dial(address: &str) -> Try {
        Try::Dial(address.into())
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
            assert_eq!(seeds.due(|_| false, now), [dial("a:1")]);
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
        assert_eq!(seeds.due(|_| false, at(0)), [dial("a:1"), dial("b:1")]);
        seeds.dialled("a:1", LinkId::dialled(1));
        assert_eq!(seeds.due(|_| false, at(2000)), [dial("b:1")]);
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
        assert_eq!(seeds.due(|_| false, at(3000)), [dial("a:1")]);
    }

    #[test]
    fn seeds_can_be_replaced_and_what_is_known_of_those_that_stay_is_kept() {
        let mut seeds = seeds(&["a:1", "b:1", "192.0.2.1:1"]);
        let node = NodeId::new("n").unwrap();
        seeds.due(|_| false, at(0));
        for (n, address) in (1..).zip(["a:1", "b:1", "192.0.2.1:1"]) {
            seeds.dialled(address, LinkId::dialled(n));
        }
        seeds.greeted(LinkId::dialled(2), &node);
        seeds.ended(LinkId::dialled(2));
        seeds.is_own(LinkId::dialled(3), at(0));
        let new = ["c:1", "b:1", "192.0.2.1:1", "c:1"].map(String::from);
        assert_eq!(seeds.replace(&new, at(1)), [LinkId::dialled(1)], "it is dialled in vain");
        assert!(seeds.contains(&node));
        assert_eq!(seeds.due(|_| true, at(1)), [dial("c:1")], "what is this node is no seed");
        assert_eq!(seeds.replace(&[], at(2)), []);
        assert!(seeds.is_empty() && seeds.due(|_| false, at(9000)).is_empty());
    }

    #[test]
    fn an_address_that_is_named_stays_a_seed_when_a_name_stands_for_others() {
        let mut seeds = seeds(&["svc:1"]);
        seeds.due(|_| false, at(0));
        seeds.dialled("svc:1", LinkId::dialled(1));
        seeds.is_own(LinkId::dialled(1), at(1));
        let named = "192.0.2.1:1".to_string();
        seeds.resolved("svc:1", &[named.clone(), "192.0.2.2:1".into()], at(2));
        seeds.replace(&["svc:1".into(), named.clone()], at(3));
        seeds.resolved("svc:1", &["192.0.2.2:1".into()], at(4));
        assert!(seeds.due(|_| false, at(4)).contains(&dial(&named)));
    }

    #[test]
    fn an_address_that_is_this_node_is_dropped() {
        let mut seeds = seeds(&["192.0.2.1:1"]);
        seeds.dialled("192.0.2.1:1", LinkId::dialled(1));
        seeds.is_own(LinkId::dialled(1), at(0));
        assert!(seeds.is_empty());
    }

    #[test]
    fn all_other_addresses_of_a_name_that_is_this_node_too_are_seeds() {
        let mut seeds = seeds(&["svc:1"]);
        assert_eq!(seeds.due(|_| false, at(0)), [dial("svc:1")]);
        seeds.dialled("svc:1", LinkId::dialled(1));
        seeds.is_own(LinkId::dialled(1), at(1));
        assert!(!seeds.any_missing(|_| false), "the name itself is no node");
        assert_eq!(seeds.due(|_| false, at(1)), [Try::Resolve("svc:1".into())]);
        let all = ["192.0.2.1:1", "192.0.2.2:1", "192.0.2.3:1"].map(String::from);
        seeds.resolved("svc:1", &all, at(2));
        let [one, two, three] = all.each_ref().map(|address| dial(address));
        let group = Try::Resolve("svc:1".into());
        assert_eq!(seeds.due(|_| false, at(2)), [group, one, two, three]);
        for (n, address) in (1..).zip(&all) {
            seeds.dialled(address, LinkId::dialled(n + 10));
        }
        seeds.is_own(LinkId::dialled(11), at(3));
        seeds.greeted(LinkId::dialled(12), &NodeId::new("b").unwrap());
        seeds.ended(LinkId::dialled(12));
        seeds.ended(LinkId::dialled(13));
        // The own address is known, and one of the others has left the name.
        seeds.resolved("svc:1", &all[..2], at(4));
        assert!(!seeds.any_missing(|_| true));
        let next = seeds.next_timeout().unwrap();
        assert_eq!(seeds.due(|_| true, next), [Try::Resolve("svc:1".into())]);
        seeds.resolved("svc:1", &[], next);
        assert!(seeds.contains(&NodeId::new("b").unwrap()), "a name that cannot be resolved says nothing");
    }
}
