//! The description of a node; its start, with what can go wrong then, is in `start`.

mod start;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aemp_proto::link::{AuthMethod, PeerAddress};
use aemp_proto::outbox::OutboxLimits;
use aemp_proto::relay::RelayLimits;
use aemp_proto::wire::Limits as FrameLimits;
use aemp_proto::{Framing, Reason, Value};
use serde::de::DeserializeOwned;

use crate::broker::Broker;
use crate::code::{Evaluate, FunctionResolver};
use crate::functions::{Functions, function};
#[cfg(feature = "logs")]
use crate::log::{self, LogSource};
use crate::node::{Limits, Node};
use crate::port::Context;
use crate::recorder::ring;
use crate::stream::{Stream, StreamFunctions};

pub use start::StartError;
pub(crate) use start::is_dialable;

/// How long a handshake may take in all.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// The description of a node. Everything has a default; a node with nothing set works locally.
#[must_use = "a node runs only after start()"]
pub struct Builder {
    id: Option<String>,
    binds: Vec<String>,
    advertise: Vec<String>,
    seeds: Vec<String>,
    secret: Option<Vec<u8>>,
    #[cfg(feature = "tls")]
    certificate: Option<Vec<u8>>,
    global: bool,
    behind_nat: bool,
    client: bool,
    relay: bool,
    relay_limits: RelayLimits,
    broker: Option<Arc<dyn Broker>>,
    monitor_timeout: Duration,
    connect_interval: Option<Duration>,
    framings: Vec<Framing>,
    offer: Vec<AuthMethod>,
    accept: Vec<AuthMethod>,
    secure: bool,
    services: Vec<(String, Vec<Value>)>,
    verify_peeraddr: PeerAddress,
    always_encode: bool,
    limits: Limits,
    outbox: OutboxLimits,
    frames: FrameLimits,
    handshake_timeout: Duration,
    nodelay: bool,
    recorder: usize,
    functions: Functions,
    #[cfg(feature = "logs")]
    logs: Option<LogSource>,
    streams: StreamFunctions,
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Neither secret nor certificate.
        f.debug_struct("Builder")
            .field("id", &self.id)
            .field("binds", &self.binds)
            .field("advertise", &self.advertise)
            .field("seeds", &self.seeds)
            .finish_non_exhaustive()
    }
}

impl Node {
    /// Begins the description of a node.
    pub fn builder() -> Builder {
        Builder::new()
    }
}

impl Builder {
    pub(crate) fn new() -> Builder {
        Builder {
            id: None,
            binds: Vec::new(),
            advertise: Vec::new(),
            seeds: Vec::new(),
            secret: None,
            #[cfg(feature = "tls")]
            certificate: None,
            global: false,
            behind_nat: false,
            client: false,
            relay: true,
            relay_limits: RelayLimits::default(),
            broker: None,
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
            handshake_timeout: HANDSHAKE_TIMEOUT,
            nodelay: true,
            recorder: ring::BYTES,
            functions: built_in(),
            streams: StreamFunctions::default(),
            #[cfg(feature = "logs")]
            logs: None,
        }
    }

    /// The node ID. `%u`, or a trailing `/`, is replaced by random characters and makes it unique;
    /// without an ID it is `anon/` and such.
    pub fn id(mut self, id: impl Into<String>) -> Builder {
        self.id = Some(id.into());
        self
    }

    /// Listens on `host:port`, at every address that the host has; port 0 is chosen by the system.
    /// The host `*` is every address of the machine that others can use, now and later. Beyond
    /// loopback that needs a secret or a certificate.
    pub fn bind(mut self, address: impl ToString) -> Builder {
        self.binds.push(address.to_string());
        self
    }

    /// Tells other nodes that this one can be dialled at `host:port`, instead of where it listens:
    /// address translation, a container, or a port mapping may lie between. Port 0 is the port that
    /// the node listens on, the host `*` every address of the machine. Can be repeated; others try
    /// the addresses in this order.
    ///
    /// Unless set, the addresses that the node listens on are advertised, with those of the machine
    /// in place of wildcards; loopback and link-local ones only if there are no others.
    pub fn advertise(mut self, address: impl ToString) -> Builder {
        self.advertise.push(address.to_string());
        self
    }

    /// Contacts this `host:port` first, and stays connected to it. All addresses of the host are
    /// dialled, a further one every 250 ms, until a node answers at one. If one of them is this
    /// node itself, each of the others is a seed. [`Builder::start`] refuses what is no such
    /// address.
    pub fn seed(mut self, address: impl ToString) -> Builder {
        self.seeds.push(address.to_string());
        self
    }

    /// The secret that all nodes of the network share.
    pub fn secret(mut self, secret: impl Into<Vec<u8>>) -> Builder {
        self.secret = Some(secret.into());
        self
    }

    /// A PEM bundle: key, certificate, then any CA certificates. It is at once the own certificate
    /// and what is trusted.
    #[cfg(feature = "tls")]
    pub fn certificate_pem(mut self, pem: impl Into<Vec<u8>>) -> Builder {
        self.certificate = Some(pem.into());
        self
    }

    /// Is a global node from the start: holds the whole database. Seeds become global by
    /// themselves.
    pub fn global(mut self, global: bool) -> Builder {
        self.global = global;
        self
    }

    /// Other nodes cannot dial the addresses that this node listens on, because of a firewall or
    /// address translation, say: they may also reach it through a global node that it is connected
    /// to. A node that listens nowhere is always private.
    pub fn behind_nat(mut self, behind_nat: bool) -> Builder {
        self.behind_nat = behind_nat;
        self
    }

    /// Is a client: a tool that comes, asks and goes. It has no entries of its own about itself in
    /// the shared database, so nodes that it has not connected to cannot reach it, and its peers
    /// log its coming and going at the level debug. Give it no address to listen on: nobody would
    /// be told.
    pub fn client(mut self, client: bool) -> Builder {
        self.client = client;
        self
    }

    /// Carries connections between private nodes that are connected to this one; yes, unless
    /// switched off. Private nodes make use of it on global nodes. What passes is authenticated,
    /// and with certificates encrypted, between the two ends, and bounded by
    /// [`Builder::relay_limits`].
    pub fn relay(mut self, relay: bool) -> Builder {
        self.relay = relay;
        self
    }

    /// How much this node carries for others.
    pub fn relay_limits(mut self, limits: RelayLimits) -> Builder {
        self.relay_limits = limits;
        self
    }

    /// Reaches nodes, and is reached, through a message broker as well: those that cannot dial each
    /// other, by their IDs alone. See [`broker`](crate::broker). A network that has nothing else
    /// needs one [global](Builder::global) node for its shared database.
    pub fn broker(mut self, broker: impl Broker) -> Builder {
        self.broker = Some(Arc::new(broker));
        self
    }

    /// How long a node may be silent before it counts as lost: 30 s, and from 2 s to a day.
    pub fn monitor_timeout(mut self, timeout: Duration) -> Builder {
        self.monitor_timeout = timeout;
        self
    }

    /// How long an attempt to connect may take; a third of `monitor_timeout`, and at least 1 s,
    /// unless set. From 0.1 s to a day.
    pub fn connect_interval(mut self, limit: Duration) -> Builder {
        self.connect_interval = Some(limit);
        self
    }

    /// The framings that are offered, best first.
    pub fn framings(mut self, framings: impl IntoIterator<Item = Framing>) -> Builder {
        self.framings = framings.into_iter().collect();
        self
    }

    /// The methods with which this node proves itself, and those that it accepts. By default those
    /// that prove the whole greeting. `cleartext` lets minimal peers in, and everybody on the path
    /// read the secret.
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

    /// Spawns a port with this registered function when the node has started.
    pub fn service(mut self, function: &str, arguments: impl IntoIterator<Item = Value>) -> Builder {
        self.services.push((function.into(), arguments.into_iter().collect()));
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

    /// How long a whole handshake may take: 10 s, and from 0.1 s to a day.
    pub fn handshake_timeout(mut self, timeout: Duration) -> Builder {
        self.handshake_timeout = timeout;
        self
    }

    /// Whether the system sends small segments at once (`TCP_NODELAY`): yes, unless switched off.
    pub fn nodelay(mut self, nodelay: bool) -> Builder {
        self.nodelay = nodelay;
        self
    }

    /// Bytes of memory that the [flight recorder](crate::recorder) has, 64 KiB unless set and at
    /// most 64 MiB; 0 switches it off.
    pub fn recorder(mut self, bytes: usize) -> Builder {
        self.recorder = bytes;
        self
    }

    /// Lets other nodes catch what this program logs, see [`log`](crate::log).
    #[cfg(feature = "logs")]
    pub fn logs(mut self, source: &LogSource) -> Builder {
        self.logs = Some(source.clone());
        self
    }

    /// Registers a function that this and other nodes can spawn ports with, by a name such as
    /// `my::room`. It runs in the new port, and sets its receiver ([`Context::receive`] and
    /// others). An error kills the port.
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

    /// Registers a function that this and other nodes can open data connections to, see
    /// [`Node::connect_stream`]. Its future runs as a task of its own, until it ends or the node
    /// does. An error or panic is logged, and the stream with it is gone.
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
    pub fn function_resolver(mut self, finder: impl FunctionResolver) -> Builder {
        self.functions.finder = Some(Arc::new(finder));
        self
    }

    /// Lets this evaluate what `eval` requests bring, from any node of the network. They are
    /// refused unless this is set.
    pub fn evaluate(mut self, evaluator: impl Evaluate) -> Builder {
        self.functions.evaluator = Some(Arc::new(evaluator));
        self
    }
}

/// What every node answers.
#[cfg(feature = "logs")]
fn built_in() -> Functions {
    let mut functions = Functions::default();
    log::forward::register(&mut functions);
    functions
}

#[cfg(not(feature = "logs"))]
fn built_in() -> Functions {
    Functions::default()
}
