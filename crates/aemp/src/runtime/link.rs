//! The task of one connection: handshake, then reader and writer, then one word to the driver.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use aemp_proto::NodeId;
use aemp_proto::kernel::LinkId;
use aemp_proto::link::{Side, Terms};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::carry::Carried;
use super::handshake::{Failure, Greeter, Opened, Stream};
use super::listen::Ticket;
use super::pump::Pump;
use super::shutdown::SHUT_DOWN;
use super::{Command, Event, tcp};
use crate::node::Node;
use crate::remote::Remote;

/// Runs a connection from its first octet to its end.
pub(crate) async fn run(
    node: Node,
    link: LinkId,
    side: Side,
    stream: TcpStream,
    mut commands: mpsc::UnboundedReceiver<Command>,
    ticket: Option<Ticket>,
) {
    let address = stream.peer_addr().map_or_else(|_| "?".into(), |address| address.to_string());
    let end = LinkEnd::new(&node, link, side, address);
    end.tell(live(&node, link, side, stream, &mut commands, ticket).await);
}

/// Runs a connection that another node carries, from its first octet to its end.
pub(crate) async fn run_carried(
    node: Node,
    link: LinkId,
    side: Side,
    stream: Carried,
    carrier: NodeId,
    mut commands: mpsc::UnboundedReceiver<Command>,
) {
    let end = LinkEnd::new(&node, link, side, format!("via:{carrier}"));
    end.tell(live_carried(&node, link, side, stream, &carrier, &mut commands).await);
}

/// Accepts a connection that another node carries. How many there may be has been looked at.
pub(crate) fn welcome_carried(node: &Node, stream: Carried, carrier: NodeId, from: &NodeId) {
    tracing::debug!(%carrier, %from, "a carried connection");
    let number = node.inner().shared.accepted.fetch_add(1, Ordering::Relaxed);
    let link = LinkId::accepted(number);
    let (sender, commands) = mpsc::unbounded_channel();
    node.event(Event::Accepted(link, sender));
    let running = run_carried(node.clone(), link, Side::Acceptor, stream, carrier, commands);
    node.inner().runtime.spawn(running);
}

/// Tells the driver that a connection has ended, however its task ends: a panic there must not leave a link that is up and silent.
struct LinkEnd {
    node: Node,
    link: LinkId,
    side: Side,
    address: String,
    reason: Option<String>,
}

impl LinkEnd {
    fn new(node: &Node, link: LinkId, side: Side, address: String) -> LinkEnd {
        LinkEnd { node: node.clone(), link, side, address, reason: None }
    }

    /// Logs how the connection ended, and tells the driver.
    fn tell(mut self, outcome: Result<String, Failure>) {
        let (address, side) = (&self.address, self.side);
        let reason = match outcome {
            Ok(reason) => reason,
            Err(failure) => {
                let shared = &self.node.inner().shared;
                match &failure {
                    Failure::Closed(_) => tracing::debug!(%address, ?side, %failure, "no connection"),
                    // Anybody can make a connection fail.
                    _ => match shared.failures.take(shared.now()) {
                        Some(withheld) => {
                            tracing::warn!(%address, ?side, %failure, withheld, "no connection")
                        }
                        None => tracing::debug!(%address, ?side, %failure, "no connection"),
                    },
                }
                failure.to_string()
            }
        };
        tracing::debug!(%address, ?side, reason, "connection closed");
        self.reason = Some(reason);
    }
}

impl Drop for LinkEnd {
    fn drop(&mut self) {
        // Nothing is logged here: whoever takes the logs may be what has panicked.
        let reason = self.reason.take().unwrap_or_else(|| "the task of the connection has failed".into());
        self.node.event(Event::Closed(self.link, reason));
    }
}

async fn live(
    node: &Node,
    link: LinkId,
    side: Side,
    stream: TcpStream,
    commands: &mut mpsc::UnboundedReceiver<Command>,
    ticket: Option<Ticket>,
) -> Result<String, Failure> {
    let local = stream.peer_addr()?.ip().to_canonical().is_loopback();
    let shared = &node.inner().shared;
    tcp::prepare(&stream, shared.link.monitor_timeout, shared.nodelay)?;
    let Opened { terms, stream, read, claim } =
        Greeter::new(node, link, side, &stream, commands)?.run(stream).await?;
    drop(ticket);
    if let Some(claim) = claim {
        tcp::be_patient(stream.socket())?;
        claim.arrived(terms, stream, read);
        return Ok("it has become a data connection".into());
    }
    if !terms.tls && !local {
        tracing::warn!(peer = %terms.peer.node, "this connection is not encrypted");
    }
    let remote = attached(node, link, &terms, commands).await?;
    let pump = Pump::new(node.clone(), link, terms, remote, read);
    Ok(match stream {
        Stream::Plain(stream) => pump.run_tcp(stream, commands).await,
        Stream::Tls(stream) => {
            let (reader, writer) = tcp::split(*stream);
            pump.run(reader, writer, commands).await
        }
    })
}

async fn live_carried(
    node: &Node,
    link: LinkId,
    side: Side,
    stream: Carried,
    carrier: &NodeId,
    commands: &mut mpsc::UnboundedReceiver<Command>,
) -> Result<String, Failure> {
    let Opened { terms, stream, read, .. } =
        Greeter::carried(node, link, side, carrier, commands)?.run(stream).await?;
    let remote = attached(node, link, &terms, commands).await?;
    let pump = Pump::new(node.clone(), link, terms, remote, read);
    Ok(match stream {
        Stream::Plain(stream) => {
            let (reader, writer) = tcp::split(stream);
            pump.run(reader, writer, commands).await
        }
        Stream::Tls(stream) => {
            let (reader, writer) = tcp::split(*stream);
            pump.run(reader, writer, commands).await
        }
    })
}

/// The handshake is done: waits until this is the link to its node.
async fn attached(
    node: &Node,
    link: LinkId,
    terms: &Terms,
    commands: &mut mpsc::UnboundedReceiver<Command>,
) -> Result<Arc<Remote>, Failure> {
    node.event(Event::Established { link, framing: terms.send, parts: terms.parts });
    loop {
        match commands.recv().await {
            Some(Command::Attach(remote)) => return Ok(remote),
            Some(Command::Close(reason)) => return Err(Failure::Closed(reason)),
            Some(Command::Shutdown(_)) => return Err(Failure::Closed(SHUT_DOWN.into())),
            Some(Command::Proceed | Command::Probe) => {}
            None => return Err(Failure::Closed("the node has ended".into())),
        }
    }
}
