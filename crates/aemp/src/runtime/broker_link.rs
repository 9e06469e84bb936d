//! Connections through a broker: those that are dialled, those that are accepted, and the life of
//! both.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv6Addr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use aemp_proto::address::ADDRESSES_MAX;
use aemp_proto::broker::{address_of, node_of};
use aemp_proto::kernel::LinkId;
use aemp_proto::link::Side;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::mpsc;

use super::admission::Permit;
use super::dialled::Target;
use super::handshake::{Failure, Greeter, Opened};
use super::link::{LinkEnd, attached, complain, run_on};
use super::pump::Pump;
use super::tcp::Abort;
use super::{Command, Ended, Event};
use crate::broker::{Broker, BrokerStream};
use crate::node::Node;

/// How long to wait before guard again after an error.
const AFTER_ERROR: Duration = Duration::from_millis(100);

/// A stream through a broker.
pub(super) struct BrokerSocket(Box<dyn BrokerStream>);

/// Dials a node, or any global node, and runs the connection to its end.
pub(super) async fn run_dialled(
    node: Node,
    broker: Arc<dyn Broker>,
    link: LinkId,
    target: Target,
    mut commands: mpsc::UnboundedReceiver<Command>,
) {
    let end = LinkEnd::new(&node, link, format!("{target} through {}", broker.name()));
    let outcome = live_dialled(&node, &*broker, link, &target, &mut commands).await;
    match (&outcome, &target.expected) {
        (Ok(_), _) => node.inner().shared.unreached_seeds.remove(&target.address),
        (Err(failure), None) => {
            node.inner().shared.unreached_seeds.set(&target.address, failure.to_string());
        }
        (Err(_), Some(_)) => {}
    }
    end.tell(outcome, complain);
}

/// The addresses of all other global nodes at the broker.
pub(super) async fn global_nodes(broker: &dyn Broker) -> Vec<String> {
    let found = broker.global_nodes().await.unwrap_or_else(|error| {
        tracing::debug!(broker = broker.name(), %error, "cannot ask for global nodes");
        Vec::new()
    });
    found.iter().take(ADDRESSES_MAX).map(address_of).collect()
}

/// Accepts what other nodes begin, until the node ends.
pub(crate) async fn accept(node: Node, broker: Arc<dyn Broker>) {
    let guard = AcceptGuard(broker);
    loop {
        match guard.0.accept().await {
            Ok(stream) => admit(&node, &guard.0, BrokerSocket(stream)),
            Err(error) => {
                let shared = &node.inner().shared;
                if let Some(withheld) = shared.failures.take(shared.now()) {
                    tracing::warn!(%error, withheld, "cannot accept a connection through the broker");
                }
                tokio::time::sleep(AFTER_ERROR).await;
            }
        }
    }
}

/// Says that nothing is accepted any more when the task that does so ends, however it ends.
struct AcceptGuard(Arc<dyn Broker>);

impl Drop for AcceptGuard {
    fn drop(&mut self) {
        self.0.close();
    }
}

fn admit(node: &Node, broker: &Arc<dyn Broker>, stream: BrokerSocket) {
    let shared = &node.inner().shared;
    let link = LinkId::accepted(shared.accepted.fetch_add(1, Ordering::Relaxed));
    let (sender, commands) = mpsc::unbounded_channel();
    node.event(Event::Accepted(link, sender));
    // For the broker all are one network: who is behind it is not known.
    let permit = shared.listening.admission.enter(IpAddr::V6(Ipv6Addr::UNSPECIFIED));
    tokio::spawn(run_accepted(node.clone(), broker.clone(), link, stream, commands, permit));
}

async fn run_accepted(
    node: Node,
    broker: Arc<dyn Broker>,
    link: LinkId,
    stream: BrokerSocket,
    mut commands: mpsc::UnboundedReceiver<Command>,
    permit: Permit,
) {
    let end = LinkEnd::new(&node, link, broker.name());
    let displaced = permit.displaced();
    let outcome = async {
        let trusted = broker.is_trusted();
        let greeter =
            Greeter::through_broker(&node, link, Side::Acceptor, trusted, Some(permit), &mut commands)?;
        let opened = tokio::select! {
            opened = Box::pin(greeter.run(stream)) => opened?,
            () = displaced.notified() => return Err(Failure::Displaced),
        };
        live(&node, link, opened, trusted, &mut commands).await
    };
    end.tell(outcome.await, complain);
}

async fn live_dialled(
    node: &Node,
    broker: &dyn Broker,
    link: LinkId,
    target: &Target,
    commands: &mut mpsc::UnboundedReceiver<Command>,
) -> Result<Ended, Failure> {
    let stream = tokio::select! {
        stream = dial(broker, target) => stream?,
        reason = super::dialled::close(commands) => return Err(Failure::Closed(reason)),
    };
    let trusted = broker.is_trusted();
    let greeter = Greeter::through_broker(node, link, Side::Dialler, trusted, None, commands)?;
    let opened = Box::pin(greeter.run(stream)).await?;
    if target.expected.as_ref().is_some_and(|expected| *expected != opened.terms.peer.node) {
        return Err(Failure::OtherNode(Box::new(opened.terms.peer)));
    }
    live(node, link, opened, trusted, commands).await
}

async fn dial(broker: &dyn Broker, target: &Target) -> Result<BrokerSocket, Failure> {
    let to = match node_of(&target.address) {
        Some(node) => node,
        None => {
            let global = broker.global_nodes().await?.into_iter().next();
            global.ok_or_else(|| Failure::Unreachable("no global node answers at the broker".into()))?
        }
    };
    match broker.dial(&to).await {
        Ok(stream) => Ok(BrokerSocket(stream)),
        Err(error) if error.kind() == ErrorKind::NotFound => Err(Failure::Nobody),
        Err(error) => Err(error.into()),
    }
}

/// The handshake is done.
async fn live(
    node: &Node,
    link: LinkId,
    opened: Opened<BrokerSocket>,
    trusted: bool,
    commands: &mut mpsc::UnboundedReceiver<Command>,
) -> Result<Ended, Failure> {
    let Opened { terms, stream, read, claim } = opened;
    if !terms.tls && !trusted {
        // The handshake has refused it already. It must never depend on one place alone.
        return Err(Failure::Unencrypted);
    }
    if claim.is_some() {
        // A data connection is expected at a socket.
        return Err(Failure::Ended);
    }
    let remote = attached(node, link, &terms, commands).await?;
    let pump = Pump::new(node.clone(), link, terms, remote, read);
    Ok(run_on(stream, pump, commands).await)
}

impl Abort for BrokerSocket {
    fn reset_when_dropped(&self, reset: bool) {
        self.0.reset_when_dropped(reset);
    }
}

impl AsyncRead for BrokerSocket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, out)
    }
}

impl AsyncWrite for BrokerSocket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
