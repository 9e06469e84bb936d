//! The connections of a node, and which of several to one peer is the one.
//!
//! The dialler of a connection sends its authentication line first, the acceptor verifies it and
//! then answers. So the one who sends last decides, and two nodes that dial each other at the same
//! moment keep exactly one connection if one of them, the node with the lower ID, has its line on
//! no more than one undecided connection at a time (`ARCHITECTURE.md`). A Perl peer sends its line
//! at once and breaks both when two finish together: towards it we always do so.
//!
//! A node that is up already is not displaced: the old connection is probed first. Only a relayed
//! connection is replaced at once, by a direct one with the same run of the node; but not a young
//! one, for both may come from dialling every address and relay that is known.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use crate::NodeId;
use crate::deadlines::Deadlines;
use crate::link_id::LinkId;
use crate::peer::Peer;
use crate::time::Time;

/// A probe is answered within a second; half a second more, and silence is an answer too.
const PROBE_LIMIT: Duration = Duration::from_millis(1500);

/// A peer that was greeted answers our line at once. One that does not, for so long while another
/// connection to the node could go on, gives way: anybody can listen somewhere, greet with the ID
/// of a node and say nothing more.
const PATIENCE: Duration = Duration::from_secs(1);

/// A relayed connection that is up for so long may be replaced by a direct one.
const SETTLED: Duration = Duration::from_secs(5);

/// Why a relayed connection ends when a direct one takes its place.
pub(super) const DIRECT_INSTEAD: &str = "a direct connection replaces the relayed one";

/// Why a connection is closed that took too long to be made.
pub const CONNECT_TIMEOUT: &str = "connect timeout";

/// What must be done about connections, in this order.
#[derive(Debug, PartialEq)]
pub(super) enum Verdict {
    /// Our line may be sent.
    Proceed(LinkId),
    /// The connection is to be closed; it is forgotten here.
    Close(LinkId, String),
    /// The peer is up, and somebody claims its ID: is it alive?
    Probe(LinkId),
    /// A dialled connection ended before it was established.
    Ended(LinkId, String),
    /// This link is the one to its peer.
    Up(LinkId, Peer),
    /// The peer is down.
    Down(NodeId, String),
    /// To be logged.
    Refused(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Dialled, nothing heard yet.
    Dialling,
    /// Accepted, and not verified: anybody may claim anything.
    Greeted,
    /// Our line may be sent, but another connection to the same peer comes first.
    Held,
    /// As `Held`, behind a connection that is up and being probed.
    Waiting,
    /// Our line is sent.
    Proceeding,
    /// Established.
    Open,
}

#[derive(Debug)]
struct Link {
    stage: Stage,
    peer: Option<Peer>,
    /// When it was established.
    since: Time,
}

/// All connections of a node.
#[derive(Debug)]
pub(super) struct Links {
    own: NodeId,
    limit: usize,
    links: BTreeMap<LinkId, Link>,
    /// Links whose peer has greeted, by its node.
    greeted: BTreeMap<NodeId, BTreeSet<LinkId>>,
    /// The one link of each node that is up.
    up: BTreeMap<NodeId, LinkId>,
    /// When dialled links that are not established count as failed.
    connects: Deadlines<LinkId>,
    /// When nodes that are up and being probed count as silent.
    probes: Deadlines<NodeId>,
    /// When connections that are held go ahead of the one that they wait for.
    waits: Deadlines<NodeId>,
    /// What time it is, as far as we were told.
    now: Time,
    out: VecDeque<Verdict>,
}

impl Links {
    /// No connections. `limit` is how many nodes may be up.
    pub(super) fn new(own: NodeId, limit: usize) -> Links {
        Links {
            own,
            limit,
            links: BTreeMap::new(),
            greeted: BTreeMap::new(),
            up: BTreeMap::new(),
            connects: Deadlines::default(),
            probes: Deadlines::default(),
            waits: Deadlines::default(),
            now: Time::ZERO,
            out: VecDeque::new(),
        }
    }

    /// Time has passed.
    pub(super) fn pass(&mut self, now: Time) {
        self.now = now;
    }

    /// A connection is being dialled, and must be established by `deadline`.
    pub(super) fn dialled(&mut self, link: LinkId, deadline: Time) {
        self.links.insert(link, Link { stage: Stage::Dialling, peer: None, since: Time::ZERO });
        self.connects.set(&link, Some(deadline));
    }

    /// The peer's greeting was read.
    pub(super) fn greeted(&mut self, link: LinkId, peer: Peer, now: Time) {
        let node = peer.node.clone();
        if link.is_dialled() {
            let Some(known) = self.links.get_mut(&link).filter(|link| link.peer.is_none()) else { return };
            known.peer = Some(peer);
        } else {
            self.links.insert(link, Link { stage: Stage::Greeted, peer: Some(peer), since: Time::ZERO });
        }
        self.greeted.entry(node).or_default().insert(link);
        if link.is_dialled() {
            self.ready(link, now);
        }
    }

    /// The peer's line on an accepted connection is right.
    pub(super) fn verified(&mut self, link: LinkId, now: Time) {
        if self.links.get(&link).is_some_and(|link| link.stage == Stage::Greeted) {
            self.ready(link, now);
        }
    }

    /// Both lines are exchanged.
    pub(super) fn established(&mut self, link: LinkId) {
        let Some(known) = self.links.get_mut(&link) else { return };
        let Some(peer) = known.peer.clone() else { return };
        if known.stage == Stage::Open {
            return;
        }
        known.stage = Stage::Open;
        known.since = self.now;
        self.connects.clear(&link);
        // The peer would not have finished this one if the old one were still alive for it.
        let reason = if self.is_more_direct(link) { DIRECT_INSTEAD } else { "replaced by a new connection" };
        self.take_down(&peer.node, reason);
        self.up.insert(peer.node.clone(), link);
        for other in self.rivals(&peer.node, |stage| stage != Stage::Greeted && stage != Stage::Open) {
            self.close(other, "another connection to the node was established");
        }
        self.out.push_back(Verdict::Up(link, peer));
    }

    /// The probe of a link has a result.
    pub(super) fn probe_done(&mut self, link: LinkId, alive: bool) {
        let Some(node) = self.node_of(link) else { return };
        if self.link_to(&node) != Some(link) || !self.probes.clear(&node) {
            return;
        }
        if !alive {
            self.take_down(&node, "the node does not answer on this connection, and connected anew");
            return self.decide(&node);
        }
        let incarnation = self.links.get(&link).and_then(|link| link.peer.as_ref()?.incarnation);
        for other in self.rivals(&node, |stage| stage == Stage::Waiting) {
            let claims = self.links.get(&other).and_then(|link| link.peer.as_ref()?.incarnation);
            if !other.is_dialled() && (claims.is_none() || claims != incarnation) {
                self.out.push_back(Verdict::Refused(format!(
                    "a second connection with the node ID {node}: the first one is alive"
                )));
            }
            self.close(other, "already connected to this node");
        }
    }

    /// The connection is over.
    pub(super) fn closed(&mut self, link: LinkId, reason: &str) {
        let Some(node) = self.node_of(link) else {
            return self.forget(link, reason);
        };
        if self.link_to(&node) == Some(link) {
            // The peer has ended the relayed one for a direct one that is ready there already.
            let direct = |stage| matches!(stage, Stage::Held | Stage::Waiting | Stage::Proceeding);
            let replaced = self.rivals(&node, direct).into_iter().any(|rival| self.is_more_direct(rival));
            let reason = if replaced { DIRECT_INSTEAD } else { reason };
            self.forget_up(&node);
            self.forget(link, reason);
            self.out.push_back(Verdict::Down(node.clone(), reason.into()));
        } else {
            self.forget(link, reason);
        }
        self.decide(&node);
    }

    /// Closes a connection from our side.
    pub(super) fn close(&mut self, link: LinkId, reason: &str) {
        if self.links.contains_key(&link) {
            self.out.push_back(Verdict::Close(link, reason.into()));
            self.closed(link, reason);
        }
    }

    /// Closes the connection to a node that is up.
    pub(super) fn disconnect(&mut self, node: &NodeId, reason: &str) {
        self.take_down(node, reason);
        self.decide(node);
    }

    /// Fires what is due.
    pub(super) fn tick(&mut self, now: Time) {
        for silent in self.probes.due(now) {
            if let Some(link) = self.link_to(&silent) {
                self.probe_done(link, false);
            }
        }
        for link in self.connects.due(now) {
            self.close(link, CONNECT_TIMEOUT);
        }
        for node in self.waits.due(now) {
            self.waits.clear(&node);
            self.go_ahead(&node);
        }
    }

    /// What must be done next.
    pub(super) fn poll(&mut self) -> Option<Verdict> {
        self.out.pop_front()
    }

    /// When [`Links::tick`] has something to do.
    pub(super) fn next_timeout(&self) -> Option<Time> {
        [self.probes.next(), self.connects.next(), self.waits.next()].into_iter().flatten().min()
    }

    /// Whether the node is up.
    pub(super) fn is_up(&self, node: &NodeId) -> bool {
        self.up.contains_key(node)
    }

    /// The nodes that are up, in order.
    pub(super) fn up(&self) -> impl Iterator<Item = &NodeId> {
        self.up.keys()
    }

    /// How many nodes are up.
    pub(super) fn up_count(&self) -> usize {
        self.up.len()
    }

    /// Whether the node that is up is one of ours.
    pub(super) fn is_native(&self, node: &NodeId) -> bool {
        self.peer(node).is_some_and(|peer| peer.native)
    }

    /// What the greeting of a node that is up says.
    pub(super) fn peer(&self, node: &NodeId) -> Option<&Peer> {
        self.links.get(&self.link_to(node)?)?.peer.as_ref()
    }

    /// Whether a connection to this node has got so far that a further one would only be in its
    /// way.
    pub(super) fn in_flight(&self, node: &NodeId) -> bool {
        !self
            .rivals(node, |stage| matches!(stage, Stage::Held | Stage::Waiting | Stage::Proceeding))
            .is_empty()
    }

    /// The peer is known, and as far as we can tell before our line is sent it is who it says.
    fn ready(&mut self, link: LinkId, now: Time) {
        let Some(node) = self.node_of(link) else { return };
        if self.up.len() >= self.limit && !self.is_up(&node) {
            self.out.push_back(Verdict::Refused(format!(
                "a connection with {node}: {} nodes are connected, which is the limit",
                self.limit
            )));
            return self.close(link, "too many connections");
        }
        let Some(up) = self.link_to(&node) else {
            self.set_stage(link, Stage::Held);
            return self.decide(&node);
        };
        if self.may_replace(link) {
            self.set_stage(link, Stage::Held);
            return self.decide(&node);
        }
        if !self.probes.contains(&node) {
            self.probes.set(&node, Some(now + PROBE_LIMIT));
            self.out.push_back(Verdict::Probe(up));
        }
        self.set_stage(link, Stage::Waiting);
    }

    /// Lets held connections of this node go on, as many as may.
    fn decide(&mut self, node: &NodeId) {
        if !self.is_up(node) {
            for link in self.rivals(node, |stage| stage == Stage::Waiting) {
                self.set_stage(link, Stage::Held);
            }
        }
        self.proceed_with_held(node);
        let is_held = |stage| stage == Stage::Held;
        if self.rivals(node, is_held).is_empty() {
            self.waits.clear(node);
        } else if !self.waits.contains(node) {
            self.waits.set(node, Some(self.now + PATIENCE));
        }
    }

    /// Connections have been held for long enough: what they wait for is given up, and the first of
    /// them goes on.
    fn go_ahead(&mut self, node: &NodeId) {
        let held = self.rivals(node, |stage| stage == Stage::Held);
        let Some(first) = held.first() else { return };
        for silent in self.ahead_of(*first, node) {
            self.close(silent, "the peer says nothing, and another connection to the node has waited for it");
        }
    }

    fn proceed_with_held(&mut self, node: &NodeId) {
        for link in self.rivals(node, |stage| stage == Stage::Held) {
            let is_needed = !self.is_up(node) || self.may_replace(link);
            if is_needed && !self.must_wait(link, node) {
                self.set_stage(link, Stage::Proceeding);
                self.out.push_back(Verdict::Proceed(link));
            }
        }
    }

    /// Whether this link may take the place of a relayed one that is alive.
    fn may_replace(&self, link: LinkId) -> bool {
        let up = self.node_of(link).and_then(|node| self.links.get(&self.link_to(&node)?));
        self.is_more_direct(link) && up.is_some_and(|up| up.since + SETTLED <= self.now)
    }

    /// Whether this link is a direct one, and the one to the same run of its node is relayed.
    fn is_more_direct(&self, link: LinkId) -> bool {
        let peer = |link: LinkId| self.links.get(&link)?.peer.as_ref();
        let Some(new) = peer(link).filter(|new| new.incarnation.is_some() && new.via.is_none()) else {
            return false;
        };
        let old = self.link_to(&new.node).and_then(peer);
        old.is_some_and(|old| old.via.is_some() && old.incarnation == new.incarnation)
    }

    /// Whether our line on this link has to wait for the fate of another one.
    fn must_wait(&self, link: LinkId, node: &NodeId) -> bool {
        !self.ahead_of(link, node).is_empty()
    }

    /// The links for which our line on this one has to wait.
    fn ahead_of(&self, link: LinkId, node: &NodeId) -> Vec<LinkId> {
        let native =
            self.links.get(&link).and_then(|link| link.peer.as_ref()).is_some_and(|peer| peer.native);
        let free = native && self.own > *node;
        // The higher one goes ahead, as the lower one decides; but of several that it dialled
        // itself, one is enough.
        let mut ahead = self.rivals(node, |stage| stage == Stage::Proceeding);
        ahead.retain(|other| !free || other.is_dialled() == link.is_dialled());
        ahead
    }

    fn take_down(&mut self, node: &NodeId, reason: &str) {
        let Some(link) = self.forget_up(node) else { return };
        self.out.push_back(Verdict::Close(link, reason.into()));
        self.forget(link, reason);
        self.out.push_back(Verdict::Down(node.clone(), reason.into()));
    }

    /// The node is not up any more, no matter what a probe of it may say. Gives the link that was
    /// the one to it.
    fn forget_up(&mut self, node: &NodeId) -> Option<LinkId> {
        self.probes.clear(node);
        self.up.remove(node)
    }

    fn forget(&mut self, link: LinkId, reason: &str) {
        let Some(gone) = self.links.remove(&link) else { return };
        self.connects.clear(&link);
        if let Some(peer) = gone.peer
            && let Some(links) = self.greeted.get_mut(&peer.node)
        {
            links.remove(&link);
            if links.is_empty() {
                self.greeted.remove(&peer.node);
            }
        }
        if link.is_dialled() && gone.stage != Stage::Open {
            self.out.push_back(Verdict::Ended(link, reason.into()));
        }
    }

    fn link_to(&self, node: &NodeId) -> Option<LinkId> {
        self.up.get(node).copied()
    }

    fn node_of(&self, link: LinkId) -> Option<NodeId> {
        Some(self.links.get(&link)?.peer.as_ref()?.node.clone())
    }

    fn set_stage(&mut self, link: LinkId, stage: Stage) {
        if let Some(link) = self.links.get_mut(&link) {
            link.stage = stage;
        }
    }

    fn rivals(&self, node: &NodeId, wanted: impl Fn(Stage) -> bool) -> Vec<LinkId> {
        let links = self.greeted.get(node).into_iter().flatten().copied();
        links.filter(|link| self.links.get(link).is_some_and(|link| wanted(link.stage))).collect()
    }
}

#[cfg(test)]
mod tests;
