//! Code of other nodes that waits to be evaluated here.

use aemp_ports::PortNo;
use aemp_proto::budget::PeerBudgets;
use parking_lot::Mutex;

/// Bytes of code of one node that may wait, with what the answers begin with.
const BYTES_MAX: usize = 16 << 20;

/// The evaluations of a node.
pub(crate) struct Evaluations {
    /// Number of the port that they run in, once there is one.
    pub(super) port: Mutex<Option<PortNo>>,
    /// Those that have not begun.
    pub(super) waiting: PeerBudgets,
}

impl Default for Evaluations {
    fn default() -> Evaluations {
        Evaluations { port: Mutex::default(), waiting: PeerBudgets::new(BYTES_MAX) }
    }
}
