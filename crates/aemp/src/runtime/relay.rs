//! Carried connections as this node has them: the machine under a lock, outboxes on one side of it,
//! streams on the other.
//!
//! A relayed connection is a stream of bytes like a socket, [`Relayed`], and what runs on it is
//! what runs on a socket. Bytes arrive with the reader of the relay's link, which never waits:
//! they lie here, bounded by the window, until they are read.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use aemp_proto::relay::{CLOSED, EndId, RelayAction};
use aemp_proto::wire::{RelayRequest, Request};
use aemp_proto::{NodeId, kernel::Route};
use bytes::{Buf as _, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::link;
use super::relaying::{Call, Piece, Pipe, Relaying, State};
use super::tcp::Abort;
use crate::node::Node;
use aemp_ports::lock_order::{OrderedGuard, RELAYING};

impl Relaying {
    /// The outbox of a node broke, and nothing of the old connection is delivered any more.
    pub(crate) fn down(&self, node: &Node, peer: &NodeId, reason: &str) {
        let mut state = self.0.lock();
        state.relay.down(peer, reason);
        state.settle(node);
    }

    /// A request that came over the connection to `from`.
    pub(crate) fn request(&self, node: &Node, from: &NodeId, request: RelayRequest) {
        let mut state = self.0.lock();
        state.relay.request(from, request, node.inner().shared.now());
        state.settle(node);
        let calls = std::mem::take(&mut state.calls);
        // What becomes of the streams needs the lock.
        drop(state);
        for Call { end, via, from } in calls {
            link::welcome_relayed(node, Relayed { node: node.clone(), end }, via, &from);
        }
    }

    /// Begins a connection to a node through another one.
    pub(crate) fn dial(&self, node: &Node, via: &NodeId, to: &NodeId) -> Relayed {
        let mut state = self.0.lock();
        let end = state.relay.dial(via, to);
        state.pipes.insert(end, Pipe::default());
        state.settle(node);
        Relayed { node: node.clone(), end }
    }
}

impl State {
    /// Carries out what the machine wants.
    fn settle(&mut self, node: &Node) {
        while let Some(action) = self.relay.poll() {
            match action {
                RelayAction::Send { to, request } => send(node, &to, request),
                RelayAction::Called { end, via, from } => {
                    self.pipes.insert(end, Pipe::default());
                    self.calls.push(Call { end, via, from });
                }
                RelayAction::Came { end, bytes } => {
                    let Some(pipe) = self.pipes.get_mut(&end) else { continue };
                    // A copy: a piece must not keep the whole batch that it was read with.
                    let left = Bytes::copy_from_slice(&bytes);
                    pipe.came.push_back(Piece { bytes: left.len(), left });
                    pipe.reader.take().into_iter().for_each(Waker::wake);
                }
                RelayAction::Room { end } => {
                    let Some(pipe) = self.pipes.get_mut(&end) else { continue };
                    pipe.writer.take().into_iter().for_each(Waker::wake);
                }
                RelayAction::Ended { end, reason } => {
                    let Some(pipe) = self.pipes.get_mut(&end) else { continue };
                    pipe.end(reason);
                }
            }
        }
    }

    fn close(&mut self, node: &Node, end: EndId) {
        self.relay.close(end, CLOSED);
        self.settle(node);
        if let Some(pipe) = self.pipes.get_mut(&end) {
            pipe.end(CLOSED.into());
        }
    }
}

/// Puts a request into the outbox of a node, if that has the connection that the request is meant
/// for.
fn send(node: &Node, to: &NodeId, request: RelayRequest) {
    let remote = node.remotes().get_or_create(to);
    let queued = {
        let mut outbox = remote.outbox.lock();
        if outbox.link().is_none() {
            return; // it broke just now, and with it all that went over it
        }
        outbox.request(&Request::Relay(request))
    };
    node.queued(&remote, queued);
}

/// One end of a relayed connection. Dropping it ends the connection.
pub(crate) struct Relayed {
    node: Node,
    end: EndId,
}

impl Relayed {
    fn state(&self) -> OrderedGuard<'_, State, RELAYING> {
        self.node.inner().shared.relaying.0.lock()
    }
}

impl AsyncRead for Relayed {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut state = self.state();
        let Some(pipe) = state.pipes.get_mut(&self.end) else { return Poll::Ready(Ok(())) };
        let Some(piece) = pipe.came.front_mut() else {
            if let Some(reason) = &pipe.ended {
                let aborted = || io::Error::new(io::ErrorKind::ConnectionAborted, reason.clone());
                return Poll::Ready(if reason == CLOSED { Ok(()) } else { Err(aborted()) });
            }
            pipe.reader = Some(cx.waker().clone());
            return Poll::Pending;
        };
        let count = piece.left.len().min(out.remaining());
        out.put_slice(&piece.left[..count]);
        piece.left.advance(count);
        if piece.left.is_empty() {
            let bytes = piece.bytes;
            pipe.came.pop_front();
            state.relay.read(self.end, bytes);
            state.settle(&self.node);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Relayed {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut state = self.state();
        let ended = match state.pipes.get(&self.end) {
            Some(pipe) => pipe.ended.clone(),
            None => Some("closed".into()),
        };
        if let Some(reason) = ended {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::BrokenPipe, reason)));
        }
        let count = state.relay.write(self.end, bytes);
        if count == 0 && !bytes.is_empty() {
            if let Some(pipe) = state.pipes.get_mut(&self.end) {
                pipe.writer = Some(cx.waker().clone());
            }
            return Poll::Pending;
        }
        state.settle(&self.node);
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.state().close(&self.node, self.end);
        Poll::Ready(Ok(()))
    }
}

impl Abort for Relayed {
    /// There are no bytes of its own that an end could have to wait behind.
    fn reset_when_dropped(&self, _reset: bool) {}
}

impl Drop for Relayed {
    fn drop(&mut self) {
        let mut state = self.state();
        state.close(&self.node, self.end);
        state.pipes.remove(&self.end);
    }
}

impl Node {
    /// How a node is reached that is connected now: over a connection of its own, or through
    /// another node that carries it, because neither of the two can be dialled by the other. `None`
    /// if it is not connected.
    pub fn route(&self, node: &NodeId) -> Option<Route> {
        self.inner().shared.up.read().get(node).cloned()
    }

    /// How many connections this node carries for others, now.
    pub fn relayed_connections(&self) -> usize {
        self.inner().shared.relaying.relayed()
    }
}

#[cfg(test)]
mod tests {
    use aemp_proto::wire::RelayId;
    use tokio::io::AsyncReadExt as _;

    use super::*;

    /// What a reader is told of a connection that the other side ends like this.
    async fn told(reason: &str) -> io::Result<usize> {
        let node = Node::builder().start().await.expect("it starts");
        let [via, far] = ["carrier", "far"].map(|id| NodeId::new(id).expect("a node ID"));
        let relaying = &node.inner().shared.relaying;
        relaying.up(&via);
        let mut relayed = relaying.dial(&node, &via, &far);
        let first = RelayId { by_sender: false, number: 1 };
        relaying.request(&node, &via, RelayRequest::End(first, reason.into()));
        relayed.read(&mut [0; 8]).await
    }

    #[tokio::test]
    async fn a_reader_is_told_why_a_connection_ended() {
        assert_eq!(told(CLOSED).await.expect("the end"), 0);
        let error = told("the carrier has lost far").await.expect_err("it was not closed");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
        assert_eq!(error.to_string(), "the carrier has lost far");
    }
}
