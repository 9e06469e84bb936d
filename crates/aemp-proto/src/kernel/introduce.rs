//! A node that is connected to global nodes of which its master does not know tells the master of
//! them.
//!
//! Two seeds that are not told of each other would otherwise hold two databases for good, although
//! there are nodes which are connected to both. Such a node watches the family of global nodes at
//! its master. One that is missing there for a while is entered into the node's own database, with
//! the addresses that the missing one says it listens on; the master then connects to it, as to
//! every global node that the database lists. A Perl master understands this as well: for it these
//! are entries like any others.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Kernel, Time};
use crate::NodeId;
use crate::Value;
use crate::db::client::Master;
use crate::db::{GLOBALS, LISTENERS, binds_to_value};
use crate::wire::MeshRequest;

/// A global node is introduced once to twice this after it was found missing: the two may be about
/// to find each other, and of many nodes that are connected to both the first one is enough.
const PATIENCE: Duration = Duration::from_millis(500);

/// How far the introduction of a global node has come.
#[derive(Debug, PartialEq)]
enum Stage {
    /// The master does not list it. It is asked for its addresses at this time, unless the master
    /// lists it by then.
    Missing(Time),
    /// It was asked for its addresses.
    Asked,
    /// It stands in our own database.
    Introduced,
}

/// The global nodes that are being introduced to the master.
#[derive(Debug, Default)]
pub(super) struct Introductions {
    stages: BTreeMap<NodeId, Stage>,
    /// Whether the master's list of global nodes is watched.
    watching: bool,
}

impl Introductions {
    /// When [`Kernel::ask_for_addresses`] has something to do.
    pub(super) fn next_timeout(&self) -> Option<Time> {
        self.stages.values().filter_map(Stage::due).min()
    }
}

impl Stage {
    fn due(&self) -> Option<Time> {
        match self {
            Stage::Missing(due) => Some(*due),
            _ => None,
        }
    }
}

impl Kernel {
    /// Compares the global nodes that we are connected to with those that the master lists. To be
    /// called when either has changed, or the master.
    pub(super) fn introduce(&mut self, now: Time) {
        let Master::Node(master) = self.client.master().clone() else { return };
        let wanted: Vec<NodeId> = self.global.others().filter(|node| **node != master).cloned().collect();
        let gone: Vec<NodeId> =
            self.introductions.stages.keys().filter(|node| !wanted.contains(node)).cloned().collect();
        for node in gone {
            self.withdraw(&node, now);
        }
        self.watch_globals(!wanted.is_empty(), &master);
        let Some(listed) = self.client.watches.current(GLOBALS) else { return };
        let missing = |node: &NodeId| !listed.contains_key(node.as_str());
        let stages = &mut self.introductions.stages;
        stages.retain(|node, stage| *stage == Stage::Introduced || missing(node));
        for node in wanted.into_iter().filter(missing) {
            let random = &mut self.random;
            stages.entry(node).or_insert_with(|| Stage::Missing(now + random.once_or_twice(PATIENCE)));
        }
    }

    /// Takes back that this node was introduced, if it was: the connection to it is lost, or it is
    /// the master now.
    pub(super) fn withdraw(&mut self, node: &NodeId, now: Time) {
        if self.introductions.stages.remove(node) == Some(Stage::Introduced) {
            self.delete_own(GLOBALS, node.as_str(), now);
            self.delete_own(LISTENERS, node.as_str(), now);
        }
    }

    /// This node has become its own master. What it has introduced stays: the entries are those
    /// that a global node has anyway.
    pub(super) fn stop_introducing(&mut self) {
        self.introductions.stages.clear();
        if std::mem::take(&mut self.introductions.watching) {
            self.client.watches.release(GLOBALS);
        }
    }

    /// Asks the global nodes that have been missing for long enough where they listen.
    pub(super) fn ask_for_addresses(&mut self, now: Time) {
        let stages = self.introductions.stages.iter_mut();
        let due = stages.filter(|(_, stage)| stage.due().is_some_and(|due| due <= now));
        let due: Vec<NodeId> = due
            .map(|(node, stage)| {
                *stage = Stage::Asked;
                node.clone()
            })
            .collect();
        for node in due {
            self.send(&node, MeshRequest::Find(node.clone()));
        }
    }

    /// A global node says where it listens. One that does not know is where we have reached it.
    pub(super) fn introduce_at(&mut self, node: &NodeId, mut addresses: Vec<String>, now: Time) {
        let Some(stage) = self.introductions.stages.get_mut(node).filter(|stage| **stage == Stage::Asked)
        else {
            return;
        };
        if addresses.is_empty() {
            addresses = self.seeds.addresses_of(node);
        }
        if addresses.is_empty() {
            return;
        }
        *stage = Stage::Introduced;
        // The addresses come first: the other entry is what the master acts on.
        self.set_own(LISTENERS, node.as_str(), binds_to_value(&addresses), now);
        self.set_own(GLOBALS, node.as_str(), Value::Null, now);
    }

    fn watch_globals(&mut self, watching: bool, master: &NodeId) {
        if std::mem::replace(&mut self.introductions.watching, watching) == watching {
            return;
        }
        let request = match watching {
            true if self.client.watches.hold(GLOBALS) => MeshRequest::Watch(GLOBALS.into()),
            false if self.client.watches.release(GLOBALS) => MeshRequest::Unwatch(GLOBALS.into()),
            _ => return,
        };
        self.send(master, request);
    }
}
