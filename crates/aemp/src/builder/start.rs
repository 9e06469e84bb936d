//! The start of a node out of its description: what can be wrong with it is said here, and the
//! parts of the node meet.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::panic::catch_unwind;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Weak};
use std::time::Duration;

use aemp_proto::budget::PeerBudgets;
use aemp_proto::kernel::{CONNECT_TIMEOUTS, Kernel, KernelConfig, KernelLimits, MONITOR_TIMEOUTS};
use aemp_proto::link::LinkConfig;
use aemp_proto::name::{HEAD_LEN, random_head};
use aemp_proto::relay::Relay;
use aemp_proto::{AnyMessage, Home, NameError, NodeId};
use parking_lot::{Mutex, RwLock};
use thiserror::Error;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::Builder;
use crate::broker::BrokerUser;
use crate::message::EncodeError;
use crate::node::{Inner, Node, NodeSettings};
use crate::recorder::compact::CompactEvent;
use crate::recorder::ring::Recorder;
use crate::remote::Remotes;
use crate::runtime::Shared;
use crate::runtime::backlog::Backlog;
use crate::runtime::broker_link;
use crate::runtime::driver::Driver;
use crate::runtime::listening::Listening;
use crate::runtime::node_events::Followers;
use crate::runtime::relaying::Relaying;
use crate::runtime::resolve::{is_loopback, resolve};
use crate::runtime::runners::Runners;
use crate::runtime::shared::Greeting;
#[cfg(feature = "tls")]
use crate::runtime::tls::BundleError;
use crate::runtime::tls::Tls;
use crate::stream::{StreamFunctions, Streams};
use crate::tombstones::Tombstones;
use aemp_ports::{MailboxLimits, Ports};

/// How long the name of an address may take that is advertised. Peers are told the name in any
/// case.
const NAME_LIMIT: Duration = Duration::from_secs(2);

/// Why a node did not start.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum StartError {
    /// The node ID is not valid.
    #[error("the node ID is not usable: {0}")]
    Id(#[from] NameError),
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {error}")]
    Listen {
        /// The address.
        address: String,
        /// Which kind of error it is.
        kind: std::io::ErrorKind,
        /// What the system says.
        error: String,
    },
    /// An address beyond loopback, and nothing to authenticate with.
    #[error(
        "refusing to listen on {0} without a secret or certificate: anybody could connect; configure one (aemp gensecret)"
    )]
    Unprotected(String),
    /// A broker that is not trusted, and nothing to encrypt with.
    #[error(
        "refusing to use the broker {0} without a certificate: it could read and forge everything; configure one \
         (aemp gencert), or say that the broker is trusted"
    )]
    Unencrypted(String),
    /// The settings of the broker can never work.
    #[error("cannot use the broker {broker}: {error}")]
    Broker {
        /// What it is called.
        broker: String,
        /// What is wrong.
        error: String,
    },
    /// The node was not started in a tokio runtime, or in one that lacks what a node needs.
    #[error("a node needs a tokio runtime with timers and sockets, and {0}; build it with enable_all()")]
    Runtime(&'static str),
    /// The certificate cannot be used.
    #[error(transparent)]
    #[cfg(feature = "tls")]
    Certificate(#[from] BundleError),
    /// A timeout is too short or too long.
    #[error("{name} is {value:?}, and must be from {min:?} to {max:?}")]
    Timeout {
        /// Which one.
        name: &'static str,
        /// What it is.
        value: Duration,
        /// The least that it may be.
        min: Duration,
        /// The most that it may be.
        max: Duration,
    },
    /// A seed is not an address that can be dialled.
    #[error("the seed {0:?} is not HOST:PORT with a port above 0; write an IPv6 address as [ADDRESS]:PORT")]
    Seed(String),
    /// What is to be advertised is not an address.
    #[error("{0:?}, which is to be advertised, is not HOST:PORT; write an IPv6 address as [ADDRESS]:PORT")]
    Advertise(String),
    /// Without a framing no connection can be used.
    #[error("no framing is offered: name one at least, or leave the default")]
    NoFraming,
    /// Without a method of authentication no connection can be made.
    #[error("no method of authentication is {0}: name one at least, or leave the default")]
    NoMethod(&'static str),
    /// No randomness from the operating system.
    #[error("the operating system's random number generator failed: {0}")]
    Random(String),
    /// The arguments of a service have no wire form.
    #[error("the arguments of the service {function} cannot be encoded: {error}")]
    Service {
        /// The function.
        function: String,
        /// What is wrong.
        error: EncodeError,
    },
}

impl Builder {
    /// Starts the node in the current tokio runtime.
    ///
    /// # Errors
    ///
    /// See [`StartError`]; nothing is left behind.
    pub async fn start(mut self) -> Result<Node, StartError> {
        check_runtime()?;
        self.check()?;
        self.check_protection().await?;
        let id = NodeId::new(&unique(self.id.as_deref().unwrap_or("anon/"))?)?;
        let own = Home::lasting(id.clone(), &random_head(random()?));
        let tls = self.tls()?;
        let incarnation = u128::from_le_bytes(random()?);
        let streams = std::mem::take(&mut self.streams);
        let advertised = addresses(&self.advertise).await;
        let shared = self.shared(&id, incarnation, (tls, streams), advertised);
        let mut spawn_head = random_head(random()?);
        spawn_head.replace_range(..1, ".");
        let (events, receiver) = mpsc::unbounded_channel();
        let runners = Handle::current().metrics().num_workers();
        let remotes = Remotes::new(spawn_head, self.outbox);
        let settings = NodeSettings {
            limits: self.limits,
            secure: self.secure.into(),
            #[cfg(feature = "logs")]
            logs: self.logs,
        };
        let (runners, scheduler) = Runners::new(runners);
        let mailboxes = MailboxLimits { high: self.limits.mailbox_high, most: self.limits.mailbox };
        let ports = Ports::new(scheduler, mailboxes, self.always_encode);
        let inner = |me: &Weak<Inner>| {
            Inner::new((me.clone(), own), remotes, (ports, runners), settings, self.functions, events, shared)
        };
        let node = Node::from_inner(Arc::new_cyclic(inner));
        listen_all(&node, &self.binds).await?;
        start_broker(&node, self.monitor_timeout).await?;
        let binds = node.inner().shared.listening.advertised().addresses;
        node.inner().shared.note(|| CompactEvent::Start {
            global: self.global,
            addresses: binds.clone().into(),
            seeds: self.seeds.clone().into(),
        });
        let kernel = Kernel::new(
            KernelConfig {
                node: id,
                binds,
                seeds: self.seeds,
                private: self.behind_nat,
                client: self.client,
                broker: node.inner().shared.broker.is_some(),
                global: self.global,
                monitor_timeout: self.monitor_timeout,
                connect_interval: self.connect_interval,
                rng_seed: u64::from_le_bytes(random()?),
                limits: node.inner().shared.kernel,
                budgets: node.inner().shared.budgets.clone(),
            },
            node.inner().shared.now(),
        );
        Runners::start(&node);
        tokio::spawn(Driver::new(node.clone(), kernel).run(receiver));
        node.inner().shared.listening.start(&node);
        if let Some(broker) = node.inner().shared.broker.clone() {
            node.inner()
                .shared
                .listening
                .follow_with(tokio::spawn(broker_link::accept(node.clone(), broker)));
        }
        for (function, arguments) in self.services {
            node.spawn(node.id(), &function, AnyMessage(arguments))
                .map_err(|error| StartError::Service { function, error })?;
        }
        Ok(node)
    }

    fn shared(
        &self,
        id: &NodeId,
        incarnation: u128,
        (tls, streams): (Option<Arc<Tls>>, StreamFunctions),
        advertised: Vec<SocketAddr>,
    ) -> Shared {
        let advertised_names = self.advertise.iter().filter_map(|address| named(address)).collect();
        let link = LinkConfig {
            node: id.clone(),
            incarnation,
            monitor_timeout: self.monitor_timeout,
            secret: self.secret.clone(),
            tls: tls.is_some(),
            offer: self.offer.clone(),
            accept: self.accept.clone(),
            framings: self.framings.clone(),
            verify_peeraddr: self.verify_peeraddr,
            advertised,
            advertised_names,
            can_relay: self.relay && !self.client,
            client: self.client,
            parts: true,
        };
        let budgets = PeerBudgets::default();
        Shared {
            tombstones: Tombstones::new(budgets.clone()),
            requests: Backlog::new(budgets.clone()),
            budgets,
            greeting: Greeting { link: RwLock::new(Arc::new(link)), tls: RwLock::new(tls) },
            frames: self.frames,
            kernel: KernelLimits {
                message: self.outbox.message,
                links: self.limits.connections,
                ..KernelLimits::default()
            },
            handshake_limit: self.handshake_timeout,
            nodelay: self.nodelay,
            evaluations: Default::default(),
            up: Default::default(),
            broker: self.broker.clone(),
            relaying: Relaying::new(Relay::new(id.clone(), self.relay && !self.client, self.relay_limits)),
            listening: Listening::new(self.advertise.clone(), self.is_protected()),
            failed_addresses: Default::default(),
            unreached_seeds: Default::default(),
            events: Mutex::new(Some(Followers::default())),
            accepted: AtomicU64::new(1),
            streams: Streams::new(streams),
            failures: Default::default(),
            unencrypted: Default::default(),
            suspicious: Default::default(),
            refusals: Default::default(),
            actors: Default::default(),
            coming: Default::default(),
            unreachable: Default::default(),
            tracer: Default::default(),
            counts: Default::default(),
            recorder: Recorder::new(self.recorder, incarnation as u64),
            started: Instant::now(),
            ending: Default::default(),
            leaving: Default::default(),
        }
    }

    /// What can never work is refused before anything is begun.
    fn check(&self) -> Result<(), StartError> {
        check_timeout("monitor_timeout", self.monitor_timeout, MONITOR_TIMEOUTS)?;
        check_timeout("handshake_limit", self.handshake_timeout, CONNECT_TIMEOUTS)?;
        if let Some(interval) = self.connect_interval {
            check_timeout("connect_interval", interval, CONNECT_TIMEOUTS)?;
        }
        if let Some(seed) = self.seeds.iter().find(|seed| !is_dialable(seed)) {
            return Err(StartError::Seed(seed.clone()));
        }
        let is_advertisable = |address: &String| {
            address.strip_prefix("*:").map_or_else(|| port_of(address), |port| port.parse().ok()).is_some()
        };
        if let Some(address) = self.advertise.iter().find(|address| !is_advertisable(address)) {
            return Err(StartError::Advertise(address.clone()));
        }
        if self.framings.is_empty() {
            return Err(StartError::NoFraming);
        }
        for (methods, what) in [(&self.offer, "offered"), (&self.accept, "accepted")] {
            if methods.is_empty() {
                return Err(StartError::NoMethod(what));
            }
        }
        Ok(())
    }

    /// Beyond loopback a node must be able to tell friend from foe.
    async fn check_protection(&self) -> Result<(), StartError> {
        for bind in &self.binds {
            if !self.is_protected() && !is_loopback(bind).await {
                return Err(StartError::Unprotected(bind.clone()));
            }
        }
        if let Some(broker) = &self.broker {
            if !broker.is_trusted() && !self.has_certificate() {
                return Err(StartError::Unencrypted(broker.name()));
            }
            if !self.is_protected() {
                return Err(StartError::Unprotected(broker.name()));
            }
        }
        Ok(())
    }

    #[cfg(feature = "tls")]
    fn tls(&self) -> Result<Option<Arc<Tls>>, StartError> {
        Ok(self.certificate.as_deref().map(Tls::from_pem).transpose()?.map(Arc::new))
    }

    #[cfg(feature = "tls")]
    fn has_certificate(&self) -> bool {
        self.certificate.is_some()
    }

    #[cfg(not(feature = "tls"))]
    fn tls(&self) -> Result<Option<Arc<Tls>>, StartError> {
        Ok(None)
    }

    #[cfg(not(feature = "tls"))]
    fn has_certificate(&self) -> bool {
        false
    }

    fn is_protected(&self) -> bool {
        self.has_certificate() || self.secret.as_ref().is_some_and(|secret| !secret.is_empty())
    }
}

fn check_timeout(
    name: &'static str,
    value: Duration,
    range: RangeInclusive<Duration>,
) -> Result<(), StartError> {
    match range.contains(&value) {
        true => Ok(()),
        false => Err(StartError::Timeout { name, value, min: *range.start(), max: *range.end() }),
    }
}

/// Whether this is `HOST:PORT` as it can be dialled. That the name means something shows when it is
/// looked up.
pub(crate) fn is_dialable(address: &str) -> bool {
    port_of(address).is_some_and(|port| port > 0)
}

/// The port of `HOST:PORT`, if it is that.
fn port_of(address: &str) -> Option<u16> {
    let (host, port) = address.rsplit_once(':')?;
    let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let name = bracketed.unwrap_or(host);
    let bad = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '/' | '#' | ';' | '*' | '[' | ']');
    // The longest name that there can be has 253 bytes.
    let is_name = !name.is_empty() && name.len() <= 253 && !name.contains(bad);
    let digits = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    let is_address = is_name && name.contains(':') == bracketed.is_some() && digits;
    if is_address { port.parse().ok() } else { None }
}

/// Whether the current runtime has what a node needs: without timers or sockets it would hang where
/// it should do something.
fn check_runtime() -> Result<(), StartError> {
    if Handle::try_current().is_err() {
        return Err(StartError::Runtime("none is running"));
    }
    // tokio says so only by a panic, whose text says the same.
    if catch_unwind(|| drop(tokio::time::sleep(Duration::ZERO))).is_err() {
        return Err(StartError::Runtime("its timers are off"));
    }
    if catch_unwind(open_a_socket).is_err() {
        return Err(StartError::Runtime("its sockets are off"));
    }
    Ok(())
}

/// Panics if the current runtime has no sockets. No other program can see what is opened.
#[cfg(unix)]
fn open_a_socket() {
    drop(tokio::net::UnixStream::pair());
}

/// Panics if the current runtime has no sockets.
#[cfg(not(unix))]
fn open_a_socket() {
    let socket = tokio::net::TcpSocket::new_v4().and_then(|socket| {
        socket.bind((std::net::Ipv4Addr::LOCALHOST, 0).into())?;
        socket.listen(1)
    });
    drop(socket);
}

async fn listen_all(node: &Node, binds: &[String]) -> Result<(), StartError> {
    let listening = &node.inner().shared.listening;
    for bind in binds {
        if let Err(error) = listening.open(node, bind).await {
            listening.close();
            let (kind, error) = (error.kind(), error.to_string());
            return Err(StartError::Listen { address: bind.clone(), kind, error });
        }
    }
    Ok(())
}

async fn start_broker(node: &Node, monitor_timeout: Duration) -> Result<(), StartError> {
    let shared = &node.inner().shared;
    let Some(broker) = &shared.broker else { return Ok(()) };
    let user = BrokerUser { node: node.id().clone(), monitor_timeout };
    broker.start(user).await.map_err(|error| {
        shared.listening.close();
        StartError::Broker { broker: broker.name(), error: error.to_string() }
    })
}

/// What is advertised, as addresses; the machine's own need not be looked up, nor can a name that
/// is not known here be seen by others.
async fn addresses(advertise: &[String]) -> Vec<SocketAddr> {
    let mut found = Vec::new();
    for address in advertise.iter().filter(|address| !address.starts_with("*:")) {
        if let Ok(Ok(more)) = tokio::time::timeout(NAME_LIMIT, resolve(address)).await {
            found.extend(more);
        }
    }
    found
}

/// The host name and the port of what is advertised, if it has no address instead of a name.
fn named(advertise: &str) -> Option<(String, u16)> {
    let is_address = advertise.starts_with("*:") || advertise.parse::<SocketAddr>().is_ok();
    let (host, _) = advertise.rsplit_once(':').filter(|_| !is_address)?;
    Some((host.to_string(), port_of(advertise)?))
}

/// Replaces `%u`, or adds to a trailing `/`, what makes an ID unique.
fn unique(id: &str) -> Result<String, StartError> {
    let mark =
        || Ok::<_, StartError>(random_head(random::<HEAD_LEN>()?) + &random_head(random::<HEAD_LEN>()?)[..6]);
    if id.contains("%u") {
        return Ok(id.replace("%u", &mark()?));
    }
    Ok(if id.ends_with('/') { format!("{id}{}", mark()?) } else { id.into() })
}

fn random<const N: usize>() -> Result<[u8; N], StartError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| StartError::Random(error.to_string()))?;
    Ok(bytes)
}
