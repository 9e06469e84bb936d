//! The side that wants a stream.

use std::future::{Future, pending};
use std::time::Duration;

use aemp_proto::wire::BodyBuilder;
use aemp_proto::{AnyMessage, Body, NodeId, PortId, Reason, typed};
use bytes::BytesMut;
use serde::Serialize;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::io::Stream;
use super::pipe::{Pipe, pipe};
use super::table::Arriving;
use super::{CONNECT, EXPECT, REQUESTS, StreamError};
use crate::guard::ExitFuture;
use crate::message::EncodeError;
use crate::node::Node;
use crate::port::Context;
use crate::runtime::handshake::Failure;

/// Where the other node may be asked to dial, own dialling ends after half of the time, and at the
/// latest after this one: an address behind a firewall may never answer.
const DIALLING: Duration = Duration::from_secs(10);

/// The longest time that is announced; more might not be understood as a time.
const DAY: Duration = Duration::from_secs(24 * 3600);

impl Node {
    /// Opens a data connection: runs a function that the other node has registered with
    /// [`Builder::stream_function`](crate::Builder::stream_function), and gives the other end of
    /// its stream.
    ///
    /// This node dials the addresses that the other one has in the shared database. If it reaches
    /// none and listens itself, it asks the other one to dial. Between the two nodes nothing but
    /// the stream's own bytes is in order: it may overtake messages, and they may overtake it.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up. The function may run all the same, with a stream that has
    /// ended.
    ///
    /// # Errors
    ///
    /// See [`StreamError`]; all of it takes at most `limit`. The other node waits for at most five
    /// minutes.
    pub fn connect_stream<A: Serialize>(
        &self,
        to: &NodeId,
        function: &str,
        args: A,
        limit: Duration,
    ) -> impl Future<Output = Result<Stream, StreamError>> + Send + use<A> {
        self.stream_with(to, function, typed::to_body(&args), limit)
    }

    fn stream_with(
        &self,
        to: &NodeId,
        function: &str,
        args: Result<Body, EncodeError>,
        limit: Duration,
    ) -> impl Future<Output = Result<Stream, StreamError>> + Send + use<> {
        let (node, to, function) = (self.clone(), to.clone(), function.to_string());
        async move { node.stream_to(to, &function, args?, limit).await }
    }

    async fn stream_to(
        &self,
        to: NodeId,
        function: &str,
        args: Body,
        limit: Duration,
    ) -> Result<Stream, StreamError> {
        if to == *self.id() {
            return self.stream_here(function, &args);
        }
        let attempt = Attempt::begin(self, &to, function, &args, limit)?;
        tokio::select! {
            () = self.streams().ended() => Err(StreamError::Shutdown),
            result = timeout(limit, attempt.run(limit)) => {
                result.unwrap_or(Err(StreamError::TimedOut { node: to, limit }))
            }
        }
    }

    fn stream_here(&self, function: &str, args: &Body) -> Result<Stream, StreamError> {
        if self.streams().has_ended() {
            return Err(StreamError::Shutdown);
        }
        let stream = |end: Pipe| Stream::new(self.id().clone(), Box::new(end), BytesMut::new());
        let (ours, theirs) = pipe();
        self.serve_here(function, args, stream(theirs))
            .map_err(|reason| StreamError::Refused { node: self.id().clone(), reason })?;
        Ok(stream(ours))
    }
}

impl Context<'_> {
    /// Opens a data connection, see [`Node::connect_stream`], and runs `done` with it in the own
    /// port. If no stream comes, the own port dies with `AnyEvent::MP::DataConn, TEXT`, as in
    /// Perl; [`Context::task`] with [`Node::connect_stream`] leaves that to you.
    pub fn connect_stream(
        &mut self,
        to: &NodeId,
        function: &str,
        args: impl Serialize,
        limit: Duration,
        done: impl FnOnce(&mut Context<'_>, Stream) + Send + 'static,
    ) {
        let stream = self.node().stream_with(to, function, typed::to_body(&args), limit);
        self.task(stream, |cx, stream| match stream {
            Ok(stream) => done(cx, stream),
            Err(error) => cx.end(error.reason()),
        });
    }
}

/// One attempt to get a stream. Its port gets the answer that says that the data connection was
/// announced, and is killed by the other node if nothing comes of it.
struct Attempt<'a> {
    node: &'a Node,
    to: &'a NodeId,
    id: String,
    port: OwnPort<'a>,
    announced: oneshot::Receiver<()>,
    refused: ExitFuture,
    lost: ExitFuture,
}

impl<'a> Attempt<'a> {
    /// Announces the data connection, and asks for an answer behind that.
    fn begin(
        node: &'a Node,
        to: &'a NodeId,
        function: &str,
        args: &Body,
        limit: Duration,
    ) -> Result<Attempt<'a>, StreamError> {
        let (sender, announced) = oneshot::channel();
        let mut sender = Some(sender);
        let port = node.port(move |_: &mut Context<'_>, _: AnyMessage| {
            // An error says that the attempt is over.
            let _ = sender.take().map(|sender| sender.send(()));
        });
        let port = OwnPort { node, id: port.into() };
        let (refused, lost) = (node.exited(&port.id), node.exited(&to.control_port()));
        let id = unguessable()?;
        let expect = expect(&id, &port.id, limit, function, args)?;
        node.send(&to.control_port(), expect)?;
        node.send(&to.control_port(), ("snd", &port.id))?;
        Ok(Attempt { node, to, id, port, announced, refused, lost })
    }

    async fn run(self, limit: Duration) -> Result<Stream, StreamError> {
        let Attempt { node, to, id, port: _port, announced, refused, lost } = self;
        let stream = async {
            if announced.await.is_err() {
                return pending().await; // the port died: `refused` says why
            }
            establish(node, to, &id, limit).await
        };
        let result = tokio::select! {
            biased;
            stream = stream => stream,
            reason = refused => Err(StreamError::Refused { node: to.clone(), reason }),
            reason = lost => Err(StreamError::Lost { node: to.clone(), reason }),
        };
        // The end of the node is also the end of its ports and connections, but comes first.
        result.map_err(|error| if node.streams().has_ended() { StreamError::Shutdown } else { error })
    }
}

/// Dials the announced data connection, or lets it be dialled.
async fn establish(node: &Node, to: &NodeId, id: &str, limit: Duration) -> Result<Stream, StreamError> {
    let listens = !node.local_addrs().is_empty();
    let dialling = if listens { DIALLING.min(limit / 2) } else { limit };
    // It is never closed.
    let place = node.streams().dials.acquire().await;
    let dialled = timeout(dialling, node.dial_stream(to, id)).await;
    let tried = match dialled {
        Ok(Ok(greeted)) => {
            let failed = |error: Failure| StreamError::Failed { node: to.clone(), error: error.to_string() };
            return greeted.finish().await.map_err(failed);
        }
        Ok(Err(tried)) => tried,
        Err(_) => format!("no answer within {dialling:?}"),
    };
    drop(place);
    if !listens {
        return Err(StreamError::Unreachable { node: to.clone(), tried });
    }
    tracing::debug!(peer = %to, tried, "asking for being dialled");
    let taken = || StreamError::Failed { node: to.clone(), error: "the ID is taken".into() };
    let mut arriving = Arriving::new(node, to, id).ok_or_else(taken)?;
    arriving.prepared();
    node.send(&to.control_port(), (format!("{REQUESTS}{CONNECT}"), id, node.id()))?;
    arriving.arrival.next().await.map_err(|error| StreamError::Failed { node: to.clone(), error })
}

/// A port that ends with its owner.
struct OwnPort<'a> {
    node: &'a Node,
    id: PortId,
}

impl Drop for OwnPort<'_> {
    fn drop(&mut self) {
        self.node.kill(&self.id, Reason::NORMAL);
    }
}

/// An ID that nobody can guess: anyone who has it and the secret gets the stream.
fn unguessable() -> Result<String, StreamError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| StreamError::Random(error.to_string()))?;
    Ok(format!("{:032x}", u128::from_le_bytes(bytes)))
}

/// The announcement, `_expect ID PORTID TIMEOUT FUNCTION ARG…`.
fn expect(
    id: &str,
    port: &PortId,
    limit: Duration,
    function: &str,
    args: &Body,
) -> Result<Body, EncodeError> {
    let head = (format!("{REQUESTS}{EXPECT}"), id, port, limit.min(DAY).as_secs_f64(), function);
    let mut body = BodyBuilder::default();
    body.body(&typed::to_body(&head)?).body(args);
    Ok(body.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn all_that_ends_with_the_node_is_its_end() {
        let limit = Duration::from_secs(20);
        let node = Node::builder().start().await.expect("it starts");
        let far = NodeId::new("far").expect("a node ID");
        let args = typed::to_body(&()).expect("it encodes");
        let attempt = Attempt::begin(&node, &far, "echo", &args, limit).expect("it is sent");
        node.shutdown().await;
        let error = timeout(limit, attempt.run(limit)).await.expect("an answer").map(drop);
        assert!(matches!(error, Err(StreamError::Shutdown)), "{error:?}");
        let here = node.connect_stream(node.id(), "echo", (), limit).await.map(drop);
        assert!(matches!(here, Err(StreamError::Shutdown)), "{here:?}");
    }
}
