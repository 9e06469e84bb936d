//! Attempts to connect to a node: which address is dialled when, and when it is time to give up.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use super::pace::Cause;
use super::target::DialTarget;
use super::throttle::{SHORTEST, Throttle};
use crate::NodeId;
use crate::address::STAGGER;
use crate::broker::address_of;
use crate::link_id::LinkId;
use crate::time::Time;

/// A connection that has got so far that a further address would only be in its way is left alone
/// for this time. The peer may be one that greets with the ID of another node and then says
/// nothing.
const PATIENCE: Duration = Duration::from_secs(1);

/// Attempts for nodes that only the database lists, at once. Of these each one has its share of the
/// dials.
pub(super) const MESH_ATTEMPTS: usize = 32;

/// Addresses that are tried for one node, in one attempt: a machine has few, and what stands in the
/// database is anybody's word.
const ADDRESSES_MAX: usize = 32;

/// The most bytes of an address: the longest name that there can be, and a port.
const ADDRESS_LEN_MAX: usize = 300;

/// Why an attempt fails for which there is nothing to be dialled, or whose node the broker does not
/// know.
pub const NO_ADDRESS: &str = "no known address";

/// What must be done for an attempt.
#[derive(Debug, PartialEq)]
pub(super) enum Step {
    /// Dial this for the node, and say so with [`Attempts::dialled`].
    Dial(NodeId, DialTarget),
    /// No address has answered: ask for the addresses once more, the node may have moved.
    LookUp(NodeId),
    /// The attempt has failed. `wanted`: somebody waits for it, not only the mesh.
    Failed {
        /// For which node.
        node: NodeId,
        /// Why.
        reason: String,
        /// Whether its outbox has to break.
        wanted: bool,
        /// Links still being dialled.
        links: Vec<LinkId>,
    },
}

#[derive(Debug)]
struct Attempt {
    deadline: Time,
    wanted: bool,
    /// Whether somebody has said which addresses there are.
    told: bool,
    queue: VecDeque<DialTarget>,
    /// The broker, for when no address has answered at once, and whether there is one.
    broker: Option<DialTarget>,
    has_broker: bool,
    seen: BTreeSet<String>,
    /// Nodes that can relay a connection, for when no address has answered by `detour`.
    relays: VecDeque<DialTarget>,
    seen_relays: BTreeSet<NodeId>,
    detour: Time,
    /// Whether the addresses were asked for a second time.
    again: bool,
    links: BTreeSet<LinkId>,
    /// Nothing is dialled, and no failure is reported, before this time.
    next: Time,
    /// Until when a connection that is under way keeps us from dialling.
    patient_until: Time,
    failure: Option<String>,
}

/// All attempts that are under way.
#[derive(Debug)]
pub(super) struct Attempts {
    limit: Duration,
    attempts: BTreeMap<NodeId, Attempt>,
    /// When the last attempt for a node failed: a program that tries again at once must not spin.
    failed: BTreeMap<NodeId, Time>,
    /// How many of them there may be before old ones are looked for.
    room: usize,
    /// Those that have changed since all were looked at.
    changed: BTreeSet<NodeId>,
    /// When something is due for one of the others, at the earliest.
    next: Option<Time>,
}

/// Failures that are remembered before old ones are looked for first.
const FAILURES: usize = 1024;

impl Attempts {
    /// No attempts. Each one may take `limit`.
    pub(super) fn new(limit: Duration) -> Attempts {
        let (changed, next) = Default::default();
        Attempts { limit, attempts: BTreeMap::new(), failed: BTreeMap::new(), room: FAILURES, changed, next }
    }

    /// A connection to this node is needed. Gives whether that is news, so that addresses have to
    /// be found.
    pub(super) fn want(&mut self, node: &NodeId, wanted: bool, now: Time) -> bool {
        if let Some(attempt) = self.attempts.get_mut(node) {
            attempt.wanted |= wanted;
            self.changed.insert(node.clone());
            return false;
        }
        let paced = self.failed.get(node).map_or(now, |failed| now.max(*failed + SHORTEST));
        let attempt = Attempt {
            deadline: now + self.limit,
            wanted,
            told: false,
            queue: VecDeque::new(),
            broker: None,
            has_broker: false,
            seen: BTreeSet::new(),
            relays: VecDeque::new(),
            seen_relays: BTreeSet::new(),
            detour: now + self.limit / 2,
            again: false,
            links: BTreeSet::new(),
            next: paced,
            patient_until: paced + PATIENCE,
            failure: None,
        };
        self.attempts.insert(node.clone(), attempt);
        self.changed.insert(node.clone());
        true
    }

    /// These are addresses of the node; nothing else is known if there are none.
    pub(super) fn addresses(&mut self, node: &NodeId, addresses: &[String]) {
        let Some(attempt) = self.attempts.get_mut(node) else { return };
        attempt.told = true;
        self.changed.insert(node.clone());
        for address in addresses.iter().filter(|address| address.len() <= ADDRESS_LEN_MAX) {
            if attempt.seen.len() < ADDRESSES_MAX && attempt.seen.insert(address.clone()) {
                attempt.queue.push_back(DialTarget::Direct(address.clone()));
            }
        }
    }

    /// These nodes can relay a connection to the node. Whether there are addresses, too, is still
    /// open.
    pub(super) fn relays(&mut self, node: &NodeId, relays: &[NodeId]) {
        let Some(attempt) = self.attempts.get_mut(node) else { return };
        let new = relays.iter().filter(|via| attempt.seen_relays.insert((*via).clone()));
        let target = |relay: &NodeId| DialTarget::Relay { relay: relay.clone(), to: node.clone() };
        attempt.relays.extend(new.map(target));
        self.changed.insert(node.clone());
    }

    /// The node may be reached through the broker; whether it has addresses, too, is still open.
    pub(super) fn through_broker(&mut self, node: &NodeId) {
        let Some(attempt) = self.attempts.get_mut(node) else { return };
        if !std::mem::replace(&mut attempt.has_broker, true) {
            attempt.broker = Some(DialTarget::Direct(address_of(node)));
        }
    }

    /// Whether somebody has asked for the addresses of the node a second time.
    pub(super) fn is_second_try(&self, node: &NodeId) -> bool {
        self.attempts.get(node).is_some_and(|attempt| attempt.again)
    }

    /// Who wants the connection to this node.
    pub(super) fn cause(&self, node: &NodeId) -> Cause {
        self.attempts.get(node).map_or(Cause::Program, Attempt::cause)
    }

    /// How many attempts there are because the database lists a node.
    pub(super) fn of_mesh(&self) -> usize {
        self.attempts.values().filter(|attempt| attempt.cause() == Cause::Mesh).count()
    }

    /// A link is being dialled for the node.
    pub(super) fn dialled(&mut self, node: &NodeId, link: LinkId) {
        if let Some(attempt) = self.attempts.get_mut(node) {
            attempt.links.insert(link);
            self.changed.insert(node.clone());
        }
    }

    /// A link that was dialled for the node is gone; the next address need not wait any longer.
    pub(super) fn ended(&mut self, node: &NodeId, link: LinkId, reason: &str, now: Time) {
        if let Some(attempt) = self.attempts.get_mut(node)
            && attempt.links.remove(&link)
        {
            if attempt.failure.is_none() || reason != NO_ADDRESS {
                attempt.failure = Some(reason.into());
            }
            attempt.next = now;
            self.changed.insert(node.clone());
        }
    }

    /// The attempt is over, because the node is up or nobody waits any more. Gives the links still
    /// being dialled.
    pub(super) fn finish(&mut self, node: &NodeId) -> Vec<LinkId> {
        self.attempts.remove(node).map_or_else(Vec::new, |attempt| attempt.links.into_iter().collect())
    }

    /// Nodes for which nobody has said any address.
    pub(super) fn untold(&self) -> Vec<NodeId> {
        self.attempts.iter().filter(|(_, attempt)| !attempt.told).map(|(node, _)| node.clone()).collect()
    }

    /// As [`Attempts::step`], of those that have changed. Enough when nothing else has happened
    /// than that somebody wants a connection: there may be very many attempts, and all of them
    /// wanted at once.
    pub(super) fn step_changed(
        &mut self,
        throttle: &Throttle,
        busy: impl Fn(&NodeId) -> bool,
        now: Time,
    ) -> Option<Step> {
        while let Some(node) = self.changed.pop_first() {
            let Some(attempt) = self.attempts.get_mut(&node) else { continue };
            if let Some(due) = attempt.step(throttle, || busy(&node), now) {
                self.changed.insert(node.clone());
                return Some(self.begin(node, due, now));
            }
            let at = attempt.due_at(throttle, || busy(&node));
            self.next = Some(self.next.map_or(at, |next| next.min(at)));
        }
        None
    }

    /// The next thing that is due; to be called until nothing is left. `busy` tells whether a
    /// connection with the node is already so far that no further address should be dialled.
    pub(super) fn step(
        &mut self,
        throttle: &Throttle,
        busy: impl Fn(&NodeId) -> bool,
        now: Time,
    ) -> Option<Step> {
        let found = self.attempts.iter_mut().find_map(|(node, attempt)| {
            attempt.step(throttle, || busy(node), now).map(|due| (node.clone(), due))
        });
        if let Some((node, due)) = found {
            return Some(self.begin(node, due, now));
        }
        self.changed.clear();
        self.next = self.attempts.iter().map(|(node, attempt)| attempt.due_at(throttle, || busy(node))).min();
        None
    }

    fn begin(&mut self, node: NodeId, due: Due, now: Time) -> Step {
        match due {
            Due::Dial(target) => Step::Dial(node, target),
            Due::LookUp => Step::LookUp(node),
            Due::Fail(reason) => {
                if self.failed.len() >= self.room {
                    self.failed.retain(|_, failed| *failed + SHORTEST > now);
                    // If nearly all are new, they are not looked through again for each one.
                    self.room = FAILURES.max(2 * self.failed.len());
                }
                self.failed.insert(node.clone(), now);
                let wanted = self.attempts.get(&node).is_some_and(|attempt| attempt.wanted);
                let links = self.finish(&node);
                Step::Failed { node, reason, wanted, links }
            }
        }
    }

    /// When [`Attempts::step`] has something to do, at the earliest.
    pub(super) fn next_timeout(&self) -> Option<Time> {
        self.next
    }
}

enum Due {
    Dial(DialTarget),
    LookUp,
    Fail(String),
}

impl Attempt {
    fn step(&mut self, throttle: &Throttle, busy: impl Fn() -> bool, now: Time) -> Option<Due> {
        if now >= self.deadline {
            return Some(Due::Fail(self.verdict("connect timeout")));
        }
        // Every attempt is asked after each input: `busy` costs most, and most wait for links that
        // are being dialled.
        if !self.told || now < self.next || self.is_all_dialled() {
            return None;
        }
        let busy = busy();
        if busy && now < self.patient_until {
            return None;
        }
        let may_dial = throttle.slot_at(self.cause()) <= now;
        let ready = |target: &DialTarget| throttle.ready_at(target) <= now;
        if may_dial && let Some(at) = self.queue.iter().position(ready) {
            self.begin(now);
            return self.queue.remove(at).map(Due::Dial);
        }
        // It says at once whether the node is there, so it need not be spared as an address is.
        if may_dial && self.broker.is_some() {
            self.begin(now);
            return self.broker.take().map(Due::Dial);
        }
        if may_dial
            && (self.links.is_empty() || now >= self.detour)
            && let Some(at) = self.relays.iter().position(ready)
        {
            self.begin(now);
            return self.relays.remove(at).map(Due::Dial);
        }
        if !busy && !self.has_more() && self.links.is_empty() {
            // Every address has been tried, and every try has ended. The node may have come back
            // elsewhere meanwhile.
            if !self.again && !self.knows_nothing() {
                (self.again, self.told) = (true, false);
                return Some(Due::LookUp);
            }
            return Some(Due::Fail(self.verdict("connect timeout")));
        }
        None
    }

    /// When something is due.
    fn due_at(&self, throttle: &Throttle, busy: impl Fn() -> bool) -> Time {
        match self.next_dial(throttle) {
            Some(at) if !busy() => at.min(self.deadline),
            Some(at) if self.has_more() => at.max(self.patient_until).min(self.deadline),
            _ => self.deadline,
        }
    }

    fn cause(&self) -> Cause {
        if self.wanted { Cause::Program } else { Cause::Mesh }
    }

    /// An address is dialled.
    fn begin(&mut self, now: Time) {
        self.next = now + STAGGER;
        self.patient_until = now + PATIENCE;
    }

    fn verdict(&self, otherwise: &str) -> String {
        match &self.failure {
            None if self.knows_nothing() => NO_ADDRESS.into(),
            Some(failure) if self.links.is_empty() => failure.clone(),
            _ => otherwise.into(),
        }
    }

    /// Whether there is nothing to do but to wait for links.
    fn is_all_dialled(&self) -> bool {
        !self.has_more() && !self.links.is_empty()
    }

    /// Whether something is left to be dialled.
    fn has_more(&self) -> bool {
        !self.queue.is_empty() || self.broker.is_some() || !self.relays.is_empty()
    }

    fn knows_nothing(&self) -> bool {
        self.seen.is_empty() && self.seen_relays.is_empty()
    }

    fn next_dial(&self, throttle: &Throttle) -> Option<Time> {
        if !self.told {
            return None;
        }
        let detour = if self.links.is_empty() { Time::ZERO } else { self.detour };
        let relays = self.relays.iter().map(|target| throttle.ready_at(target).max(detour));
        let broker = self.broker.is_some().then_some(Time::ZERO);
        let addresses = self.queue.iter().map(|target| throttle.ready_at(target));
        let ready = addresses.chain(broker).chain(relays).min();
        match ready {
            Some(ready) => Some(ready.max(self.next).max(throttle.slot_at(self.cause()))),
            None => self.links.is_empty().then_some(self.next),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    fn node() -> NodeId {
        NodeId::new("far").unwrap()
    }

    fn at(millis: u64) -> Time {
        Time::from_millis(millis)
    }

    fn addresses(list: &[&str]) -> Vec<String> {
        list.iter().map(|address| (*address).into()).collect()
    }

    /// Steps until nothing is due and gives the addresses dialled and the reason of the failure.
    fn run(
        attempts: &mut Attempts,
        throttle: &mut Throttle,
        links: &mut u64,
        now: Time,
    ) -> (Vec<String>, Option<String>) {
        let (mut dialled, mut failed) = (Vec::new(), None);
        while let Some(step) = attempts.step(throttle, |_| false, now) {
            match step {
                Step::Dial(node, target) => {
                    throttle.dialled(&target, &mut Random::new(0), now);
                    attempts.dialled(&node, LinkId::dialled(*links));
                    *links += 1;
                    dialled.push(match target {
                        DialTarget::Direct(address) => address,
                        DialTarget::Relay { relay, .. } => relay.to_string(),
                    });
                }
                Step::LookUp(node) => attempts.addresses(&node, &[]),
                Step::Failed { reason, .. } => failed = Some(reason),
            }
        }
        (dialled, failed)
    }

    #[test]
    fn addresses_follow_each_other_after_a_quarter_second() {
        let (mut attempts, mut throttle, mut links) = (Attempts::new(at(10_000)), Throttle::new(at(5000)), 0);
        assert!(attempts.want(&node(), true, at(0)));
        assert!(!attempts.want(&node(), true, at(0)));
        attempts.addresses(&node(), &addresses(&["a:1", "b:1"]));
        assert_eq!(run(&mut attempts, &mut throttle, &mut links, at(0)).0, ["a:1"]);
        assert_eq!(attempts.next_timeout(), Some(at(250)));
        assert!(run(&mut attempts, &mut throttle, &mut links, at(249)).0.is_empty());
        assert_eq!(run(&mut attempts, &mut throttle, &mut links, at(250)).0, ["b:1"]);
        let end = run(&mut attempts, &mut throttle, &mut links, at(10_000));
        assert_eq!(end.1.as_deref(), Some("connect timeout"));
        assert_eq!(attempts.next_timeout(), None);
    }

    #[test]
    fn many_failures_at_once_are_not_looked_through_for_each_one_and_forgotten_later() {
        let (mut attempts, mut throttle, mut links) = (Attempts::new(at(10_000)), Throttle::new(at(5000)), 0);
        let mut looked = 0;
        let mut fail = |n: usize, now: Time| {
            let (node, room) = (NodeId::new(&format!("n{n}")).unwrap(), attempts.room);
            attempts.want(&node, true, now);
            attempts.addresses(&node, &[]);
            assert!(run(&mut attempts, &mut throttle, &mut links, now).1.is_some());
            looked += usize::from(attempts.room != room);
            attempts.failed.len()
        };
        let at_once = (0..20 * FAILURES).fold(0, |_, n| fail(n, at(0)));
        let later = |n: usize| at(60_000 + n as u64);
        let left = (0..40 * FAILURES).fold(0, |_, n| fail(n + 20 * FAILURES, later(n)));
        assert_eq!(at_once, 20 * FAILURES);
        assert!(looked <= 12, "{looked}");
        assert!(left <= 2 * FAILURES, "{left}");
    }

    #[test]
    fn of_many_attempts_only_the_one_that_is_wanted_is_looked_at() {
        let (mut attempts, mut throttle, mut links) = (Attempts::new(at(10_000)), Throttle::new(at(5000)), 0);
        let named = |n: u32| NodeId::new(&format!("n{n}")).unwrap();
        for n in 0..1000 {
            attempts.want(&named(n), true, at(0));
            attempts.addresses(&named(n), &addresses(&[&format!("a{n}:1"), &format!("b{n}:1")]));
        }
        run(&mut attempts, &mut throttle, &mut links, at(0));
        let next = attempts.next_timeout().unwrap();
        let looked = std::cell::Cell::new(0);
        let busy = |_: &NodeId| {
            looked.set(looked.get() + 1);
            false
        };
        attempts.want(&node(), true, at(1));
        attempts.addresses(&node(), &addresses(&["c:1"]));
        let dials = attempts.step_changed(&throttle, busy, at(1));
        assert_eq!(dials, Some(Step::Dial(node(), DialTarget::Direct("c:1".into()))));
        attempts.dialled(&node(), LinkId::dialled(links));
        assert_eq!(attempts.step_changed(&throttle, busy, at(1)), None);
        assert!(looked.get() <= 4, "{}", looked.get());
        assert_eq!(attempts.next_timeout(), Some(next));
        // One that is due earlier than all others counts.
        attempts.ended(&node(), LinkId::dialled(links), "connection refused", at(2));
        assert_eq!(attempts.step_changed(&throttle, busy, at(2)), Some(Step::LookUp(node())));
        attempts.addresses(&node(), &[]);
        assert!(matches!(attempts.step_changed(&throttle, busy, at(2)), Some(Step::Failed { .. })));
        assert_eq!(attempts.step_changed(&throttle, busy, at(2)), None);
    }

    #[test]
    fn a_connection_that_makes_no_progress_keeps_other_addresses_waiting_for_a_second_only() {
        let (mut attempts, mut throttle, mut links) = (Attempts::new(at(10_000)), Throttle::new(at(5000)), 0);
        attempts.want(&node(), true, at(0));
        attempts.addresses(&node(), &addresses(&["a:1", "b:1"]));
        assert_eq!(run(&mut attempts, &mut throttle, &mut links, at(0)).0, ["a:1"]);
        // The peer has greeted, and says nothing more.
        assert_eq!(attempts.step(&throttle, |_| true, at(999)), None);
        assert_eq!(attempts.next_timeout(), Some(at(1000)));
        assert_eq!(
            attempts.step(&throttle, |_| true, at(1000)),
            Some(Step::Dial(node(), DialTarget::Direct("b:1".into())))
        );
        attempts.ended(&node(), LinkId::dialled(0), "reset", at(1001));
        assert_eq!(attempts.step(&throttle, |_| true, at(1001)), None, "one that is under way may succeed");
        assert_eq!(attempts.next_timeout(), Some(at(10_000)));
    }

    #[test]
    fn a_refused_address_makes_room_for_the_next_at_once() {
        let (mut attempts, mut throttle, mut links) = (Attempts::new(at(10_000)), Throttle::new(at(5000)), 0);
        attempts.want(&node(), true, at(0));
        attempts.addresses(&node(), &addresses(&["a:1", "b:1"]));
        run(&mut attempts, &mut throttle, &mut links, at(0));
        attempts.ended(&node(), LinkId::dialled(0), "connection refused", at(10));
        assert_eq!(run(&mut attempts, &mut throttle, &mut links, at(10)).0, ["b:1"]);
        attempts.ended(&node(), LinkId::dialled(1), "connection refused", at(20));
        let end = run(&mut attempts, &mut throttle, &mut links, at(20));
        assert_eq!(end.1.as_deref(), Some("connection refused"));
    }

    #[test]
    fn without_any_address_it_fails_with_the_words_of_the_protocol() {
        let (mut attempts, mut throttle, mut links) = (Attempts::new(at(10_000)), Throttle::new(at(5000)), 0);
        attempts.want(&node(), true, at(0));
        assert_eq!(run(&mut attempts, &mut throttle, &mut links, at(1)), (vec![], None));
        attempts.addresses(&node(), &[]);
        let end = run(&mut attempts, &mut throttle, &mut links, at(2));
        assert_eq!(end.1.as_deref(), Some("no known address"));
    }

    #[test]
    fn a_node_that_has_moved_is_found_at_its_new_address() {
        let (mut attempts, mut throttle, mut links) = (Attempts::new(at(10_000)), Throttle::new(at(5000)), 0);
        attempts.want(&node(), true, at(0));
        attempts.addresses(&node(), &addresses(&["old:1"]));
        run(&mut attempts, &mut throttle, &mut links, at(0));
        attempts.ended(&node(), LinkId::dialled(0), "connection refused", at(10));
        assert_eq!(attempts.step(&throttle, |_| false, at(10)), Some(Step::LookUp(node())));
        assert_eq!(attempts.step(&throttle, |_| false, at(10)), None);
        attempts.addresses(&node(), &addresses(&["new:1", "old:1"]));
        assert_eq!(run(&mut attempts, &mut throttle, &mut links, at(20)).0, ["new:1"]);
    }

    #[test]
    fn trying_again_at_once_after_a_failure_is_paced() {
        let (mut attempts, mut throttle, mut links) = (Attempts::new(at(10_000)), Throttle::new(at(5000)), 0);
        let mut failures = Vec::new();
        let mut now = at(0);
        while now < at(1000) {
            attempts.want(&node(), true, now);
            attempts.addresses(&node(), &[]);
            match run(&mut attempts, &mut throttle, &mut links, now).1 {
                Some(_) => failures.push(now),
                None => now = attempts.next_timeout().unwrap(),
            }
        }
        assert_eq!(failures, [at(0), at(300), at(600), at(900)]);
    }
}
