//! TLS: one PEM bundle is at once the own certificate and the set of trusted roots (`PROTOCOL.md`, TLS). Host names mean nothing
//! here; both sides present a certificate and both verify it.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Buf as _, BytesMut};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, RootCertStore,
    ServerConfig, SignatureScheme,
};
use thiserror::Error as ThisError;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

/// A certificate that cannot be used.
#[derive(Debug, ThisError)]
pub enum BundleError {
    /// No private key in the bundle.
    #[error(
        "the certificate bundle has no private key (PEM: key, certificate, then any CA certificates): {0}"
    )]
    NoKey(rustls::pki_types::pem::Error),
    /// A certificate in the bundle cannot be read.
    #[error("the certificate bundle cannot be read: {0}")]
    Pem(rustls::pki_types::pem::Error),
    /// No certificate in the bundle.
    #[error("the certificate bundle has no certificate")]
    NoCertificate,
    /// Key and certificate do not fit, or are of a kind that is not supported.
    #[error("the certificate cannot be used: {0}")]
    Unusable(#[from] Error),
}

/// The configured certificate, ready for connections in both roles.
pub(crate) struct Tls {
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
}

impl Tls {
    /// Reads a PEM bundle.
    pub(crate) fn from_pem(pem: &[u8]) -> Result<Tls, BundleError> {
        let key = PrivateKeyDer::from_pem_slice(pem).map_err(BundleError::NoKey)?;
        let bundle: Vec<CertificateDer<'static>> =
            CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(BundleError::Pem)?;
        let Some(own) = bundle.first().cloned() else { return Err(BundleError::NoCertificate) };
        let provider = Arc::new(ring::default_provider());
        let verifier = Arc::new(Verifier::new(&bundle, provider.clone()));
        // The own certificate and what is needed to reach a root; a peer that has the root ignores the rest.
        let chain = if bundle.len() > 1 { bundle.clone() } else { vec![own] };
        let client = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(verifier.clone())
            .with_client_auth_cert(chain.clone(), key.clone_key())?;
        let server = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain, key)?;
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

/// Verifies certificates of both roles against the bundle. A certificate that is in the bundle itself is trusted as it is, its
/// dates included: the shared self-signed certificate of a network is often neither a CA nor meant for a host.
#[derive(Debug)]
struct Verifier {
    pinned: Vec<CertificateDer<'static>>,
    roots: Arc<RootCertStore>,
    /// Verifies clients against the roots; `None` if nothing in the bundle can be a root.
    clients: Option<Arc<dyn ClientCertVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl Verifier {
    fn new(bundle: &[CertificateDer<'static>], provider: Arc<CryptoProvider>) -> Verifier {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(bundle.iter().cloned());
        let roots = Arc::new(roots);
        let clients =
            WebPkiClientVerifier::builder_with_provider(roots.clone(), provider.clone()).build().ok();
        Verifier { pinned: bundle.to_vec(), roots, clients, provider }
    }

    fn is_pinned(&self, certificate: &CertificateDer<'_>) -> bool {
        self.pinned.iter().any(|pinned| pinned == certificate)
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if !self.is_pinned(certificate) {
            let algorithms = self.provider.signature_verification_algorithms.all;
            let certificate = ParsedCertificate::try_from(certificate)?;
            verify_server_cert_signed_by_trust_anchor(&certificate, &self.roots, chain, now, algorithms)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

impl ClientCertVerifier for Verifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        // No hint: every node has one certificate, whoever asks.
        &[]
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        match &self.clients {
            _ if self.is_pinned(certificate) => Ok(ClientCertVerified::assertion()),
            Some(clients) => clients.verify_client_cert(certificate, chain, now),
            None => Err(Error::InvalidCertificate(CertificateError::UnknownIssuer)),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        ServerCertVerifier::verify_tls12_signature(self, message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        ServerCertVerifier::verify_tls13_signature(self, message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ServerCertVerifier::supported_verify_schemes(self)
    }
}
