//! A stream as its users hold it.

use std::fmt;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use aemp_proto::NodeId;
use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::runtime::handshake;
use crate::runtime::tls::Prefixed;

/// What a stream is made of: a socket, TLS over one, or a pipe within the process.
pub(crate) trait Socket: AsyncRead + AsyncWrite + Send + Sync + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Sync + Unpin> Socket for S {}

/// One end of a data connection: octets in order, both ways, with back-pressure.
///
/// Either direction can be ended alone: `shutdown` (of `AsyncWriteExt`) writes what is buffered and tells the other side that this
/// was all. Dropping the stream ends both directions, and what the other side sends then is an error there.
///
/// With TLS an end that nobody asked for (the other process died) is an error for the reader. Without, it may look like an
/// ordinary end: who needs to know says beforehand how much is to come, or sends a digest. A host that vanishes is noticed by a reader
/// after the monitor timeout, by a writer only when TCP gives up; monitor the node to know sooner.
///
/// The stream belongs to whoever holds it: it ends neither with the connection that carries messages nor with the port that asked
/// for it. Only the functions of [`Builder::stream_function`](crate::Builder::stream_function) end with their node.
pub struct Stream {
    io: Prefixed<Box<dyn Socket>>,
    peer: NodeId,
}

impl Stream {
    /// A stream to this node, of which `read` has been read already.
    pub(super) fn new(peer: NodeId, socket: Box<dyn Socket>, read: BytesMut) -> Stream {
        Stream { io: Prefixed::new(read, socket), peer }
    }

    /// The node at the other end.
    pub fn peer(&self) -> &NodeId {
        &self.peer
    }
}

impl From<handshake::Stream> for Box<dyn Socket> {
    fn from(stream: handshake::Stream) -> Box<dyn Socket> {
        match stream {
            handshake::Stream::Plain(stream) => Box::new(stream),
            handshake::Stream::Tls(stream) => stream,
        }
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Stream({})", self.peer)
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, out)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, octets)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        octets: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, octets)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}
