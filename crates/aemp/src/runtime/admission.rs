//! How many accepted connections may be unauthenticated at once, and which of them give way to
//! newcomers.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

/// Connections that may be unauthenticated at once: each costs a descriptor, a task and two lines.
const MAX: usize = 256;

/// The same for one network when half of the places are taken, so that one host cannot take all of
/// them. Before that many nodes of one host may come at once.
const MAX_PER_NETWORK: usize = 16;

/// Connections that have not authenticated themselves. Newcomers are always let in; when there are
/// too many, the oldest gives way: a node needs milliseconds, and one that has needed longer than
/// all others is the most likely not to be one.
#[derive(Default)]
pub(crate) struct Admission(Mutex<Pending>);

#[derive(Default)]
struct Pending {
    next: u64,
    /// The oldest first.
    all: BTreeMap<u64, (IpAddr, Arc<Notify>)>,
    by_network: HashMap<IpAddr, BTreeSet<u64>>,
}

/// The place of one unauthenticated connection; given back when it is dropped.
pub(crate) struct Permit {
    admission: Arc<Admission>,
    number: u64,
    displaced: Arc<Notify>,
}

impl Admission {
    /// Lets a connection from this address in.
    pub(crate) fn enter(self: &Arc<Self>, address: IpAddr) -> Permit {
        let network = network(address);
        let displaced = Arc::new(Notify::new());
        let mut pending = self.0.lock();
        pending.make_room(network);
        let number = pending.next;
        pending.next += 1;
        pending.all.insert(number, (network, displaced.clone()));
        pending.by_network.entry(network).or_default().insert(number);
        drop(pending);
        Permit { admission: self.clone(), number, displaced }
    }
}

impl Pending {
    fn make_room(&mut self, network: IpAddr) {
        let here = self.by_network.get(&network);
        let crowded = here.filter(|here| self.all.len() >= MAX / 2 && here.len() >= MAX_PER_NETWORK);
        let oldest = match crowded.and_then(BTreeSet::first) {
            Some(number) => Some(*number),
            None if self.all.len() >= MAX => self.all.first_key_value().map(|(number, _)| *number),
            None => None,
        };
        if let Some(displaced) = oldest.and_then(|number| self.remove(number)) {
            displaced.notify_one();
        }
    }

    fn remove(&mut self, number: u64) -> Option<Arc<Notify>> {
        let (network, displaced) = self.all.remove(&number)?;
        if let Some(here) = self.by_network.get_mut(&network) {
            here.remove(&number);
            if here.is_empty() {
                self.by_network.remove(&network);
            }
        }
        Some(displaced)
    }
}

impl Permit {
    /// Is notified when the connection has to give way.
    pub(crate) fn displaced(&self) -> Arc<Notify> {
        self.displaced.clone()
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.admission.0.lock().remove(self.number);
    }
}

/// What counts as one host: an IPv4 address, or the network of 64 bits that a host with IPv6
/// usually has for itself.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Waker};

    use super::*;

    /// Whether a permit was told to give way, without waiting for it.
    fn is_displaced(permit: &Permit) -> bool {
        let notified = pin!(permit.displaced.notified());
        notified.poll(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    fn v4(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    #[test]
    fn one_address_may_take_half_of_the_places_and_then_displaces_its_own() {
        let admission = Arc::new(Admission::default());
        let crowd: Vec<Permit> = (0..MAX / 2 + 3).map(|_| admission.enter(v4(1))).collect();
        let displaced: Vec<bool> = crowd.iter().map(is_displaced).collect();
        assert_eq!(displaced.iter().filter(|displaced| **displaced).count(), 3);
        assert!(displaced[..3].iter().all(|displaced| *displaced), "the oldest ones");
        let other = admission.enter(v4(2));
        assert!(!is_displaced(&other) && !is_displaced(&crowd[3]));
        drop((crowd, other));
        assert!(admission.0.lock().all.is_empty() && admission.0.lock().by_network.is_empty());
    }

    #[test]
    fn when_all_places_are_taken_the_oldest_is_dropped() {
        let admission = Arc::new(Admission::default());
        let crowd: Vec<Permit> = (0..MAX).map(|n| admission.enter(v4(n as u8))).collect();
        assert!(!crowd.iter().any(is_displaced));
        let _newcomer = admission.enter(IpAddr::from([198, 51, 100, 1]));
        assert!(is_displaced(&crowd[0]) && !is_displaced(&crowd[1]));
    }

    #[test]
    fn an_ipv6_network_of_64_bits_counts_as_one_host() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        assert_eq!(network(ip("2001:db8:1:2:3:4:5:6")), ip("2001:db8:1:2::"));
        assert_ne!(network(ip("2001:db8:1:3::1")), network(ip("2001:db8:1:2::1")));
        assert_eq!(network(ip("::ffff:192.0.2.1")), ip("192.0.2.1"));
    }
}
