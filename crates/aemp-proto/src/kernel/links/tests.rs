use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const NOW: Time = Time::ZERO;

fn peer(id: &str, incarnation: Option<u128>) -> Peer {
    let native = incarnation.is_some();
    Peer { node: NodeId::new(id).unwrap(), incarnation, native, can_relay: native, client: false, via: None }
}

fn links(own: &str) -> Links {
    Links::new(NodeId::new(own).unwrap(), 3)
}

fn out(links: &mut Links) -> Vec<Verdict> {
    std::iter::from_fn(|| links.poll()).collect()
}

fn dial(links: &mut Links, n: u64, peer: &Peer) -> LinkId {
    let link = LinkId::dialled(n);
    links.dialled(link, Time::from_secs(10));
    links.greeted(link, peer.clone(), NOW);
    link
}

fn accept(links: &mut Links, n: u64, peer: &Peer) -> LinkId {
    let link = LinkId::accepted(n);
    links.greeted(link, peer.clone(), NOW);
    links.verified(link, NOW);
    link
}

fn up(links: &mut Links, n: u64, peer: &Peer) -> LinkId {
    let link = accept(links, n, peer);
    links.established(link);
    out(links);
    link
}

#[test]
fn the_lower_one_has_its_line_on_one_connection_at_a_time() {
    let (mut a, b) = (links("a"), peer("b", Some(1)));
    let dialled = dial(&mut a, 1, &b);
    assert_eq!(out(&mut a), [Verdict::Proceed(dialled)]);
    let accepted = accept(&mut a, 1, &b);
    assert_eq!(out(&mut a), []);
    a.established(dialled);
    let closed = Verdict::Close(accepted, "another connection to the node was established".into());
    assert_eq!(out(&mut a), [closed, Verdict::Up(dialled, b)]);
}

#[test]
fn a_rival_that_has_waited_for_a_second_goes_ahead() {
    let (mut a, b) = (links("a"), peer("b", Some(1)));
    let silent = dial(&mut a, 1, &b);
    let accepted = accept(&mut a, 1, &b);
    assert_eq!((out(&mut a), a.next_timeout()), (vec![Verdict::Proceed(silent)], Some(PATIENCE)));
    a.tick(PATIENCE);
    let reason = "the peer says nothing, and another connection to the node has waited for it";
    assert_eq!(
        out(&mut a),
        [
            Verdict::Close(silent, reason.into()),
            Verdict::Ended(silent, reason.into()),
            Verdict::Proceed(accepted)
        ]
    );
    // Nobody waits for that one.
    assert_eq!(a.next_timeout(), None);
}

#[test]
fn the_end_that_hears_of_a_replaced_connection_last_names_the_same_reason() {
    for (rival_is_direct, reason) in [(true, DIRECT_INSTEAD), (false, "the node has shut down")] {
        let (mut a, mut relayed) = (links("a"), peer("b", Some(1)));
        relayed.via = Some(NodeId::new("relay").unwrap());
        let old = up(&mut a, 1, &relayed);
        a.pass(SETTLED);
        let rival = Peer { via: relayed.via.clone().filter(|_| !rival_is_direct), ..relayed.clone() };
        accept(&mut a, 2, &rival);
        out(&mut a);
        // The other end is established first, and takes down the old one.
        a.closed(old, "the node has shut down");
        assert!(out(&mut a).contains(&Verdict::Down(relayed.node, reason.into())));
    }
}

#[test]
fn the_held_connection_goes_on_when_the_other_fails() {
    let (mut a, b) = (links("a"), peer("b", Some(1)));
    let dialled = dial(&mut a, 1, &b);
    let accepted = accept(&mut a, 1, &b);
    out(&mut a);
    a.closed(dialled, "reset");
    assert_eq!(out(&mut a), [Verdict::Ended(dialled, "reset".into()), Verdict::Proceed(accepted)]);
}

#[test]
fn the_higher_one_leaves_the_choice_to_the_lower_one() {
    let (mut b, a) = (links("b"), peer("a", Some(1)));
    let dialled = dial(&mut b, 1, &a);
    let accepted = accept(&mut b, 1, &a);
    assert_eq!(out(&mut b), [Verdict::Proceed(dialled), Verdict::Proceed(accepted)]);
    // One of its own dials is enough.
    dial(&mut b, 2, &a);
    assert_eq!(out(&mut b), []);
}

#[test]
fn towards_a_perl_node_we_always_withhold() {
    let (mut z, perl) = (links("z"), peer("perl", None));
    let accepted = accept(&mut z, 1, &perl);
    let dialled = dial(&mut z, 1, &perl);
    assert_eq!(out(&mut z), [Verdict::Proceed(accepted)]);
    z.closed(accepted, "gone");
    assert_eq!(out(&mut z), [Verdict::Proceed(dialled)]);
}

#[test]
fn an_accepted_connection_counts_for_nothing_before_it_is_verified() {
    let (mut z, perl) = (links("z"), peer("perl", None));
    z.greeted(LinkId::accepted(1), perl.clone(), NOW);
    assert!(!z.in_flight(&perl.node));
    let dialled = dial(&mut z, 1, &perl);
    assert_eq!(out(&mut z), [Verdict::Proceed(dialled)]);
}

#[test]
fn a_living_node_is_not_displaced() {
    let (mut a, b) = (links("a"), peer("b", Some(1)));
    let old = up(&mut a, 1, &b);
    let twin = accept(&mut a, 2, &peer("b", Some(2)));
    assert_eq!(out(&mut a), [Verdict::Probe(old)]);
    a.probe_done(old, true);
    let verdicts = out(&mut a);
    assert!(matches!(&verdicts[0], Verdict::Refused(_)), "{verdicts:?}");
    assert_eq!(verdicts[1], Verdict::Close(twin, "already connected to this node".into()));
    // The same process over a second connection is no reason to be loud.
    let again = accept(&mut a, 3, &b);
    a.probe_done(old, true);
    let closed = Verdict::Close(again, "already connected to this node".into());
    assert_eq!(out(&mut a), [Verdict::Probe(old), closed]);
}

#[test]
fn a_restarted_node_replaces_the_connection_that_does_not_answer() {
    let (mut a, b) = (links("a"), peer("b", Some(1)));
    let old = up(&mut a, 1, &b);
    let new = accept(&mut a, 2, &peer("b", Some(2)));
    a.probe_done(old, false);
    let verdicts = out(&mut a);
    assert!(matches!(&verdicts[1], Verdict::Close(link, _) if *link == old), "{verdicts:?}");
    assert!(matches!(&verdicts[2], Verdict::Down(node, _) if *node == b.node), "{verdicts:?}");
    assert_eq!(verdicts[3], Verdict::Proceed(new));
}

#[test]
fn a_probe_without_answer_is_one_too() {
    let (mut a, b) = (links("a"), peer("b", Some(1)));
    up(&mut a, 1, &b);
    let new = accept(&mut a, 2, &peer("b", Some(2)));
    a.tick(a.next_timeout().unwrap());
    assert_eq!(out(&mut a).last(), Some(&Verdict::Proceed(new)));
    assert_eq!(a.next_timeout(), None);
}

#[test]
fn what_is_reported_of_a_forgotten_connection_does_nothing() {
    let (mut a, b) = (links("a"), peer("b", Some(1)));
    let link = up(&mut a, 1, &b);
    a.closed(link, "end of stream");
    assert_eq!(out(&mut a), [Verdict::Down(b.node.clone(), "end of stream".into())]);
    a.closed(link, "end of stream");
    a.established(link);
    a.probe_done(link, false);
    a.verified(link, NOW);
    assert_eq!(out(&mut a), []);
    assert!(a.links.is_empty() && a.greeted.is_empty() && a.up.is_empty());
}

#[test]
fn beyond_the_limit_nobody_comes_up() {
    let mut a = links("a");
    for (n, id) in ["b", "c", "d"].iter().enumerate() {
        up(&mut a, n as u64, &peer(id, Some(1)));
    }
    let more = accept(&mut a, 9, &peer("e", Some(1)));
    let verdicts = out(&mut a);
    assert!(matches!(&verdicts[0], Verdict::Refused(_)), "{verdicts:?}");
    assert_eq!(verdicts[1], Verdict::Close(more, "too many connections".into()));
}

#[test]
fn a_dial_that_takes_too_long_is_closed() {
    let mut a = links("a");
    a.dialled(LinkId::dialled(1), Time::from_secs(10));
    a.tick(Time::from_secs(9));
    assert_eq!(out(&mut a), []);
    a.tick(Time::from_secs(10));
    assert_eq!(out(&mut a).len(), 2);
}

/// Something that happens to the connections: to the one with this number, or to one of these
/// nodes.
#[derive(Debug, Clone)]
enum Event {
    Dialled(u64),
    Greeted(usize),
    Accepted(usize),
    Verified(usize),
    Established(usize),
    Probed(usize, bool),
    Closed(usize),
    Disconnected(usize),
    Tick,
}

fn event() -> impl Strategy<Value = Event> {
    let which = || 0..32usize;
    prop_oneof![
        4 => (1..40u64).prop_map(Event::Dialled),
        4 => which().prop_map(Event::Greeted),
        4 => which().prop_map(Event::Accepted),
        4 => which().prop_map(Event::Verified),
        4 => which().prop_map(Event::Established),
        2 => (which(), any::<bool>()).prop_map(|(link, alive)| Event::Probed(link, alive)),
        2 => which().prop_map(Event::Closed),
        1 => which().prop_map(Event::Disconnected),
        2 => Just(Event::Tick),
    ]
}

/// What has a time limit, as somebody sees it who only hears the verdicts; of rivals that wait
/// these say nothing.
#[derive(Default)]
struct Limits {
    connects: BTreeMap<LinkId, Time>,
    probes: BTreeMap<LinkId, Time>,
}

impl Limits {
    fn hear(&mut self, verdict: &Verdict, now: Time) {
        match verdict {
            Verdict::Probe(link) => {
                self.probes.insert(*link, now + PROBE_LIMIT);
            }
            Verdict::Up(link, _) | Verdict::Ended(link, _) => {
                self.connects.remove(link);
            }
            Verdict::Close(link, _) => {
                self.connects.remove(link);
                self.probes.remove(link);
            }
            Verdict::Proceed(_) | Verdict::Down(..) | Verdict::Refused(_) => {}
        }
    }

    fn first(&self) -> Option<Time> {
        self.connects.values().chain(self.probes.values()).min().copied()
    }
}

proptest! {
    #[test]
    fn the_next_timeout_is_the_first_of_all_limits(events in vec((event(), 0..400u64), 0..80)) {
        let (mut b, mut limits) = (links("b"), Limits::default());
        let peers = [peer("a", Some(1)), peer("c", Some(1)), peer("perl", None)];
        let (mut now, mut known) = (NOW, vec![LinkId::accepted(0)]);
        for (event, passed) in events {
            let pick = |at: usize| known[at % known.len()];
            now += Duration::from_millis(passed);
            b.pass(now);
            match event {
                Event::Dialled(limit) => {
                    let link = LinkId::dialled(known.len() as u64);
                    known.push(link);
                    limits.connects.insert(link, now + Duration::from_millis(limit * 100));
                    b.dialled(link, now + Duration::from_millis(limit * 100));
                }
                Event::Greeted(at) if pick(at).is_dialled() => {
                    b.greeted(pick(at), peers[at % peers.len()].clone(), now);
                }
                Event::Greeted(_) => {}
                Event::Accepted(at) => {
                    let link = LinkId::accepted(known.len() as u64);
                    known.push(link);
                    b.greeted(link, peers[at % peers.len()].clone(), now);
                }
                Event::Verified(at) => b.verified(pick(at), now),
                Event::Established(at) => b.established(pick(at)),
                Event::Probed(at, alive) => {
                    limits.probes.remove(&pick(at));
                    b.probe_done(pick(at), alive);
                }
                Event::Closed(at) => {
                    limits.probes.remove(&pick(at));
                    b.closed(pick(at), "end of stream");
                }
                Event::Disconnected(at) => b.disconnect(&peers[at % peers.len()].node, "overflow"),
                Event::Tick => {
                    let first = limits.first().into_iter().chain(b.waits.next()).min();
                    let due = first.is_some_and(|first| first <= now);
                    b.tick(now);
                    prop_assert_eq!(due, !b.out.is_empty(), "a tick does something exactly when something is due");
                }
            }
            for verdict in out(&mut b) {
                limits.hear(&verdict, now);
            }
            prop_assert_eq!(b.next_timeout(), limits.first().into_iter().chain(b.waits.next()).min());
        }
    }
}
