//! The task of one connection: handshake, then reader and writer, then one word to the driver.

use aemp_proto::kernel::LinkId;
use aemp_proto::link::Side;
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::handshake::{Failure, Greeter, Opened, Stream};
use super::listen::Ticket;
use super::pump::Pump;
use super::{Command, Event, tcp};
use crate::node::Node;

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
    let reason = match live(&node, link, side, stream, &mut commands, ticket).await {
        Ok(reason) => reason,
        Err(failure) => {
            let shared = &node.inner().shared;
            match &failure {
                Failure::Closed(_) => tracing::debug!(%address, ?side, %failure, "no connection"),
                // Anybody can make a connection fail.
                _ => match shared.failures.take(shared.now()) {
                    Some(withheld) => tracing::warn!(%address, ?side, %failure, withheld, "no connection"),
                    None => tracing::debug!(%address, ?side, %failure, "no connection"),
                },
            }
            failure.to_string()
        }
    };
    tracing::debug!(%address, ?side, reason, "connection closed");
    node.event(Event::Closed(link, reason));
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
    node.event(Event::Established(link));
    let remote = loop {
        match commands.recv().await {
            Some(Command::Attach(remote)) => break remote,
            Some(Command::Close(reason)) => return Err(Failure::Closed(reason)),
            Some(Command::Proceed | Command::Probe) => {}
            None => return Err(Failure::Closed("the node has ended".into())),
        }
    };
    let pump = Pump::new(node.clone(), link, terms, remote, read);
    Ok(match stream {
        Stream::Plain(stream) => pump.run_tcp(stream, commands).await,
        Stream::Tls(stream) => {
            let (reader, writer) = tokio::io::split(*stream);
            pump.run(reader, writer, commands).await
        }
    })
}
