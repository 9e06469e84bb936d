//! Which seeds could not be reached, and why: for people who wait for an answer in vain.

use std::collections::BTreeMap;

use parking_lot::Mutex;

/// Seeds that are being dialled, or were dialled in vain, with what became of it so far. As many as
/// there are seeds.
#[derive(Default)]
pub(crate) struct UnreachedSeeds(Mutex<BTreeMap<String, String>>);

impl UnreachedSeeds {
    pub(crate) fn set(&self, address: &str, reason: String) {
        self.0.lock().insert(address.into(), reason);
    }

    pub(crate) fn remove(&self, address: &str) {
        self.0.lock().remove(address);
    }

    /// Forgets those that are none of these.
    pub(crate) fn keep(&self, addresses: &[String]) {
        self.0.lock().retain(|address, _| addresses.contains(address));
    }

    /// All of them.
    pub(crate) fn all(&self) -> BTreeMap<String, String> {
        self.0.lock().clone()
    }
}
