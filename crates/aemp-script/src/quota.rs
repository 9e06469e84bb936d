//! What the scripts of a node have together: counted while it lives.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use aemp::PortId;
use parking_lot::Mutex;

use crate::run::Fault;

/// So much there may be of something.
#[derive(Debug)]
pub(crate) struct Quota {
    what: &'static str,
    limit: usize,
    used: AtomicUsize,
}

impl Quota {
    pub(crate) fn new(what: &'static str, limit: usize) -> Arc<Quota> {
        Arc::new(Quota { what, limit, used: AtomicUsize::new(0) })
    }

    /// Takes some of it, as long as the share lives.
    pub(crate) fn take(self: &Arc<Quota>, amount: usize) -> Result<Share, Fault> {
        let mut share = Share { quota: self.clone(), amount: 0 };
        share.resize(amount)?;
        Ok(share)
    }

    #[cfg(test)]
    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }
}

/// A part of a quota; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    quota: Arc<Quota>,
    amount: usize,
}

impl Share {
    /// Takes more of the quota, or gives some back.
    pub(crate) fn resize(&mut self, amount: usize) -> Result<(), Fault> {
        let before = self.quota.used.fetch_add(amount, Ordering::Relaxed);
        self.quota.used.fetch_sub(self.amount, Ordering::Relaxed);
        // Anyone who does not take more than it had is not refused.
        if amount > self.amount && before - self.amount + amount > self.quota.limit {
            self.quota.used.fetch_sub(amount, Ordering::Relaxed);
            self.amount = 0;
            return Err(format!(
                "all scripts together have more than {} {}",
                self.quota.limit, self.quota.what
            )
            .into());
        }
        self.amount = amount;
        Ok(())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.quota.used.fetch_sub(self.amount, Ordering::Relaxed);
    }
}

/// The ports that scripts have made and that live.
#[derive(Debug)]
pub(crate) struct Ports {
    quota: Arc<Quota>,
    living: Arc<Mutex<HashSet<PortId>>>,
}

impl Ports {
    pub(crate) fn new(limit: usize) -> Ports {
        Ports { quota: Quota::new("ports (script_limits: ports)", limit), living: Arc::default() }
    }

    /// A place for one more port, which does not exist yet.
    pub(crate) fn place(&self) -> Result<Arc<Place>, Fault> {
        let share = self.quota.take(1)?;
        Ok(Arc::new(Place { living: self.living.clone(), port: OnceLock::new(), _share: share }))
    }

    /// Whether this is one of them.
    pub(crate) fn has(&self, port: &PortId) -> bool {
        self.living.lock().contains(port)
    }
}

/// The place of a port; it is part of its state.
#[derive(Debug)]
pub(crate) struct Place {
    living: Arc<Mutex<HashSet<PortId>>>,
    port: OnceLock<PortId>,
    _share: Share,
}

impl Place {
    /// The port exists now.
    pub(crate) fn is_of(&self, port: &PortId) {
        self.living.lock().insert(self.port.get_or_init(|| port.clone()).clone());
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(port) = self.port.get() {
            self.living.lock().remove(port);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_taken_and_given_back() {
        let quota = Quota::new("apples", 10);
        let mut one = quota.take(6).unwrap();
        assert!(quota.take(5).is_err());
        let two = quota.take(4).unwrap();
        assert!(one.resize(7).is_err());
        assert_eq!(quota.used(), 4);
        drop(two);
        one.resize(10).unwrap();
        one.resize(3).unwrap();
        assert_eq!(quota.used(), 3);
        drop(one);
        assert_eq!(quota.used(), 0);
    }
}
