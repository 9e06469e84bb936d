//! The task of one connection: handshake, then reader and writer, then one word to the driver.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use aemp_proto::NodeId;
use aemp_proto::kernel::LinkId;
use aemp_proto::link::{Side, Terms};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::admission::Permit;
use super::handshake::{Failure, Greeter, Opened};
use super::marks::conn_of;
use super::pump::Pump;
use super::relay::Relayed;
use super::shutdown::SHUT_DOWN;
use super::socket::Stream;
use super::tcp::Abort;
use super::{Command, Ended, Event, tcp};
use crate::node::Node;
use crate::remote::Remote;
use crate::stats::counts::BreakCause;

/// Runs a connection that was accepted, from its first byte to its end.
pub(crate) async fn accepted(
    node: Node,
    link: LinkId,
    stream: TcpStream,
    mut commands: mpsc::UnboundedReceiver<Command>,
    permit: Permit,
) {
    let address = stream.peer_addr().map_or_else(|_| "?".into(), |address| address.to_string());
    let end = LinkEnd::new(&node, link, address);
    end.tell(live_accepted(&node, link, stream, &mut commands, permit).await, complain);
}

/// Runs a connection that another node carries, from its first byte to its end.
pub(crate) async fn run_relayed(
    node: Node,
    link: LinkId,
    side: Side,
    stream: Relayed,
    via: NodeId,
    mut commands: mpsc::UnboundedReceiver<Command>,
) {
    let end = LinkEnd::new(&node, link, format!("via:{via}"));
    end.tell(live_relayed(&node, link, side, stream, &via, &mut commands).await, complain);
}

/// Accepts a connection that another node carries. How many there may be has been looked at.
pub(crate) fn welcome_relayed(node: &Node, stream: Relayed, via: NodeId, from: &NodeId) {
    tracing::debug!(%via, %from, "a carried connection");
    let number = node.inner().shared.accepted.fetch_add(1, Ordering::Relaxed);
    let link = LinkId::accepted(number);
    let (sender, commands) = mpsc::unbounded_channel();
    node.event(Event::Accepted(link, sender));
    let running = run_relayed(node.clone(), link, Side::Acceptor, stream, via, commands);
    node.inner().runtime.spawn(running);
}

/// Tells the driver that a connection has ended, however its task ends: a panic there must not
/// leave a link that is up and silent.
pub(super) struct LinkEnd {
    node: Node,
    link: LinkId,
    whom: String,
    ended: Option<Ended>,
}

impl LinkEnd {
    /// `whom` says for people where the other end is.
    pub(super) fn new(node: &Node, link: LinkId, whom: String) -> LinkEnd {
        LinkEnd { node: node.clone(), link, whom, ended: None }
    }

    /// Logs how the connection ended, by `complain` if it did not come to be, and tells the driver.
    pub(super) fn tell(
        mut self,
        outcome: Result<Ended, Failure>,
        complain: impl FnOnce(&Node, &str, &Failure),
    ) {
        let ended = outcome.unwrap_or_else(|failure| {
            complain(&self.node, &self.whom, &failure);
            if let Some(cause) = failure.cause() {
                self.node.inner().shared.counts.handshake_failures.add(cause);
            }
            Ended { reason: failure.to_string(), cause: BreakCause::Unreachable }
        });
        tracing::debug!(address = %self.whom, reason = ended.reason, "connection closed");
        self.ended = Some(ended);
    }
}

impl Drop for LinkEnd {
    fn drop(&mut self) {
        // Nothing is logged here: anyone who takes the logs may be what has panicked.
        let ended = self.ended.take().unwrap_or_else(|| Ended {
            reason: "the task of the connection has failed".into(),
            cause: BreakCause::Here,
        });
        self.node.event(Event::Closed(self.link, ended));
    }
}

/// Logs that a connection did not come to be. Anybody can make one fail.
pub(super) fn complain(node: &Node, address: &str, failure: &Failure) {
    let shared = &node.inner().shared;
    match failure {
        Failure::Closed(_) | Failure::Itself | Failure::Nobody => {
            tracing::debug!(%address, %failure, "no connection")
        }
        _ => match shared.failures.take(shared.now()) {
            Some(withheld) => tracing::warn!(%address, %failure, withheld, "no connection"),
            None => tracing::debug!(%address, %failure, "no connection"),
        },
    }
}

async fn live_accepted(
    node: &Node,
    link: LinkId,
    stream: TcpStream,
    commands: &mut mpsc::UnboundedReceiver<Command>,
    permit: Permit,
) -> Result<Ended, Failure> {
    let ends = (stream.peer_addr()?, stream.local_addr()?);
    let shared = &node.inner().shared;
    tcp::prepare(&stream, shared.link().monitor_timeout, shared.nodelay)?;
    let displaced = permit.displaced();
    let greeter = Greeter::accepted(node, link, &stream, permit, commands)?;
    let opened = tokio::select! {
        // In a box, for it is large and the connection lasts.
        opened = Box::pin(greeter.run(stream)) => opened?,
        () = displaced.notified() => return Err(Failure::Displaced),
    };
    live(node, link, opened, ends, commands).await
}

/// The handshake is done; `ends` are the peer's end of the socket and ours.
pub(super) async fn live(
    node: &Node,
    link: LinkId,
    opened: Opened,
    ends: (SocketAddr, SocketAddr),
    commands: &mut mpsc::UnboundedReceiver<Command>,
) -> Result<Ended, Failure> {
    let Opened { terms, stream, read, claim } = opened;
    if let Some(claim) = claim {
        tcp::be_patient(stream.socket())?;
        claim.arrived(terms, stream, read);
        return Ok(Ended { reason: "it has become a data connection".into(), cause: BreakCause::Here });
    }
    let shared = &node.inner().shared;
    if !terms.tls
        && !ends.0.ip().to_canonical().is_loopback()
        && let Some(withheld) = shared.unencrypted.take(shared.now())
    {
        tracing::warn!(peer = %terms.peer.node, withheld, "this connection is not encrypted");
    }
    let remote = attached(node, link, &terms, commands).await?;
    node.inner().shared.listening.connected(node, ends.0, ends.1);
    let pump = Pump::new(node.clone(), link, terms, remote, read);
    Ok(match stream {
        Stream::Plain(stream) => pump.run_tcp(stream, commands).await,
        encrypted => run_on(encrypted, pump, commands).await,
    })
}

async fn live_relayed(
    node: &Node,
    link: LinkId,
    side: Side,
    stream: Relayed,
    via: &NodeId,
    commands: &mut mpsc::UnboundedReceiver<Command>,
) -> Result<Ended, Failure> {
    let greeter = Greeter::relayed(node, link, side, via, commands)?;
    let Opened { terms, stream, read, .. } = Box::pin(greeter.run(stream)).await?;
    let remote = attached(node, link, &terms, commands).await?;
    let pump = Pump::new(node.clone(), link, terms, remote, read);
    Ok(run_on(stream, pump, commands).await)
}

/// Runs a connection on a stream that has both directions, encrypted or not, to its end.
pub(super) async fn run_on<S>(
    stream: Stream<S>,
    pump: Box<Pump>,
    commands: &mut mpsc::UnboundedReceiver<Command>,
) -> Ended
where
    S: AsyncRead + AsyncWrite + Abort + Unpin + Send + 'static,
{
    match stream {
        Stream::Plain(stream) => {
            let (reader, writer) = tcp::split(stream);
            pump.run(reader, writer, commands).await
        }
        Stream::Tls(stream) => {
            let (reader, writer) = tcp::split(*stream);
            pump.run(reader, writer, commands).await
        }
    }
}

/// The handshake is done: waits until this is the link to its node.
pub(super) async fn attached(
    node: &Node,
    link: LinkId,
    terms: &Terms,
    commands: &mut mpsc::UnboundedReceiver<Command>,
) -> Result<Arc<Remote>, Failure> {
    let conn = conn_of(terms);
    node.event(Event::Established { link, framing: terms.send, parts: terms.parts, conn });
    loop {
        match commands.recv().await {
            Some(Command::Attach(remote)) => return Ok(remote),
            Some(Command::Close(reason)) => return Err(Failure::Closed(reason)),
            Some(Command::Shutdown(_)) => return Err(Failure::Closed(SHUT_DOWN.into())),
            Some(Command::Proceed | Command::Probe | Command::Mark(..)) => {}
            None => return Err(Failure::Closed("the node has ended".into())),
        }
    }
}
