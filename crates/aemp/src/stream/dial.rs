//! Dialling a data connection: every address of the other node, until the right node answers at
//! one.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use aemp_proto::address::STAGGER;
use aemp_proto::link::{Handshake, HandshakeEvent};
use aemp_proto::{NodeId, Value};
use bytes::BytesMut;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::io::{Socket, Stream};
use crate::node::Node;
use crate::runtime::dial::{Dialling, Met, meet};
use crate::runtime::handshake::{Failure, next_event, nonce};
use crate::runtime::tcp;

/// Addresses of one node that are tried: what it says of itself may be as long as an entry of the
/// database.
const ADDRESSES: usize = 16;

/// A listener that has too many unproven connections closes new ones. It is asked again after this
/// time, then after twice as long, …
const NO_ROOM: Duration = Duration::from_millis(100);

/// … and so often in all.
const ATTEMPTS: u32 = 4;

/// A connection at which the right node has greeted. Nobody has proven anything, so it can still be
/// given up: the other side does not yet take it for the data connection.
pub(super) struct Greeted {
    machine: Handshake,
    socket: Box<dyn Socket>,
    read: BytesMut,
    limit: Duration,
    peer: NodeId,
}

impl Greeted {
    /// Proves who we are, and gets the stream if the other node does the same.
    pub(super) async fn finish(mut self) -> Result<Stream, Failure> {
        self.machine.proceed()?;
        let event = next_event(&mut self.machine, &mut self.socket, &mut self.read);
        match timeout(self.limit, event).await.unwrap_or(Err(Failure::Late))? {
            HandshakeEvent::Established(_) => Ok(Stream::new(self.peer, self.socket, self.read)),
            _ => Err(Failure::Ended),
        }
    }
}

impl Node {
    /// Dials the data connection with this ID at all addresses that the shared database has for the
    /// node.
    ///
    /// # Errors
    ///
    /// What was tried, for people.
    pub(super) async fn dial_stream(&self, to: &NodeId, id: &str) -> Result<Greeted, String> {
        let mut addresses = self.addresses_of(to).await.into_iter();
        let mut tries = JoinSet::new();
        let mut failures = Vec::new();
        loop {
            match addresses.next() {
                Some(address) => {
                    let (node, to, id) = (self.clone(), to.clone(), id.to_string());
                    tries.spawn(async move {
                        let greeted = node.dial_name(&to, &id, &address).await;
                        greeted.map_err(|failure| failure.to_string())
                    });
                }
                None if tries.is_empty() => break,
                None => {}
            }
            tokio::select! {
                Some(result) = tries.join_next() => match result {
                    Ok(Ok(greeted)) => return Ok(greeted),
                    Ok(Err(failure)) => failures.push(failure),
                    Err(error) => failures.push(error.to_string()),
                },
                () = sleep(STAGGER), if addresses.len() > 0 => {}
            }
        }
        let none = || "the shared database has no address of it".to_string();
        Err(if failures.is_empty() { none() } else { failures.join("; ") })
    }

    /// Where a node listens, as it says in the shared database.
    async fn addresses_of(&self, node: &NodeId) -> Vec<String> {
        let Ok(mut all) = self.db().family("'l").await else { return Vec::new() };
        let Some(Value::List(addresses)) = all.remove(node.as_str()) else { return Vec::new() };
        addresses.iter().filter_map(Value::to_name).take(ADDRESSES).collect()
    }

    /// Dials all addresses of a name.
    async fn dial_name(&self, to: &NodeId, id: &str, name: &str) -> Result<Greeted, Failure> {
        let attempt = |address| dial_address(self.clone(), to.clone(), id.to_owned(), address);
        Dialling::new().first(self, name, attempt, |_| {}).await
    }
}

async fn dial_address(node: Node, to: NodeId, id: String, address: SocketAddr) -> Result<Greeted, Failure> {
    let mut pause = NO_ROOM;
    for _ in 1..ATTEMPTS {
        match greet(&node, &to, &id, address).await {
            Err(failure) if is_without_a_word(&failure) => sleep(pause).await,
            result => return result,
        }
        pause *= 2;
    }
    greet(&node, &to, &id, address).await
}

async fn greet(node: &Node, to: &NodeId, id: &str, address: SocketAddr) -> Result<Greeted, Failure> {
    let shared = &node.inner().shared;
    let config = shared.link();
    let begin = |local, remote| Ok(Handshake::for_stream(config, id, local, remote, nonce()?));
    let Met { machine, stream, read, peer, .. } = meet(node, address, Some(to), begin).await?;
    tcp::be_patient(stream.socket())?;
    Ok(Greeted { machine, socket: stream.into(), read, limit: shared.handshake_limit, peer: peer.node })
}

/// Whether the peer closed the connection instead of greeting.
fn is_without_a_word(failure: &Failure) -> bool {
    match failure {
        Failure::Ended => true,
        Failure::Socket(error) => {
            matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe)
        }
        _ => false,
    }
}
