//! Addresses that were of no use when they were dialled last.

use std::collections::HashSet;
use std::net::SocketAddr;

use parking_lot::Mutex;

/// Addresses that are remembered as failed. Beyond this all are forgotten: they are only dialled
/// earlier then.
const FAILED_MAX: usize = 1024;

/// Addresses that were of no use when they were dialled last.
#[derive(Default)]
pub(crate) struct FailedAddresses(Mutex<HashSet<SocketAddr>>);

impl FailedAddresses {
    pub(crate) fn add(&self, address: SocketAddr) {
        let mut failed = self.0.lock();
        if failed.len() >= FAILED_MAX {
            failed.clear();
        }
        failed.insert(address);
    }

    pub(crate) fn remove(&self, address: &SocketAddr) {
        self.0.lock().remove(address);
    }

    pub(crate) fn contains(&self, address: &SocketAddr) -> bool {
        self.0.lock().contains(address)
    }
}
