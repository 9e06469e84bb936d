//! What the program on this node wants from the database, and the entries that the node itself
//! owns.

use super::{Action, DbCommand, Kernel, QueryKind, Time, check_entry, check_own_family};
use crate::Value;
use crate::db::client::{self, Master};
use crate::db::merged::Merged;
use crate::db::watch::Event;
use crate::db::{LISTENERS, binds_to_value};
use crate::wire::MeshRequest;
use crate::wire::request::Family;

impl Kernel {
    /// A command of the program.
    pub(super) fn command(&mut self, command: DbCommand, now: Time) {
        match command {
            DbCommand::Set { .. } if self.leaving => {}
            DbCommand::Set { family, key, value, id } => {
                if let Err(what) = self.check(&family, &key, &value) {
                    return self.actions.push_back(Action::Refused { what });
                }
                self.set_own(&family, &key, value, now);
                self.local.claim(&family, &key, id);
            }
            DbCommand::Delete { family, key } if check_own_family(&family).is_ok() => {
                self.delete_own(&family, &key, now);
            }
            DbCommand::Release { family, key, id } if self.local.is_claimed(&family, &key, id) => {
                self.delete_own(&family, &key, now);
            }
            DbCommand::Delete { .. } | DbCommand::Release { .. } => {}
            DbCommand::Withdraw => {
                self.leaving = true;
                for (family, keys) in self.local.disown() {
                    self.own_changed(&family, Family::new(), keys, now);
                }
            }
            DbCommand::Query { id, kind, family } => self.query(id, kind, &family),
            DbCommand::Unquery { id } => self.client.forget(id),
            DbCommand::Watch { id, family } => self.watch(id, &family),
            DbCommand::Unwatch { id } => self.unwatch(id),
        }
    }

    /// The addresses that we listen on. A node that has none has no entry: an empty list would say
    /// nothing more, and a Perl log catcher dials the one who has an entry again at once when it
    /// fails, without end. `unreachable`: some nodes can dial none of them.
    pub(super) fn binds(&mut self, binds: &[String], unreachable: bool, now: Time) {
        if self.config.client {
            return;
        }
        let own = self.config.node.clone();
        match binds.is_empty() {
            true => self.delete_own(LISTENERS, own.as_str(), now),
            false => self.set_own(LISTENERS, own.as_str(), binds_to_value(binds), now),
        }
        self.routes.needed(binds.is_empty() || self.config.private || unreachable);
        self.announce_routes(now);
    }

    /// Sets an entry of our own. One that has this value already is not mentioned again.
    pub(super) fn set_own(&mut self, family: &str, key: &str, value: Value, now: Time) {
        if !self.local.set(family, key, &value) {
            return;
        }
        let set = Family::from([(key.to_owned(), value)]);
        self.own_changed(family, set, Vec::new(), now);
    }

    /// Takes an entry of our own back.
    pub(super) fn delete_own(&mut self, family: &str, key: &str, now: Time) {
        if self.local.delete(family, key) {
            self.own_changed(family, Family::new(), vec![key.to_owned()], now);
        }
    }

    /// From now on the database is merged here, and we are our own slave.
    pub(super) fn serve_ourselves(&mut self, now: Time) {
        self.stop_introducing();
        if !self.serving {
            self.serving = true;
            let own = self.config.node.clone();
            let delta = self.merged.slave_replace(&own, self.local.tables().clone());
            self.publish(delta, now);
        }
        if self.global.is_settling() {
            self.client.set_master(Master::Nobody);
        } else {
            self.answer_ourselves(now);
        }
    }

    /// There are seeds to ask from now on: the database is merged elsewhere, and what is asked
    /// meanwhile waits until a seed is connected.
    pub(super) fn serve_no_more(&mut self) {
        let config = &self.config;
        self.serving = false;
        self.merged = Merged::new(config.node.clone(), config.limits.entries, config.budgets.clone());
        self.client.set_master(Master::Nobody);
    }

    /// From now on what the program asks is answered out of the database that is merged here.
    pub(super) fn answer_ourselves(&mut self, now: Time) {
        if *self.client.master() == Master::Own {
            return;
        }
        self.client.set_master(Master::Own);
        let families: Vec<String> = self.client.watches.families().cloned().collect();
        for family in families {
            let events = self.client.watches.content(&family, self.merged.family(&family));
            self.tell_watches(events);
        }
        for (id, (kind, family)) in self.client.take_queries() {
            self.answer(id, kind, &family);
        }
        for node in self.attempts.untold() {
            self.look_up(&node, now);
        }
    }

    /// Hands events to the program.
    pub(super) fn tell_watches(&mut self, events: Vec<Event>) {
        let action =
            |Event { id, added, changed, deleted, set }| Action::Watch { id, added, changed, deleted, set };
        self.actions.extend(events.into_iter().map(action));
    }

    fn own_changed(&mut self, family: &str, set: Family, deleted: Vec<String>, now: Time) {
        if self.serving {
            let own = self.config.node.clone();
            let delta = self.merged.slave_update(&own, family, set, &deleted);
            self.publish(delta, now);
        } else if let Master::Node(master) = self.client.master().clone() {
            self.send(&master, MeshRequest::Update(family.into(), set, deleted));
        }
    }

    fn query(&mut self, id: u64, kind: QueryKind, family: &str) {
        match self.client.master().clone() {
            Master::Own => return self.answer(id, kind, family),
            Master::Node(master) => self.send(&master, client::query(id, kind, family)),
            Master::Nobody => {}
        }
        self.client.ask(id, kind, family);
    }

    fn answer(&mut self, id: u64, kind: QueryKind, family: &str) {
        let result = client::answer(kind, self.merged.family(family));
        self.actions.push_back(Action::QueryAnswer { id, result });
    }

    fn watch(&mut self, id: u64, family: &str) {
        let (event, first) = self.client.watches.watch(id, family);
        self.tell_watches(event.into_iter().collect());
        if !first {
            return;
        }
        match self.client.master().clone() {
            Master::Own => {
                let events = self.client.watches.content(family, self.merged.family(family));
                self.tell_watches(events);
            }
            Master::Node(master) => self.send(&master, MeshRequest::Watch(family.into())),
            Master::Nobody => {}
        }
    }

    fn unwatch(&mut self, id: u64) {
        if let Some(family) = self.client.watches.unwatch(id)
            && let Master::Node(master) = self.client.master().clone()
        {
            self.send(&master, MeshRequest::Unwatch(family));
        }
    }

    fn check(&self, family: &str, key: &str, value: &Value) -> Result<(), String> {
        let limits = &self.config.limits;
        check_entry(family, key, value, limits).map_err(|error| error.to_string())?;
        if self.local.count() >= limits.entries && !self.local.contains(family, key) {
            let limit = limits.entries;
            return Err(format!("the database entry {key:?} of {family}: this node owns {limit} already"));
        }
        Ok(())
    }
}
