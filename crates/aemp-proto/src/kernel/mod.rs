//! One node as a machine: what changes slowly, such as which nodes are up, who is dialled, the
//! seeds, the database.
//!
//! **Contract.** [`Kernel::handle`] takes one input and the time; then [`Kernel::poll`] is called
//! until it gives `None`, and the actions are carried out in that order. At
//! [`Kernel::next_timeout`], at the latest, comes [`Input::Tick`]. The kernel reads no clock and
//! draws no randomness but from the seed in its configuration, so the same inputs give the same
//! actions: a run can be logged, replayed, simulated and fuzzed.
//!
//! | file | what |
//! |---|---|
//! | `input`, `action`, `config` | what comes in and goes out |
//! | `links` | the connections, and which of several to one peer is the one |
//! | `target` | where a connection can lead: an address, or another node that relays it |
//! | `dial`, `throttle` | attempts to connect to a node, and how often an address may be dialled |
//! | `overflow` | outboxes that took more than they may hold, and when they break |
//! | `pace` | how many connections are dialled at once, and in a second |
//! | `entry` | which entries of the database a program may set |
//! | `introduce` | global nodes that the master does not know: it is told of them |
//! | `lookups` | questions for an address that may become known soon |
//! | `routes` | nodes that cannot be dialled: who says so, and through whom they are reached |
//! | `connect` | what a connection that comes or goes means for the rest of the node |
//! | `service` | requests of the global service that come from other nodes |
//! | `master` | what they ask of this node as their master |
//! | `database` | what the program on this node wants from the database |
//!
//! Messages to ports do not pass through here: they go from port to outbox to link.

mod action;
mod config;
mod connect;
mod database;
mod dial;
mod entry;
mod input;
mod introduce;
mod links;
mod lookups;
mod master;
mod overflow;
mod pace;
mod routes;
mod service;
mod target;
mod throttle;

use std::collections::{BTreeMap, VecDeque};

use crate::NodeId;

pub use crate::db::{FamilySize, QueryKind};
pub use crate::link_id::LinkId;
pub use crate::peer::{Peer, Route};
pub use crate::time::Time;
pub use action::Action;
pub use config::{CONNECT_TIMEOUTS, KernelConfig, KernelLimits, MONITOR_TIMEOUTS};
pub use dial::NO_ADDRESS;
pub use entry::{EntryError, FAMILY_NAME_MAX, check_entry, check_family_name, check_own_family};
pub use input::{DbCommand, Input};
pub use links::CONNECT_TIMEOUT;

use crate::db::client::{Client, Master};
use crate::db::local::Local;
use crate::db::merged::Merged;
use crate::mesh::global::Global;
use crate::mesh::keep::Keep;
use crate::mesh::seeds::Seeds;
use crate::random::Random;
use dial::Attempts;
use links::Links;
use throttle::Throttle;

/// The machine of one node.
#[derive(Debug)]
pub struct Kernel {
    config: KernelConfig,
    random: Random,
    links: Links,
    dialled: connect::Dialled,
    routes: routes::Routes,
    attempts: Attempts,
    throttle: Throttle,
    seeds: Seeds,
    global: Global,
    keep: Keep,
    introductions: introduce::Introductions,
    lookups: lookups::Lookups,
    overflows: overflow::Overflows,
    local: Local,
    /// Whether the database is merged here, so that we are our own master.
    serving: bool,
    /// The program sets no entries any more.
    leaving: bool,
    merged: Merged,
    client: Client,
    /// Until when seeds that do not answer yet may still tell us of a node that we do not know.
    starting_until: Time,
    actions: VecDeque<Action>,
}

impl Kernel {
    /// A node that is about to contact its seeds: the first actions are there to be polled.
    pub fn new(config: KernelConfig, now: Time) -> Kernel {
        let mut random = config.random();
        let attempt = config.attempt();
        let mut kernel = Kernel {
            links: Links::new(config.node.clone(), config.limits.links),
            dialled: connect::Dialled::default(),
            routes: routes::Routes::default(),
            attempts: Attempts::new(attempt),
            // Half an attempt at most, so that every attempt dials each of its addresses.
            throttle: Throttle::new((attempt / 2).min(config.monitor_timeout)),
            seeds: Seeds::new(&config.with_broker(&config.seeds), config.monitor_timeout, &mut random, now),
            global: Global::default(),
            keep: Keep::new(config.node.clone(), config.monitor_timeout),
            introductions: introduce::Introductions::default(),
            lookups: lookups::Lookups::default(),
            overflows: overflow::Overflows::default(),
            local: Local::default(),
            serving: false,
            leaving: false,
            merged: Merged::new(config.node.clone(), config.limits.entries, config.budgets.clone()),
            client: Client::new(),
            starting_until: now + attempt,
            random,
            actions: VecDeque::new(),
            config,
        };
        kernel.start(now);
        kernel.run_due(false, now);
        kernel
    }

    /// Takes one input. [`Kernel::poll`] gives what follows from it.
    pub fn handle(&mut self, input: Input, now: Time) {
        // Nothing else is due: of the attempts only those are looked at that this changes.
        let only_wanted =
            matches!(input, Input::Wanted(_)) && self.next_timeout().is_none_or(|due| due > now);
        self.links.pass(now);
        match input {
            Input::Wanted(node) => self.wanted(&node, true, now),
            Input::Binds { binds, unreachable } => {
                self.binds(&binds, unreachable, now);
                self.try_all_again(now);
            }
            Input::Seeds(seeds) => self.replace_seeds(&seeds, now),
            Input::Resolved { name, addresses } => self.seeds.resolved(&name, &addresses, now),
            Input::Greeted { link, peer } => self.greeted(link, peer, now),
            Input::Verified { link } => self.links.verified(link, now),
            Input::Established { link } => self.links.established(link),
            Input::ProbeDone { link, alive } => self.links.probe_done(link, alive),
            Input::Closed { link, reason } => self.links.closed(link, &reason),
            Input::Overflow(node) => self.overflow(&node, now),
            Input::Request { from, request } => self.request(&from, request, now),
            Input::Db(command) => self.command(command, now),
            Input::Tick => self.links.tick(now),
        }
        self.run_due(only_wanted, now);
    }

    /// The next thing to be done.
    pub fn poll(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When the kernel needs a [`Input::Tick`], unless another input comes first.
    pub fn next_timeout(&self) -> Option<Time> {
        let attempts = self.attempts.next_timeout();
        let mesh = [self.seeds.next_timeout(), self.keep.next_timeout(), self.global.next_timeout()];
        let questions =
            [self.introductions.next_timeout(), self.lookups.next_timeout(), self.overflows.next_timeout()];
        [self.links.next_timeout(), attempts].into_iter().chain(mesh).chain(questions).flatten().min()
    }

    /// How this node is reached, if it is up.
    pub fn route(&self, node: &NodeId) -> Option<Route> {
        self.links.peer(node).map(Peer::route)
    }

    /// Whether this node is up, one of ours, and connected directly: then connections can be
    /// carried over it.
    pub fn is_neighbour(&self, node: &NodeId) -> bool {
        self.links.peer(node).is_some_and(Peer::is_neighbour)
    }

    /// Whether the database of the network is merged here.
    pub fn is_serving(&self) -> bool {
        self.serving
    }

    /// The size of each family: of the whole database where it is merged, else of what this node
    /// owns.
    pub fn family_sizes(&self) -> BTreeMap<String, FamilySize> {
        if self.serving { self.merged.sizes() } else { self.local.sizes() }
    }

    fn start(&mut self, now: Time) {
        let binds = std::mem::take(&mut self.config.binds);
        self.binds(&binds, false, now);
        if self.config.global {
            self.become_global(now);
        } else if self.seeds.is_empty() {
            // There is nobody to ask, and nobody has asked us to be global: the database is what we
            // have.
            self.serve_ourselves(now);
        }
    }

    /// The seeds are others from now on.
    fn replace_seeds(&mut self, seeds: &[String], now: Time) {
        let dropped = self.seeds.replace(&self.config.with_broker(seeds), now);
        self.close_all(dropped, "it is no seed any more");
        if self.seeds.is_empty() && *self.client.master() == Master::Nobody {
            self.serve_ourselves(now);
        } else if !self.seeds.is_empty() && self.serving && !self.global.is_active() {
            self.serve_no_more();
        }
    }

    /// Does what follows from an input, and what is due by now. `only_wanted` says that somebody
    /// wants a connection, and nothing else has happened.
    fn run_due(&mut self, only_wanted: bool, now: Time) {
        self.break_overflowed(now);
        self.follow_links(now);
        self.settle(now);
        self.end_lookups(now);
        self.ask_for_addresses(now);
        self.dial_seeds(now);
        let attempts = &self.attempts;
        for node in self.keep.due(|| dial::MESH_ATTEMPTS.saturating_sub(attempts.of_mesh()), now) {
            self.wanted(&node, false, now);
        }
        self.step_attempts(only_wanted, now);
    }
}

#[cfg(test)]
mod tests;
