//! What code asks for: to run in a trace; and what is done for messages that are followed.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context as TaskContext, Poll};

use aemp_proto::kernel::Time;
use aemp_proto::outbox::tag_of;
use aemp_proto::{Body, NodeId, PortId, TraceContext};
use tracing::Span;

use super::current::{self, AtNode, Current, Restore};
use super::handler_span::{DeliveryTrace, HandlerSpan, OpenSpan};
use super::hop::{Hop, HopKind};
use crate::log::clock;
use crate::message::Envelope;
use crate::node::Node;
use crate::runtime::sender;
use aemp_ports::deliver::{deliver_envelope, deliver_traced};
use aemp_ports::{Host, PortNo};

impl AtNode for Node {
    fn identity(&self) -> usize {
        Host::identity(self)
    }

    fn look(&self, more: bool) {
        let reasons = &self.ports().slow_path_reasons;
        match more {
            true => reasons.fetch_add(1, Ordering::Relaxed),
            false => reasons.fetch_sub(1, Ordering::Relaxed),
        };
    }

    fn handled(&self, hop: Hop, began: Time) {
        let shared = &self.inner().shared;
        let took = shared.now().saturating_sub(began).as_secs_f64();
        shared.tracer.remember(Hop { took, ..hop });
    }
}

impl Node {
    /// The trace that the running code is in the middle of: that of the message which the port
    /// handles, or what it was given with [`Node::traced`]. `None` if that is not recorded.
    ///
    /// To begin a span of another library with it, such as one of OpenTelemetry, give it on as the
    /// text that [`TraceContext`] prints, a `traceparent`.
    pub fn trace_context(&self) -> Option<TraceContext> {
        if !self.ports().needs_slow_path() {
            return None;
        }
        current::at(self).filter(TraceContext::is_sampled)
    }

    /// A new trace that is recorded.
    pub fn new_trace(&self) -> TraceContext {
        self.inner().shared.tracer.new_trace()
    }

    /// Runs code in a trace: what it sends through this node, calls and spawns follows from
    /// `context`, and so does what the receivers send while they handle that, on all nodes of this
    /// kind. The handlers run in a span of `tracing`, at the target `aemp::message`, and nodes
    /// remember what became of each message. If `context` is not sampled, nothing is recorded, and
    /// nothing sent with the messages.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aemp::{Node, PortId, SendError};
    /// fn example(node: &Node, port: &PortId, traceparent: &str) -> Result<(), SendError> {
    ///     match traceparent.parse() {
    ///         Ok(context) => node.in_trace(context, || node.send(port, ("resize", 640, 480))),
    ///         Err(_) => node.send(port, ("resize", 640, 480)),
    ///     }
    /// }
    /// ```
    pub fn in_trace<T>(&self, context: TraceContext, code: impl FnOnce() -> T) -> T {
        let current = Current::new(Arc::new(self.clone()), context, Span::none());
        let _restore = Restore(current::replace(Some(current)));
        code()
    }

    /// As [`Node::in_trace`], for what a future does whenever it is polled.
    ///
    /// # Cancel safety
    ///
    /// That of the future.
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use aemp::{CallError, Node, PortId};
    /// async fn add(node: &Node, adder: &PortId) -> Result<i64, CallError> {
    ///     let call = node.call(adder, Duration::from_secs(1), |reply| ("add", 20, 22, reply));
    ///     node.traced(node.new_trace(), call).await
    /// }
    /// ```
    pub fn traced<F: Future>(&self, context: TraceContext, future: F) -> Traced<F> {
        Traced { node: self.clone(), context, future: Box::pin(future) }
    }
}

/// The future of [`Node::traced`].
#[must_use = "a future does nothing unless it is polled"]
pub struct Traced<F> {
    node: Node,
    context: TraceContext,
    future: Pin<Box<F>>,
}

impl<F> fmt::Debug for Traced<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Traced({})", self.context)
    }
}

impl<F: Future> Future for Traced<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<F::Output> {
        let this = self.get_mut();
        let (node, context, future) = (&this.node, this.context, &mut this.future);
        node.in_trace(context, || future.as_mut().poll(task))
    }
}

impl Node {
    /// Something is sent while there is a reason to look: its place in a trace, if it is followed.
    /// That is remembered.
    #[cold]
    pub(crate) fn follow(
        &self,
        port: &PortId,
        peer: Option<&NodeId>,
        tag: impl FnOnce() -> Option<String>,
    ) -> Option<(TraceContext, Option<String>)> {
        let shared = &self.inner().shared;
        let following = &shared.tracer;
        let mut tag = Some(tag);
        let mut known = None;
        let outer = current::at(self);
        let parent = match outer {
            Some(context) => context.is_sampled().then_some(context)?,
            None => {
                let find = || {
                    known = Some(tag.take().and_then(|tag| tag()));
                    known.clone().flatten()
                };
                self.begins_trace(port, find).then(|| following.new_trace())?
            }
        };
        if !following.may_follow(shared.now()) {
            return None;
        }
        let context = parent.at(following.new_span());
        let tag = known.unwrap_or_else(|| tag.take().and_then(|tag| tag()));
        following.remember(Hop {
            trace: context.trace_hex(),
            span: context.span_hex(),
            parent: outer.map(|parent| parent.span_hex()),
            kind: HopKind::Sent,
            port: port.to_string(),
            tag: tag.clone(),
            peer: peer.map(NodeId::to_string),
            time: clock::now(),
            ..Hop::default()
        });
        Some((context, tag))
    }

    /// Whether a message begins a trace, by a rule.
    fn begins_trace(&self, port: &PortId, tag: impl FnOnce() -> Option<String>) -> bool {
        let shared = &self.inner().shared;
        if !shared.tracer.has_rules() {
            return false;
        }
        let (begins, ruled) = shared.tracer.matches(port, tag, shared.now());
        if !ruled {
            self.look(false);
        }
        begins
    }

    /// Whether each message that comes from another node has to be looked at.
    #[inline]
    pub(crate) fn follows_by_rules(&self) -> bool {
        self.inner().shared.tracer.has_rules()
    }

    /// Delivers a message of another node; one is looked at if it has a place in a trace, or there
    /// are rules.
    pub(crate) fn deliver_from(
        &self,
        number: PortNo,
        peer: &NodeId,
        body: Body,
        trace: Option<TraceContext>,
    ) {
        if trace.is_none() && !self.follows_by_rules() {
            deliver_envelope(self, number, Envelope::Encoded(body));
            return;
        }
        let followed = self.follow_here(number, peer, trace, || tag_of(&body));
        let message = Envelope::Encoded(body);
        match followed {
            Some(followed) => drop(deliver_traced(self, number, message, followed)),
            None => drop(deliver_envelope(self, number, message)),
        }
    }

    /// A message has come from another node: its place in a trace, if it has one, or a rule says
    /// that one begins here.
    pub(crate) fn follow_here(
        &self,
        number: PortNo,
        peer: &NodeId,
        trace: Option<TraceContext>,
        tag: impl Fn() -> Option<String>,
    ) -> Option<DeliveryTrace> {
        let shared = &self.inner().shared;
        let context = match trace {
            Some(context) => context,
            None => self.begins_trace(&self.port_id(number), &tag).then(|| shared.tracer.new_trace())?,
        };
        // A peer may say so of all that it sends.
        let may = shared.tracer.may_follow(shared.now());
        may.then(|| DeliveryTrace {
            begins: trace.is_none(),
            ..self.followed(context, tag(), Some(peer.clone()))
        })
    }

    fn followed(&self, context: TraceContext, tag: Option<String>, peer: Option<NodeId>) -> DeliveryTrace {
        DeliveryTrace {
            context,
            begins: false,
            tag,
            peer,
            arrived: self.inner().shared.now(),
            time: clock::now(),
        }
    }

    /// As [`Node::follow`], for a port of this node.
    pub(crate) fn follow_local(
        &self,
        number: PortNo,
        tag: impl FnOnce() -> Option<String>,
    ) -> Option<DeliveryTrace> {
        let (context, tag) = self.follow(&self.port_id(number), None, tag)?;
        Some(self.followed(context, tag, None))
    }

    /// The handler of a followed message begins. What this thread sends follows from it, if the
    /// port runs here: the mailbox of an async port may be elsewhere.
    pub(crate) fn begin_handling(&self, number: PortNo, followed: DeliveryTrace) -> HandlerSpan {
        let shared = &self.inner().shared;
        let DeliveryTrace { context: sending, begins, tag, peer, arrived, time } = followed;
        let context = sending.at(shared.tracer.new_span());
        let (port, now) = (self.port_id(number), shared.now());
        let waited = now.saturating_sub(arrived);
        let hop = Hop {
            trace: context.trace_hex(),
            span: context.span_hex(),
            parent: (!begins).then(|| sending.span_hex()),
            kind: HopKind::Handled,
            port: port.to_string(),
            tag,
            peer: peer.map(|peer| peer.to_string()),
            time,
            waited: waited.as_secs_f64(),
            ..Hop::default()
        };
        let runs_here = sender::current() == number.get();
        let span = match runs_here {
            true => tracing::info_span!(
                target: "aemp::message",
                "message",
                %port,
                tag = hop.tag.as_deref(),
                trace_id = hop.trace,
                span_id = hop.span,
                ?waited
            ),
            false => Span::none(),
        };
        let node: Arc<dyn AtNode> = Arc::new(self.clone());
        let outer = runs_here.then(|| current::replace(Some(Current::new(node.clone(), context, span))));
        HandlerSpan(Box::new(OpenSpan { hop, context, began: now, node, outer: outer.flatten() }))
    }
}
