//! The state of listeners: which sockets there are, and what the node advertises.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use aemp_proto::address::{Advertised, Listener, Reach, advertised};
use parking_lot::Mutex;
use tokio::task::{AbortHandle, JoinHandle};

use super::admission::Admission;
use super::machine::usable_addresses;

/// All listeners of a node.
pub(crate) struct Listening {
    pub(super) admission: Arc<Admission>,
    /// What the operator says that others can dial.
    pub(super) configured: Vec<String>,
    /// Whether the node can tell friend from foe: without that it listens on loopback only.
    pub(super) protected: bool,
    pub(super) state: Mutex<State>,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) sockets: Vec<Listener>,
    pub(super) tasks: Vec<AbortHandle>,
    pub(super) machine: Vec<IpAddr>,
    /// Ports to be opened at every address of the machine.
    pub(super) everywhere: Vec<u16>,
    /// What could not be bound, and was said.
    pub(super) unusable: BTreeSet<SocketAddr>,
    pub(super) advertised: Option<Advertised>,
    /// Whether a node on another host is connected, which can dial no loopback address of ours.
    pub(super) elsewhere: bool,
    pub(super) closed: bool,
}

impl State {
    /// The addresses to be listened on that are not.
    pub(super) fn missing(&self) -> Vec<SocketAddr> {
        let mut missing = Vec::new();
        for (at, port) in self.everywhere.iter().enumerate() {
            for ip in &self.machine {
                let here = |socket: &&Listener| socket.follows_machine && socket.address.ip() == *ip;
                let listens = match port {
                    // Each chosen port is a listener of its own.
                    0 => self.sockets.iter().filter(here).count() > at,
                    port => self.sockets.iter().any(|socket| {
                        socket.address.port() == *port
                            && (socket.address.ip() == *ip || socket.address.ip().is_unspecified())
                    }),
                };
                if !listens {
                    missing.push(SocketAddr::new(*ip, *port));
                }
            }
        }
        missing
    }
}

impl Listening {
    /// No listeners yet. `configured` is what the operator says that others can dial, as in
    /// [`advertised`].
    pub(crate) fn new(configured: Vec<String>, protected: bool) -> Listening {
        let state = State { machine: usable_addresses(), ..State::default() };
        Listening { admission: Default::default(), configured, protected, state: Mutex::new(state) }
    }

    /// Says once of an address that it cannot be listened on.
    pub(super) fn complain(&self, address: SocketAddr, error: &io::Error) {
        if self.state.lock().unusable.insert(address) {
            tracing::warn!(%address, %error, "cannot listen on this address of the machine; going on without it");
        }
    }

    /// What the node advertises now; `None` if it is what it was.
    pub(super) fn advertise(&self) -> Option<Advertised> {
        let mut state = self.state.lock();
        let now = advertised(&state.sockets, &state.machine, &self.configured);
        let is_news = state.advertised.as_ref() != Some(&now);
        is_news.then(|| state.advertised.insert(now).clone())
    }

    /// What the node advertises at its start.
    pub(crate) fn advertised(&self) -> Advertised {
        self.advertise().unwrap_or(Advertised { addresses: Vec::new(), reach: Reach::Nowhere })
    }

    /// Where the node listens.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.state.lock().sockets.iter().map(|socket| socket.address).collect()
    }

    /// This task accepts connections, too, and ends with the listeners.
    pub(crate) fn follow_with(&self, task: JoinHandle<()>) {
        let mut state = self.state.lock();
        state.tasks.push(task.abort_handle());
        if state.closed {
            task.abort();
        }
    }

    /// Accepts nothing from now on.
    pub(crate) fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        state.tasks.iter().for_each(AbortHandle::abort);
    }
}
