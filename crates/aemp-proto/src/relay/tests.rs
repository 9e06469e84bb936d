use std::collections::{BTreeMap, VecDeque};

use super::*;
use crate::time::Time;
use crate::wire::RelayId;

fn node(id: &str) -> NodeId {
    NodeId::new(id).unwrap()
}

fn limits(window: u64) -> RelayLimits {
    RelayLimits { connections: 4, of_one_node: 3, window, idle: Duration::from_secs(10) }
}

/// What one end has seen.
#[derive(Debug, Default)]
struct Seen {
    bytes: Vec<u8>,
    pieces: VecDeque<usize>,
    ended: Option<String>,
}

/// Ends `a`, `b` and `c`, all connected to the relay `r`.
struct Net {
    now: Time,
    nodes: BTreeMap<&'static str, Relay>,
    called: Vec<(&'static str, EndId)>,
    seen: BTreeMap<(&'static str, EndId), Seen>,
    /// Bytes on their way, or unread, between the relay and each node.
    requests: Vec<(String, &'static str, RelayRequest)>,
}

impl Net {
    fn new(window: u64) -> Net {
        let ids = ["a", "b", "c", "r"];
        let mut nodes: BTreeMap<_, _> =
            ids.iter().map(|id| (*id, Relay::new(node(id), *id == "r", limits(window)))).collect();
        for id in ["a", "b", "c"] {
            nodes.get_mut(id).unwrap().up(&node("r"));
            nodes.get_mut("r").unwrap().up(&node(id));
        }
        Net { now: Time::ZERO, nodes, called: Vec::new(), seen: BTreeMap::new(), requests: Vec::new() }
    }

    fn at(&mut self, id: &str) -> &mut Relay {
        self.nodes.get_mut(id).unwrap()
    }

    /// Carries out what all of them want, until they want nothing.
    fn settle(&mut self) {
        loop {
            let ids: Vec<&'static str> = self.nodes.keys().copied().collect();
            let mut quiet = true;
            for id in ids {
                while let Some(action) = self.at(id).poll() {
                    quiet = false;
                    self.act(id, action);
                }
            }
            if quiet {
                return;
            }
        }
    }

    fn act(&mut self, id: &'static str, action: RelayAction) {
        match action {
            RelayAction::Send { to, request } => {
                self.requests.push((to.to_string(), id, request.clone()));
                let now = self.now;
                self.at(to.as_str()).request(&node(id), request, now);
            }
            RelayAction::Called { end, .. } => self.called.push((id, end)),
            RelayAction::Came { end, bytes } => {
                let seen = self.seen.entry((id, end)).or_default();
                seen.bytes.extend_from_slice(&bytes);
                seen.pieces.push_back(bytes.len());
            }
            RelayAction::Room { .. } => {}
            RelayAction::Ended { end, reason } => {
                self.seen.entry((id, end)).or_default().ended = Some(reason);
            }
        }
    }

    /// A connection from `a` to another node; gives both ends.
    fn join(&mut self, to: &str) -> (EndId, EndId) {
        let near = self.at("a").dial(&node("r"), &node(to));
        self.settle();
        let (called, far) = self.called.pop().expect("the other end is told");
        assert_eq!(called, to);
        (near, far)
    }

    fn read_all(&mut self, id: &'static str, end: EndId) {
        for piece in std::mem::take(&mut self.seen.entry((id, end)).or_default().pieces) {
            self.at(id).read(end, piece);
        }
        self.settle();
    }

    fn bytes(&self, id: &'static str, end: EndId) -> &[u8] {
        self.seen.get(&(id, end)).map_or(&[], |seen| &seen.bytes)
    }

    fn ended(&self, id: &'static str, end: EndId) -> Option<&str> {
        self.seen.get(&(id, end))?.ended.as_deref()
    }

    /// A request by hand, as a hostile node would send it.
    fn inject(&mut self, from: &str, to: &'static str, request: RelayRequest) {
        let now = self.now;
        self.at(to).request(&node(from), request, now);
        self.settle();
    }
}

/// How the relay has numbered the connection towards this node.
fn number_towards(net: &Net, id: &str) -> u64 {
    let mut calls = net.requests.iter().filter_map(|(to, from, request)| match request {
        RelayRequest::Call(number, _) if to == id && *from == "r" => Some(*number),
        _ => None,
    });
    calls.next_back().unwrap()
}

#[test]
fn bytes_arrive_in_order_in_both_directions() {
    let mut net = Net::new(1 << 12);
    let (near, far) = net.join("b");
    let sent: Vec<u8> = (0..100_000u32).map(|n| n as u8).collect();
    let (mut there, mut back) = (0, 0);
    while there < sent.len() || back < sent.len() {
        there += net.at("a").write(near, &sent[there..]);
        back += net.at("b").write(far, &sent[back..]);
        net.settle();
        net.read_all("b", far);
        net.read_all("a", near);
    }
    assert!(net.bytes("b", far) == sent && net.bytes("a", near) == sent);
    assert_eq!(net.ended("a", near), None);
}

#[test]
fn an_end_that_does_not_read_stops_the_other_one_at_the_window_and_nobody_else() {
    let mut net = Net::new(1 << 12);
    let (near, far) = net.join("b");
    let mut taken = 0;
    loop {
        let count = net.at("a").write(near, &[7; 700]);
        net.settle();
        taken += count;
        if count == 0 {
            break;
        }
    }
    assert!(taken < 1 << 12 && taken > 3 << 10, "{taken}");
    assert!(!net.at("a").has_room(near));
    let (other, third) = net.join("c");
    assert_eq!(net.at("a").write(other, b"hello"), 5);
    net.settle();
    assert_eq!(net.bytes("c", third), b"hello");
    net.read_all("b", far);
    assert!(net.at("a").has_room(near));
}

#[test]
fn many_small_pieces_do_not_get_around_the_window() {
    let mut net = Net::new(1 << 12);
    let (near, _) = net.join("b");
    let pieces = (0..10_000).filter(|_| net.at("a").write(near, b"x") == 1).count();
    assert!(pieces <= (1 << 12) / PIECE_COST as usize, "{pieces}");
}

#[test]
fn what_was_sent_before_the_end_arrives_before_it() {
    let mut net = Net::new(1 << 12);
    let (near, far) = net.join("b");
    net.at("a").write(near, b"last words");
    net.at("a").close(near, "done");
    net.settle();
    assert_eq!((net.bytes("b", far), net.ended("b", far)), (&b"last words"[..], Some("done")));
    assert_eq!((net.at("r").relayed(), net.at("a").ends(), net.at("b").ends()), (0, 0, 0));
    assert_eq!(net.at("b").write(far, b"too late"), 0);
}

#[test]
fn why_it_is_over_is_cut() {
    let mut net = Net::new(1 << 12);
    let (near, far) = net.join("b");
    net.at("a").close(near, &"é".repeat(1 << 20));
    net.settle();
    assert_eq!(net.ended("b", far), Some(&*"é".repeat(REASON_MAX / 2)));
}

#[test]
fn when_a_connection_of_the_relay_breaks_all_that_went_over_it_is_over() {
    let mut net = Net::new(1 << 12);
    let (to_b, far) = net.join("b");
    let (to_c, third) = net.join("c");
    net.at("r").down(&node("b"), "cut");
    net.at("b").down(&node("r"), "cut");
    net.settle();
    assert!(net.ended("a", to_b).is_some() && net.ended("b", far).is_some());
    assert!(net.ended("a", to_c).is_none() && net.ended("c", third).is_none());
    assert_eq!(net.at("r").relayed(), 1);
}

#[test]
fn it_is_refused_where_it_cannot_be() {
    for (at, to, why) in
        [("a", "b", "does not relay"), ("r", "x", "no connection to x"), ("r", "c", "no connection to c")]
    {
        let mut net = Net::new(1 << 12);
        // One of ours beyond a Perl node, or carried itself, is no neighbour.
        net.at("c").up(&node(at));
        net.at(at).up(&node("c"));
        let end = net.at("c").dial(&node(at), &node(to));
        net.settle();
        assert!(net.ended("c", end).unwrap().contains(why), "{:?}", net.ended("c", end));
    }
}

#[test]
fn a_relay_has_no_more_connections_than_it_may() {
    let mut net = Net::new(1 << 12);
    let [_, _, first] = [(); 3].map(|()| net.join("b"));
    let refused = net.at("a").dial(&node("r"), &node("c"));
    net.settle();
    assert!(net.ended("a", refused).unwrap().contains("as many connections as its limit allows"));
    // They were idle for so long that their ends cannot be alive; the one that was not stays.
    net.now = Duration::from_secs(11);
    net.at("a").write(first.0, b"alive");
    net.settle();
    net.join("c");
    assert_eq!(net.at("r").relayed(), 2);
    assert_eq!(net.ended("a", first.0), None);
}

#[test]
fn one_who_sends_more_than_the_window_loses_that_connection_and_no_other() {
    let mut net = Net::new(1 << 12);
    let (near, far) = net.join("b");
    let (other, third) = net.join("c");
    let number = number_towards(&net, "b");
    let id = RelayId { by_sender: false, number };
    for _ in 0..5 {
        net.inject("b", "r", RelayRequest::Data(id, Bytes::from(vec![0; 1000])));
    }
    assert!(net.ended("a", near).unwrap().contains("window"));
    assert!(net.ended("b", far).unwrap().contains("window"));
    assert!(net.bytes("a", near).len() < 1 << 12);
    assert_eq!(net.at("a").write(other, b"still there"), 11);
    net.settle();
    assert_eq!(net.bytes("c", third), b"still there");
}

#[test]
fn a_relay_that_sends_more_than_it_said_is_believed_no_more() {
    let mut net = Net::new(1 << 12);
    let (near, _) = net.join("b");
    let number = net.requests.iter().find_map(|(_, from, request)| match request {
        RelayRequest::Dial(number, _) if *from == "a" => Some(*number),
        _ => None,
    });
    let id = RelayId { by_sender: false, number: number.unwrap() };
    for _ in 0..5 {
        net.inject("r", "a", RelayRequest::Data(id, Bytes::from(vec![0; 1000])));
    }
    assert!(net.ended("a", near).unwrap().contains("window"));
}

#[test]
fn what_concerns_no_connection_of_the_sender_does_nothing() {
    let mut net = Net::new(1 << 12);
    let (near, far) = net.join("b");
    let number = number_towards(&net, "b");
    for by_sender in [true, false] {
        for number in [number, 1, 2, 99, u64::MAX] {
            let id = RelayId { by_sender, number };
            for from in ["c", "stranger"] {
                net.inject(from, "r", RelayRequest::Data(id, Bytes::from_static(b"evil")));
                net.inject(from, "r", RelayRequest::Ack(id, 5));
                net.inject(from, "r", RelayRequest::End(id, "evil".into()));
            }
        }
    }
    net.inject("stranger", "r", RelayRequest::Dial(1, node("b")));
    net.inject("stranger", "b", RelayRequest::Call(1, node("a")));
    assert_eq!((net.ended("a", near), net.ended("b", far)), (None, None));
    assert_eq!((net.at("r").relayed(), net.at("b").ends()), (1, 1));
    assert!(net.bytes("a", near).is_empty() && net.bytes("b", far).is_empty());
}

#[test]
fn broken_rules_end_the_connection() {
    let data = |bytes: usize| Bytes::from(vec![0; bytes]);
    for broken in [0, 1, 2] {
        let mut net = Net::new(1 << 20);
        let (near, far) = net.join("b");
        let number = number_towards(&net, "b");
        let id = RelayId { by_sender: false, number };
        let request = match broken {
            0 => RelayRequest::Data(id, data(0)),
            1 => RelayRequest::Data(id, data(PIECE + 1)),
            _ => RelayRequest::Ack(id, 1),
        };
        net.inject("b", "r", request);
        assert!(net.ended("a", near).is_some() && net.ended("b", far).is_some(), "{broken}");
    }
    let mut net = Net::new(1 << 12);
    let (near, _) = net.join("b");
    let Some((_, _, RelayRequest::Dial(number, _))) = net.requests.first().cloned() else { panic!() };
    // The number of a living connection: refused, and the living one is over with it, for nobody
    // can tell them apart.
    net.inject("a", "r", RelayRequest::Dial(number, node("c")));
    assert!(net.ended("a", near).is_some());
    assert!(net.called.is_empty());
}

#[test]
fn windows_have_a_least_and_a_greatest_size() {
    for (asked, least, most) in [(0, 1, 1 << 10), (u64::MAX, 1 << 19, 1 << 20)] {
        let mut net = Net::new(asked);
        let (near, _) = net.join("b");
        let mut taken = 0;
        while net.at("a").has_room(near) {
            taken += net.at("a").write(near, &[0; PIECE]);
        }
        assert!((least..=most).contains(&taken), "{taken}");
    }
}
