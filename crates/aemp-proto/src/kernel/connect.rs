//! Connections that come and go, and what they mean for the rest of the node.

use std::collections::BTreeMap;
use std::time::Duration;

use super::dial::Step;
use super::links::Verdict;
use super::overflow::OVERFLOW;
use super::pace::Cause;
use super::target::DialTarget;
use super::{Action, Kernel};
use crate::NodeId;
use crate::db::client::Master;
use crate::db::{LISTENERS, binds_of_value};
use crate::link_id::LinkId;
use crate::mesh::seeds::Try;
use crate::peer::Peer;
use crate::time::Time;
use crate::wire::MeshRequest;

/// A seed that is dialled has at least this time to answer and finish the handshake.
const SEED_LIMIT: Duration = Duration::from_secs(2);

/// For what a link is dialled.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Purpose {
    /// The node that answers there is a seed.
    Seed,
    /// This node is said to be there.
    Node(NodeId),
}

/// A link that is being dialled.
#[derive(Debug)]
struct Dial {
    target: DialTarget,
    purpose: Purpose,
    /// Whose share of the dials it belongs to; those to seeds belong to none.
    cause: Option<Cause>,
}

/// The links that are being dialled.
#[derive(Debug, Default)]
pub(super) struct Dialled {
    count: u64,
    links: BTreeMap<LinkId, Dial>,
}

impl Kernel {
    /// Somebody needs a connection to this node.
    pub(super) fn wanted(&mut self, node: &NodeId, wanted: bool, now: Time) {
        if *node == self.config.node || self.links.is_up(node) {
            return;
        }
        if self.attempts.want(node, wanted, now) {
            self.look_up(node, now);
        }
    }

    /// Somebody needs a direct connection to this node, which is up through a relay.
    pub(super) fn wanted_directly(&mut self, node: &NodeId, now: Time) {
        if self.attempts.want(node, false, now) {
            self.look_up(node, now);
        }
    }

    /// Finds addresses for an attempt that has none yet.
    pub(super) fn look_up(&mut self, node: &NodeId, now: Time) {
        let routes = self.look_up_relays(node);
        let mut known = self.seeds.addresses_of(node);
        known.extend(self.keep.addresses_of(node));
        if self.serving {
            known.extend(self.merged.get(LISTENERS, node.as_str()).map(binds_of_value).unwrap_or_default());
        }
        if self.config.broker {
            self.attempts.through_broker(node);
        }
        let hope = match self.client.master().clone() {
            Master::Own => self.may_be_told_until(now).is_some(),
            // A broker knows who is there: it need not wait for anybody.
            Master::Nobody => !self.config.broker,
            Master::Node(master) => {
                self.send(&master, MeshRequest::Find(node.clone()));
                true
            }
        };
        if !hope || routes || !known.is_empty() {
            self.attempts.addresses(node, &known);
        }
    }

    /// A greeting came in.
    pub(super) fn greeted(&mut self, link: LinkId, peer: Peer, now: Time) {
        let purpose = self.dialled.links.get(&link).map(|dial| dial.purpose.clone());
        if peer.node == self.config.node {
            if purpose == Some(Purpose::Seed) {
                self.seeds.is_own(link, now);
                self.become_global(now);
            }
            return self.refuse(link, peer, "the other end has our own node ID", now);
        }
        match purpose {
            Some(Purpose::Seed) => self.seed_answered(link, &peer.node, now),
            Some(Purpose::Node(wanted)) if wanted != peer.node => {
                self.keep.replaced(&wanted);
                return self.refuse(link, peer, "another node answers at this address", now);
            }
            _ => {}
        }
        self.links.greeted(link, peer, now);
    }

    /// Carries out what the links say.
    pub(super) fn follow_links(&mut self, now: Time) {
        while let Some(verdict) = self.links.poll() {
            self.follow(verdict, true, now);
        }
    }

    /// Dials the seeds that are missing, when it is time.
    pub(super) fn dial_seeds(&mut self, now: Time) {
        for due in self.seeds.due(|node| self.links.is_up(node), now) {
            let address = match due {
                Try::Dial(address) => address,
                Try::Resolve(name) => {
                    self.actions.push_back(Action::Resolve { name });
                    continue;
                }
            };
            let ready = self.throttle.ready_at(&DialTarget::Direct(address.clone()));
            if ready > now {
                self.seeds.postpone(ready);
                continue;
            }
            let limit = now + self.config.attempt().max(SEED_LIMIT);
            let link = self.dial(&address, Purpose::Seed, limit, now);
            self.seeds.dialled(&address, link);
        }
    }

    /// Dials for the attempts, and ends those that have failed.
    pub(super) fn step_attempts(&mut self, only_wanted: bool, now: Time) {
        let mut alone = only_wanted;
        loop {
            let busy = |node: &NodeId| self.links.in_flight(node);
            let step = match alone {
                true => self.attempts.step_changed(&self.throttle, busy, now),
                false => self.attempts.step(&self.throttle, busy, now),
            };
            let Some(step) = step else { break };
            // A link that ends may be what another attempt waits for.
            alone &= match &step {
                Step::LookUp(_) | Step::Dial(_, DialTarget::Direct(_)) => true,
                Step::Failed { node, links, .. } => links.is_empty() && !self.routes.is_waited_for(node),
                Step::Dial(..) => false,
            };
            match step {
                Step::Dial(node, DialTarget::Direct(address)) => {
                    let limit = now + self.config.attempt();
                    let link = self.dial(&address, Purpose::Node(node.clone()), limit, now);
                    self.attempts.dialled(&node, link);
                }
                Step::Dial(_, DialTarget::Relay { relay, to }) => self.dial_through(&to, &relay, now),
                Step::LookUp(node) => self.look_up(&node, now),
                Step::Failed { node, reason, wanted, links } => {
                    self.close_all(links, &reason);
                    self.relay_failed(&node, &reason);
                    if wanted {
                        self.break_outbox(node, &reason, now);
                    }
                    self.follow_links(now);
                }
            }
        }
    }

    fn dial(&mut self, address: &str, purpose: Purpose, deadline: Time, now: Time) -> LinkId {
        let expected = match &purpose {
            Purpose::Seed => None,
            Purpose::Node(node) => Some(node.clone()),
        };
        let link = self.begin_dial(DialTarget::Direct(address.into()), purpose, deadline, now);
        self.actions.push_back(Action::Dial { link, address: address.into(), expected });
        link
    }

    /// Numbers a link that is being dialled, and remembers for what.
    pub(super) fn begin_dial(
        &mut self,
        target: DialTarget,
        purpose: Purpose,
        deadline: Time,
        now: Time,
    ) -> LinkId {
        let link = LinkId::dialled(self.dialled.count);
        self.dialled.count += 1;
        let cause = match &purpose {
            Purpose::Seed => None,
            Purpose::Node(node) => Some(self.attempts.cause(node)),
        };
        if let Some(cause) = cause {
            self.throttle.begun(cause, now);
        }
        self.throttle.dialled(&target, &mut self.random, now);
        self.dialled.links.insert(link, Dial { target, purpose, cause });
        self.links.dialled(link, deadline);
        link
    }

    fn follow(&mut self, verdict: Verdict, breaks: bool, now: Time) {
        match verdict {
            Verdict::Proceed(link) => self.actions.push_back(Action::Proceed { link }),
            Verdict::Close(link, reason) => self.actions.push_back(Action::Close { link, reason }),
            Verdict::Probe(link) => self.actions.push_back(Action::Probe { link }),
            Verdict::Refused(what) => self.actions.push_back(Action::Refused { what }),
            Verdict::Ended(link, reason) => self.dial_ended(link, &reason, now),
            Verdict::Up(link, peer) => self.came_up(link, &peer, now),
            Verdict::Down(node, reason) => {
                if breaks {
                    self.break_outbox(node.clone(), &reason, now);
                }
                self.went_down(&node, reason, now);
            }
        }
    }

    pub(super) fn follow_links_except_break(&mut self, broken: &NodeId, now: Time) {
        while let Some(verdict) = self.links.poll() {
            let breaks = !matches!(&verdict, Verdict::Down(node, _) if node == broken);
            self.follow(verdict, breaks, now);
        }
    }

    fn dial_ended(&mut self, link: LinkId, reason: &str, now: Time) {
        self.routes.forget(link);
        let Some(dial) = self.end_dial(link) else { return };
        match dial.purpose {
            Purpose::Seed => self.seeds.ended(link),
            Purpose::Node(node) => self.attempts.ended(&node, link, reason, now),
        }
    }

    fn end_dial(&mut self, link: LinkId) -> Option<Dial> {
        let dial = self.dialled.links.remove(&link)?;
        if let Some(cause) = dial.cause {
            self.throttle.ended(cause);
        }
        Some(dial)
    }

    fn came_up(&mut self, link: LinkId, peer: &Peer, now: Time) {
        if let Some(dial) = self.end_dial(link) {
            self.throttle.revive(&dial.target, now);
            if dial.purpose == Purpose::Seed {
                self.seeds.ended(link);
            }
        }
        let node = &peer.node;
        let mut others = self.attempts.finish(node);
        others.retain(|other| *other != link);
        self.close_all(others, "not needed any more");
        self.keep.came_up(node);
        if self.overflows.contains(node) {
            // What is lost must be told, but the connection that everybody has waited for need not
            // end for it.
            self.break_outbox(node.clone(), OVERFLOW, now);
        }
        self.actions.push_back(Action::Up { link, peer: peer.clone() });
        if self.links.up_count() == 1 {
            // The first one since we were alone.
            self.try_all_again(now);
        }
        self.greet(node, now);
        self.relay_came_up(node, now);
        self.announce_routes(now);
    }

    /// The network seems to be another one, or back: what could not be reached may be reachable
    /// again.
    pub(super) fn try_all_again(&mut self, now: Time) {
        self.throttle.revive_all(now);
        if self.seeds.any_missing(|node| self.links.is_up(node)) {
            self.seeds.start_over(&mut self.random, now);
        }
        self.keep.start_over(&mut self.random, now);
    }

    fn went_down(&mut self, node: &NodeId, reason: String, now: Time) {
        self.actions.push_back(Action::NodeDown(node.clone(), reason));
        self.seeds.lost(node, &mut self.random, now);
        self.lose(node, now);
        self.announce_routes(now);
    }

    fn seed_answered(&mut self, link: LinkId, node: &NodeId, now: Time) {
        let known = self.seeds.contains(node);
        self.seeds.greeted(link, node);
        if !known && self.links.is_up(node) {
            self.greet_seed(node, now);
        }
    }

    pub(super) fn close_all(&mut self, links: Vec<LinkId>, reason: &str) {
        for link in links {
            self.links.close(link, reason);
        }
    }

    fn refuse(&mut self, link: LinkId, peer: Peer, reason: &str, now: Time) {
        if !link.is_dialled() {
            // An accepted link is new to the table, and a link that is not in it cannot be closed.
            self.links.greeted(link, peer, now);
        }
        self.links.close(link, reason);
    }
}
