//! Listeners: accepted connections, and how many may be unproven at once.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use aemp_proto::kernel::LinkId;
use aemp_proto::link::Side;
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc};

use super::{Event, link};
use crate::node::Node;

/// Connections that may be unauthenticated at once: each costs a descriptor, a task and two lines.
const UNPROVEN_MAX: usize = 256;

/// The same for one address when half of the places are taken, so that one host cannot take all of them. Before that many
/// nodes of one host may come at once: each has one address to dial, and whoever is turned away loses what it had queued.
const UNPROVEN_PER_ADDRESS: usize = 16;

/// How long to wait before accepting again after an error such as "too many open files".
const AFTER_ERROR: Duration = Duration::from_millis(100);

/// Counts connections that have not proven themselves.
#[derive(Default)]
pub(crate) struct Gatekeeper {
    unproven: Mutex<Unproven>,
    left: Notify,
}

#[derive(Default)]
struct Unproven {
    total: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// The place of one unproven connection; given back when it is dropped.
pub(crate) struct Ticket {
    gatekeeper: Arc<Gatekeeper>,
    address: IpAddr,
}

impl Gatekeeper {
    fn enter(self: &Arc<Self>, address: IpAddr) -> Option<Ticket> {
        let mut unproven = self.unproven.lock();
        let scarce = unproven.total >= UNPROVEN_MAX / 2;
        let here = unproven.by_address.entry(address).or_default();
        if scarce && *here >= UNPROVEN_PER_ADDRESS {
            return None;
        }
        *here += 1;
        unproven.total += 1;
        Some(Ticket { gatekeeper: self.clone(), address })
    }

    /// Waits while all places are taken.
    async fn wait(&self) {
        loop {
            let left = self.left.notified();
            tokio::pin!(left);
            left.as_mut().enable();
            if self.unproven.lock().total < UNPROVEN_MAX {
                return;
            }
            left.await;
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut unproven = self.gatekeeper.unproven.lock();
        unproven.total -= 1;
        if let Some(here) = unproven.by_address.get_mut(&self.address) {
            *here -= 1;
            if *here == 0 {
                unproven.by_address.remove(&self.address);
            }
        }
        drop(unproven);
        self.gatekeeper.left.notify_waiters();
    }
}

/// Binds `host:port` and accepts from then on. Gives the address with the port that the system chose.
pub(crate) async fn listen(node: &Node, bind: &str, gatekeeper: &Arc<Gatekeeper>) -> io::Result<String> {
    let listener = TcpListener::bind(bind).await?;
    let address = listener.local_addr()?.to_string();
    let task = tokio::spawn(accept(node.clone(), listener, gatekeeper.clone()));
    node.inner().shared.listeners.lock().push(task.abort_handle());
    Ok(address)
}

async fn accept(node: Node, listener: TcpListener, gatekeeper: Arc<Gatekeeper>) {
    loop {
        gatekeeper.wait().await;
        match listener.accept().await {
            Ok((stream, remote)) => match gatekeeper.enter(remote.ip().to_canonical()) {
                Some(ticket) => welcome(&node, stream, ticket),
                None => tracing::debug!(%remote, "too many unproven connections from this address"),
            },
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(AFTER_ERROR).await;
            }
        }
    }
}

fn welcome(node: &Node, stream: TcpStream, ticket: Ticket) {
    let number = node.inner().shared.accepted.fetch_add(1, Ordering::Relaxed);
    let link = LinkId::accepted(number);
    let (sender, commands) = mpsc::unbounded_channel();
    node.event(Event::Accepted(link, sender));
    let node = node.clone();
    tokio::spawn(link::run(node, link, Side::Acceptor, stream, commands, Some(ticket)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_may_take_half_of_the_places_and_leaves_the_others() {
        let gatekeeper = Arc::new(Gatekeeper::default());
        let address = |last| IpAddr::from([192, 0, 2, last]);
        let crowd: Vec<_> = std::iter::from_fn(|| gatekeeper.enter(address(1))).take(UNPROVEN_MAX).collect();
        assert_eq!(crowd.len(), UNPROVEN_MAX / 2);
        let others: Vec<_> = std::iter::from_fn(|| gatekeeper.enter(address(2))).take(UNPROVEN_MAX).collect();
        assert_eq!(others.len(), UNPROVEN_PER_ADDRESS);
        drop(crowd);
        assert!(gatekeeper.enter(address(1)).is_some());
        drop(others);
        assert!(gatekeeper.unproven.lock().by_address.is_empty());
    }
}
