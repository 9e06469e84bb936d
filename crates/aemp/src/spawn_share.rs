//! How many ports each of the other nodes has made here: one node must not take the room of all.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use aemp_proto::NodeId;
use aemp_proto::budget::{Budget, Charge};
use parking_lot::Mutex;

/// The ports that other nodes have made and that are still there.
#[derive(Default)]
pub(crate) struct SpawnedPorts {
    by_node: Mutex<HashMap<NodeId, usize>>,
}

/// One of them; given back when it is dropped, with the port.
#[allow(unreachable_pub)] // as a type of `Host`, a trait of another crate
pub struct SpawnShare {
    ports: Arc<SpawnedPorts>,
    from: NodeId,
    _memory: Charge,
}

impl fmt::Debug for SpawnShare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SpawnShare")
    }
}

/// Bytes of memory that a port takes beside its name.
const PORT_COST: usize = 1024;

impl SpawnShare {
    /// The node that has made the port.
    pub(crate) fn node(&self) -> &NodeId {
        &self.from
    }

    /// Takes a share for one more port of this node, with a name of this many bytes; `None` if it
    /// has `limit` of them, or its budget is used up.
    pub(crate) fn take(
        ports: &Arc<SpawnedPorts>,
        (from, budget): (&NodeId, &Arc<Budget>),
        name: usize,
        limit: usize,
    ) -> Option<SpawnShare> {
        let memory = budget.charge(PORT_COST + name)?;
        let mut by_node = ports.by_node.lock();
        let count = by_node.get(from).copied().unwrap_or_default();
        if count >= limit {
            return None;
        }
        by_node.insert(from.clone(), count + 1);
        Some(SpawnShare { ports: ports.clone(), from: from.clone(), _memory: memory })
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
        let budget = Budget::new(1 << 20);
        let take = |node| SpawnShare::take(&ports, (node, &budget), 10, 2);
        let (first, second) = (take(&one), take(&one));
        assert!(first.is_some() && second.is_some() && take(&one).is_none());
        assert!(take(&other).is_some());
        drop(second);
        assert!(take(&one).is_some());
        drop(first);
        assert!(ports.by_node.lock().is_empty() && budget.used() == 0);
    }

    #[test]
    fn ports_and_their_names_are_charged_to_the_budget_of_who_made_them() {
        let ports = Arc::new(SpawnedPorts::default());
        let one = NodeId::new("one").expect("a node ID");
        let budget = Budget::new(1 << 20);
        let take = || SpawnShare::take(&ports, (&one, &budget), 4096, 1 << 16);
        let shares: Vec<SpawnShare> = std::iter::from_fn(take).collect();
        assert!(shares.len() > 100 && shares.len() < (1 << 20) / 4096, "{}", shares.len());
        drop(shares);
        assert_eq!(budget.used(), 0);
    }
}
