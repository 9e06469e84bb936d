//! Entries of the shared database that scripts have set: each counts as long as it is there.

use std::collections::HashMap;
use std::sync::Arc;

use aemp::{DbGuard, Node, Value};

use crate::host::Host;
use crate::run::Fault;

/// The entries that are there. Each belongs to the one who has set it last.
#[derive(Default)]
pub(crate) struct Entries {
    /// By family and subkey: the number of the last setting.
    set: HashMap<(String, String), u64>,
    settings: u64,
}

/// Sets an entry that stays until it is deleted, if there are not too many.
pub(crate) fn set(host: &Host, node: &Node, family: &str, key: &str, value: Value) -> Result<(), Fault> {
    let (guard, _) = insert(host, node, family, key, value)?;
    guard.detach();
    Ok(())
}

/// Deletes an entry.
pub(crate) fn delete(host: &Host, node: &Node, family: &str, key: &str) -> Result<(), Fault> {
    let mut entries = host.entries.lock();
    node.db().delete(family, key).map_err(|error| error.to_string())?;
    entries.set.remove(&(family.to_owned(), key.to_owned()));
    Ok(())
}

fn insert(host: &Host, node: &Node, family: &str, key: &str, value: Value) -> Result<(DbGuard, u64), Fault> {
    let mut entries = host.entries.lock();
    let entry = (family.to_owned(), key.to_owned());
    let limit = host.limits.entries;
    if entries.set.len() >= limit && !entries.set.contains_key(&entry) {
        return Err(
            format!("scripts have set {limit} entries of the database (script_limits: entries)").into()
        );
    }
    // Under the lock: what is counted is what was said last.
    let guard = node.db().set(family, key, value).map_err(|error| error.to_string())?;
    entries.settings += 1;
    let number = entries.settings;
    entries.set.insert(entry, number);
    Ok((guard, number))
}

/// An entry that goes when this is dropped, unless it was set again.
pub(crate) struct Entry {
    host: Arc<Host>,
    family: String,
    key: String,
    number: u64,
    guard: Option<DbGuard>,
}

impl Entry {
    /// Sets it.
    pub(crate) fn set(
        host: &Arc<Host>,
        node: &Node,
        family: &str,
        key: &str,
        value: Value,
    ) -> Result<Entry, Fault> {
        let (guard, number) = insert(host, node, family, key, value)?;
        let (family, key) = (family.to_owned(), key.to_owned());
        Ok(Entry { host: host.clone(), family, key, number, guard: Some(guard) })
    }

    pub(crate) fn family(&self) -> &str {
        &self.family
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut entries = self.host.entries.lock();
        let entry = (std::mem::take(&mut self.family), std::mem::take(&mut self.key));
        if entries.set.get(&entry) == Some(&self.number) {
            entries.set.remove(&entry);
        }
        drop(self.guard.take());
    }
}
