//! The task of a connection that is dialled: to whom, at which of its addresses, and what is said
//! when nothing comes of it.

use std::fmt;
use std::net::SocketAddr;

use aemp_proto::NodeId;
use aemp_proto::kernel::{CONNECT_TIMEOUT, LinkId};
use tokio::sync::mpsc;

use super::dial::{Dialling, Met, meet_node};
use super::handshake::{Failure, Greeter};
use super::link::{LinkEnd, live};
use super::shutdown::SHUT_DOWN;
use super::{Command, Ended, Event};
use crate::node::Node;

/// Whom a connection is to reach.
pub(crate) struct Target {
    /// Where: `host:port`.
    pub(crate) address: String,
    /// Who is expected there; nobody in particular at the address of a seed.
    pub(crate) expected: Option<NodeId>,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.expected {
            None => write!(f, "seed {}", self.address),
            Some(node) => write!(f, "node {node} at {}", self.address),
        }
    }
}

/// Dials a connection, and runs it to its end.
pub(crate) async fn run(
    node: Node,
    link: LinkId,
    target: Target,
    mut commands: mpsc::UnboundedReceiver<Command>,
) {
    let end = LinkEnd::new(&node, link, target.to_string());
    let outcome = live_dialled(&node, link, &target, &mut commands).await;
    end.tell(outcome, |node, _, failure| complain(node, &target, failure));
}

async fn live_dialled(
    node: &Node,
    link: LinkId,
    target: &Target,
    commands: &mut mpsc::UnboundedReceiver<Command>,
) -> Result<Ended, Failure> {
    let shared = &node.inner().shared;
    // What goes before the connection is in boxes, for it is large and the connection lasts.
    let met = Box::pin(meet(node, link, target, commands)).await?;
    let Met { machine, stream, read, address, peer } = met;
    let ends = (stream.socket().peer_addr()?, stream.socket().local_addr()?);
    let own =
        (peer.node == shared.link().node).then_some(peer.incarnation == Some(shared.link().incarnation));
    node.event(Event::Greeted(link, peer));
    match own {
        None => {}
        Some(false) => return Err(Failure::Twin),
        Some(true) => {
            shared.unreached_seeds.remove(&target.address);
            return Err(Failure::Closed(close(commands).await));
        }
    }
    let finished = Greeter::dialled(node, link, machine, read, commands).finish(stream);
    let outcome = match Box::pin(finished).await {
        Ok(opened) => {
            shared.failed_addresses.remove(&address);
            shared.unreachable.forget(&target.to_string());
            shared.unreached_seeds.remove(&target.address);
            return live(node, link, opened, ends, commands).await;
        }
        Err(Failure::Closed(reason)) if reason == CONNECT_TIMEOUT => Failure::Late,
        Err(failure) => failure,
    };
    match outcome {
        // The kernel does not want it: the node is connected already, say, or it is ourselves.
        Failure::Closed(_) => shared.unreached_seeds.remove(&target.address),
        _ => shared.failed_addresses.add(address),
    }
    Err(outcome)
}

/// Dials all addresses of the target, until the expected node has greeted at one of them.
async fn meet(
    node: &Node,
    link: LinkId,
    target: &Target,
    commands: &mut mpsc::UnboundedReceiver<Command>,
) -> Result<Met, Failure> {
    let shared = &node.inner().shared;
    let mut dialling = Dialling::new();
    let attempt = |address| meet_node(node.clone(), address, target.expected.clone());
    let progress = |report| {
        if target.expected.is_none() {
            shared.unreached_seeds.set(&target.address, report);
        }
    };
    let met = tokio::select! {
        met = dialling.first(node, &target.address, attempt, progress) => met,
        reason = close(commands) => Err(Failure::Closed(reason)),
    };
    let failure = match met {
        Ok(met) => return Ok(met),
        Err(Failure::Closed(reason)) if reason == CONNECT_TIMEOUT => Failure::Unreachable(dialling.report()),
        Err(failure) => failure,
    };
    if let Some((address, peer)) = dialling.stranger.take() {
        if peer.node == shared.link().node {
            reaches_itself(node, target, address);
        }
        // The kernel forgets an address at which somebody else is.
        node.event(Event::Greeted(link, peer));
    }
    Err(failure)
}

/// Waits until the connection is to be closed.
pub(super) async fn close(commands: &mut mpsc::UnboundedReceiver<Command>) -> String {
    loop {
        match commands.recv().await {
            Some(Command::Close(reason)) => return reason,
            Some(Command::Shutdown(_)) => return SHUT_DOWN.into(),
            Some(Command::Attach(_) | Command::Proceed | Command::Probe | Command::Mark(..)) => {}
            None => return "the node has ended".into(),
        }
    }
}

/// Another node advertises an address that leads to ourselves: a loopback one, most likely.
fn reaches_itself(node: &Node, target: &Target, address: SocketAddr) {
    let shared = &node.inner().shared;
    let Some(peer) = &target.expected else { return };
    if shared.unreachable.take(&format!("{peer} is not {address}"), shared.now()) == Some(0) {
        tracing::warn!(
            %peer, %address,
            "the address that this node advertises leads to ourselves: it must bind an address at which others reach it, or set `advertise`"
        );
    }
}

/// Logs that nothing came of it: of each target at once, and then ever more rarely.
fn complain(node: &Node, target: &Target, failure: &Failure) {
    let shared = &node.inner().shared;
    if matches!(failure, Failure::Closed(_)) {
        return tracing::debug!(to = %target, %failure, "no connection");
    }
    if target.expected.is_none() {
        shared.unreached_seeds.set(&target.address, failure.to_string());
    }
    // Seeds are few; what other nodes advertise may be much.
    let withheld = shared.unreachable.take(&target.to_string(), shared.now());
    let withheld =
        withheld.filter(|_| target.expected.is_none() || shared.failures.take(shared.now()).is_some());
    match withheld {
        Some(withheld) => tracing::warn!(to = %target, %failure, withheld, "no connection"),
        None => tracing::debug!(to = %target, %failure, "no connection"),
    }
}
