//! TLS: one PEM bundle is at once the own certificate and the set of trusted roots (`PROTOCOL.md`,
//! TLS). Host names mean nothing here; both sides present a certificate and both verify it.

mod bundle;
mod verify;

use std::io;
use std::sync::Arc;

use bytes::BytesMut;
use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use bundle::Bundle;
pub use bundle::BundleError;
use verify::Verifier;

use super::prefixed::Prefixed;
use super::tcp::Abort;

/// A stream that TLS protects.
pub(crate) type TlsStream<S> = tokio_rustls::TlsStream<Prefixed<S>>;

/// Checks a PEM bundle as [`Builder::certificate_pem`](crate::Builder::certificate_pem) takes it.
///
/// # Errors
///
/// The node would not start with it.
pub fn check_bundle(pem: &[u8]) -> Result<(), BundleError> {
    Tls::from_pem(pem).map(drop)
}

/// The configured certificate, ready for connections in both roles.
pub(crate) struct Tls {
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
}

impl Tls {
    /// Reads a PEM bundle.
    pub(crate) fn from_pem(pem: &[u8]) -> Result<Tls, BundleError> {
        let provider = Arc::new(ring::default_provider());
        let Bundle { key, certificates } = Bundle::read(pem, &provider)?;
        let verifier = Arc::new(Verifier::new(&certificates, provider.clone()));
        // The own certificate and what is needed to reach a root; a peer that has the root ignores
        // the rest.
        let client = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(verifier.clone())
            .with_client_auth_cert(certificates.clone(), key.clone_key())?;
        let server = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(verifier)
            .with_single_cert(certificates, key)?;
        Ok(Tls { client: Arc::new(client), server: Arc::new(server) })
    }

    /// Starts TLS on a stream, of which `read` was read already.
    pub(crate) async fn start<S>(&self, client: bool, stream: S, read: BytesMut) -> io::Result<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let stream = Prefixed::new(read, stream);
        if client {
            // Any name does: certificates are verified against the roots alone.
            let name = ServerName::try_from("aemp").map_err(io::Error::other)?;
            Ok(TlsStream::Client(TlsConnector::from(self.client.clone()).connect(name, stream).await?))
        } else {
            Ok(TlsStream::Server(TlsAcceptor::from(self.server.clone()).accept(stream).await?))
        }
    }
}

impl<S: Abort> Abort for tokio_rustls::TlsStream<S> {
    fn reset_when_dropped(&self, reset: bool) {
        self.get_ref().0.reset_when_dropped(reset);
    }
}

/// The stream below TLS.
pub(crate) fn below<S>(stream: &TlsStream<S>) -> &S {
    stream.get_ref().0.inner()
}
