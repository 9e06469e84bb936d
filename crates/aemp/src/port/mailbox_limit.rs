//! A limit of its own for the mailbox of one port.

use aemp_ports::MailboxLimits;
use aemp_proto::PortId;

use super::{Context, Mailbox};
use crate::node::Node;
use aemp_ports::port_no::PortNo;
use aemp_ports::pressure;

impl Node {
    /// Limits what may wait for a port of this node to `bytes`, in place of
    /// [`Limits::mailbox`](crate::Limits::mailbox): when more waits, the port dies of
    /// `mailbox_full`. Ports that send to it wait when half of that waits, or
    /// [`Limits::mailbox_high`](crate::Limits::mailbox_high) if that is less; tasks wait with
    /// [`Node::ready`]. So a sender that does not wait costs this port its life, and the node no
    /// more than these bytes.
    ///
    /// A message counts with what it takes in memory, which for a moved one is what its type takes
    /// and 32 bytes at least. What waits already counts with the next message that comes. Ports of
    /// other nodes, and dead ones, are left alone.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aemp::{Context, Node};
    /// fn log_port(node: &Node) -> aemp::Addr<(String,)> {
    ///     let port = node.port(|_: &mut Context<'_>, (line,): (String,)| println!("{line}"));
    ///     node.limit_mailbox(&port, 1 << 20);
    ///     port
    /// }
    /// ```
    pub fn limit_mailbox(&self, port: &PortId, bytes: usize) {
        if let Some(number) = self.local_number(port) {
            self.limit_mailbox_of(number, bytes);
        }
    }

    fn limit_mailbox_of(&self, number: PortNo, bytes: usize) {
        let high = self.limits().mailbox_high.min(bytes / 2);
        pressure::limit_mailbox(self, number, MailboxLimits { high, most: bytes });
    }
}

impl Context<'_> {
    /// Limits what may wait for the own port, see [`Node::limit_mailbox`].
    pub fn limit_mailbox(&mut self, bytes: usize) {
        self.node().limit_mailbox_of(self.number, bytes);
    }
}

impl Mailbox {
    /// Limits what may wait for the own port, see [`Node::limit_mailbox`]. Messages that were
    /// looked at and not picked count.
    pub fn limit_mailbox(&self, bytes: usize) {
        self.node().limit_mailbox_of(self.number(), bytes);
    }
}
