//! Dialling a name that stands for several addresses, as RFC 8305 ("happy eyeballs") does it:
//! address families alternate, a further address is dialled every 250 ms or as soon as one has
//! failed, and the caller takes the first connection that fits.

use core::net::SocketAddr;
use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use crate::time::Time;

/// The time from one address to the next while the first has not answered.
pub const STAGGER: Duration = Duration::from_millis(250);

/// The limit of addresses of one name that are dialled: a hostile name server must not make a node
/// dial the whole network.
pub const ADDRESSES_MAX: usize = 16;

/// The addresses of one name while they are dialled. [`Race::next`] says which one is next,
/// [`Race::failed`] takes what became of it. The race ends when the caller has a connection, or
/// when [`Race::is_over`].
#[derive(Debug)]
pub struct Race {
    queue: VecDeque<SocketAddr>,
    running: BTreeSet<SocketAddr>,
    failures: Vec<(SocketAddr, String)>,
    /// No further address is dialled before this time.
    next: Time,
}

impl Race {
    /// The addresses in the order in which the resolver prefers them. Those for which
    /// `failed_before` is true come last: one that accepts connections and is of no use must not be
    /// the first for ever.
    pub fn new(
        addresses: impl IntoIterator<Item = SocketAddr>,
        failed_before: impl Fn(&SocketAddr) -> bool,
    ) -> Race {
        let (last, first): (Vec<_>, Vec<_>) = distinct(addresses).into_iter().partition(failed_before);
        let mut queue: VecDeque<_> = interleave(first).chain(interleave(last)).collect();
        queue.truncate(ADDRESSES_MAX);
        Race { queue, running: BTreeSet::new(), failures: Vec::new(), next: Time::ZERO }
    }

    /// The address to be dialled now, if it is time for one. To be called until it returns `None`.
    pub fn next(&mut self, now: Time) -> Option<SocketAddr> {
        if now < self.next {
            return None;
        }
        let address = self.queue.pop_front()?;
        self.next = now + STAGGER;
        self.running.insert(address);
        Some(address)
    }

    /// Nothing came of this address; the next one need not wait any longer.
    pub fn failed(&mut self, address: SocketAddr, reason: impl Into<String>, now: Time) {
        if self.running.remove(&address) {
            self.failures.push((address, reason.into()));
            self.next = now;
        }
    }

    /// When [`Race::next`] has an address; `None` if there are no more.
    pub fn next_timeout(&self) -> Option<Time> {
        (!self.queue.is_empty()).then_some(self.next)
    }

    /// Whether every address was dialled, and every one has failed.
    pub fn is_over(&self) -> bool {
        self.queue.is_empty() && self.running.is_empty()
    }

    /// What became of each address so far, for people.
    pub fn report(&self) -> String {
        let failed = self.failures.iter().map(|(address, reason)| format!("{address}: {reason}"));
        let running = self.running.iter().map(|address| format!("{address}: no answer"));
        let all: Vec<String> = failed.chain(running).collect();
        if all.is_empty() { "the name has no address".into() } else { all.join("; ") }
    }
}

fn distinct(addresses: impl IntoIterator<Item = SocketAddr>) -> Vec<SocketAddr> {
    let mut seen = BTreeSet::new();
    addresses.into_iter().filter(|address| seen.insert(*address)).collect()
}

/// One address of the family that the first one has, one of the other family, and so on.
fn interleave(addresses: Vec<SocketAddr>) -> impl Iterator<Item = SocketAddr> {
    let preferred = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (one, other): (VecDeque<_>, VecDeque<_>) =
        addresses.into_iter().partition(|address| address.is_ipv6() == preferred);
    let (mut turn, mut waiting) = (one, other);
    std::iter::from_fn(move || {
        let address = turn.pop_front().or_else(|| waiting.pop_front())?;
        std::mem::swap(&mut turn, &mut waiting);
        Some(address)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Time {
        Time::from_millis(millis)
    }

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn order(texts: &[&str], failed: &[&str]) -> Vec<String> {
        let failed = addresses(failed);
        let mut race = Race::new(addresses(texts), |address| failed.contains(address));
        let mut now = at(0);
        std::iter::from_fn(|| {
            let address = race.next(now)?;
            now += STAGGER;
            Some(address.to_string())
        })
        .collect()
    }

    #[test]
    fn families_alternate_and_the_resolver_chooses_the_first_one() {
        let all = ["[fd00::1]:1", "[fd00::2]:1", "[fd00::3]:1", "192.0.2.1:1", "192.0.2.2:1"];
        assert_eq!(
            order(&all, &[]),
            ["[fd00::1]:1", "192.0.2.1:1", "[fd00::2]:1", "192.0.2.2:1", "[fd00::3]:1"]
        );
        assert_eq!(
            order(&["192.0.2.1:1", "[fd00::1]:1", "192.0.2.1:1"], &[]),
            ["192.0.2.1:1", "[fd00::1]:1"]
        );
    }

    #[test]
    fn what_failed_before_comes_last() {
        let all = ["[fd00::1]:1", "192.0.2.1:1", "192.0.2.2:1"];
        assert_eq!(order(&all, &["[fd00::1]:1"]), ["192.0.2.1:1", "192.0.2.2:1", "[fd00::1]:1"]);
        assert_eq!(order(&all, &all), ["[fd00::1]:1", "192.0.2.1:1", "192.0.2.2:1"]);
    }

    #[test]
    fn the_next_address_waits_a_quarter_second_or_for_a_failure() {
        let all = addresses(&["192.0.2.1:1", "192.0.2.2:1", "192.0.2.3:1"]);
        let mut race = Race::new(all.clone(), |_| false);
        assert_eq!((race.next(at(0)), race.next(at(0))), (Some(all[0]), None));
        assert_eq!(race.next_timeout(), Some(at(250)));
        assert_eq!((race.next(at(249)), race.next(at(250))), (None, Some(all[1])));
        race.failed(all[0], "connection refused", at(260));
        assert_eq!((race.next(at(260)), race.next_timeout()), (Some(all[2]), None));
        assert!(!race.is_over());
        assert_eq!(
            race.report(),
            "192.0.2.1:1: connection refused; 192.0.2.2:1: no answer; 192.0.2.3:1: no answer"
        );
        race.failed(all[1], "x", at(300));
        race.failed(all[2], "x", at(300));
        assert!(race.is_over());
    }

    #[test]
    fn a_name_that_stands_for_very_many_addresses_costs_a_few_dials() {
        let many = (0..100u16).map(|port| SocketAddr::from(([192, 0, 2, 1], port)));
        let mut race = Race::new(many, |_| false);
        let dialled = (0..100).filter_map(|step| race.next(at(step * 250))).count();
        assert_eq!(dialled, ADDRESSES_MAX);
        assert!(Race::new([], |_| false).is_over());
    }
}
