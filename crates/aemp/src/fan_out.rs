//! One message to many ports: it is encoded once, however many they are.

use aemp_proto::{Body, PortId};

use crate::message::{Destination, IntoMessage};
use crate::node::Node;
use crate::port::context::Context;
use crate::port::task::Mailbox;
use crate::send_error::SendError;
use aemp_ports::pressure::Crowded;

impl Node {
    /// Sends one message to many ports, here and on any nodes. It is encoded once, and its bytes
    /// are shared or copied from there, so this is faster than to send it to each. It means the
    /// same: for each port it is one [`Node::send`], in the order of `ports`, with the same order
    /// and loss. A port that does not exist any more gets nothing, which changes nothing for the
    /// others; one that is named twice gets it twice. Never waits.
    ///
    /// # Errors
    ///
    /// The message cannot be encoded, or one of the ports is on another node, for which it is too
    /// large or has no form. Then it was sent to none.
    pub fn send_all<'a, M: IntoMessage, D: Destination<M> + ?Sized + 'a>(
        &self,
        ports: impl IntoIterator<Item = &'a D>,
        message: M,
    ) -> Result<(), SendError> {
        self.send_all_under_pressure(ports.into_iter().map(D::port_id), message).map(drop)
    }

    /// The same, and says which receivers are behind.
    fn send_all_under_pressure<'a>(
        &self,
        ports: impl IntoIterator<Item = &'a PortId>,
        message: impl IntoMessage,
    ) -> Result<Crowded<Node>, SendError> {
        let body = message.encode()?;
        if self.remotes().can_all_read(&body) {
            return Ok(self.send_each(ports, &body));
        }
        let ports: Vec<&PortId> = ports.into_iter().collect();
        for port in ports.iter().filter(|port| port.node() != self.id()) {
            let checked = self.remotes().get_or_create(port.node()).outbox.lock().check(port, body.items());
            checked.map_err(|refused| SendError::refused(port.node(), refused, body.clone()))?;
        }
        Ok(self.send_each(ports, &body))
    }

    fn send_each<'a>(&self, ports: impl IntoIterator<Item = &'a PortId>, body: &Body) -> Crowded<Node> {
        let mut crowded = Crowded::default();
        for port in ports {
            match self.send_under_pressure(port, body) {
                Ok(Some(receiver)) => crowded.insert(receiver),
                Ok(None) => {}
                // The node has just been connected, and cannot read it. The others get theirs.
                Err(error) => self.lose(port, &error),
            }
        }
        crowded
    }
}

impl Context<'_> {
    /// Sends one message to many ports, see [`Node::send_all`]; a message that cannot be encoded,
    /// or is too large, kills the own port.
    pub fn send_all<'a, M: IntoMessage, D: Destination<M> + ?Sized + 'a>(
        &mut self,
        ports: impl IntoIterator<Item = &'a D>,
        message: M,
    ) {
        match self.node().send_all_under_pressure(ports.into_iter().map(D::port_id), message) {
            Ok(crowded) => crowded.into_receivers().for_each(|receiver| self.wait_for(receiver)),
            Err(error) => self.fail(error),
        }
    }
}

impl Mailbox {
    /// Sends one message to many ports, see [`Node::send_all`].
    ///
    /// # Errors
    ///
    /// As `Node::send_all`.
    pub fn send_all<'a, M: IntoMessage, D: Destination<M> + ?Sized + 'a>(
        &self,
        ports: impl IntoIterator<Item = &'a D>,
        message: M,
    ) -> Result<(), SendError> {
        self.node().send_all(ports, message)
    }
}
