//! Back-pressure: who is behind, and who waits until that has caught up.
//!
//! A port that has sent to receivers which are behind is parked until *none* of them is behind any
//! more, or one of them could die of what the port sends next. It registers with one of them at a
//! time, and looks at the others when that one has drained.

use std::collections::BTreeSet;
use std::task::{Context, Poll};

use super::deliver::delivered;
use super::host::Host;
use super::mailbox_limits::MailboxLimits;
use super::port_no::PortNo;
use super::slot::State;
use super::wake;

/// A receiver that is behind: ports that send to it wait.
pub enum Pressure<H: Host> {
    /// The mailbox of this port.
    Port(PortNo),
    /// What waits for this node.
    Peer(H::Peer),
}

/// The receivers that were behind when a handler sent to them, each once.
pub struct Crowded<H: Host> {
    ports: BTreeSet<PortNo>,
    peers: BTreeSet<H::Peer>,
}

impl<H: Host> Default for Crowded<H> {
    fn default() -> Crowded<H> {
        Crowded { ports: BTreeSet::new(), peers: BTreeSet::new() }
    }
}

impl<H: Host> Crowded<H> {
    /// Adds a receiver, unless it is there.
    pub fn insert(&mut self, receiver: Pressure<H>) {
        match receiver {
            Pressure::Port(number) => self.ports.insert(number),
            Pressure::Peer(peer) => self.peers.insert(peer),
        };
    }

    fn remove(&mut self, receiver: &Pressure<H>) {
        match receiver {
            Pressure::Port(number) => self.ports.remove(number),
            Pressure::Peer(peer) => self.peers.remove(peer),
        };
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ports.is_empty() && self.peers.is_empty()
    }

    fn first(&self) -> Option<Pressure<H>> {
        let peer = || self.peers.first().cloned().map(Pressure::Peer);
        self.ports.first().copied().map(Pressure::Port).or_else(peer)
    }

    /// All of them.
    pub fn into_receivers(self) -> impl Iterator<Item = Pressure<H>> + Send {
        self.ports.into_iter().map(Pressure::Port).chain(self.peers.into_iter().map(Pressure::Peer))
    }
}

/// Ports that waited for a receiver, which has drained, go on, unless another receiver of theirs is
/// still behind.
pub fn unpark<H: Host>(host: &H, ports: Vec<PortNo>) {
    ports.into_iter().for_each(|number| go_on_if_drained(host, number));
}

/// A port in state `Parked` goes on when none of the receivers is behind that stand in its extra
/// part.
pub fn go_on_if_drained<H: Host>(host: &H, number: PortNo) {
    while let Some(receiver) = next_receiver(host, number) {
        if waits_for(host, number, &receiver) {
            return;
        }
        if let Some(mut cell) = host.ports().table.get(number) {
            cell.make_extra().crowded.remove(&receiver);
        }
    }
}

/// A receiver that a parked port waits for. If none is left, the port goes on.
fn next_receiver<H: Host>(host: &H, number: PortNo) -> Option<Pressure<H>> {
    let ports = host.ports();
    let mut cell = ports.table.get(number)?;
    if cell.state() != State::Parked {
        return None;
    }
    let receiver = cell.make_extra().crowded.first();
    if receiver.is_none() {
        cell.queue();
        drop(cell);
        ports.scheduler.schedule(number);
    }
    receiver
}

/// Registers a port with a receiver that is behind. False if the receiver has caught up.
fn waits_for<H: Host>(host: &H, number: PortNo, receiver: &Pressure<H>) -> bool {
    match receiver {
        Pressure::Port(target) => match host.ports().table.get(*target) {
            Some(mut cell) => {
                let behind = cell.waiting() > cell.limits(host.ports().limits).high;
                if behind {
                    cell.make_extra().blocked.push(number);
                }
                behind
            }
            None => false,
        },
        Pressure::Peer(peer) => host.waits_for(peer, number),
    }
}

/// From now on a port has limits of its own. By these it may be behind no more, and who waited for
/// it goes on; or it has fallen behind, and waits for nobody itself any more. If more waits than
/// these allow, it dies of the next message.
pub fn limit_mailbox<H: Host>(host: &H, number: PortNo, limits: MailboxLimits) {
    let Some(mut cell) = host.ports().table.get(number) else { return };
    cell.limit_mailbox(limits);
    let blocked = cell.take_blocked(host.ports().limits);
    let kept = cell.mailbox().map_or(0, |mailbox| mailbox.kept());
    if cell.is_crowded() && cell.waiting() + kept <= limits.most {
        // As if something that takes no room had been added.
        delivered(host, number, cell, 0);
    } else {
        drop(cell);
    }
    unpark(host, blocked);
}

/// Waits until an async port is behind, or gone.
pub fn poll_falls_behind<H: Host>(host: &H, number: PortNo, task: &Context<'_>) -> Poll<()> {
    let Some(mut cell) = host.ports().table.get(number) else { return Poll::Ready(()) };
    if cell.waiting() > cell.limits(host.ports().limits).high {
        return Poll::Ready(());
    }
    // Under the lock, and so before something is added.
    wake::add(&mut cell.make_extra().falls_behind, task.waker());
    Poll::Pending
}

/// Waits until a port is not behind any more, or gone.
pub fn poll_ready<H: Host>(host: &H, number: PortNo, task: &Context<'_>) -> Poll<()> {
    let Some(mut cell) = host.ports().table.get(number) else { return Poll::Ready(()) };
    if cell.is_closing() || cell.waiting() <= cell.limits(host.ports().limits).high {
        return Poll::Ready(());
    }
    // Under the lock, and so before who drains looks.
    wake::add(&mut cell.make_extra().drained, task.waker());
    Poll::Pending
}
