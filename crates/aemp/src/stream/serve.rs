//! The side that is asked for a data connection: it awaits what was announced, and runs a
//! registered function with it.

use std::convert::Infallible;
use std::future::pending;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use aemp_proto::{Body, NodeId, PortId, Reason, typed};
use tokio::time::{sleep, timeout};

use super::functions::Ready;
use super::io::{Returned, Stream};
use super::streams::Arrival;
use super::table::{Arriving, Place};
use super::{CONNECT, EXPECT, IDENTIFIER};
use crate::node::Node;
use crate::port::caught::caught;

/// The longest that a data connection is expected, no matter what the other node wishes: its place
/// is taken meanwhile.
const LONGEST: Duration = Duration::from_secs(300);

/// The longest ID: it has to stand in a greeting line beside a node ID. That of a Perl node has its
/// node ID in it.
const ID_MAX: usize = 1200;

/// An announced data connection: `_expect ID PORTID TIMEOUT FUNCTION ARG…`.
struct Announced {
    id: String,
    /// The port that dies if nothing comes of it.
    port: PortId,
    limit: Duration,
    function: String,
    args: Body,
}

impl Announced {
    fn read(body: &Body) -> Option<Announced> {
        let (id, port, limit, function): (String, PortId, f64, String) = typed::from_body(body).ok()?;
        // What `aemp` would escape in a greeting, Perl does not.
        let fits = |byte: u8| byte.is_ascii_graphic() && byte != b';' && byte != b'%';
        let is_id = (1..=ID_MAX).contains(&id.len()) && id.bytes().all(fits);
        let limit = Duration::try_from_secs_f64(limit).ok()?.min(LONGEST);
        let args = body.rest().rest().rest().rest();
        is_id.then_some(Announced { id, port, limit, function, args })
    }
}

impl Node {
    /// Another node has a request for data connections.
    pub(crate) fn stream_request(&self, from: &NodeId, request: &str, args: &Body) {
        let refused = match request {
            EXPECT => match Announced::read(args).filter(|announced| announced.port.node() == from) {
                Some(announced) => self.expect_stream(from, announced),
                None => Err("a data connection was announced in a form that is not the right one".into()),
            },
            CONNECT => self.dial_back(from, args),
            _ => Err(format!("{request:?} is not a request for data connections")),
        };
        if let Err(error) = refused
            && let Some(withheld) = self.may_complain()
        {
            tracing::warn!(%from, withheld, "refused a data connection: {error}");
        }
    }

    /// Awaits an announced data connection, or kills the port that wants it.
    fn expect_stream(&self, from: &NodeId, announced: Announced) -> Result<(), String> {
        let Announced { id, port, limit, function, args } = announced;
        let prepared = || {
            if self.is_secure() {
                return Err("the node is in secure mode".to_string());
            }
            let found = self.streams().functions.find(&function, self.id());
            let found = found.map_err(|reason| reason.to_string())?;
            let place = Place::take(self, from).ok_or("the node has too many data connections")?;
            let arriving = Arriving::new(self, from, &id).ok_or("the ID of the data connection is taken")?;
            Ok((found, place, arriving))
        };
        let (found, place, arriving) = prepared().inspect_err(|error| {
            self.kill(&port, Reason::text(IDENTIFIER, error));
        })?;
        let node = self.clone();
        self.inner().runtime.spawn(async move {
            // Not in the reader: this is code of users.
            let ready = match caught(async { found(&args) }).await {
                Ok(Ok(ready)) => ready,
                Ok(Err(reason)) => return node.refuse_stream(arriving, &port, &reason.to_string()).await,
                Err(panic) => return node.refuse_stream(arriving, &port, &panic).await,
            };
            arriving.prepared();
            match node.await_stream(arriving, &port, limit).await {
                Some(Ok(stream)) => node.serve(stream, &function, ready, Some(place)).await,
                Some(Err(error)) => {
                    tracing::debug!(peer = %port.node(), error, "no data connection");
                    node.kill(&port, Reason::text(IDENTIFIER, error));
                }
                None => {}
            }
        });
        Ok(())
    }

    /// The arguments of a stream's function cannot be read. If the stream's handshake has begun, it
    /// waits until the other node has been told why nothing comes of it.
    async fn refuse_stream(&self, arriving: Arriving, port: &PortId, error: &str) {
        let told = self.exited(port);
        self.kill(port, Reason::text(IDENTIFIER, error));
        if let Some(withheld) = self.may_complain() {
            tracing::warn!(from = %port.node(), withheld, "refused a data connection: {error}");
        }
        // Without an answer the handshake has ended by then.
        let _ = timeout(self.inner().shared.handshake_limit, told).await;
        drop(arriving);
    }

    /// Waits for the stream; `None` if nobody wants it any more.
    async fn await_stream(&self, arriving: Arriving, port: &PortId, limit: Duration) -> Option<Arrival> {
        let gone = self.exited(port);
        let Arriving { expected, mut arrival, asked, .. } = arriving;
        let dial = async {
            if asked.await.is_ok() {
                self.dial_awaited(expected.id(), port.node()).await;
            }
            pending::<Infallible>().await
        };
        let mut comes = pin!(async {
            tokio::select! {
                arrival = arrival.next() => arrival,
                never = dial => match never {},
            }
        });
        tokio::select! {
            arrival = &mut comes => return Some(arrival),
            () = sleep(limit) => {
                if expected.withdraw() {
                    return Some(Err(format!("node {}: no data connection within {limit:?}", self.id())));
                }
            }
            _ = gone => {
                if expected.withdraw() {
                    return None;
                }
            }
            () = self.streams().ended() => return None,
        }
        // It is in the last step of its handshake, which has a limit.
        Some(comes.await)
    }

    /// Runs a function with its stream.
    async fn serve(&self, stream: Stream, function: &str, ready: Ready, _place: Option<Place>) {
        let from = stream.peer().clone();
        let returned = Arc::<Returned>::default();
        let stream = stream.for_function(returned.clone());
        let work = caught(async { ready(self.clone(), stream).await });
        let failed = tokio::select! {
            done = work => match done {
                Ok(Ok(())) => return returned.finish().await,
                Ok(Err(reason)) => reason.to_string(),
                Err(panic) => panic,
            },
            () = self.streams().ended() => return,
        };
        if let Some(withheld) = self.may_complain() {
            tracing::warn!(%from, function, withheld, "a stream's function failed: {failed}");
        }
    }

    /// The other node cannot dial an announced data connection, and wants to be dialled: `_connect
    /// ID NODEID`.
    fn dial_back(&self, from: &NodeId, args: &Body) -> Result<(), String> {
        let wanted = typed::from_body(args).map_err(|error| error.to_string())?;
        let (id, to): (String, NodeId) = wanted;
        if to != *from {
            return Err(format!("it wants node {to} to be dialled"));
        }
        if !self.streams().ask_for_dial(&id, from) {
            return Err("what it wants to be dialled for was not announced, or is being dialled".into());
        }
        Ok(())
    }

    /// Dials an awaited data connection, which arrives then as if it had been dialled by the other
    /// node. Dropped when it is not awaited any more.
    async fn dial_awaited(&self, id: &str, to: &NodeId) {
        // It is never closed.
        let _place = self.streams().dials_back.acquire().await;
        let dialled = self.dial_stream(to, id).await;
        // From here on nobody else gets it.
        let Ok(claim) = self.streams().claim(id, to) else { return };
        match dialled {
            Err(tried) => claim.failed(format!("node {} cannot reach {to}: {tried}", self.id())),
            Ok(greeted) => match greeted.finish().await {
                Ok(stream) => claim.made(stream),
                Err(failure) => claim.failed(failure.to_string()),
            },
        }
    }

    /// Runs a function of this node with one end of a stream that does not leave the process.
    pub(super) fn serve_here(&self, function: &str, args: &Body, stream: Stream) -> Result<(), Reason> {
        let ready = self.streams().functions.find(function, self.id())?(args)?;
        let (node, function) = (self.clone(), function.to_string());
        self.inner().runtime.spawn(async move { node.serve(stream, &function, ready, None).await });
        Ok(())
    }
}
