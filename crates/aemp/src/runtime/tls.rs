//! TLS: one PEM bundle is at once the own certificate and the set of trusted roots (`PROTOCOL.md`, TLS). Host names mean nothing
//! here; both sides present a certificate and both verify it.

mod bundle;
mod verify;

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Buf as _, BytesMut};
use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

use bundle::Bundle;
pub use bundle::BundleError;
use verify::Verifier;

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
        // The own certificate and what is needed to reach a root; a peer that has the root ignores the rest.
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
    pub(crate) async fn start<S>(
        &self,
        client: bool,
        stream: S,
        read: BytesMut,
    ) -> io::Result<TlsStream<Prefixed<S>>>
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

/// A stream of which some octets were read before.
pub(crate) struct Prefixed<S> {
    read: BytesMut,
    stream: S,
}

impl<S> Prefixed<S> {
    /// The stream, of which `read` was read already.
    pub(crate) fn new(read: BytesMut, stream: S) -> Prefixed<S> {
        Prefixed { read, stream }
    }

    /// The stream itself.
    pub(crate) fn inner(&self) -> &S {
        &self.stream
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Prefixed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.read.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, out);
        }
        let len = self.read.len().min(out.remaining());
        out.put_slice(&self.read[..len]);
        self.read.advance(len);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Prefixed<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, octets)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        octets: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, octets)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
