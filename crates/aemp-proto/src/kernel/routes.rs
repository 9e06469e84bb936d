//! Nodes that cannot be dialled: they say through whom they are reached, and the one who wants them
//! asks one of these to relay a connection (`PROTOCOL.md` §2.8).
//!
//! Such a node keeps its entry in [`ROUTES`] as its connections to global nodes come and go. For an
//! attempt to connect these ways come after the addresses (`dial`). What a relay does is not here
//! but in [`crate::relay`].

use std::collections::BTreeMap;

use super::connect::Purpose;
use super::target::DialTarget;
use super::{Action, Kernel};
use crate::db::{Change, ROUTES, binds_of_value, binds_to_value};
use crate::link_id::LinkId;
use crate::peer::Peer;
use crate::time::Time;
use crate::wire::MeshRequest;
use crate::{NodeId, Value};

/// The kind of way that leads through another node.
const VIA: &str = "via:";

/// Ways that one node may announce, and that are tried: more are no more use.
const ROUTES_MAX: usize = 8;

/// What begins the number of a question for the ways to a node, whose ID follows. Queries of
/// programs have mere digits.
const QUESTION: &str = "x ";

/// The links that wait for their relays, and whether we need ways ourselves.
#[derive(Debug, Default)]
pub(super) struct Routes {
    needed: bool,
    /// By the relay, which is being dialled: the link, and where it is to lead.
    waiting: BTreeMap<NodeId, Vec<(LinkId, NodeId)>>,
}

impl Routes {
    /// Whether others cannot dial us.
    pub(super) fn needed(&mut self, needed: bool) {
        self.needed = needed;
    }

    /// Whether links are to lead through this node when it is up.
    pub(super) fn is_waited_for(&self, relay: &NodeId) -> bool {
        self.waiting.contains_key(relay)
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
    pub(super) fn announce_routes(&mut self, now: Time) {
        let own = self.config.node.clone();
        let can_relay = |node: &&NodeId| {
            self.links.peer(node).is_some_and(|peer: &Peer| peer.can_relay && peer.is_neighbour())
        };
        let mut relays: Vec<&NodeId> = match self.routes.needed {
            true => self.global.others().filter(can_relay).collect(),
            false => Vec::new(),
        };
        relays.sort_by_key(|node| !self.client.is_master(node));
        let routes: Vec<String> = relays.iter().take(ROUTES_MAX).map(|node| format!("{VIA}{node}")).collect();
        match routes.is_empty() {
            true => self.delete_own(ROUTES, own.as_str(), now),
            false => self.set_own(ROUTES, own.as_str(), binds_to_value(&routes), now),
        }
    }

    /// Finds relays for an attempt, as far as they are known here. Gives whether there are any.
    pub(super) fn look_up_relays(&mut self, node: &NodeId) -> bool {
        let routes = self.merged.get(ROUTES, node.as_str()).filter(|_| self.serving).map(binds_of_value);
        routes.is_some_and(|routes| self.found_routes(node, &routes))
    }

    /// Tells a node that asks for the addresses of another one through whom that is reached. A Perl
    /// node could not use it.
    pub(super) fn tell_routes(&mut self, to: &NodeId, node: &NodeId) {
        let routes = self.merged.get(ROUTES, node.as_str()).map(binds_of_value).unwrap_or_default();
        if !routes.is_empty() && self.links.is_native(to) {
            self.send(to, MeshRequest::FoundRelayed(node.clone(), routes));
        }
    }

    /// The master says where a node listens. One that is no native node does not know about ways,
    /// but has them: ask for them before giving up.
    pub(super) fn found(&mut self, master: &NodeId, node: &NodeId, addresses: &[String]) {
        let last = addresses.is_empty() || self.attempts.is_second_try(node);
        if last && !self.links.is_native(master) {
            let question = Value::name(&format!("{QUESTION}{node}"));
            self.send(master, MeshRequest::Family(ROUTES.into(), question));
            if addresses.is_empty() {
                return;
            }
        }
        self.attempts.addresses(node, addresses);
    }

    /// The answer to such a question: all ways there are.
    pub(super) fn asked_for_routes(&mut self, question: &Value, answer: &Value) {
        let node = question.to_name().and_then(|text| NodeId::new(text.strip_prefix(QUESTION)?).ok());
        let Some(node) = node else { return };
        if let Some(routes) = answer.get(node.as_str()) {
            let _ = self.found_routes(&node, &binds_of_value(routes));
        }
        self.attempts.addresses(&node, &[]);
    }

    /// A node can be reached these ways. Carriers that are connected already come first. Gives
    /// whether one of the ways is of use.
    pub(super) fn found_routes(&mut self, node: &NodeId, routes: &[String]) -> bool {
        let mut relays: Vec<NodeId> = relays_of(routes)
            .filter(|via| *via != self.config.node && via != node)
            .take(ROUTES_MAX)
            .collect();
        relays.sort_by_key(|via| !self.links.is_up(via));
        if self.links.is_up(node) {
            // It is a direct connection that is wanted.
            relays.clear();
        }
        self.attempts.relays(node, &relays);
        !relays.is_empty()
    }

    /// Ways have changed in the database that is merged here.
    pub(super) fn routes_changed(&mut self, change: &Change, now: Time) {
        for (key, value) in &change.set {
            let Ok(node) = NodeId::new(key) else { continue };
            let routes = binds_of_value(value);
            for relay in relays_of(&routes) {
                self.throttle.revive(&DialTarget::Relay { relay, to: node.clone() }, now);
            }
            if self.found_routes(&node, &routes) {
                self.attempts.addresses(&node, &[]);
                self.lookup_found(&node);
            }
        }
    }

    /// Dials a node through a relay, which is dialled itself if it has to be.
    pub(super) fn dial_through(&mut self, node: &NodeId, via: &NodeId, now: Time) {
        let limit = now + self.config.attempt();
        let target = DialTarget::Relay { relay: via.clone(), to: node.clone() };
        let link = self.begin_dial(target, Purpose::Node(node.clone()), limit, now);
        self.attempts.dialled(node, link);
        if self.links.is_up(via) {
            self.ask_relay(link, via, node, now);
            self.follow_links(now);
        } else {
            self.routes.waiting.entry(via.clone()).or_default().push((link, node.clone()));
            self.wanted(via, false, now);
        }
    }

    /// A node is up: links that were to lead through it can be dialled.
    pub(super) fn relay_came_up(&mut self, via: &NodeId, now: Time) {
        for (link, to) in self.routes.waiting.remove(via).unwrap_or_default() {
            self.throttle.delayed(&DialTarget::Relay { relay: via.clone(), to: to.clone() }, now);
            self.ask_relay(link, via, &to, now);
        }
    }

    /// A node cannot be reached, so nothing can lead through it.
    pub(super) fn relay_failed(&mut self, via: &NodeId, reason: &str) {
        for (link, _) in self.routes.waiting.remove(via).unwrap_or_default() {
            self.links
                .close(link, &format!("cannot reach {via}, which should relay the connection: {reason}"));
        }
    }

    /// A relay has to be a neighbour: one that is reached through another relay is dialled before.
    fn ask_relay(&mut self, link: LinkId, via: &NodeId, to: &NodeId, now: Time) {
        match self.links.peer(via) {
            Some(peer) if peer.can_relay && peer.is_neighbour() => {
                let (via, to) = (via.clone(), to.clone());
                self.actions.push_back(Action::DialThrough { link, via, to });
            }
            Some(peer) if peer.can_relay => {
                self.routes.waiting.entry(via.clone()).or_default().push((link, to.clone()));
                self.wanted_directly(via, now);
            }
            _ => self.links.close(link, &format!("{via} cannot relay a connection")),
        }
    }
}

/// Whether the number of a query is that of a question for ways.
pub(super) fn is_question(id: &Value) -> bool {
    id.to_name().is_some_and(|text| text.starts_with(QUESTION))
}

/// The nodes that carry, of these ways.
fn relays_of(routes: &[String]) -> impl Iterator<Item = NodeId> {
    routes.iter().filter_map(|route| NodeId::new(route.strip_prefix(VIA)?).ok())
}
