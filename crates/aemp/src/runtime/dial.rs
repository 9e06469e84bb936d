//! Dialling: all addresses of a name, until somebody greets at one of them who is expected there.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use aemp_proto::NodeId;
use aemp_proto::address::Race;
use aemp_proto::kernel::Peer;
use aemp_proto::link::{Handshake, HandshakeEvent, Side};
use bytes::BytesMut;
use tokio::net::TcpStream;
use tokio::task::{Id, JoinSet};
use tokio::time::{Instant, sleep_until, timeout};

use super::handshake::{Failure, next_event, nonce};
use super::resolve::resolve_to_dial;
use super::socket::Stream;
use super::tcp;
use crate::node::Node;

/// The addresses of one `host:port` while they are dialled. Dropping it ends all attempts.
pub(crate) struct Dialling<T> {
    race: Race,
    attempts: JoinSet<Result<T, Failure>>,
    addresses: HashMap<Id, SocketAddr>,
    /// Another node than the one that is expected, and where it has answered.
    pub(crate) stranger: Option<(SocketAddr, Peer)>,
}

impl<T: Send + 'static> Dialling<T> {
    pub(crate) fn new() -> Dialling<T> {
        let race = Race::new([], |_| false);
        Dialling { race, attempts: JoinSet::new(), addresses: HashMap::new(), stranger: None }
    }

    /// Dials the addresses as [`Race`] says, each with `attempt`, and returns what the first
    /// successful one leaves. `progress` is called whenever [`Dialling::report`] has changed.
    ///
    /// # Errors
    ///
    /// The name cannot be resolved, or all attempts have failed.
    pub(crate) async fn first<F>(
        &mut self,
        node: &Node,
        address: &str,
        attempt: impl Fn(SocketAddr) -> F,
        progress: impl Fn(String),
    ) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, Failure>> + Send + 'static,
    {
        let shared = &node.inner().shared;
        let found = resolve_to_dial(address).await.map_err(|error| Failure::Name(error.to_string()))?;
        self.race = Race::new(found, |address| shared.failed_addresses.contains(address));
        loop {
            while let Some(address) = self.race.next(shared.now()) {
                let id = self.attempts.spawn(attempt(address)).id();
                self.addresses.insert(id, address);
            }
            progress(self.race.report());
            if self.race.is_over() {
                return Err(Failure::Unreachable(self.race.report()));
            }
            let next = self.race.next_timeout().map(|next| shared.started + next);
            tokio::select! {
                Some(done) = self.attempts.join_next_with_id() => {
                    let (id, outcome) = match done {
                        Ok((id, outcome)) => (id, outcome),
                        Err(error) => (error.id(), Err(Failure::Closed(error.to_string()))),
                    };
                    let Some(address) = self.addresses.remove(&id) else { continue };
                    match outcome {
                        Ok(won) => return Ok(won),
                        Err(failure) => self.failed(node, address, failure),
                    }
                }
                () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {}
            }
        }
    }

    /// What became of each address so far.
    pub(crate) fn report(&self) -> String {
        self.race.report()
    }

    fn failed(&mut self, node: &Node, address: SocketAddr, failure: Failure) {
        let shared = &node.inner().shared;
        shared.failed_addresses.add(address);
        self.race.failed(address, failure.to_string(), shared.now());
        if let Failure::OtherNode(peer) = failure {
            self.stranger = Some((address, *peer));
        }
    }
}

/// A connection at which the peer has greeted. Nobody has proven anything yet.
pub(crate) struct Met {
    pub(crate) machine: Handshake,
    pub(crate) stream: Stream,
    pub(crate) read: BytesMut,
    pub(crate) address: SocketAddr,
    pub(crate) peer: Peer,
}

/// Dials one address, until the peer has greeted, and TLS is there if both sides want it. `begin`
/// makes the handshake of the two ends of the socket.
///
/// # Errors
///
/// No connection, no greeting in time, or a node that is not `expected`.
pub(crate) async fn meet(
    node: &Node,
    address: SocketAddr,
    expected: Option<&NodeId>,
    begin: impl FnOnce(SocketAddr, SocketAddr) -> Result<Handshake, Failure>,
) -> Result<Met, Failure> {
    let limit: Duration = node.inner().shared.handshake_limit;
    let met = timeout(limit, meet_in_time(node, address, begin)).await.unwrap_or(Err(Failure::Late))?;
    if expected.is_some_and(|expected| *expected != met.peer.node) {
        return Err(Failure::OtherNode(Box::new(met.peer)));
    }
    Ok(met)
}

async fn meet_in_time(
    node: &Node,
    address: SocketAddr,
    begin: impl FnOnce(SocketAddr, SocketAddr) -> Result<Handshake, Failure>,
) -> Result<Met, Failure> {
    let shared = &node.inner().shared;
    let mut stream = TcpStream::connect(address).await?;
    tcp::prepare(&stream, shared.link().monitor_timeout, shared.nodelay)?;
    let mut machine = begin(stream.local_addr()?, stream.peer_addr()?)?;
    let mut read = BytesMut::with_capacity(1024);
    let mut event = next_event(&mut machine, &mut stream, &mut read).await?;
    let mut stream = Stream::Plain(stream);
    if let HandshakeEvent::StartTls { client } = event {
        let Stream::Plain(plain) = stream else { return Err(Failure::Ended) };
        let tls = shared.tls().ok_or(Failure::Ended)?;
        let mut encrypted =
            tls.start(client, plain, std::mem::take(&mut read)).await.map_err(Failure::Tls)?;
        machine.tls_started()?;
        event = next_event(&mut machine, &mut encrypted, &mut read).await?;
        stream = Stream::Tls(Box::new(encrypted));
    }
    match event {
        HandshakeEvent::Greeted(peer) | HandshakeEvent::StreamGreeted { peer, .. } => {
            Ok(Met { machine, stream, read, address, peer })
        }
        _ => Err(Failure::Ended),
    }
}

/// As [`meet`], for a connection of nodes.
pub(crate) async fn meet_node(
    node: Node,
    address: SocketAddr,
    expected: Option<NodeId>,
) -> Result<Met, Failure> {
    let config = node.inner().shared.link();
    let begin = |local, remote| Ok(Handshake::new(config, Side::Dialler, local, remote, nonce()?));
    meet(&node, address, expected.as_ref(), begin).await
}
