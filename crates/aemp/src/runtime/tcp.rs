//! TCP sockets: the options that every connection gets.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use parking_lot::Mutex;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;

use super::prefixed::Prefixed;

/// The longest that Linux lets pass between two keep-alives.
const KEEPALIVE_MAX: Duration = Duration::from_secs(32_767);

/// Sets the options of a connection: no delay unless the settings say otherwise, and the kernel's
/// own watch over it (`reliability` §3): a dead host or cable is noticed within `limit` even if
/// nothing else notices.
pub(crate) fn prepare(stream: &TcpStream, limit: Duration, nodelay: bool) -> io::Result<()> {
    stream.set_nodelay(nodelay)?;
    // 0 would be refused, and so would more than the system can count.
    let within = |time: Duration| time.clamp(Duration::from_secs(1), KEEPALIVE_MAX);
    let keepalive =
        TcpKeepalive::new().with_time(within(limit / 2)).with_interval(within(limit / 8)).with_retries(4);
    let socket = SockRef::from(stream);
    socket.set_tcp_keepalive(&keepalive)?;
    set_user_timeout(stream, Some(limit))
}

/// How long what was sent may stay unacknowledged before the kernel ends the connection.
#[cfg(any(target_os = "android", target_os = "linux"))]
fn set_user_timeout(stream: &TcpStream, limit: Option<Duration>) -> io::Result<()> {
    SockRef::from(stream).set_tcp_user_timeout(limit)
}

/// Other systems have no such option: there the node's own watch and keep-alives have to be enough.
#[cfg(not(any(target_os = "android", target_os = "linux")))]
fn set_user_timeout(_: &TcpStream, _: Option<Duration>) -> io::Result<()> {
    Ok(())
}

/// Lets the other side keep its window closed for as long as it likes, which the user timeout would
/// end: a data connection, unlike one of nodes, is read when somebody wants to read it.
pub(crate) fn be_patient(stream: &TcpStream) -> io::Result<()> {
    set_user_timeout(stream, None)
}

/// What a connection looks like to the other side when it is dropped here.
pub(crate) trait Abort {
    /// A reset, which comes at once and which nobody takes for an orderly end. What is not sent yet
    /// is lost.
    fn abort(&self) {
        self.reset_when_dropped(true);
    }

    /// A reset, or an orderly end.
    fn reset_when_dropped(&self, reset: bool);
}

impl Abort for TcpStream {
    fn reset_when_dropped(&self, reset: bool) {
        // A socket that is no more has ended already.
        let _ = SockRef::from(self).set_linger(reset.then_some(Duration::ZERO));
    }
}

impl Abort for OwnedReadHalf {
    fn reset_when_dropped(&self, reset: bool) {
        self.as_ref().reset_when_dropped(reset);
    }
}

impl<S: Abort> Abort for Prefixed<S> {
    fn reset_when_dropped(&self, reset: bool) {
        self.inner().reset_when_dropped(reset);
    }
}

impl<S: Abort + ?Sized> Abort for Box<S> {
    fn reset_when_dropped(&self, reset: bool) {
        (**self).reset_when_dropped(reset);
    }
}

/// Half of a stream, of which the other half is in other hands. Unlike one of tokio's it gives
/// access to the whole.
pub(crate) struct Half<S>(Arc<Mutex<S>>);

/// Parts a stream into one half to be read and one to be written.
pub(crate) fn split<S>(stream: S) -> (Half<S>, Half<S>) {
    let shared = Arc::new(Mutex::new(stream));
    (Half(shared.clone()), Half(shared))
}

impl<S: Abort> Abort for Half<S> {
    fn reset_when_dropped(&self, reset: bool) {
        self.0.lock().reset_when_dropped(reset);
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Half<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0.lock()).poll_read(cx, out)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Half<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.0.lock()).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0.lock()).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0.lock()).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.0.lock()).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.lock().is_write_vectored()
    }
}
