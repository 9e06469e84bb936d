//! When ports run, and what they have at hand meanwhile.

use aemp_ports::PortNo;
use aemp_ports::run::{Next, run_some};

use super::World;
use crate::node::{Node, PortHost};

impl World {
    /// A port of this run of a node has its turn.
    pub(super) fn run_port(&mut self, run: (usize, u64), number: PortNo) {
        let portion = self.ask(run, |node, cx| match node.run_task(number, cx) {
            true => None,
            false => node.portion(number, cx),
        });
        let Some(most) = portion.flatten() else { return };
        let next = self.lend(run.0, |host| run_some(host, number, most));
        let again = next == Some(Next::Again);
        self.on(run.0, run.1, |node, cx| node.has_run(number, again, cx));
    }

    /// Something that was to run outside of any port has its turn.
    pub(super) fn call_back(&mut self, run: (usize, u64), id: u64) {
        let code = self.ask(run, |node, cx| node.take_later(id, cx));
        let Some(code) = code.flatten() else { return };
        self.lend(run.0, |host| code(host));
        self.on(run.0, run.1, Node::has_called);
    }

    /// Lets ports run, or code of theirs, which find the node that they belong to at their host.
    fn lend<R>(&mut self, index: usize, run: impl FnOnce(&PortHost) -> R) -> Option<R> {
        let (node, stand_in) = (self.hosts[index].node.take()?, self.stand_in.take()?);
        let cx = std::mem::replace(&mut self.cx, stand_in);
        let (node, cx, result) = node.port_host().lend(node, cx, run);
        self.stand_in = Some(std::mem::replace(&mut self.cx, cx));
        self.hosts[index].node = Some(node);
        Some(result)
    }
}
