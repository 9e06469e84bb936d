//! The context in which the code of a port runs: the verbs of the node, with the own port filled
//! in.

use std::any::Any;
use std::fmt::Display;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use aemp_proto::{NodeId, PortId, Reason};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::actor::{Actor, Callback, Closure, Handle};
use super::handlers::{Change, Tagged};
use super::known::{BoxedMailbox, Known};
use super::mailbox::Queue;
use super::port_no::PortNo;
use super::pressure::{Crowded, Pressure};
use super::task::{ExitResult, Mailbox};
use crate::message::{Envelope, FromMessage, IntoMessage, ReplyTo};
use crate::monitor::{Action, MonitorGuard, PortAction};
use crate::node::Node;
use crate::send::SendError;

/// What code in a port has at hand. Everything it does takes effect in the order in which it is
/// done.
///
/// An error or panic of the code kills the port with the reason `die, TEXT`.
pub struct Context<'a> {
    node: &'a Node,
    number: PortNo,
    /// The own ID, if another node chose the name.
    name: Option<Arc<PortId>>,
    state: Option<Box<dyn Any + Send>>,
    asked: Option<Box<Asked>>,
}

/// What the code that runs has asked for; most ask for nothing.
#[derive(Default)]
pub(crate) struct Asked {
    end: Option<Reason>,
    successor: Option<Becoming>,
    changes: Vec<Change>,
    crowded: Crowded,
}

/// What follows from a run.
pub(crate) struct Later {
    /// The port ends.
    pub(crate) end: Option<Reason>,
    /// What it becomes.
    pub(crate) successor: Option<Successor>,
    /// Whom it has to wait for, all of them.
    pub(crate) crowded: Crowded,
}

/// Starts the task of the port with this number, which has to wait for these before.
pub(crate) type StartTask = Box<dyn FnOnce(&Node, PortNo, Crowded) + Send>;

/// What the code that runs now has asked the port to become.
enum Becoming {
    /// A port with tagged handlers, which are known when the code has ended; and its state.
    Tagged(Option<Box<dyn Any + Send>>),
    /// This.
    Ready(Successor),
}

/// Why handlers of tags cannot be changed.
pub(crate) const NO_TAGS: &str =
    "this port has no tagged handlers: open it with Node::handlers or Context::receive_tagged";

/// What a port becomes after the code that runs now.
pub(crate) enum Successor {
    /// A callback port.
    Callback(BoxedMailbox, Box<dyn Actor>),
    /// An async port; the function starts its task.
    Task(StartTask),
}

impl<'a> Context<'a> {
    /// A context for the port with this number and state, and its ID, if another node chose the
    /// name.
    #[inline]
    pub(crate) fn new(
        node: &'a Node,
        number: PortNo,
        name: Option<Arc<PortId>>,
        state: Option<Box<dyn Any + Send>>,
    ) -> Context<'a> {
        Context { node, number, name, state, asked: None }
    }

    /// The node.
    pub fn node(&self) -> &'a Node {
        self.node
    }

    /// The ID of the own port.
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
    pub fn send(&mut self, to: &PortId, message: impl IntoMessage) {
        let sent = self.node.send_under_pressure(to, message);
        self.sent(sent);
    }

    /// What follows from having sent: a port whose receiver is behind waits for it, one that could
    /// not send ends.
    #[inline]
    pub(crate) fn sent(&mut self, sent: Result<Option<Pressure>, SendError>) {
        match sent {
            Ok(None) => {}
            Ok(Some(receiver)) => self.wait_for(receiver),
            Err(error) => self.fail(error),
        }
    }

    /// The port runs again only when this receiver, and all others that it has to wait for, have
    /// drained.
    #[cold]
    pub(crate) fn wait_for(&mut self, receiver: Pressure) {
        self.asked().crowded.insert(receiver);
    }

    /// Answers a call. A tuple is sent as several values, everything else as one. If the answer
    /// cannot be sent, because it has no form or is too large, the caller gets
    /// [`CallError::BadReply`](crate::CallError::BadReply), and a line is logged.
    pub fn reply<T: Serialize + Send + 'static>(&mut self, to: ReplyTo<T>, answer: T) {
        match self.node.answer_call(to.port(), answer) {
            Err(error) => {
                if let Some(withheld) = self.node.may_complain() {
                    tracing::error!(port = %self.me(), %error, withheld, "an answer was not sent");
                }
            }
            sent => self.sent(sent),
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
        self.asked().end.get_or_insert(reason);
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
        port: &PortId,
        limit: Duration,
        message: impl FnOnce(ReplyTo<R>) -> M,
        done: impl FnOnce(&mut Context<'_>, Result<R, crate::call::CallError>) + Send + 'static,
    ) where
        M: IntoMessage,
        R: DeserializeOwned + Send + 'static,
    {
        let (call, pressure) = self.node.begin_call(port, limit, message);
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
        self.asked().changes.push(Change::on(tag, handler));
    }

    /// Removes the handler of a tag, from the next message on.
    pub fn off(&mut self, tag: &str) {
        self.asked().changes.push(Change::Off(tag.into()));
    }

    /// Sets the handler for messages that no tag fits, from the next message on.
    pub fn fallback<M: FromMessage>(&mut self, handler: impl FnMut(&mut Context<'_>, M) + Send + 'static) {
        self.asked().changes.push(Change::other(handler));
    }

    /// From the next message on the own port is a typed one with this handler. What waits stays in
    /// order.
    ///
    /// For the init function of a spawned port: without a receiver it does not come to exist.
    #[doc(alias = "rcv")]
    pub fn receive<M: FromMessage>(&mut self, handler: impl FnMut(&mut Context<'_>, M) + Send + 'static) {
        let state = self.state.take();
        self.become_callback(Callback::new(Closure(handler), state), Queue::<M>::default());
    }

    /// From the next message on the own port has tagged handlers: those that are added with
    /// [`Context::on`], now or later. In an init function `on` alone does this too.
    pub fn receive_tagged(&mut self) {
        let state = self.state.take();
        self.asked().successor = Some(Becoming::Tagged(state));
    }

    /// From now on the own port is an async one, and this is its code; see [`Node::port_async`].
    pub fn receive_async<F>(&mut self, code: impl FnOnce(Mailbox) -> F + Send + 'static)
    where
        F: Future<Output = ExitResult> + Send + 'static,
    {
        let start = Box::new(move |node: &Node, number, crowded| node.start_task(number, crowded, code));
        self.asked().successor = Some(Becoming::Ready(Successor::Task(start)));
    }

    fn become_callback<M: FromMessage, H: Handle<M> + 'static>(
        &mut self,
        actor: Callback<M, H>,
        mailbox: Queue<M>,
    ) {
        self.asked().successor =
            Some(Becoming::Ready(Successor::Callback(Known::boxed(mailbox), Box::new(actor))));
    }

    /// Sets the state that [`Context::state`] gives, for the init function of a spawned port:
    /// before `receive`.
    pub fn set_state<S: Send + 'static>(&mut self, state: S) {
        self.state = Some(Box::new(state));
    }

    /// The state, which goes back to the port, and what the code has asked for.
    #[inline]
    pub(crate) fn end_of_run(self) -> (Option<Box<dyn Any + Send>>, Option<Box<Asked>>) {
        (self.state, self.asked)
    }

    /// A monitor that kills the own port, or was withdrawn, has left the mailbox.
    pub(crate) fn kill_left_mailbox(&self) {
        self.node.kill_left_mailbox(self.number);
    }

    fn asked(&mut self) -> &mut Asked {
        self.asked.get_or_insert_default()
    }

    pub(crate) fn has_changes(&self) -> bool {
        self.asked.as_ref().is_some_and(|asked| !asked.changes.is_empty() && asked.successor.is_none())
    }

    /// Whether the code that runs now has set a receiver.
    pub(crate) fn has_receiver(&self) -> bool {
        self.asked.as_ref().is_some_and(|asked| asked.successor.is_some() || !asked.changes.is_empty())
    }

    pub(crate) fn take_changes(&mut self) -> Vec<Change> {
        self.asked.as_mut().map(|asked| std::mem::take(&mut asked.changes)).unwrap_or_default()
    }

    /// Whether the run of the port is over: it ended, or becomes another, or its receiver is
    /// behind.
    pub(crate) fn stops(&self) -> bool {
        self.asked.as_ref().is_some_and(|asked| {
            asked.end.is_some() || asked.successor.is_some() || !asked.crowded.is_empty()
        })
    }

    /// Whether the code has asked for anything.
    #[inline]
    pub(crate) fn has_asked(&self) -> bool {
        self.asked.is_some()
    }
}

impl Asked {
    /// What follows from the run.
    pub(crate) fn finish(self) -> Later {
        let Asked { mut end, successor, mut changes, crowded } = self;
        let successor = successor.map(|becoming| match becoming {
            Becoming::Ready(successor) => successor,
            Becoming::Tagged(state) => {
                let tagged = Tagged::new(std::mem::take(&mut changes));
                let actor = Callback::<Envelope, Tagged>::new(tagged, state);
                Successor::Callback(Known::boxed(Queue::<Envelope>::default()), Box::new(actor))
            }
        });
        if !changes.is_empty() {
            end.get_or_insert_with(|| Reason::died(NO_TAGS));
        }
        Later { end, successor, crowded }
    }
}
