//! A stream that does not leave the process, and ends as one that does.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};

use crate::runtime::tcp::Abort;

/// Bytes in each direction.
const PIPE: usize = 64 << 10;

/// One end of a pipe.
pub(super) struct Pipe {
    io: DuplexStream,
    /// This end is broken when it is dropped.
    breaks: AtomicBool,
    /// This end was broken, as the other one sees it; and the other way round.
    broken: Arc<AtomicBool>,
    other_broken: Arc<AtomicBool>,
}

/// Both ends of a new pipe.
pub(super) fn pipe() -> (Pipe, Pipe) {
    let (one, other) = tokio::io::duplex(PIPE);
    let [first, second] = [(); 2].map(|()| Arc::new(AtomicBool::new(false)));
    let end = |io, broken: &Arc<AtomicBool>, other_broken: &Arc<AtomicBool>| Pipe {
        io,
        breaks: AtomicBool::new(false),
        broken: broken.clone(),
        other_broken: other_broken.clone(),
    };
    (end(one, &first, &second), end(other, &second, &first))
}

impl Abort for Pipe {
    fn reset_when_dropped(&self, reset: bool) {
        self.breaks.store(reset, Ordering::Relaxed);
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        // Before the pipe itself ends.
        self.broken.store(self.breaks.load(Ordering::Relaxed), Ordering::Release);
    }
}

impl AsyncRead for Pipe {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let (filled, room) = (out.filled().len(), out.remaining());
        match Pin::new(&mut self.io).poll_read(cx, out) {
            Poll::Ready(Ok(())) if room > 0 && out.filled().len() == filled => {
                let broken = self.other_broken.load(Ordering::Acquire);
                Poll::Ready(if broken { Err(io::ErrorKind::ConnectionReset.into()) } else { Ok(()) })
            }
            other => other,
        }
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
