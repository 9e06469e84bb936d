//! Listeners: which sockets a node listens on, which of their addresses it advertises, and the
//! connections that they accept.
//!
//! `*` is every address that the machine has at the moment. Addresses come and go (a network that
//! is up later, an address that is not usable yet), so the machine is looked at again from time to
//! time. It is asked, rather than listened to: that needs no library for each system's
//! notifications, and what is found a moment later is early enough for a directory.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use aemp_proto::address::{Advertised, Listener, Reach, is_elsewhere};
use aemp_proto::kernel::LinkId;
use socket2::SockRef;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

use super::admission::{Admission, Permit};
use super::listening::Listening;
use super::machine::{is_own_name, usable_addresses};
use super::resolve::{EVERY, resolve, split};
use super::{Event, link};
use crate::node::Node;

/// Connections that may wait in the kernel to be accepted.
const BACKLOG: u32 = 1024;

/// How long to wait before accepting again after an error such as "too many open files".
const AFTER_ERROR: Duration = Duration::from_millis(100);

/// From one look at the addresses of the machine to the next.
const FOLLOW: Duration = Duration::from_secs(2);

impl Listening {
    /// Listens on all addresses that this `host:port` stands for.
    ///
    /// # Errors
    ///
    /// On none of them. If only some are unusable, that is logged.
    pub(crate) async fn open(&self, node: &Node, bind: &str) -> io::Result<()> {
        let (host, port) = split(bind)
            .ok_or_else(|| io::Error::new(ErrorKind::InvalidInput, format!("{bind:?} is not HOST:PORT")))?;
        if host == EVERY {
            return self.open_everywhere(node, port);
        }
        let addresses = resolve(bind).await?;
        let mut unusable = self.bind_usable(node, addresses.iter().copied(), false)?;
        if unusable.len() == addresses.len() {
            // There is one at least: a name without addresses is not resolved.
            return unusable.pop().map_or(Ok(()), |(_, error)| Err(error));
        }
        for (address, error) in unusable {
            self.complain(address, &error);
        }
        // Many systems name 127.0.1.1 as the address of their own name: a bind to that name means
        // the machine.
        if self.protected && is_own_name(host) && addresses.iter().all(|a| a.ip().is_loopback()) {
            self.state.lock().everywhere.push(port);
            self.follow(node);
        }
        Ok(())
    }

    /// Listens on those of these addresses that can be used at the moment, and returns why others
    /// cannot.
    fn bind_usable(
        &self,
        node: &Node,
        addresses: impl Iterator<Item = SocketAddr>,
        follows_machine: bool,
    ) -> io::Result<Vec<(SocketAddr, io::Error)>> {
        let mut unusable = Vec::new();
        for address in addresses {
            match self.bind(node, address, follows_machine) {
                Ok(()) => {}
                Err(error) if is_unusable(&error) => unusable.push((address, error)),
                Err(error) => return Err(io::Error::new(error.kind(), format!("{address}: {error}"))),
            }
        }
        Ok(unusable)
    }

    /// A machine without any network still has itself.
    fn open_everywhere(&self, node: &Node, port: u16) -> io::Result<()> {
        let machine = self.state.lock().machine.clone();
        let all = machine.iter().map(|ip| SocketAddr::new(*ip, port));
        for (address, error) in self.bind_usable(node, all, true)? {
            self.complain(address, &error);
        }
        let none = self.state.lock().sockets.is_empty();
        if none {
            self.bind(node, SocketAddr::from(([127, 0, 0, 1], port)), true)?;
        }
        if self.protected {
            self.state.lock().everywhere.push(port);
        }
        Ok(())
    }

    fn bind(&self, node: &Node, address: SocketAddr, follows_machine: bool) -> io::Result<()> {
        let is_open = |socket: &Listener| address.port() != 0 && socket.address == address;
        if self.state.lock().sockets.iter().any(is_open) {
            return Ok(());
        }
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        // Elsewhere it would let another program take the address over.
        if cfg!(unix) {
            socket.set_reuseaddr(true)?;
        }
        socket.bind(address)?;
        let listener = socket.listen(BACKLOG)?;
        let address = listener.local_addr()?;
        let dual_stack =
            address.is_ipv6() && address.ip().is_unspecified() && !SockRef::from(&listener).only_v6()?;
        let mut state = self.state.lock();
        if state.closed {
            return Ok(());
        }
        let task = node.inner().runtime.spawn(accept(node.clone(), listener, self.admission.clone()));
        state.tasks.push(task.abort_handle());
        state.sockets.push(Listener { address, dual_stack, follows_machine });
        state.unusable.remove(&address);
        Ok(())
    }

    /// Follows the addresses of the machine, if anything depends on them. Call it once, behind the
    /// last [`Listening::open`].
    pub(crate) fn start(&self, node: &Node) {
        let depends = {
            let state = self.state.lock();
            let wildcard = |socket: &Listener| socket.address.ip().is_unspecified();
            let configured = |text: &String| split(text).is_some_and(|(host, _)| host == EVERY);
            !state.everywhere.is_empty()
                || state.sockets.iter().any(wildcard)
                || self.configured.iter().any(configured)
        };
        if depends {
            let task = node.inner().runtime.spawn(follow(node.clone()));
            self.state.lock().tasks.push(task.abort_handle());
        }
    }

    /// Looks at the machine again: listens where it has become possible.
    fn follow(&self, node: &Node) {
        let machine = usable_addresses();
        let wanted: Vec<SocketAddr> = {
            let mut state = self.state.lock();
            state.machine.clone_from(&machine);
            state.missing()
        };
        for address in wanted {
            if let Err(error) = self.bind(node, address, true) {
                self.complain(address, &error);
            }
        }
    }

    /// Tells the kernel what is advertised, if that has changed.
    fn announce(&self, node: &Node) {
        if let Some(Advertised { addresses, reach }) = self.advertise() {
            tracing::info!(addresses = addresses.join(","), "the addresses of this node have changed");
            let unreachable = reach == Reach::Host && self.state.lock().elsewhere;
            node.event(Event::Binds { binds: addresses, unreachable });
        }
    }

    /// A node is connected; these are the ends of the socket. One on another host can do nothing
    /// with a loopback address.
    pub(crate) fn connected(&self, node: &Node, peer: SocketAddr, own: SocketAddr) {
        if !is_elsewhere(peer.ip(), own.ip()) {
            return;
        }
        let mut state = self.state.lock();
        let Some(Advertised { addresses, reach: Reach::Host }) = state.advertised.clone() else { return };
        if std::mem::replace(&mut state.elsewhere, true) {
            return;
        }
        drop(state);
        tracing::warn!(
            addresses = addresses.join(","), %peer,
            "this node advertises loopback addresses only, which are of no use to a node on another host; bind an address of \
             the network, or set `advertise`"
        );
        node.event(Event::Binds { binds: addresses, unreachable: true });
    }
}

/// Whether an address is of no use at the moment, although nothing is wrong with what was
/// configured: it is not (yet, or any more) an address of this machine, it is a duplicate, or the
/// machine does not speak its family.
fn is_unusable(error: &io::Error) -> bool {
    error.kind() == ErrorKind::AddrNotAvailable || error.raw_os_error() == Some(EAFNOSUPPORT)
}

/// "Address family not supported", as Linux numbers it; the standard library has no kind for it.
const EAFNOSUPPORT: i32 = 97;

async fn follow(node: Node) {
    let mut looks = interval(FOLLOW);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        let listening = &node.inner().shared.listening;
        listening.follow(&node);
        listening.announce(&node);
    }
}

async fn accept(node: Node, listener: TcpListener, admission: Arc<Admission>) {
    loop {
        match listener.accept().await {
            Ok((stream, remote)) => welcome(&node, stream, admission.enter(remote.ip())),
            Err(error) => {
                let shared = &node.inner().shared;
                if let Some(withheld) = shared.failures.take(shared.now()) {
                    tracing::warn!(%error, withheld, "cannot accept a connection");
                }
                tokio::time::sleep(AFTER_ERROR).await;
            }
        }
    }
}

fn welcome(node: &Node, stream: TcpStream, permit: Permit) {
    let number = node.inner().shared.accepted.fetch_add(1, Ordering::Relaxed);
    let link = LinkId::accepted(number);
    let (sender, commands) = mpsc::unbounded_channel();
    node.event(Event::Accepted(link, sender));
    tokio::spawn(link::accepted(node.clone(), link, stream, commands, permit));
}
