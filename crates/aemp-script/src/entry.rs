//! Entries of the shared database that scripts have set: each counts as long as it is there.

use std::sync::Arc;

use aemp::{DbGuard, Node, Value};

use crate::host::Host;
use crate::run::Fault;

/// Sets an entry, if there are not too many.
pub(crate) fn set(host: &Host, node: &Node, family: &str, key: &str, value: Value) -> Result<DbGuard, Fault> {
    let mut entries = host.entries.lock();
    let entry = (family.to_owned(), key.to_owned());
    let limit = host.limits.entries;
    if entries.len() >= limit && !entries.contains(&entry) {
        return Err(
            format!("scripts have set {limit} entries of the database (script_limits: entries)").into()
        );
    }
    entries.insert(entry);
    // Under the lock: what is counted is what was said last.
    Ok(node.db().set(family, key, value))
}

/// Deletes an entry.
pub(crate) fn delete(host: &Host, node: &Node, family: &str, key: &str) {
    let mut entries = host.entries.lock();
    entries.remove(&(family.to_owned(), key.to_owned()));
    node.db().delete(family, key);
}

/// An entry that goes when this is dropped.
pub(crate) struct Entry {
    host: Arc<Host>,
    family: String,
    key: String,
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
        let guard = Some(set(host, node, family, key, value)?);
        Ok(Entry { host: host.clone(), family: family.to_owned(), key: key.to_owned(), guard })
    }

    pub(crate) fn family(&self) -> &str {
        &self.family
    }

    /// It was set again, and goes when that goes.
    pub(crate) fn replaced(mut self) {
        if let Some(guard) = self.guard.take() {
            guard.detach();
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        if let Some(guard) = self.guard.take() {
            let mut entries = self.host.entries.lock();
            entries.remove(&(std::mem::take(&mut self.family), std::mem::take(&mut self.key)));
            drop(guard);
        }
    }
}
