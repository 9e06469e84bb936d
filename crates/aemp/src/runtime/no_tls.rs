//! In the place of TLS in a library that is built without it: there is no certificate, and so no
//! value of these types.

use std::convert::Infallible;
use std::io;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::tcp::Abort;

/// A certificate, which nothing can make.
pub(crate) enum Tls {}

/// A stream that TLS protects, which nothing can make.
pub(crate) struct TlsStream<S>(Infallible, PhantomData<S>);

impl Tls {
    /// As with TLS.
    pub(crate) async fn start<S>(
        &self,
        _client: bool,
        _stream: S,
        _read: BytesMut,
    ) -> io::Result<TlsStream<S>> {
        match *self {}
    }
}

/// The stream below TLS.
pub(crate) fn below<S>(stream: &TlsStream<S>) -> &S {
    match stream.0 {}
}

impl<S> Abort for TlsStream<S> {
    fn reset_when_dropped(&self, _reset: bool) {
        match self.0 {}
    }
}

impl<S: Unpin> AsyncRead for TlsStream<S> {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.0 {}
    }
}

impl<S: Unpin> AsyncWrite for TlsStream<S> {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        match self.0 {}
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.0 {}
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.0 {}
    }
}
