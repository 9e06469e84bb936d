//! Requests of the global service that other nodes send.

use super::target::DialTarget;
use super::{Action, Kernel, Time, routes};
use crate::broker::ANY_GLOBAL;
use crate::db::client::Master;
use crate::db::merged::{Delta, STAMP_MAX};
use crate::db::size::{LEVELS_MAX, levels, size, split, split_change};
use crate::db::{
    Change, Changes, GLOBALS, LISTENERS, ROUTES, VERSIONS, binds_of_value, escape_family, stamped,
};
use crate::wire::request::Family;
use crate::wire::{MeshRequest, Tables};
use crate::{NodeId, Value};

impl Kernel {
    /// A request came in from a node that is up.
    pub(super) fn request(&mut self, from: &NodeId, request: MeshRequest, now: Time) {
        if !self.links.is_up(from) {
            return;
        }
        match request {
            MeshRequest::Slave(None) => self.become_global(now),
            MeshRequest::Slave(Some(tables)) => self.attach_slave(from, tables, now),
            MeshRequest::Global => self.add_global(from, now),
            MeshRequest::Set(tables) => self.global_tables(from, tables, now),
            MeshRequest::Update(family, set, deleted) => self.update(from, &family, set, &deleted, now),
            MeshRequest::Found(node, binds) if node == *from && !self.client.is_master(from) => {
                self.introduce_at(from, binds.unwrap_or_default(), now);
            }
            MeshRequest::Found(node, binds) if self.client.is_master(from) => {
                self.found(from, &node, &binds.unwrap_or_default());
            }
            MeshRequest::FoundRelayed(node, routes) if self.client.is_master(from) => {
                let _ = self.found_routes(&node, &routes);
            }
            MeshRequest::Reply(id, result) if self.client.is_master(from) && routes::is_question(&id) => {
                self.asked_for_routes(&id, &result);
            }
            MeshRequest::Reply(id, result) if self.client.is_master(from) => {
                if let Some(id) = self.client.answered(&id) {
                    self.actions.push_back(Action::QueryAnswer { id, result });
                }
            }
            MeshRequest::Content(family, content) if self.client.is_master(from) => {
                let events = self.client.watches.content(&family, content);
                self.tell_watches(events);
                self.master_lists(&family, now);
            }
            MeshRequest::Changed(family, set, deleted) if self.client.is_master(from) => {
                let events = self.client.watches.changed(&family, Change { set, deleted });
                self.tell_watches(events);
                self.master_lists(&family, now);
            }
            // A node that is not our master has nothing to tell us.
            MeshRequest::Found(..)
            | MeshRequest::FoundRelayed(..)
            | MeshRequest::Reply(..)
            | MeshRequest::Content(..)
            | MeshRequest::Changed(..) => {}
            asked => self.serve(from, asked, now),
        }
    }

    /// Starts the global service, if it does not run.
    pub(super) fn become_global(&mut self, now: Time) {
        if self.global.is_active() {
            return;
        }
        self.global.activate(now);
        if self.config.broker {
            // One of the others would not be enough: all global nodes are to be one network.
            self.seeds.stands_for_many(ANY_GLOBAL, now);
            self.actions.push_back(Action::BecameGlobal);
        }
        let up: Vec<NodeId> = self.links.up().cloned().collect();
        for node in up {
            self.send(&node, MeshRequest::Global);
        }
        self.serve_ourselves(now);
        let own = self.config.node.clone();
        self.set_own(GLOBALS, own.as_str(), Value::Null, now);
        let others: Vec<NodeId> = self.global.others().cloned().collect();
        for node in others {
            self.greet_global(&node, now);
        }
    }

    /// Ends the time in which we do not answer yet, when it is over.
    pub(super) fn settle(&mut self, now: Time) {
        let Some(deferred) = self.global.settle(now) else { return };
        self.answer_ourselves(now);
        for (from, request) in deferred {
            self.serve(&from, request, now);
        }
    }

    /// A connection to this node is up: what the mesh has to say to it.
    pub(super) fn greet(&mut self, node: &NodeId, now: Time) {
        if self.global.is_active() {
            self.send(node, MeshRequest::Global);
        }
        if self.seeds.contains(node) {
            self.greet_seed(node, now);
        }
    }

    /// A node that is up is a seed: it is to be global, and may be our master.
    pub(super) fn greet_seed(&mut self, node: &NodeId, now: Time) {
        self.send(node, MeshRequest::Slave(None));
        if *self.client.master() == Master::Nobody && !self.serving {
            self.choose_master(node.clone(), now);
        }
    }

    /// A node went down: nothing of it stays.
    pub(super) fn lose(&mut self, node: &NodeId, now: Time) {
        let addresses = self.merged.get(LISTENERS, node.as_str()).map(binds_of_value).unwrap_or_default();
        let (global, slave) = self.global.lost(node);
        if global && self.global.is_active() || self.keep.contains(node) {
            self.keep.lost(node, addresses, &mut self.random, now);
        }
        if slave {
            let delta = self.merged.slave_drop(node);
            self.publish(delta, now);
        }
        if global && self.global.is_active() {
            let delta = self.merged.global_drop(node);
            self.publish(delta, now);
            self.delete_own(GLOBALS, node.as_str(), now);
            self.delete_own(LISTENERS, node.as_str(), now);
        }
        if self.client.is_master(node) {
            self.client.set_master(Master::Nobody);
            if let Some(next) = self.seeds.first_up(|node| self.links.is_up(node)).cloned() {
                self.choose_master(next, now);
            } else if self.seeds.is_empty() {
                self.serve_ourselves(now);
            }
        }
        self.lookups.forget(node);
        self.introduce(now);
    }

    /// Tells everybody who has to know what has changed in the merged database.
    pub(super) fn publish(&mut self, delta: Delta, now: Time) {
        if self.global.is_active() {
            self.claim(delta.claims, delta.stamps);
        }
        for (family, change) in delta.view {
            self.show(&family, change, now);
        }
    }

    /// Puts a request into the outbox of a node, if that is up: nothing of the mesh waits for a
    /// connection.
    pub(super) fn send(&mut self, to: &NodeId, request: MeshRequest) {
        if self.links.is_up(to) {
            self.actions.push_back(Action::Send { to: to.clone(), request });
        }
    }

    /// What the master has of a family was told or has changed.
    fn master_lists(&mut self, family: &str, now: Time) {
        if family == GLOBALS {
            self.introduce(now);
        }
    }

    fn choose_master(&mut self, node: NodeId, now: Time) {
        // Before the master gets our database: it knows itself better than we do.
        self.withdraw(&node, now);
        self.client.set_master(Master::Node(node.clone()));
        self.send_tables(&node, self.local.tables().clone(), |tables| MeshRequest::Slave(Some(tables)));
        for request in self.client.open_requests() {
            self.send(&node, request);
        }
        for wanted in self.attempts.untold() {
            self.send(&node, MeshRequest::Find(wanted));
        }
        self.introduce(now);
    }

    fn attach_slave(&mut self, from: &NodeId, mut tables: Tables, now: Time) {
        self.become_global(now);
        if self.global.is_other(from) {
            return;
        }
        for entries in tables.values_mut() {
            self.drop_oversize(from, entries);
        }
        self.global.add_slave(from);
        let delta = self.merged.slave_replace(from, tables);
        self.refuse_entries(from, delta.refused);
        self.publish(delta, now);
    }

    /// Tells that entries of a node are missing, because it has too much already.
    fn refuse_entries(&mut self, from: &NodeId, refused: usize) {
        if refused > 0 {
            let what = format!(
                "{refused} database entries of {from}: it has as many as a node may own, or they take more than the {} bytes of \
                 memory that a node may have here",
                self.config.budgets.of(from).limit()
            );
            self.actions.push_back(Action::Refused { what });
        }
    }

    fn add_global(&mut self, from: &NodeId, now: Time) {
        let was_slave = self.global.add_other(from);
        self.announce_routes(now);
        self.introduce(now);
        if !self.global.is_active() {
            return;
        }
        if was_slave {
            let delta = self.merged.slave_to_global(from, self.links.is_native(from));
            self.publish(delta, now);
        }
        self.greet_global(from, now);
    }

    /// Exchanges databases with another global node.
    fn greet_global(&mut self, node: &NodeId, now: Time) {
        self.set_own(GLOBALS, node.as_str(), Value::Null, now);
        self.send_tables(node, self.merged.claims(), MeshRequest::Set);
        let stamps = self.merged.stamps();
        self.send_stamps(node, &stamps);
    }

    /// Sends a whole database by this request; what does not fit into one message follows as
    /// updates.
    fn send_tables(&mut self, to: &NodeId, tables: Tables, whole: impl FnOnce(Tables) -> MeshRequest) {
        let mut parts = split(tables, self.config.limits.part()).into_iter();
        self.send(to, whole(parts.next().unwrap_or_default()));
        for (family, entries) in parts.flatten() {
            self.send(to, MeshRequest::Update(family, entries, Vec::new()));
        }
    }

    fn global_tables(&mut self, from: &NodeId, mut tables: Tables, now: Time) {
        if !self.global.is_active() || !self.global.is_other(from) {
            return;
        }
        for entries in tables.values_mut() {
            self.drop_oversize(from, entries);
        }
        let listener = tables.get(LISTENERS).and_then(|entries| entries.get(from.as_str())).cloned();
        let delta = self.merged.global_replace(from, self.links.is_native(from), tables);
        self.refuse_entries(from, delta.refused);
        self.publish(delta, now);
        if let Some(binds) = listener {
            self.set_own(LISTENERS, from.as_str(), binds, now);
        }
        self.global.heard_from(from);
    }

    fn update(&mut self, from: &NodeId, family: &str, mut set: Family, deleted: &[String], now: Time) {
        if !self.global.is_active() {
            return;
        }
        let delta = if self.global.is_other(from) {
            if family == VERSIONS {
                return self.stamps_came(from, set, now);
            }
            self.drop_oversize(from, &mut set);
            self.merged.global_update(from, self.links.is_native(from), family, set, deleted)
        } else if self.global.is_slave(from) {
            self.drop_oversize(from, &mut set);
            self.merged.slave_update(from, family, set, deleted)
        } else {
            return;
        };
        self.refuse_entries(from, delta.refused);
        self.publish(delta, now);
    }

    fn stamps_came(&mut self, from: &NodeId, stamps: Family, now: Time) {
        for (name, stamp) in stamps {
            let Some((family, key)) = stamped(&name) else { continue };
            let Value::Int(stamp) = stamp else { continue };
            let Some(stamp) = u64::try_from(stamp).ok().filter(|stamp| *stamp <= STAMP_MAX) else { continue };
            let delta = self.merged.global_stamp(from, &family, key, stamp);
            self.publish(delta, now);
        }
    }

    fn claim(&mut self, claims: Changes, stamps: Vec<(String, String, u64)>) {
        let others: Vec<NodeId> = self.global.others().cloned().collect();
        for node in others {
            for (family, change) in &claims {
                self.send_update(&node, family, change.set.clone(), change.deleted.clone());
            }
            self.send_stamps(&node, &stamps);
        }
    }

    /// Tells one of our own global nodes which of our claims are later than others. They come after
    /// the values: a stamp belongs to a value that is there.
    fn send_stamps(&mut self, node: &NodeId, stamps: &[(String, String, u64)]) {
        if stamps.is_empty() || !self.links.is_native(node) {
            return;
        }
        let entry = |(family, key, stamp): &(String, String, u64)| {
            (format!("{} {key}", escape_family(family)), (*stamp).into())
        };
        let entries = stamps.iter().map(entry).collect();
        self.send_update(node, VERSIONS, entries, Vec::new());
    }

    fn send_update(&mut self, node: &NodeId, family: &str, set: Family, deleted: Vec<String>) {
        for (set, deleted) in split_change(set, deleted, self.config.limits.family_part()) {
            self.send(node, MeshRequest::Update(family.into(), set, deleted));
        }
    }

    fn show(&mut self, family: &str, change: Change, now: Time) {
        let watchers: Vec<NodeId> = self.global.watchers(family).cloned().collect();
        for node in watchers {
            let (set, deleted) = (change.set.clone(), change.deleted.clone());
            for (set, deleted) in split_change(set, deleted, self.config.limits.family_part()) {
                self.send(&node, MeshRequest::Changed(family.into(), set, deleted));
            }
        }
        match family {
            GLOBALS => self.globals_changed(&change, now),
            LISTENERS => self.listeners_changed(&change, now),
            ROUTES => self.routes_changed(&change, now),
            _ => {}
        }
        if *self.client.master() == Master::Own {
            let events = self.client.watches.changed(family, change);
            self.tell_watches(events);
        }
    }

    fn globals_changed(&mut self, change: &Change, now: Time) {
        for node in change.set.keys().filter_map(|key| NodeId::new(key).ok()) {
            self.keep.list(&node, self.links.is_up(&node), &mut self.random, now);
        }
        for node in change.deleted.iter().filter_map(|key| NodeId::new(key).ok()) {
            self.keep.unlist(&node);
        }
    }

    fn listeners_changed(&mut self, change: &Change, now: Time) {
        for (key, value) in &change.set {
            let binds = binds_of_value(value);
            for address in &binds {
                self.throttle.revive(&DialTarget::Direct(address.clone()), now);
            }
            if let Ok(node) = NodeId::new(key)
                && !binds.is_empty()
            {
                self.attempts.addresses(&node, &binds);
                self.lookup_found(&node);
            }
        }
    }

    fn drop_oversize(&mut self, from: &NodeId, entries: &mut Family) {
        let count = entries.len();
        let limit = self.config.limits.entry();
        entries.retain(|key, value| key.len() + size(value) <= limit && levels(value) <= LEVELS_MAX);
        if entries.len() < count {
            let what =
                format!("database entries of {from} that are larger than {limit} bytes, or nest too deep");
            self.actions.push_back(Action::Refused { what });
        }
    }
}
