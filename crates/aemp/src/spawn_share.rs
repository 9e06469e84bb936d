//! How many ports each of the other nodes has made here: one node must not take the room of all.

use std::collections::HashMap;
use std::sync::Arc;

use aemp_proto::NodeId;
use parking_lot::Mutex;

/// The ports that other nodes have made and that are still there.
#[derive(Default)]
pub(crate) struct SpawnedPorts {
    by_node: Mutex<HashMap<NodeId, usize>>,
}

/// One of them; given back when it is dropped, with the port.
pub(crate) struct SpawnShare {
    ports: Arc<SpawnedPorts>,
    from: NodeId,
}

impl SpawnShare {
    /// The node that has made the port.
    pub(crate) fn node(&self) -> &NodeId {
        &self.from
    }

    /// Takes a share for one more port of this node; `None` if it has `limit` of them.
    pub(crate) fn take(ports: &Arc<SpawnedPorts>, from: &NodeId, limit: usize) -> Option<SpawnShare> {
        let mut by_node = ports.by_node.lock();
        let count = by_node.get(from).copied().unwrap_or_default();
        if count >= limit {
            return None;
        }
        by_node.insert(from.clone(), count + 1);
        Some(SpawnShare { ports: ports.clone(), from: from.clone() })
    }
}

impl Drop for SpawnShare {
    fn drop(&mut self) {
        let mut by_node = self.ports.by_node.lock();
        if let Some(count) = by_node.get_mut(&self.from) {
            *count -= 1;
            if *count == 0 {
                by_node.remove(&self.from);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_node_has_its_own_share_and_gets_it_back() {
        let ports = Arc::new(SpawnedPorts::default());
        let [one, other] = ["one", "other"].map(|id| NodeId::new(id).expect("a node ID"));
        let first = SpawnShare::take(&ports, &one, 2);
        let second = SpawnShare::take(&ports, &one, 2);
        assert!(first.is_some() && second.is_some() && SpawnShare::take(&ports, &one, 2).is_none());
        assert!(SpawnShare::take(&ports, &other, 2).is_some());
        drop(second);
        assert!(SpawnShare::take(&ports, &one, 2).is_some());
        drop(first);
        assert!(ports.by_node.lock().is_empty());
    }
}
