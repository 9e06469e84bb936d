//! Nodes that cannot be dialled: they say through whom they are reached, and whoever wants them
//! asks one of these to carry a connection (`PROTOCOL.md` §2.8).
//!
//! Such a node keeps its entry in [`WAYS`] as its connections to global nodes come and go. For an
//! attempt to connect these ways come after the addresses (`dial`). What a carrier does is not here
//! but in [`crate::relay`].

use std::collections::BTreeMap;

use super::connect::Purpose;
use super::target::DialTarget;
use super::{Action, Kernel};
use crate::db::{Change, WAYS, binds_of_value, binds_to_value};
use crate::link_id::LinkId;
use crate::peer::Peer;
use crate::time::Time;
use crate::wire::MeshRequest;
use crate::{NodeId, Value};

/// The kind of way that leads through another node.
const VIA: &str = "via:";

/// Ways that one node may announce, and that are tried: more are no more use.
const WAYS_MAX: usize = 8;

/// What begins the number of a question for the ways to a node, whose ID follows. Queries of
/// programs have mere digits.
const QUESTION: &str = "x ";

/// The links that wait for their carriers, and whether we need ways ourselves.
#[derive(Debug, Default)]
pub(super) struct Ways {
    needed: bool,
    /// By the carrier, which is being dialled: the link, and where it is to lead.
    waiting: BTreeMap<NodeId, Vec<(LinkId, NodeId)>>,
}

impl Ways {
    /// Whether others cannot dial us.
    pub(super) fn needed(&mut self, needed: bool) {
        self.needed = needed;
    }

    /// A link that was being dialled is gone.
    pub(super) fn forget(&mut self, link: LinkId) {
        self.waiting.retain(|_, links| {
            links.retain(|(waiting, _)| *waiting != link);
            !links.is_empty()
        });
    }
}

impl Kernel {
    /// Says through whom we are reached, if we cannot be dialled: global nodes that carry, and that
    /// we are connected to ourselves; first of all the master, for that is where others are likely
    /// to be.
    pub(super) fn announce_ways(&mut self, now: Time) {
        let own = self.config.node.clone();
        let carries = |node: &&NodeId| {
            self.links.peer(node).is_some_and(|peer: &Peer| peer.carries && peer.is_neighbour())
        };
        let mut carriers: Vec<&NodeId> = match self.ways.needed {
            true => self.global.others().filter(carries).collect(),
            false => Vec::new(),
        };
        carriers.sort_by_key(|node| !self.client.is_master(node));
        let ways: Vec<String> = carriers.iter().take(WAYS_MAX).map(|node| format!("{VIA}{node}")).collect();
        match ways.is_empty() {
            true => self.delete_own(WAYS, own.as_str(), now),
            false => self.set_own(WAYS, own.as_str(), binds_to_value(&ways), now),
        }
    }

    /// Finds carriers for an attempt, as far as they are known here. Gives whether there are any.
    pub(super) fn look_up_carriers(&mut self, node: &NodeId) -> bool {
        let ways = self.merged.get(WAYS, node.as_str()).filter(|_| self.serving).map(binds_of_value);
        ways.is_some_and(|ways| self.found_ways(node, &ways))
    }

    /// Tells a node that asks for the addresses of another one through whom that is reached. A Perl
    /// node could not use it.
    pub(super) fn tell_ways(&mut self, to: &NodeId, node: &NodeId) {
        let ways = self.merged.get(WAYS, node.as_str()).map(binds_of_value).unwrap_or_default();
        if !ways.is_empty() && self.links.is_native(to) {
            self.send(to, MeshRequest::FoundCarried(node.clone(), ways));
        }
    }

    /// The master says where a node listens. One that is no native node does not know about ways,
    /// but has them: ask for them before giving up.
    pub(super) fn found(&mut self, master: &NodeId, node: &NodeId, addresses: &[String]) {
        let last = addresses.is_empty() || self.attempts.is_second_try(node);
        if last && !self.links.is_native(master) {
            let question = Value::name(&format!("{QUESTION}{node}"));
            self.send(master, MeshRequest::Family(WAYS.into(), question));
            if addresses.is_empty() {
                return;
            }
        }
        self.attempts.addresses(node, addresses);
    }

    /// The answer to such a question: all ways there are.
    pub(super) fn asked_for_ways(&mut self, question: &Value, answer: &Value) {
        let node = question.to_name().and_then(|text| NodeId::new(text.strip_prefix(QUESTION)?).ok());
        let Some(node) = node else { return };
        if let Some(ways) = answer.get(node.as_str()) {
            let _ = self.found_ways(&node, &binds_of_value(ways));
        }
        self.attempts.addresses(&node, &[]);
    }

    /// A node can be reached these ways. Carriers that are connected already come first. Gives
    /// whether one of the ways is of use.
    pub(super) fn found_ways(&mut self, node: &NodeId, ways: &[String]) -> bool {
        let mut carriers: Vec<NodeId> = carriers_of(ways)
            .filter(|carrier| *carrier != self.config.node && carrier != node)
            .take(WAYS_MAX)
            .collect();
        carriers.sort_by_key(|carrier| !self.links.is_up(carrier));
        self.attempts.carriers(node, &carriers);
        !carriers.is_empty()
    }

    /// Ways have changed in the database that is merged here.
    pub(super) fn ways_changed(&mut self, change: &Change, now: Time) {
        for (key, value) in &change.set {
            let Ok(node) = NodeId::new(key) else { continue };
            let ways = binds_of_value(value);
            for relay in carriers_of(&ways) {
                self.throttle.revive(&DialTarget::Relay { relay, to: node.clone() }, now);
            }
            if self.found_ways(&node, &ways) {
                self.attempts.addresses(&node, &[]);
                self.lookup_found(&node);
            }
        }
    }

    /// Dials a node through a carrier, which is dialled itself if it has to be.
    pub(super) fn dial_through(&mut self, node: &NodeId, carrier: &NodeId, now: Time) {
        let limit = now + self.config.attempt();
        let target = DialTarget::Relay { relay: carrier.clone(), to: node.clone() };
        let link = self.begin_dial(target, Purpose::Node(node.clone()), limit, now);
        self.attempts.dialled(node, link);
        if self.links.is_up(carrier) {
            self.ask_carrier(link, carrier, node);
            self.follow_links(now);
        } else {
            self.ways.waiting.entry(carrier.clone()).or_default().push((link, node.clone()));
            self.wanted(carrier, false, now);
        }
    }

    /// A node is up: links that were to lead through it can be dialled.
    pub(super) fn carrier_came(&mut self, carrier: &NodeId, now: Time) {
        for (link, to) in self.ways.waiting.remove(carrier).unwrap_or_default() {
            self.throttle.delayed(&DialTarget::Relay { relay: carrier.clone(), to: to.clone() }, now);
            self.ask_carrier(link, carrier, &to);
        }
    }

    /// A node cannot be reached, so nothing can lead through it.
    pub(super) fn carrier_failed(&mut self, carrier: &NodeId, reason: &str) {
        for (link, _) in self.ways.waiting.remove(carrier).unwrap_or_default() {
            self.links
                .close(link, &format!("cannot reach {carrier}, which should relay the connection: {reason}"));
        }
    }

    fn ask_carrier(&mut self, link: LinkId, carrier: &NodeId, to: &NodeId) {
        if self.links.peer(carrier).is_some_and(|peer| peer.carries && peer.is_neighbour()) {
            let (carrier, to) = (carrier.clone(), to.clone());
            self.actions.push_back(Action::DialThrough { link, carrier, to });
        } else {
            self.links.close(link, &format!("{carrier} cannot relay a connection"));
        }
    }
}

/// Whether the number of a query is that of a question for ways.
pub(super) fn is_question(id: &Value) -> bool {
    id.to_name().is_some_and(|text| text.starts_with(QUESTION))
}

/// The nodes that carry, of these ways.
fn carriers_of(ways: &[String]) -> impl Iterator<Item = NodeId> {
    ways.iter().filter_map(|way| NodeId::new(way.strip_prefix(VIA)?).ok())
}
