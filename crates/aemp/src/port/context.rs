//! The context in which the code of a port runs: the verbs of the node, with the own port filled
//! in.

use std::fmt::{self, Display};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use aemp_proto::{NodeId, PortId, Reason};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::exit_result::ExitResult;
use super::handlers::{Change, Tagged};
use super::task::Mailbox;
use crate::guard::MonitorGuard;
use crate::message::{Destination, Envelope, FromMessage, IntoMessage, ReplyTo};
use crate::node::Node;
use crate::send_error::SendError;
use aemp_ports::actor::{Callback, Closure, Handle};
use aemp_ports::effects::{Becomes, Effects};
use aemp_ports::host::PortState;
use aemp_ports::known::Known;
use aemp_ports::mailbox::Queue;
use aemp_ports::monitor::{Action, PortAction};
use aemp_ports::pressure::Pressure;
use aemp_ports::{Host as _, PortNo};

/// What code in a port has at hand. Everything it does takes effect in the order in which it is
/// done.
///
/// An error or panic of the code kills the port with the reason `die, TEXT`.
pub struct Context<'a> {
    node: &'a Node,
    pub(super) number: PortNo,
    /// The own ID, if another node chose the name.
    name: Option<Arc<PortId>>,
    state: Option<PortState>,
    pub(crate) effects: Option<Box<Effects<Node>>>,
}

impl fmt::Debug for Context<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Context({})", self.me())
    }
}

impl<'a> Context<'a> {
    /// A context for the port with this number and state, and its ID, if another node chose the
    /// name.
    #[inline]
    pub(crate) fn new(
        node: &'a Node,
        number: PortNo,
        name: Option<Arc<PortId>>,
        state: Option<PortState>,
    ) -> Context<'a> {
        Context { node, number, name, state, effects: None }
    }

    /// The node.
    pub fn node(&self) -> &'a Node {
        self.node
    }

    /// The ID of the own port.
    #[doc(alias = "self")]
    #[inline]
    pub fn me(&self) -> PortId {
        match &self.name {
            None => self.node.own_port(self.number),
            Some(name) => PortId::clone(name),
        }
    }

    /// Sends a message. Same order and loss as [`Node::send`]; a message that cannot be encoded
    /// kills the own port.
    #[doc(alias = "snd")]
    #[doc(alias = "tell")]
    #[doc(alias = "cast")]
    #[inline]
    pub fn send<M: IntoMessage>(&mut self, to: &(impl Destination<M> + ?Sized), message: M) {
        let sent = self.node.send_under_pressure(to.port_id(), message);
        self.sent(sent);
    }

    /// What follows from having sent: a port whose receiver is behind waits for it, one that could
    /// not send ends.
    #[inline(always)]
    pub(crate) fn sent(&mut self, sent: Result<Option<Pressure<Node>>, SendError>) {
        match sent {
            Ok(None) => {}
            Ok(Some(receiver)) => self.wait_for(receiver),
            Err(error) => self.not_sent(error),
        }
    }

    #[cold]
    fn not_sent(&mut self, error: SendError) {
        self.fail(error);
    }

    /// The port runs again only when this receiver, and all others that it has to wait for, have
    /// drained.
    #[cold]
    pub(crate) fn wait_for(&mut self, receiver: Pressure<Node>) {
        self.effects().wait_for(receiver);
    }

    /// Answers a call. A tuple is sent as several values, everything else as one. If the answer
    /// cannot be sent, because it has no form or is too large, the caller gets
    /// [`CallError::BadReply`](crate::CallError::BadReply), and a line is logged.
    pub fn reply<T: Serialize + Send + 'static>(&mut self, to: ReplyTo<T>, answer: T) {
        match self.node.answer_call(to.port(), answer) {
            Ok(None) => {}
            Ok(Some(caller)) => self.wait_for(caller),
            Err(error) => self.not_answered(&error),
        }
    }

    #[cold]
    fn not_answered(&self, error: &SendError) {
        if let Some(withheld) = self.node.may_complain() {
            tracing::error!(port = %self.me(), %error, withheld, "an answer was not sent");
        }
    }

    /// Kills a port; the own one ends when the code that runs now returns.
    #[doc(alias = "kil")]
    pub fn kill(&mut self, port: &PortId, reason: Reason) {
        if self.node.local_number(port) == Some(self.number) {
            self.end(reason)
        } else {
            let killed = self.node.kill_under_pressure(port, reason);
            killed.into_iter().for_each(|receiver| self.wait_for(receiver));
        }
    }

    /// Ends the own port with this reason, when the code that runs now returns. The first reason
    /// counts.
    pub fn end(&mut self, reason: Reason) {
        self.effects().end(reason);
    }

    /// Ends the own port with `die, TEXT`.
    pub fn fail(&mut self, error: impl Display) {
        self.end(Reason::died(error));
    }

    /// The state that the port was opened with.
    ///
    /// # Panics
    ///
    /// The port has no state, or one of another type; that kills the port.
    pub fn state<S: 'static>(&mut self) -> &mut S {
        let state = self.state.as_mut().and_then(|state| state.downcast_mut());
        state.unwrap_or_else(|| panic!("this port has no state of type {}", std::any::type_name::<S>()))
    }

    /// Monitors a port; `action` runs in the own port, in order with its messages, and not after
    /// its death.
    #[doc(alias = "mon")]
    pub fn monitor(
        &mut self,
        port: &PortId,
        action: impl FnOnce(&mut Context<'_>, Reason) + Send + 'static,
    ) -> MonitorGuard {
        self.node.set_monitor(port, Action::Port(self.number, PortAction::Job(Box::new(action))))
    }

    /// Monitors a port and dies with it, if it dies abnormally.
    #[doc(alias = "link")]
    pub fn monitor_kill(&mut self, port: &PortId) -> MonitorGuard {
        self.node.set_monitor(port, Action::Port(self.number, PortAction::Kill))
    }

    /// Spawns a port on a node, see [`Node::spawn`].
    pub fn spawn(&mut self, node: &NodeId, function: &str, args: impl Serialize) -> PortId {
        match self.node.spawn_under_pressure(node, function, args) {
            Ok((port, pressure)) => {
                pressure.into_iter().for_each(|receiver| self.wait_for(receiver));
                port
            }
            Err(error) => {
                self.fail(error);
                node.control_port()
            }
        }
    }

    /// Runs `action` in the own port after `delay`, exclusive with its handlers. It is forgotten
    /// when the port dies.
    pub fn after(&mut self, delay: Duration, action: impl FnOnce(&mut Context<'_>) + Send + 'static) {
        // Made in the task: this thread may be inside of another runtime.
        self.task(async move { tokio::time::sleep(delay).await }, move |cx, ()| action(cx));
    }

    /// Runs a future beside the port and then `done` in it with the result. A panic of the future
    /// kills the port, and the death of the port ends the future.
    pub fn task<T: Send + 'static>(
        &mut self,
        future: impl Future<Output = T> + Send + 'static,
        done: impl FnOnce(&mut Context<'_>, T) + Send + 'static,
    ) {
        self.node.task_of(self.number, future, done);
    }

    /// Calls a port: sends what `message` makes of the reply port, and runs `done` in the own port
    /// with the answer, or with the error if the port dies or `limit` passes first.
    #[doc(alias = "cal")]
    #[doc(alias = "ask")]
    pub fn call<M, R>(
        &mut self,
        port: &(impl Destination<M> + ?Sized),
        limit: Duration,
        message: impl FnOnce(ReplyTo<R>) -> M,
        done: impl FnOnce(&mut Context<'_>, Result<R, crate::call::CallError>) + Send + 'static,
    ) where
        M: IntoMessage,
        R: DeserializeOwned + Send + 'static,
    {
        let (call, pressure) = self.node.begin_call(port.port_id(), limit, message);
        pressure.into_iter().for_each(|receiver| self.wait_for(receiver));
        self.task(call, |cx, heard| done(cx, heard.open()));
    }

    /// Adds or replaces the handler of a tag, in a port with tagged handlers, from the next message
    /// on.
    pub fn on<T: DeserializeOwned>(
        &mut self,
        tag: &str,
        handler: impl FnMut(&mut Context<'_>, T) + Send + 'static,
    ) {
        self.effects().change(Change::on(tag, handler));
    }

    /// Removes the handler of a tag, from the next message on.
    pub fn off(&mut self, tag: &str) {
        self.effects().change(Change::Off(tag.into()));
    }

    /// Sets the handler for messages that no tag fits, from the next message on.
    pub fn fallback<M: FromMessage>(&mut self, handler: impl FnMut(&mut Context<'_>, M) + Send + 'static) {
        self.effects().change(Change::other(handler));
    }

    /// From the next message on the own port is a typed one with this handler. What waits stays in
    /// order.
    ///
    /// For the init function of a spawned port: without a receiver it does not come to exist.
    #[doc(alias = "rcv")]
    pub fn receive<M: FromMessage>(&mut self, handler: impl FnMut(&mut Context<'_>, M) + Send + 'static) {
        let state = self.state.take();
        self.become_callback(Callback::<Node, M, _>::new(Closure(handler), state), Queue::default());
    }

    /// From the next message on the own port has tagged handlers: those that are added with
    /// [`Context::on`], now or later. In an init function `on` alone does this too.
    pub fn receive_tagged(&mut self) {
        let state = self.state.take();
        self.effects().become_another(Becomes::OfChanges(Box::new(move |changes| {
            let actor = Callback::<Node, Envelope, Tagged>::new(Tagged::new(changes), state);
            (Known::boxed(Queue::<Node, Envelope>::default()), Box::new(actor))
        })));
    }

    /// From now on the own port is an async one, and this is its code; see [`Node::port_async`].
    pub fn receive_async<F>(&mut self, code: impl FnOnce(Mailbox) -> F + Send + 'static)
    where
        F: Future<Output = ExitResult> + Send + 'static,
    {
        let start = Box::new(move |node: &Node, number, crowded| node.start_task(number, crowded, code));
        self.effects().become_another(Becomes::Task(start));
    }

    fn become_callback<M: FromMessage, H: Handle<Node, M> + 'static>(
        &mut self,
        actor: Callback<Node, M, H>,
        mailbox: Queue<Node, M>,
    ) {
        self.effects().become_another(Becomes::Callback(Known::boxed(mailbox), Box::new(actor)));
    }

    /// Sets the state that [`Context::state`] gives, for the init function of a spawned port:
    /// before `receive`.
    pub fn set_state<S: Send + 'static>(&mut self, state: S) {
        self.state = Some(Box::new(state));
    }

    /// The state, which goes back to the port, and what the code has asked for.
    #[inline]
    pub(crate) fn end_of_run(self) -> (Option<PortState>, Option<Box<Effects<Node>>>) {
        (self.state, self.effects)
    }

    /// To be told what is to happen when the code has ended.
    #[cold]
    pub(crate) fn effects(&mut self) -> &mut Effects<Node> {
        self.effects.get_or_insert_default()
    }

    /// What the code has asked for, if anything.
    #[inline]
    pub(crate) fn asked(&mut self) -> Option<&mut Effects<Node>> {
        self.effects.as_deref_mut()
    }
}
