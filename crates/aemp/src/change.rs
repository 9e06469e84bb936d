//! What can be changed of a node that runs: its seeds, and what it proves itself with.

use std::sync::Arc;

use thiserror::Error;

use crate::builder::is_dialable;
use crate::node::Node;
use crate::runtime::Event;
#[cfg(feature = "tls")]
use crate::runtime::tls::{BundleError, Tls};

/// Why something of a running node was not changed. Everything is as it was.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ChangeError {
    /// A seed is not an address that can be dialled.
    #[error("the seed {0:?} is not HOST:PORT with a port above 0; write an IPv6 address as [ADDRESS]:PORT")]
    Seed(String),
    /// A node has a secret from its start on, or never: where it listens depends on it.
    #[error(
        "a secret cannot be added to a node that runs, or taken away from it: start it again with the new settings"
    )]
    Secret,
    /// The same for a certificate, which peers are told of.
    #[error("a certificate cannot be added to a node that runs: start it again with the new settings")]
    #[cfg(feature = "tls")]
    NoCertificate,
    /// The certificate cannot be used.
    #[error(transparent)]
    #[cfg(feature = "tls")]
    Certificate(#[from] BundleError),
}

impl Node {
    /// Contacts these `host:port` from now on and stays connected to them, instead of those that it
    /// had, see [`Builder::seed`](crate::Builder::seed). Connections that are there stay.
    ///
    /// A node that was alone without seeds joins their network; what its program has set in the
    /// shared database comes with it. After the end of the node nothing happens.
    ///
    /// # Errors
    ///
    /// [`ChangeError::Seed`].
    pub fn set_seeds<S: ToString>(&self, seeds: impl IntoIterator<Item = S>) -> Result<(), ChangeError> {
        let seeds: Vec<String> = seeds.into_iter().map(|seed| seed.to_string()).collect();
        if let Some(seed) = seeds.iter().find(|seed| !is_dialable(seed)) {
            return Err(ChangeError::Seed(seed.clone()));
        }
        self.event(Event::Seeds(seeds));
        Ok(())
    }

    /// Proves itself with this secret in every handshake that begins from now on. Connections that
    /// are there stay. Nodes that have the old one cannot connect to this one, nor be connected to,
    /// until they have the new one as well: give it to all within a short time, and no connection
    /// breaks.
    ///
    /// # Errors
    ///
    /// [`ChangeError::Secret`]: the node was started without one, or this one is empty.
    pub fn set_secret(&self, secret: impl Into<Vec<u8>>) -> Result<(), ChangeError> {
        let secret = secret.into();
        let mut link = self.inner().shared.greeting.link.write();
        let is_set = |secret: &Vec<u8>| !secret.is_empty();
        if !is_set(&secret) || !link.secret.as_ref().is_some_and(is_set) {
            return Err(ChangeError::Secret);
        }
        let mut changed = link.as_ref().clone();
        changed.secret = Some(secret);
        *link = Arc::new(changed);
        Ok(())
    }

    /// Uses this key and these certificates for every connection that is made from now on, see
    /// [`Builder::certificate_pem`](crate::Builder::certificate_pem). Connections that are there
    /// stay.
    ///
    /// # Errors
    ///
    /// [`ChangeError::Certificate`], or [`ChangeError::NoCertificate`]: the node was started
    /// without one.
    #[cfg(feature = "tls")]
    pub fn set_certificate_pem(&self, pem: impl AsRef<[u8]>) -> Result<(), ChangeError> {
        let changed = Arc::new(Tls::from_pem(pem.as_ref())?);
        let mut tls = self.inner().shared.greeting.tls.write();
        if tls.is_none() {
            return Err(ChangeError::NoCertificate);
        }
        *tls = Some(changed);
        Ok(())
    }
}
