//! Connections of aemp nodes over [NATS](https://nats.io): for nodes that cannot dial each other,
//! on many sites, where a broker is there already.
//!
//! ```no_run
//! # async fn start(pem: Vec<u8>) -> Result<(), Box<dyn std::error::Error>> {
//! let nats = aemp_nats::Nats::new(["nats://broker.example:4222"])?.network("shop")?;
//! let node = aemp::Node::builder().id("till/1").certificate_pem(pem).broker(nats).start().await?;
//! # Ok(())
//! # }
//! ```
//!
//! Nodes of one network at one NATS system reach each other by their IDs: no listener, no seed, no
//! address. What is promised is what is promised over TCP. A lost message of the broker is sent
//! again ([`aemp_proto::broker`]); what cannot be repaired ends the connection, and monitors fire.
//!
//! The broker is not trusted: connections are encrypted from end to end by the certificates of the
//! nodes. It can hold messages back, and it sees who talks to whom and how much.
//!
//! | | |
//! |---|---|
//! | [`Nats`] | the settings, and what a node asks of a broker |
//! | `hub` | one node at the broker: its subscriptions, its streams, who has asked for one |
//! | `shared_stream` | one stream: the machine under a lock, its task, its reader and writer |

mod hub;
mod shared_stream;

use std::fmt;
use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use aemp::NodeId;
use aemp::broker::{Broker, BrokerFuture, BrokerStream, BrokerUser};
use aemp_proto::broker::{Network, NetworkError};
use async_nats::{ConnectOptions, ServerAddr};
use thiserror::Error;

use hub::Hub;

/// A NATS system, as one node uses it. Made once for each node.
#[derive(Clone)]
pub struct Nats {
    servers: Vec<ServerAddr>,
    network: Network,
    credentials: Option<String>,
    trusted: bool,
    hub: Arc<OnceLock<Arc<Hub>>>,
}

/// Why settings of NATS cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum NatsError {
    /// There is no server.
    #[error("no server is named; write nats://HOST:PORT")]
    NoServer,
    /// A server is not an address.
    #[error("{server:?} is not the address of a NATS server, nats://HOST:PORT or tls://HOST:PORT: {error}")]
    Server {
        /// What was given.
        server: String,
        /// What is wrong with it.
        error: String,
    },
    /// The name of the network cannot be used.
    #[error(transparent)]
    Network(#[from] NetworkError),
}

impl fmt::Debug for Nats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // An address may have a password in it.
        f.debug_struct("Nats")
            .field("network", &self.network)
            .field("trusted", &self.trusted)
            .finish_non_exhaustive()
    }
}

impl Nats {
    /// The NATS system of which these are servers: `nats://HOST:PORT`, or `tls://HOST:PORT` for one
    /// that is reached over TLS, with `USER:PASSWORD@` or `TOKEN@` before the host where that is
    /// needed. One is used at a time; others of the same cluster are learnt from it.
    ///
    /// # Errors
    ///
    /// No server is named, or one of them is not an address.
    pub fn new(servers: impl IntoIterator<Item = impl AsRef<str>>) -> Result<Nats, NatsError> {
        let parse = |server: &str| {
            server.parse::<ServerAddr>().map_err(|error| NatsError::Server {
                server: without_password(server),
                error: error.to_string(),
            })
        };
        let servers =
            servers.into_iter().map(|server| parse(server.as_ref())).collect::<Result<Vec<_>, _>>()?;
        if servers.is_empty() {
            return Err(NatsError::NoServer);
        }
        let network = "default".parse()?;
        Ok(Nats { servers, network, credentials: None, trusted: false, hub: Arc::default() })
    }

    /// The name of the network, from 1 to 32 of the characters `A-Z a-z 0-9 _ -`: `default` where
    /// it is not given. Nodes of different names do not see each other.
    ///
    /// # Errors
    ///
    /// The name has other characters, or is too long.
    pub fn network(mut self, name: &str) -> Result<Nats, NatsError> {
        self.network = name.parse()?;
        Ok(self)
    }

    /// Who the node is for the broker: the text of a `.creds` file.
    #[must_use]
    pub fn credentials(mut self, text: impl Into<String>) -> Nats {
        self.credentials = Some(text.into());
        self
    }

    /// Whether the broker, and everybody who may publish there, may read and forge what the nodes
    /// send each other. Then they need no certificate, but still the secret.
    #[must_use]
    pub fn trust_broker(mut self, trusted: bool) -> Nats {
        self.trusted = trusted;
        self
    }

    fn hub(&self) -> io::Result<&Arc<Hub>> {
        self.hub.get().ok_or_else(|| io::Error::other("the node has not been started with this broker"))
    }

    async fn connect(&self, user: BrokerUser) -> io::Result<()> {
        let invalid = |error: String| io::Error::new(io::ErrorKind::InvalidInput, error);
        let mut options = ConnectOptions::new();
        if let Some(credentials) = &self.credentials {
            options = options.credentials(credentials)?;
        }
        let hub = Hub::new(self.network.clone(), &user);
        let events = Arc::downgrade(&hub);
        let client = options
            .name(format!("aemp {}", user.node))
            .retry_on_initial_connect()
            .ping_interval((user.monitor_timeout / 4).max(Duration::from_secs(1)))
            .subscription_capacity(hub::SUBSCRIPTION_CAPACITY)
            .reconnect_delay_callback(|tries| {
                let step = u32::try_from(tries).unwrap_or(u32::MAX).min(20);
                FIRST_RECONNECT.saturating_mul(step * step).min(LAST_RECONNECT)
            })
            .event_callback(move |event| {
                if let Some(hub) = events.upgrade() {
                    hub.event(&event);
                }
                std::future::ready(())
            })
            .connect(self.servers.as_slice())
            .await
            .map_err(|error| invalid(error.to_string()))?;
        hub.clone().start(client).await.map_err(|error| invalid(error.to_string()))?;
        self.hub.set(hub).map_err(|_| invalid("it is in use by another node already".into()))
    }
}

/// Times between two tries to reach a server.
const FIRST_RECONNECT: Duration = Duration::from_millis(10);
const LAST_RECONNECT: Duration = Duration::from_secs(2);

/// An address as it may be shown.
fn without_password(server: &str) -> String {
    match (server.find("://"), server.rfind('@')) {
        (Some(scheme), Some(at)) if scheme < at => format!("{}://…{}", &server[..scheme], &server[at..]),
        _ => server.into(),
    }
}

impl Broker for Nats {
    fn name(&self) -> String {
        format!("nats:{}", self.network.as_str())
    }

    fn is_trusted(&self) -> bool {
        self.trusted
    }

    fn start(&self, user: BrokerUser) -> BrokerFuture<'_, ()> {
        Box::pin(self.connect(user))
    }

    fn dial(&self, to: &NodeId) -> BrokerFuture<'_, Box<dyn BrokerStream>> {
        let to = to.clone();
        Box::pin(async move { Ok(Box::new(self.hub()?.dial(&to).await?) as Box<dyn BrokerStream>) })
    }

    fn accept(&self) -> BrokerFuture<'_, Box<dyn BrokerStream>> {
        Box::pin(async move { Ok(Box::new(self.hub()?.accept().await?) as Box<dyn BrokerStream>) })
    }

    fn become_global(&self) {
        if let Some(hub) = self.hub.get() {
            hub.become_global();
        }
    }

    fn close(&self) {
        if let Some(hub) = self.hub.get() {
            hub.close();
        }
    }

    fn global_nodes(&self) -> BrokerFuture<'_, Vec<NodeId>> {
        Box::pin(async move { self.hub()?.global_nodes().await })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_server_is_refused_by_name_and_without_its_password() {
        assert!(matches!(Nats::new([""; 0]), Err(NatsError::NoServer)));
        let error = Nats::new(["nats://me:hidden@[broken"]).expect_err("no address").to_string();
        assert!(error.contains("@[broken") && !error.contains("hidden"), "{error}");
    }

    #[test]
    fn nothing_secret_is_shown() {
        let nats = Nats::new(["nats://me:hidden@localhost"]).expect("an address").credentials("seed");
        let shown = format!("{nats:?}");
        assert!(!shown.contains("hidden") && !shown.contains("seed"), "{shown}");
    }
}
