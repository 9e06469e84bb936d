//! Which seeds could not be reached, and why: for people who wait for an answer in vain.

use std::collections::BTreeMap;

use parking_lot::Mutex;

use crate::node::Node;

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
}

impl Node {
    /// The seeds that are not connected, and why as far as is known: each of their addresses with
    /// what went wrong there. A seed that has not been dialled yet is missing.
    pub fn unreached_seeds(&self) -> BTreeMap<String, String> {
        self.inner().shared.unreached_seeds.0.lock().clone()
    }
}
