//! A stream as its users hold it, and how it ends.
//!
//! An orderly end says that all was sent: the end of a direction of TCP and, with TLS, its
//! `close_notify`. Everything else is a break: a reset. So a reader can tell what is complete from
//! what is not, and the kernel sees to it even if the process dies.

use std::fmt;
use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use aemp_proto::NodeId;
use bytes::BytesMut;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf, copy, sink};
use tokio::runtime::Handle;
use tokio::time::timeout;

use crate::runtime::prefixed::Prefixed;
use crate::runtime::socket;
use crate::runtime::tcp::Abort;

/// How long a stream that was ended in order, and dropped, goes on to read what the other side
/// still sends. If it did not, the end would become a reset, which overtakes what is on its way to
/// the other side.
const LINGER: Duration = Duration::from_secs(5);

/// How long the end of a stream may take whose function has returned without one.
const FINISH_LIMIT: Duration = Duration::from_secs(30);

/// What a stream is made of: a socket, TLS over one, or a pipe within the process.
pub(crate) trait Socket: AsyncRead + AsyncWrite + Abort + Send + Sync + Unpin {}

impl<S: AsyncRead + AsyncWrite + Abort + Send + Sync + Unpin> Socket for S {}

type Io = Prefixed<Box<dyn Socket>>;

/// One end of a data connection: bytes in order, both ways, with back-pressure.
///
/// Either direction can be ended alone: `shutdown` (of `AsyncWriteExt`) writes what is buffered and
/// tells the other side that this was all. A stream that is dropped before that is broken, with TLS
/// and without: the other side's reads fail with [`ErrorKind::ConnectionReset`] after what has
/// arrived, and what was written last may be lost. So is it when this process dies. An end that is
/// read without an error means that everything was read. What the other side sends to a stream that
/// was dropped is an error there, at the latest when a few seconds have passed.
///
/// A function of [`Builder::stream_function`](crate::Builder::stream_function) that returns `Ok`
/// has ended its stream in order, if it has dropped it by then; one that fails or panics has broken
/// it.
///
/// A host that vanishes is noticed by a reader after the monitor timeout, by a writer only when TCP
/// gives up; monitor the node to know sooner.
///
/// The stream belongs to the one who holds it: it ends neither with the connection that carries
/// messages nor with the port that asked for it. Only the functions of `stream_function` end with
/// their node.
pub struct Stream {
    /// `None` only while it is dropped.
    io: Option<Io>,
    peer: NodeId,
    /// The own direction has ended in order.
    finished: bool,
    /// The other one has.
    ended: bool,
    /// Of a function of this node.
    function: Option<Arc<Returned>>,
}

/// What a function of this node leaves of its stream.
#[derive(Default)]
pub(super) struct Returned(Mutex<Left>);

#[derive(Default)]
enum Left {
    /// It has the stream, or has moved it elsewhere.
    #[default]
    Nothing,
    /// It has dropped the stream without an end. If it fails, that is dropped with this: broken.
    Undecided(Io),
    /// It has succeeded.
    Over,
}

impl Stream {
    /// A stream to this node, of which `read` has been read already.
    pub(super) fn new(peer: NodeId, socket: Box<dyn Socket>, read: BytesMut) -> Stream {
        socket.abort(); // unless it is ended in order
        let io = Some(Prefixed::new(read, socket));
        Stream { io, peer, finished: false, ended: false, function: None }
    }

    /// The same stream for a function, which ends it by returning.
    pub(super) fn for_function(mut self, returned: Arc<Returned>) -> Stream {
        self.function = Some(returned);
        self
    }

    /// The node at the other end.
    pub fn peer(&self) -> &NodeId {
        &self.peer
    }

    fn io(&mut self) -> io::Result<Pin<&mut Io>> {
        self.io.as_mut().map(Pin::new).ok_or_else(|| ErrorKind::NotConnected.into())
    }

    /// What the reader or writer is told of an error: a break is the same no matter what it was
    /// made of.
    fn told(&self, error: io::Error) -> io::Error {
        use ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
        match error.kind() {
            UnexpectedEof | ConnectionReset | ConnectionAborted | BrokenPipe => {
                let text = format!("node {} broke the stream off before it was complete", self.peer);
                io::Error::new(ConnectionReset, text)
            }
            _ => error,
        }
    }
}

impl Returned {
    /// The function has returned and succeeded: the stream that it has dropped ends in order.
    pub(super) async fn finish(&self) {
        let left = std::mem::replace(&mut *self.0.lock(), Left::Over);
        if let Left::Undecided(mut io) = left {
            let finished = timeout(FINISH_LIMIT, io.shutdown()).await;
            if matches!(finished, Ok(Ok(()))) {
                linger(io).await;
            }
        }
    }

    /// Gives the stream back if the function has succeeded already.
    fn keep(&self, io: Io) -> Option<Io> {
        match &mut *self.0.lock() {
            left @ Left::Nothing => {
                *left = Left::Undecided(io);
                None
            }
            Left::Undecided(_) | Left::Over => Some(io),
        }
    }
}

/// Reads on for a while, so that the end, which has been sent, is not made a reset by what nobody
/// has read.
async fn linger(mut io: Io) {
    io.reset_when_dropped(false);
    let _ = timeout(LINGER, copy(&mut io, &mut sink())).await;
}

impl Drop for Stream {
    fn drop(&mut self) {
        let Some(io) = self.io.take() else { return };
        if self.finished {
            if let (false, Ok(runtime)) = (self.ended, Handle::try_current()) {
                runtime.spawn(linger(io));
            }
            return;
        }
        let left = match &self.function {
            Some(returned) => returned.keep(io),
            None => Some(io),
        };
        drop(left);
    }
}

impl From<socket::Stream> for Box<dyn Socket> {
    fn from(stream: socket::Stream) -> Box<dyn Socket> {
        match stream {
            socket::Stream::Plain(stream) => Box::new(stream),
            socket::Stream::Tls(stream) => stream,
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
        let before = (out.filled().len(), out.remaining());
        let read = self.io()?.poll_read(cx, out);
        if matches!(read, Poll::Ready(Ok(()))) && before.1 > 0 && out.filled().len() == before.0 {
            self.ended = true;
        }
        read.map_err(|error| self.told(error))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.io()?.poll_write(cx, bytes).map_err(|error| self.told(error))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io()?.poll_flush(cx).map_err(|error| self.told(error))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shutdown = self.io()?.poll_shutdown(cx).map_err(|error| self.told(error));
        if matches!(shutdown, Poll::Ready(Ok(()))) {
            self.finished = true;
            self.io()?.reset_when_dropped(false);
        }
        shutdown
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.io()?.poll_write_vectored(cx, bytes).map_err(|error| self.told(error))
    }

    fn is_write_vectored(&self) -> bool {
        self.io.as_ref().is_some_and(AsyncWrite::is_write_vectored)
    }
}
