//! The relayed connections of one node: those that end here, and those that it carries.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;

use super::{EndId, PIECE, PIECE_COST, REASON_MAX, RelayAction, RelayLimits, WINDOW_MAX, WINDOW_MIN, cost};
use crate::NodeId;
use crate::time::Time;
use crate::wire::{RelayId, RelayRequest};

/// A relayed connection on its way between this node and one that it is connected to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Hop {
    peer: NodeId,
    /// Whether we have numbered it.
    ours: bool,
    number: u64,
}

impl Hop {
    fn id(&self) -> RelayId {
        RelayId { by_sender: self.ours, number: self.number }
    }

    fn all_of(peer: &NodeId) -> std::ops::RangeInclusive<Hop> {
        let hop = |ours, number| Hop { peer: peer.clone(), ours, number };
        hop(false, 0)..=hop(true, u64::MAX)
    }
}

#[derive(Debug)]
enum Use {
    /// It ends here.
    End(EndId),
    /// We carry it.
    Through(Through),
}

/// One direction of a connection that we carry.
#[derive(Debug)]
struct Through {
    /// Where it goes on.
    other: Hop,
    /// Bytes that came over this hop, and that the end behind the other one has not acknowledged.
    in_flight: u64,
    /// When something came over this hop.
    last: Time,
}

#[derive(Debug)]
struct End {
    hop: Hop,
    /// What we may send, [`PIECE_COST`] included, as all that follows.
    room: u64,
    /// What may come before we acknowledge some; the relay's first word says how much that is.
    window: Option<u64>,
    /// What has come and is not acknowledged.
    came: u64,
    /// What has been read of it.
    read: u64,
}

/// The relayed connections of a node. See the [module](super).
#[derive(Debug)]
pub struct Relay {
    own: NodeId,
    /// Whether we carry for others.
    can_relay: bool,
    limits: RelayLimits,
    /// Nodes that are up, understand us, and are connected directly.
    neighbours: BTreeSet<NodeId>,
    hops: BTreeMap<Hop, Use>,
    ends: BTreeMap<EndId, End>,
    /// How many connections we carry, and how many hops of them lead to a node.
    relayed: usize,
    by_node: BTreeMap<NodeId, usize>,
    count: u64,
    out: VecDeque<RelayAction>,
}

impl Relay {
    /// No connections. `carries`: whether this node carries for others.
    pub fn new(own: NodeId, can_relay: bool, limits: RelayLimits) -> Relay {
        let limits = RelayLimits { window: limits.window.clamp(WINDOW_MIN, WINDOW_MAX), ..limits };
        Relay {
            own,
            can_relay,
            limits,
            neighbours: BTreeSet::new(),
            hops: BTreeMap::new(),
            ends: BTreeMap::new(),
            relayed: 0,
            by_node: BTreeMap::new(),
            count: 0,
            out: VecDeque::new(),
        }
    }

    /// A native node is up, over a connection that is not carried itself: it may carry for us, and
    /// we for it.
    pub fn up(&mut self, node: &NodeId) {
        self.neighbours.insert(node.clone());
    }

    /// The outbox of a node broke, or it was none of ours: all that went over it is over.
    pub fn down(&mut self, node: &NodeId, reason: &str) {
        self.neighbours.remove(node);
        // Nor is the next connection to get what was meant for this one.
        self.out.retain(|action| !matches!(action, RelayAction::Send { to, .. } if to == node));
        let hops: Vec<Hop> = self.hops.range(Hop::all_of(node)).map(|(hop, _)| hop.clone()).collect();
        for hop in hops {
            self.end_of(&hop, format!("the connection to {node} is lost: {reason}"));
        }
    }

    /// Begins a connection to a node through another one, which is up. [`RelayAction::Ended`] comes
    /// if nothing becomes of it.
    pub fn dial(&mut self, via: &NodeId, to: &NodeId) -> EndId {
        let hop = self.number(via);
        let request = RelayRequest::Dial(hop.number, to.clone());
        let end = self.begin(hop);
        self.send(via, request);
        end
    }

    /// Sends bytes; gives how many were taken, which is 0 while there is no room.
    pub fn write(&mut self, end: EndId, bytes: &[u8]) -> usize {
        let Some(known) = self.ends.get_mut(&end) else { return 0 };
        let room = usize::try_from(known.room.saturating_sub(PIECE_COST)).unwrap_or(usize::MAX);
        let count = bytes.len().min(room).min(PIECE);
        if count > 0 {
            known.room -= cost(count);
            let (peer, id) = (known.hop.peer.clone(), known.hop.id());
            self.send(&peer, RelayRequest::Data(id, Bytes::copy_from_slice(&bytes[..count])));
        }
        count
    }

    /// A piece of this many bytes, as one [`RelayAction::Came`] brought it, is out of the way:
    /// another one may come.
    pub fn read(&mut self, end: EndId, bytes: usize) {
        let Some(known) = self.ends.get_mut(&end) else { return };
        known.read += cost(bytes);
        // One acknowledgement for many pieces; early enough for the other end to go on meanwhile.
        if known.read >= known.window.unwrap_or(0) / 4 {
            let count = std::mem::take(&mut known.read);
            known.came = known.came.saturating_sub(count);
            let (peer, id) = (known.hop.peer.clone(), known.hop.id());
            self.send(&peer, RelayRequest::Ack(id, count));
        }
    }

    /// Ends a connection that ends here. The other end gets what was sent before.
    pub fn close(&mut self, end: EndId, reason: &str) {
        let Some(known) = self.ends.remove(&end) else { return };
        self.hops.remove(&known.hop);
        let request = RelayRequest::End(known.hop.id(), reason.into());
        self.send(&known.hop.peer, request);
    }

    /// A request came from a node that is up, over its direct connection.
    pub fn request(&mut self, from: &NodeId, request: RelayRequest, now: Time) {
        if !self.neighbours.contains(from) {
            return;
        }
        match request {
            RelayRequest::Dial(number, to) => {
                let near = Hop { peer: from.clone(), ours: false, number };
                if let Err(reason) = self.relay(&near, &to, now) {
                    self.send(from, RelayRequest::End(near.id(), reason));
                }
            }
            RelayRequest::Call(number, caller) => {
                self.called(Hop { peer: from.clone(), ours: false, number }, caller);
            }
            RelayRequest::Data(id, bytes) => self.data(&hop_of(from, id), bytes, now),
            RelayRequest::Ack(id, count) => self.acknowledged(&hop_of(from, id), count, now),
            RelayRequest::End(id, reason) => {
                let end = reason.floor_char_boundary(REASON_MAX);
                self.end_of(&hop_of(from, id), reason[..end].into());
            }
        }
    }

    /// What must be done next.
    pub fn poll(&mut self) -> Option<RelayAction> {
        self.out.pop_front()
    }

    /// Whether [`Relay::write`] would take something.
    pub fn has_room(&self, end: EndId) -> bool {
        self.ends.get(&end).is_some_and(|end| end.room > PIECE_COST)
    }

    /// How many connections this node carries for others.
    pub fn relayed(&self) -> usize {
        self.relayed
    }

    /// How many relayed connections end at this node.
    pub fn ends(&self) -> usize {
        self.ends.len()
    }

    /// Begins to carry, or says why not.
    fn relay(&mut self, near: &Hop, to: &NodeId, now: Time) -> Result<(), String> {
        if !self.can_relay {
            return Err(format!("{} does not relay connections", self.own));
        }
        if self.hops.contains_key(near) {
            return Err("this number is in use".into());
        }
        if *to == near.peer || !self.neighbours.contains(to) {
            return Err(format!("{} has no connection to {to} of its own", self.own));
        }
        if self.is_full(&near.peer, to) {
            self.make_room(now);
        }
        if self.is_full(&near.peer, to) {
            return Err(format!("{} relays as many connections as its limit allows", self.own));
        }
        let far = self.number(to);
        for (hop, other) in [(near, &far), (&far, near)] {
            let through = Through { other: other.clone(), in_flight: 0, last: now };
            self.hops.insert(hop.clone(), Use::Through(through));
            *self.by_node.entry(hop.peer.clone()).or_default() += 1;
        }
        self.relayed += 1;
        self.send(to, RelayRequest::Call(far.number, near.peer.clone()));
        for hop in [&far, near] {
            self.send(&hop.peer, RelayRequest::Ack(hop.id(), self.limits.window));
        }
        Ok(())
    }

    fn called(&mut self, hop: Hop, caller: NodeId) {
        let refusal = match () {
            () if self.hops.contains_key(&hop) => "this number is in use",
            () if self.ends.len() >= self.limits.connections => "too many relayed connections",
            () => {
                let via = hop.peer.clone();
                let end = self.begin(hop);
                return self.out.push_back(RelayAction::Called { end, via, from: caller });
            }
        };
        self.send(&hop.peer, RelayRequest::End(hop.id(), refusal.into()));
    }

    fn data(&mut self, hop: &Hop, bytes: Bytes, now: Time) {
        let count = cost(bytes.len());
        match self.hops.get_mut(hop) {
            // It may have crossed the end of the connection.
            None => {}
            Some(_) if bytes.is_empty() || bytes.len() > PIECE => {
                self.abort(hop, "a piece is empty, or longer than a piece may be");
            }
            Some(Use::End(end)) => {
                let end = *end;
                let Some(known) = self.ends.get_mut(&end) else { return };
                known.came += count;
                if known.came > known.window.unwrap_or(0) {
                    return self.abort(hop, "more bytes came than the window allows");
                }
                self.out.push_back(RelayAction::Came { end, bytes });
            }
            Some(Use::Through(through)) => {
                through.in_flight += count;
                through.last = now;
                if through.in_flight > self.limits.window {
                    return self.abort(hop, "more bytes came than the window allows");
                }
                let other = through.other.clone();
                self.send(&other.peer, RelayRequest::Data(other.id(), bytes));
            }
        }
    }

    fn acknowledged(&mut self, hop: &Hop, count: u64, now: Time) {
        match self.hops.get_mut(hop) {
            None => {}
            Some(Use::End(end)) => {
                let end = *end;
                let Some(known) = self.ends.get_mut(&end) else { return };
                let window = *known.window.get_or_insert(count.min(WINDOW_MAX));
                // No more than the window can ever be free.
                known.room = known.room.saturating_add(count).min(window);
                self.out.push_back(RelayAction::Room { end });
            }
            Some(Use::Through(through)) => {
                through.last = now;
                let other = through.other.clone();
                let Some(Use::Through(back)) = self.hops.get_mut(&other) else { return };
                match back.in_flight.checked_sub(count) {
                    Some(left) => {
                        back.in_flight = left;
                        self.send(&other.peer, RelayRequest::Ack(other.id(), count));
                    }
                    None => self.abort(hop, "more bytes were acknowledged than were sent"),
                }
            }
        }
    }

    /// A hop is gone: what is behind it is told.
    fn end_of(&mut self, hop: &Hop, reason: String) {
        match self.forget(hop) {
            Some(Use::End(end)) => self.out.push_back(RelayAction::Ended { end, reason }),
            Some(Use::Through(Through { other, .. })) => {
                self.send(&other.peer, RelayRequest::End(other.id(), reason));
            }
            None => {}
        }
    }

    /// The node at this hop does not keep to the rules: both sides are told.
    fn abort(&mut self, hop: &Hop, reason: &str) {
        self.send(&hop.peer, RelayRequest::End(hop.id(), reason.into()));
        self.end_of(hop, reason.into());
    }

    fn number(&mut self, peer: &NodeId) -> Hop {
        self.count += 1;
        Hop { peer: peer.clone(), ours: true, number: self.count }
    }

    fn begin(&mut self, hop: Hop) -> EndId {
        self.count += 1;
        let end = EndId(self.count);
        self.hops.insert(hop.clone(), Use::End(end));
        self.ends.insert(end, End { hop, room: 0, window: None, came: 0, read: 0 });
        end
    }

    /// Forgets a hop, and the one on the other side of a connection that we carry.
    fn forget(&mut self, hop: &Hop) -> Option<Use> {
        let used = self.hops.remove(hop)?;
        match &used {
            Use::End(end) => drop(self.ends.remove(end)),
            Use::Through(through) => {
                self.hops.remove(&through.other);
                self.relayed -= 1;
                for peer in [&hop.peer, &through.other.peer] {
                    if let Some(count) = self.by_node.get_mut(peer) {
                        *count -= 1;
                        if *count == 0 {
                            self.by_node.remove(peer);
                        }
                    }
                }
            }
        }
        Some(used)
    }

    fn is_full(&self, a: &NodeId, b: &NodeId) -> bool {
        let of = |node| self.by_node.get(node).copied().unwrap_or(0) >= self.limits.of_one_node;
        self.relayed >= self.limits.connections || of(a) || of(b)
    }

    /// Ends the connections over which nothing has passed for long.
    fn make_room(&mut self, now: Time) {
        let last = |hop: &Hop| match self.hops.get(hop) {
            Some(Use::Through(through)) => Some(through.last),
            _ => None,
        };
        let idle = self.hops.iter().filter_map(|(hop, used)| match used {
            Use::Through(through) => {
                let quiet = through.last.max(last(&through.other)?) + self.limits.idle <= now;
                (quiet && *hop < through.other).then(|| hop.clone())
            }
            Use::End(_) => None,
        });
        for hop in idle.collect::<Vec<_>>() {
            self.abort(&hop, "nothing has passed for too long");
        }
    }

    fn send(&mut self, to: &NodeId, request: RelayRequest) {
        // A node that is not connected any more gets nothing: a request must not wait for the next
        // connection.
        if self.neighbours.contains(to) {
            self.out.push_back(RelayAction::Send { to: to.clone(), request });
        }
    }
}

/// What the receiver of a request calls the connection.
fn hop_of(from: &NodeId, id: RelayId) -> Hop {
    Hop { peer: from.clone(), ours: !id.by_sender, number: id.number }
}
