//! The verbs of an async port: those of the node, with the own port filled in. Together with `get`
//! they are what Coro::MP has.

use std::future::Future;
use std::time::Duration;

use aemp_proto::{NodeId, PortId, Reason};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::task::Mailbox;
use crate::call::Call;
use crate::guard::{ExitFuture, MonitorGuard};
use crate::message::{Destination, EncodeError, IntoMessage, ReplyTo};
use crate::send_error::SendError;

impl Mailbox {
    /// Sends a message, see [`Node::send`](crate::Node::send).
    ///
    /// # Errors
    ///
    /// As `Node::send`.
    #[doc(alias = "snd")]
    #[doc(alias = "tell")]
    #[doc(alias = "cast")]
    pub fn send<M: IntoMessage>(
        &self,
        to: &(impl Destination<M> + ?Sized),
        message: M,
    ) -> Result<(), SendError> {
        self.node().send(to, message)
    }

    /// Waits until the way to a port is not crowded, see [`Node::ready`](crate::Node::ready): an
    /// async port that sends much to one receiver does so before each message, or the receiver may
    /// die of what waits for it. It does not wait while the own port is behind: so ports that send
    /// to each other do not stand still.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the future is dropped.
    pub fn ready(&self, to: &PortId) -> impl Future<Output = ()> + Send + use<> {
        let (node, to) = (self.node().clone(), to.clone());
        let number = self.number();
        async move { node.ready_in(number, &to).await }
    }

    /// Answers a call. A tuple is sent as several values, everything else as one.
    ///
    /// # Errors
    ///
    /// The answer cannot be sent: it has no form, or is too large. The caller gets an error as
    /// well.
    pub fn reply<T: Serialize + Send + 'static>(&self, to: ReplyTo<T>, answer: T) -> Result<(), SendError> {
        self.node().answer_call(to.port(), answer).map(drop)
    }

    /// Calls a port and waits for the answer, see [`Node::call`](crate::Node::call) (Coro::MP's
    /// `syncal`). Messages that come meanwhile stay queued.
    ///
    /// # Cancel safety
    ///
    /// As `Node::call`.
    ///
    /// # Errors
    ///
    /// See [`CallError`](crate::CallError).
    #[doc(alias = "syncal")]
    #[doc(alias = "cal")]
    #[doc(alias = "ask")]
    pub fn call<M, R, F>(
        &self,
        port: &(impl Destination<M> + ?Sized),
        limit: Duration,
        message: F,
    ) -> Call<F, R>
    where
        F: FnOnce(ReplyTo<R>) -> M + Send,
        M: IntoMessage,
        R: DeserializeOwned + Send + 'static,
    {
        self.node().call(port, limit, message)
    }

    /// Kills a port, see [`Node::kill`](crate::Node::kill). If it is the own one, the task ends at
    /// its next `await`.
    #[doc(alias = "kil")]
    pub fn kill(&self, port: &PortId, reason: Reason) {
        self.node().kill(port, reason);
    }

    /// Monitors a port: when it dies, `message(reason)` comes to the own port, in order with its
    /// other messages.
    #[doc(alias = "mon")]
    pub fn monitor<M: IntoMessage>(
        &self,
        port: &PortId,
        message: impl FnOnce(Reason) -> M + Send + 'static,
    ) -> MonitorGuard {
        self.node().monitor_send(port, self.id(), message)
    }

    /// Monitors a port and dies with it, if it dies abnormally.
    #[doc(alias = "link")]
    pub fn monitor_kill(&self, port: &PortId) -> MonitorGuard {
        self.node().monitor_kill(port, self.id())
    }

    /// Waits until a port dies, see [`Node::exited`](crate::Node::exited).
    pub fn exited(&self, port: &PortId) -> ExitFuture {
        self.node().exited(port)
    }

    /// Spawns a port on a node, see [`Node::spawn`](crate::Node::spawn).
    ///
    /// # Errors
    ///
    /// The arguments cannot be encoded; nothing happened.
    pub fn spawn(&self, node: &NodeId, function: &str, args: impl Serialize) -> Result<PortId, EncodeError> {
        self.node().spawn(node, function, args)
    }

    /// Runs a future beside the port's code (Coro::MP's `peval_async`): it ends with the port, and
    /// if it fails or panics, the port dies of it.
    #[doc(alias = "peval_async")]
    pub fn task(&self, future: impl Future<Output = super::ExitResult> + Send + 'static) {
        self.node().task_of(self.number(), future, |cx, ended| {
            if let Err(reason) = ended {
                cx.end(reason);
            }
        });
    }
}
