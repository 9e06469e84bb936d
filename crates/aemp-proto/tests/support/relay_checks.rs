//! What must hold of relayed connections no matter what the nodes around say. The fuzz target and
//! the test that replays its corpus call this.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aemp_proto::NodeId;
use aemp_proto::relay::{EndId, Relay, RelayAction, RelayLimits};
use aemp_proto::wire::{Body, Frame, FrameReader, Framing, Limits, Request};

const LIMITS: Limits = Limits::DEFAULT.frame(1 << 16).depth(64);
const WINDOW: u64 = 4096;
const CONNECTIONS: usize = 3;

/// A node that relays connections, and is an end of some, between three others.
struct Node {
    relay: Relay,
    peers: [NodeId; 3],
    now: Duration,
    /// Our ends that are not over, and what has come for each and was not read.
    ends: BTreeMap<EndId, Vec<usize>>,
    over: BTreeSet<EndId>,
}

/// Bytes read as messages of three peers to a node that relays connections, which acts on them. The
/// length of a port's name says which peer; a message that is no request is something that the node
/// does by itself. What it wants sent can be sent, no more comes than the window has room for, each
/// end is told once that it is over, and nothing is left when the peers are gone.
pub(crate) fn relay(bytes: &[u8]) {
    let node = |id: &str| NodeId::new(id).expect("a node ID");
    let limits = RelayLimits::default()
        .connections(CONNECTIONS)
        .of_one_node(2)
        .window(WINDOW)
        .idle(Duration::from_secs(10));
    let mut own = Node {
        relay: Relay::new(node("own"), true, limits),
        peers: ["a", "b", "c"].map(node),
        now: Duration::ZERO,
        ends: BTreeMap::new(),
        over: BTreeSet::new(),
    };
    own.peers.iter().for_each(|peer| own.relay.up(peer));
    let mut reader = FrameReader::new(Framing::Cbor, LIMITS);
    reader.buffer().extend_from_slice(bytes);
    while let Ok(Some(frame)) = reader.next() {
        let Frame::Message { port, body, .. } = frame else { continue };
        own.now += Duration::from_secs(1);
        let from = own.peers[port.len() % own.peers.len()].clone();
        match Request::decode(&body) {
            Ok(Request::Relay(request)) => own.relay.request(&from, request, own.now),
            Ok(_) | Err(_) => own.does(&from, &body),
        }
        own.act();
    }
    for peer in own.peers.clone() {
        own.relay.down(&peer, "gone");
        own.act();
    }
    assert_eq!((own.relay.relayed(), own.relay.ends(), own.ends.len()), (0, 0, 0));
}

impl Node {
    /// What the library does: it dials, writes, reads and closes, and connections to its peers come
    /// and go.
    fn does(&mut self, peer: &NodeId, body: &Body) {
        let what = body.first_name().unwrap_or_default().into_owned();
        let count = body.items().len();
        let end = self.ends.keys().nth(count % self.ends.len().max(1)).copied();
        match (&*what, end) {
            ("dial", _) => {
                let to = self.peers[count % 3].clone();
                let end = self.relay.dial(peer, &to);
                assert!(self.ends.insert(end, Vec::new()).is_none(), "an end has a name of its own");
            }
            ("write", Some(end)) => {
                assert!(self.relay.write(end, body.items()) <= count);
            }
            ("read", Some(end)) => {
                if let Some(piece) = self.ends.get_mut(&end).and_then(Vec::pop) {
                    self.relay.read(end, piece);
                }
            }
            ("close", Some(end)) => {
                self.relay.close(end, "enough");
                self.ends.remove(&end);
                self.over.insert(end);
            }
            ("down", _) => self.relay.down(peer, "lost"),
            ("up", _) => self.relay.up(peer),
            _ => {}
        }
    }

    fn act(&mut self) {
        while let Some(action) = self.relay.poll() {
            match action {
                RelayAction::Send { request, .. } => {
                    let body = request.encode().expect("what a node sends can be written");
                    let again = Request::decode(&body).expect("what a node sends is a request");
                    assert_eq!(again, Request::Relay(request));
                }
                RelayAction::Called { end, .. } => {
                    assert!(self.ends.insert(end, Vec::new()).is_none() && !self.over.contains(&end));
                }
                RelayAction::Came { end, bytes } => {
                    let came = self.ends.get_mut(&end).expect("it is not over");
                    came.push(bytes.len());
                    let unread = came.iter().map(|piece| *piece as u64 + 64).sum::<u64>();
                    assert!(unread <= 1 << 20, "no window is larger");
                }
                RelayAction::Room { end } => assert!(self.ends.contains_key(&end), "it is not over"),
                RelayAction::Ended { end, .. } => {
                    assert!(self.ends.remove(&end).is_some() && self.over.insert(end), "once");
                }
            }
        }
        assert!(self.relay.relayed() <= CONNECTIONS);
        assert_eq!(self.relay.ends(), self.ends.len());
    }
}
