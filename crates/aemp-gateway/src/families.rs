//! Which ports stand in the families that the rules name.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

use aemp::{Node, PortId, Value};

type Members = Arc<BTreeMap<String, Value>>;

/// The members of some families, kept up to date.
#[derive(Debug, Clone, Default)]
pub(crate) struct Families(Arc<RwLock<HashMap<String, Members>>>);

impl Families {
    /// Whether a port stands in a family.
    pub(crate) fn has(&self, family: &str, port: &PortId) -> bool {
        let families = self.0.read().unwrap_or_else(PoisonError::into_inner);
        families.get(family).is_some_and(|members| members.contains_key(&port.to_string()))
    }

    /// Follows a family until the node ends.
    pub(crate) async fn follow(self, node: Node, family: String) {
        let mut watch = node.db().watch(&family);
        while let Some(change) = watch.next().await {
            let mut families = self.0.write().unwrap_or_else(PoisonError::into_inner);
            families.insert(family.clone(), change.content);
        }
    }
}
