//! Calls that end because their time has come.

use aemp_ports::PortNo;
use aemp_ports::exit::end_port;
use aemp_proto::Reason;
use tokio::time::Instant;

use crate::node::Node;

impl Node {
    /// Ends the port, which waits for an answer, at this time.
    pub(crate) fn end_at(&self, at: Instant, number: PortNo) {
        self.deadlines().add(at, number, |number| self.table().get(number).is_some());
    }

    /// Ends the ports whose time has come.
    pub(crate) fn end_due(&self) {
        while let Some(number) = self.deadlines().due(Instant::now()) {
            end_port(self, number, Reason::NORMAL);
        }
    }
}
