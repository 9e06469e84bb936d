//! The description of a node, and its start.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use aemp_proto::carry::{Carriage, CarryLimits};
use aemp_proto::kernel::{Input, Kernel, KernelConfig, KernelLimits};
use aemp_proto::link::{AuthMethod, LinkConfig, PeerAddress};
use aemp_proto::name::{HEAD_LEN, random_head};
use aemp_proto::outbox::OutboxLimits;
use aemp_proto::wire::Limits as FrameLimits;
use aemp_proto::{Framing, Home, Message, NameError, NodeId, Reason, Value};
use parking_lot::Mutex;
use serde::de::DeserializeOwned;
use thiserror::Error;
use tokio::sync::{broadcast, mpsc};

use crate::code::{Evaluate, FindFunction};
use crate::config::{Service, Settings};
use crate::log::{self, LogSource};
use crate::message::EncodeError;
use crate::node::{Inner, Limits, Node, NodeSettings};
use crate::port::Context;
use crate::port::scheduler::Scheduler;
use crate::remote::Remotes;
use crate::runtime::carry::Carrying;
use crate::runtime::driver::Driver;
use crate::runtime::listen::{self, Gatekeeper};
use crate::runtime::tls::{BundleError, Tls};
use crate::runtime::{Shared, tcp};
use crate::spawn::{Functions, function};
use crate::stream::{Stream, StreamFunctions, Streams};

/// The shortest limit of silence: below it a busy machine would look like a dead one.
const MONITOR_TIMEOUT_MIN: Duration = Duration::from_secs(2);

/// How long a handshake may take in all.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);

/// Why a node did not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The node ID is none.
    #[error("the node ID is not usable: {0}")]
    Id(#[from] NameError),
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {error}")]
    Listen {
        /// The address.
        address: String,
        /// What the system says.
        error: std::io::Error,
    },
    /// An address beyond loopback, and nothing to authenticate with.
    #[error(
        "refusing to listen on {0} without a secret or certificate: anybody could connect; configure one (aemp gensecret)"
    )]
    Unprotected(String),
    /// The certificate cannot be used.
    #[error(transparent)]
    Certificate(#[from] BundleError),
    /// `monitor_timeout` is too short.
    #[error("monitor_timeout is {0:?}, and must be at least 2 s")]
    Timeout(Duration),
    /// No randomness from the operating system.
    #[error("the operating system gives no random numbers: {0}")]
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

/// The description of a node. Everything has a default; a node with nothing set works locally.
pub struct Builder {
    id: Option<String>,
    binds: Vec<String>,
    seeds: Vec<String>,
    secret: Option<Vec<u8>>,
    certificate: Option<Vec<u8>>,
    global: bool,
    private: bool,
    carry: bool,
    carry_limits: CarryLimits,
    monitor_timeout: Duration,
    connect_interval: Option<Duration>,
    framings: Vec<Framing>,
    offer: Vec<AuthMethod>,
    accept: Vec<AuthMethod>,
    secure: bool,
    services: Vec<Service>,
    verify_peeraddr: PeerAddress,
    always_encode: bool,
    limits: Limits,
    outbox: OutboxLimits,
    frames: FrameLimits,
    handshake_limit: Duration,
    nodelay: bool,
    functions: Functions,
    logs: Option<LogSource>,
    streams: StreamFunctions,
}

impl Builder {
    pub(crate) fn new() -> Builder {
        Builder {
            id: None,
            binds: Vec::new(),
            seeds: Vec::new(),
            secret: None,
            certificate: None,
            global: false,
            private: false,
            carry: true,
            carry_limits: CarryLimits::default(),
            monitor_timeout: Duration::from_secs(30),
            connect_interval: None,
            framings: Framing::ALL.to_vec(),
            offer: AuthMethod::PROOFS.to_vec(),
            accept: AuthMethod::PROOFS.to_vec(),
            secure: false,
            services: Vec::new(),
            verify_peeraddr: PeerAddress::Auto,
            always_encode: false,
            limits: Limits::default(),
            outbox: OutboxLimits::default(),
            frames: FrameLimits::default(),
            handshake_limit: HANDSHAKE_LIMIT,
            nodelay: true,
            functions: built_in(),
            streams: StreamFunctions::default(),
            logs: None,
        }
    }

    /// The node ID. `%u`, or a trailing `/`, is replaced by random characters and makes it unique; without an ID it is `anon/`
    /// and such.
    pub fn id(mut self, id: impl Into<String>) -> Builder {
        self.id = Some(id.into());
        self
    }

    /// Listens on `host:port`; port 0 is chosen by the system. Beyond loopback that needs a secret or a certificate.
    pub fn bind(mut self, address: impl Into<String>) -> Builder {
        self.binds.push(address.into());
        self
    }

    /// Contacts this `host:port` first, and stays connected to it.
    pub fn seed(mut self, address: impl Into<String>) -> Builder {
        self.seeds.push(address.into());
        self
    }

    /// The secret that all nodes of the network share.
    pub fn secret(mut self, secret: impl Into<Vec<u8>>) -> Builder {
        self.secret = Some(secret.into());
        self
    }

    /// A PEM bundle: key, certificate, then any CA certificates. It is at once the own certificate and what is trusted.
    pub fn certificate_pem(mut self, pem: impl Into<Vec<u8>>) -> Builder {
        self.certificate = Some(pem.into());
        self
    }

    /// Is a global node from the start: holds the whole database. Seeds become global by themselves.
    pub fn global(mut self, global: bool) -> Builder {
        self.global = global;
        self
    }

    /// Other nodes cannot dial the addresses that this node listens on, because of a firewall or address translation, say: they may
    /// also reach it through a global node that it is connected to. A node that listens nowhere is always private.
    pub fn private(mut self, private: bool) -> Builder {
        self.private = private;
        self
    }

    /// Carries connections between private nodes that are connected to this one; yes, unless switched off. Private nodes make use
    /// of it on global nodes. What passes is authenticated, and with certificates encrypted, between the two ends, and bounded by
    /// [`Builder::carry_limits`].
    pub fn carry(mut self, carry: bool) -> Builder {
        self.carry = carry;
        self
    }

    /// How much this node carries for others.
    pub fn carry_limits(mut self, limits: CarryLimits) -> Builder {
        self.carry_limits = limits;
        self
    }

    /// How long a node may be silent before it counts as lost: 30 s, and at least 2 s.
    pub fn monitor_timeout(mut self, limit: Duration) -> Builder {
        self.monitor_timeout = limit;
        self
    }

    /// How long an attempt to connect may take; a third of `monitor_timeout`, and at least 1 s, unless set.
    pub fn connect_interval(mut self, limit: Duration) -> Builder {
        self.connect_interval = Some(limit);
        self
    }

    /// The framings that are offered, best first.
    pub fn framings(mut self, framings: impl IntoIterator<Item = Framing>) -> Builder {
        self.framings = framings.into_iter().collect();
        self
    }

    /// The methods with which this node proves itself, and those that it accepts. By default those that prove the whole
    /// greeting. `cleartext` lets minimal peers in, and everybody on the path read the secret.
    pub fn authentication(
        mut self,
        offer: impl IntoIterator<Item = AuthMethod>,
        accept: impl IntoIterator<Item = AuthMethod>,
    ) -> Builder {
        self.offer = offer.into_iter().collect();
        self.accept = accept.into_iter().collect();
        self
    }

    /// Other nodes can spawn and call nothing here, registered functions included.
    pub fn secure(mut self, secure: bool) -> Builder {
        self.secure = secure;
        self
    }

    /// Takes everything from a configuration file's settings. What is set afterwards wins.
    pub fn settings(mut self, settings: Settings) -> Builder {
        self.id = Some(settings.node.to_string());
        self.binds = settings.binds;
        self.seeds = settings.seeds;
        self.secret = settings.secret.map(Into::into);
        self.certificate = settings.certificate.map(Into::into);
        self.private = settings.private;
        self.carry = settings.carry;
        self.monitor_timeout = settings.monitor_timeout;
        self.connect_interval = settings.connect_interval;
        self.framings = settings.framings;
        self.offer = settings.auth_offer;
        self.accept = settings.auth_accept;
        self.verify_peeraddr = settings.verify_peeraddr;
        self.nodelay = settings.nodelay;
        self.secure = settings.secure;
        self.services = settings.services;
        self
    }

    /// Spawns a port with this registered function when the node has started.
    pub fn service(mut self, function: &str, arguments: impl IntoIterator<Item = Value>) -> Builder {
        self.services.push(Service { function: function.into(), arguments: arguments.into_iter().collect() });
        self
    }

    /// How the address that a peer sees of us is checked.
    pub fn verify_peeraddr(mut self, verify: PeerAddress) -> Builder {
        self.verify_peeraddr = verify;
        self
    }

    /// Encodes local messages too, as if they went over the wire. For tests.
    pub fn always_encode(mut self, always: bool) -> Builder {
        self.always_encode = always;
        self
    }

    /// Limits inside of the node.
    pub fn limits(mut self, limits: Limits) -> Builder {
        self.limits = limits;
        self
    }

    /// Limits of what is queued for other nodes.
    pub fn outbox_limits(mut self, limits: OutboxLimits) -> Builder {
        self.outbox = limits;
        self
    }

    /// Limits of the frames that other nodes send. A frame beyond them ends the connection.
    pub fn frame_limits(mut self, limits: FrameLimits) -> Builder {
        self.frames = limits;
        self
    }

    /// How long a whole handshake may take: 10 s.
    pub fn handshake_limit(mut self, limit: Duration) -> Builder {
        self.handshake_limit = limit;
        self
    }

    /// Lets other nodes catch what this program logs, see [`log`](crate::log).
    pub fn logs(mut self, source: &LogSource) -> Builder {
        self.logs = Some(source.clone());
        self
    }

    /// Registers a function that this and other nodes can spawn ports with, by a name such as `my::room`. It runs in the new
    /// port, and sets its receiver ([`Context::receive`] and others). An error kills the port.
    pub fn function<A, E>(
        mut self,
        name: &str,
        code: impl Fn(&mut Context<'_>, A) -> Result<(), E> + Send + Sync + 'static,
    ) -> Builder
    where
        A: DeserializeOwned + 'static,
        E: Into<Reason> + 'static,
    {
        self.functions.add(name, function(code));
        self
    }

    /// Registers a function that this and other nodes can open data connections to, see [`Node::connect_stream`]. Its future runs
    /// as a task of its own, until it ends or the node does. An error or panic is logged, and the stream with it is gone.
    pub fn stream_function<A, F, E>(
        mut self,
        name: &str,
        code: impl Fn(Node, Stream, A) -> F + Send + Sync + 'static,
    ) -> Builder
    where
        A: DeserializeOwned + Send + 'static,
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<Reason>,
    {
        self.streams.add(name, code);
        self
    }

    /// Also asks this for functions, where none is registered. Nobody is asked unless this is set.
    pub fn find_functions(mut self, finder: impl FindFunction) -> Builder {
        self.functions.finder = Some(Arc::new(finder));
        self
    }

    /// Lets this evaluate what `eval` requests bring, from any node of the network. They are refused unless this is set.
    pub fn evaluate(mut self, evaluator: impl Evaluate) -> Builder {
        self.functions.evaluator = Some(Arc::new(evaluator));
        self
    }

    /// Starts the node in the current tokio runtime.
    ///
    /// # Errors
    ///
    /// See [`StartError`]; nothing is left behind.
    ///
    /// # Panics
    ///
    /// There is no tokio runtime.
    pub async fn start(mut self) -> Result<Node, StartError> {
        if self.monitor_timeout < MONITOR_TIMEOUT_MIN {
            return Err(StartError::Timeout(self.monitor_timeout));
        }
        self.check_protection().await?;
        let id = NodeId::new(&unique(self.id.as_deref().unwrap_or("anon/"))?)?;
        let own = Home::lasting(id.clone(), &random_head(random()?));
        let tls = self.certificate.as_deref().map(Tls::from_pem).transpose()?.map(Arc::new);
        let incarnation = u128::from_le_bytes(random()?);
        let streams = std::mem::take(&mut self.streams);
        let shared = self.shared(&id, incarnation, tls, streams);
        let mut spawn_head = random_head(random()?);
        spawn_head.replace_range(..1, ".");
        let (events, receiver) = mpsc::unbounded_channel();
        let runners = tokio::runtime::Handle::current().metrics().num_workers();
        let remotes = Remotes::new(spawn_head, self.outbox);
        let settings = NodeSettings {
            limits: self.limits,
            always_encode: self.always_encode,
            secure: self.secure,
            logs: self.logs,
        };
        let inner = Inner::new(own, remotes, runners, settings, self.functions, events, shared);
        let node = Node::from_inner(Arc::new(inner));
        let gatekeeper = Arc::new(Gatekeeper::default());
        let listening = listen_all(&node, &self.binds, &gatekeeper).await?;
        let mut kernel = Kernel::new(
            KernelConfig {
                node: id,
                binds: listening.clone(),
                seeds: self.seeds,
                private: self.private,
                global: self.global,
                monitor_timeout: self.monitor_timeout,
                connect_interval: self.connect_interval,
                rng_seed: u64::from_le_bytes(random()?),
                limits: KernelLimits { message: self.outbox.message, ..KernelLimits::default() },
            },
            node.inner().shared.now(),
        );
        kernel.handle(Input::Binds(listening), node.inner().shared.now());
        Scheduler::start(&node);
        tokio::spawn(Driver::new(node.clone(), kernel).run(receiver));
        for service in self.services {
            let arguments = Message(service.arguments);
            node.spawn(node.id(), &service.function, arguments)
                .map_err(|error| StartError::Service { function: service.function, error })?;
        }
        Ok(node)
    }

    fn shared(
        &self,
        id: &NodeId,
        incarnation: u128,
        tls: Option<Arc<Tls>>,
        streams: StreamFunctions,
    ) -> Shared {
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
            carries: self.carry,
            parts: true,
        };
        Shared {
            link: Arc::new(link),
            tls,
            frames: self.frames,
            handshake_limit: self.handshake_limit,
            nodelay: self.nodelay,
            requests: Default::default(),
            up: Default::default(),
            carrying: Carrying::new(Carriage::new(id.clone(), self.carry, self.carry_limits)),
            listening: Default::default(),
            events: Mutex::new(Some(broadcast::Sender::new(256))),
            accepted: AtomicU64::new(1),
            streams: Streams::new(streams),
            failures: Default::default(),
            refusals: Default::default(),
            listeners: Default::default(),
            started: Instant::now(),
            ending: Default::default(),
        }
    }

    /// Beyond loopback a node must be able to tell friend from foe.
    async fn check_protection(&self) -> Result<(), StartError> {
        let protected =
            self.certificate.is_some() || self.secret.as_ref().is_some_and(|secret| !secret.is_empty());
        for bind in &self.binds {
            if !protected && !tcp::is_loopback(bind).await {
                return Err(StartError::Unprotected(bind.clone()));
            }
        }
        Ok(())
    }
}

async fn listen_all(
    node: &Node,
    binds: &[String],
    gatekeeper: &Arc<Gatekeeper>,
) -> Result<Vec<String>, StartError> {
    let mut listening = Vec::new();
    for bind in binds {
        match listen::listen(node, bind, gatekeeper).await {
            Ok(address) => listening.push(address),
            Err(error) => {
                node.inner().shared.listeners.lock().iter().for_each(tokio::task::AbortHandle::abort);
                return Err(StartError::Listen { address: bind.clone(), error });
            }
        }
    }
    *node.inner().shared.listening.write() = listening.clone();
    Ok(listening)
}

/// What every node answers.
fn built_in() -> Functions {
    let mut functions = Functions::default();
    log::forward::register(&mut functions);
    functions
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
    let mut octets = [0; N];
    getrandom::fill(&mut octets).map_err(|error| StartError::Random(error.to_string()))?;
    Ok(octets)
}
