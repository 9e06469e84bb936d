//! What the service manager is told that has started this process: systemd, or another one that
//! knows its protocol (`sd_notify(3)`). Without one nothing is said.
//!
//! The protocol is one datagram of `KEY=VALUE` lines to a Unix socket, so it needs no library.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::time::Duration;

use aemp::{Node, NodeEvents, ShutdownReport};
use nix::time::{ClockId, clock_gettime};
use tokio::time::{Instant, interval, sleep};

use crate::condition::{Heart, has_joined};

/// How often is looked whether a node that has no connection yet is a part of its network.
const LOOK: Duration = Duration::from_millis(200);

/// How often the status line is renewed.
const STATUS: Duration = Duration::from_secs(1);

/// This many signs of life are given within the time in which one is due.
const OFTEN: u32 = 3;

/// The service manager, where there is one.
#[derive(Clone)]
pub(crate) struct Manager(Option<Arc<Listening>>);

struct Listening {
    socket: UnixDatagram,
    address: SocketAddr,
    /// Within this time it wants a sign of life.
    watchdog: Option<Duration>,
}

impl Manager {
    /// The one that has started this process.
    pub(crate) fn from_env() -> Manager {
        let name = std::env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty());
        let listening = name.and_then(|name| match reach(&name) {
            Ok((socket, address)) => Some(Listening { socket, address, watchdog: watchdog() }),
            Err(error) => {
                tracing::warn!(socket = %name.display(), %error, "the service manager cannot be told anything ($NOTIFY_SOCKET)");
                None
            }
        });
        Manager(listening.map(Arc::new))
    }

    /// Says that the node is a part of its network, as soon as it is, and from then on how it is;
    /// and gives signs of life while it works.
    pub(crate) fn follow(&self, node: &Node) {
        let Some(listening) = self.0.clone() else { return };
        let (manager, node) = (self.clone(), node.clone());
        if let Some(within) = listening.watchdog {
            tokio::spawn(manager.clone().beat(Heart::of(&node), within));
        }
        tokio::spawn(async move {
            let events = node.node_events();
            manager.join(&node).await;
            manager.watch(&node, events).await;
        });
    }

    /// Says that the configuration is read again.
    pub(crate) fn reloading(&self) {
        // Both belong into one message: the manager takes what is ready later for the end of it.
        let now = clock_gettime(ClockId::CLOCK_MONOTONIC).map(Duration::from).unwrap_or_default();
        self.say(&format!("RELOADING=1\nMONOTONIC_USEC={}", now.as_micros()));
    }

    /// Says that reading the configuration has ended, and what came of it.
    pub(crate) fn reloaded(&self, status: &str) {
        self.say(&format!("READY=1\nSTATUS={}", one_line(status)));
    }

    /// Says that the node ends.
    pub(crate) fn stopping(&self, status: &str) {
        self.say(&format!("STOPPING=1\nSTATUS={}", one_line(status)));
    }

    /// Says how the node has ended.
    pub(crate) fn ended(&self, report: &ShutdownReport) {
        let status = match report.undelivered.len() {
            0 => "ended, and everything was delivered".into(),
            nodes => format!("ended; {nodes} nodes may not have got everything that was sent to them"),
        };
        self.say(&format!("STATUS={status}"));
    }

    async fn join(&self, node: &Node) {
        let since = Instant::now();
        let mut said = None;
        while !has_joined(&node.stats().await) {
            if said.is_none_or(|said: Instant| said.elapsed() >= STATUS) {
                said = Some(Instant::now());
                let waited = since.elapsed().as_secs();
                let why: Vec<String> =
                    node.unreached_seeds().into_iter().map(|(seed, why)| format!("{seed}: {why}")).collect();
                self.say(&format!(
                    "STATUS=listening; waiting for a seed, for {waited} s until now; the start is given up after TimeoutStartSec. {}",
                    one_line(&why.join("; "))
                ));
            }
            sleep(LOOK).await;
        }
        self.say(&format!("READY=1\nSTATUS={}", connected(node)));
    }

    async fn watch(&self, node: &Node, mut events: NodeEvents) {
        while events.next().await.is_some() {
            // One line for all that come and go at the same time.
            sleep(STATUS).await;
            while events.try_next().is_some() {}
            self.say(&format!("STATUS={}", connected(node)));
        }
    }

    /// Gives signs of life, none of them without one of the node.
    async fn beat(self, heart: Heart, within: Duration) {
        let mut ticks = interval(within / OFTEN);
        loop {
            ticks.tick().await;
            if heart.beats(within).await {
                self.say("WATCHDOG=1");
            }
        }
    }

    fn say(&self, lines: &str) {
        let Some(listening) = &self.0 else { return };
        if let Err(error) = listening.socket.send_to_addr(lines.as_bytes(), &listening.address) {
            tracing::debug!(%error, "the service manager was not told");
        }
    }
}

fn reach(name: &OsString) -> io::Result<(UnixDatagram, SocketAddr)> {
    let address = match name.as_bytes().strip_prefix(b"@") {
        Some(name) => hidden(name)?,
        None => SocketAddr::from_pathname(name)?,
    };
    let socket = UnixDatagram::unbound()?;
    // A manager that does not read must not stop the node.
    socket.set_nonblocking(true)?;
    Ok((socket, address))
}

/// A socket without a file.
#[cfg(target_os = "linux")]
fn hidden(name: &[u8]) -> io::Result<SocketAddr> {
    use std::os::linux::net::SocketAddrExt as _;
    SocketAddr::from_abstract_name(name)
}

#[cfg(not(target_os = "linux"))]
fn hidden(_: &[u8]) -> io::Result<SocketAddr> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Within which time this very process has to give signs of life.
fn watchdog() -> Option<Duration> {
    let number = |name| std::env::var(name).ok()?.parse::<u64>().ok();
    let other = number("WATCHDOG_PID").is_some_and(|process| process != u64::from(std::process::id()));
    number("WATCHDOG_USEC").filter(|within| *within > 0 && !other).map(Duration::from_micros)
}

fn connected(node: &Node) -> String {
    format!("connected to {} nodes", node.connected_nodes().len())
}

/// A line end would begin another key.
fn one_line(text: &str) -> String {
    text.replace(['\n', '\r'], " ")
}
