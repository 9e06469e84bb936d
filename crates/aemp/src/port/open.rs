//! How ports come to be, and what runs beside them.

use std::future::Future;

use aemp_proto::{Addr, PortId, Reason};
use tokio::task::AbortHandle;

use super::Context;
use super::caught::caught;
use super::handlers::Handlers;
use crate::message::FromMessage;
use crate::node::Node;
use aemp_ports::actor::{Actor, Callback, Closure};
use aemp_ports::exit::{adopt, end_port};
use aemp_ports::extra::{Child, Task};
use aemp_ports::known::{BoxedMailbox, Known};
use aemp_ports::mailbox::{Queue, Signal};
use aemp_ports::signal::signal;
use aemp_ports::slot::State;
use aemp_ports::{Host as _, PortNo};

/// A task of the runtime that runs beside a port.
struct Beside(AbortHandle);

impl Task for Beside {
    fn abort(&self) {
        self.0.abort();
    }

    fn is_finished(&self) -> bool {
        self.0.is_finished()
    }
}

impl Node {
    /// Opens a port with one handler and one message type. What does not decode as `M` kills the
    /// port with `bad_message`, an unknown tag with `unhandled_message`.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aemp::{Context, Node, SendError};
    /// # fn example(node: &Node) -> Result<(), SendError> {
    /// let mut total = 0;
    /// let adder = node.port(move |_: &mut Context<'_>, (n,): (i64,)| total += n);
    /// node.send(&adder, (42,))
    /// # }
    /// ```
    #[doc(alias = "rcv")]
    pub fn port<M: FromMessage>(&self, handler: impl FnMut(&mut Context<'_>, M) + Send + 'static) -> Addr<M> {
        let actor = Callback::<Node, M, _>::new(Closure(handler), None);
        self.open(State::Idle, Known::boxed(Queue::<Node, M>::default()), Some(Box::new(actor))).assume()
    }

    /// Begins a port with tagged handlers.
    pub fn handlers(&self) -> Handlers {
        Handlers::new(self.clone())
    }

    /// Opens a port of any kind. After the end of the node it ends at once.
    pub(crate) fn open(
        &self,
        state: State,
        mailbox: BoxedMailbox<Node>,
        actor: Option<Box<dyn Actor<Node>>>,
    ) -> PortId {
        let number = self.table().insert(state, mailbox, actor, None);
        self.end_if_over(number);
        self.own_port(number)
    }

    /// Ends a new port if the node has ended, and nobody will run it.
    #[inline]
    pub(crate) fn end_if_over(&self, number: PortNo) {
        if self.is_over() {
            end_port(self, number, Reason::NORMAL);
        }
    }

    /// Runs a future beside a port, and `done` in it with the result.
    pub(crate) fn task_of<T: Send + 'static>(
        &self,
        number: PortNo,
        future: impl Future<Output = T> + Send + 'static,
        done: impl FnOnce(&mut Context<'_>, T) + Send + 'static,
    ) {
        let node = self.clone();
        let task = self.inner().runtime.spawn(async move {
            let outcome = match caught(future).await {
                Ok(result) => Signal::Job(Box::new(move |cx: &mut Context<'_>| done(cx, result))),
                Err(panic) => Signal::Kill(Reason::died(panic)),
            };
            signal(&node, number, outcome);
        });
        adopt(self, number, Child::Task(Box::new(Beside(task.abort_handle()))));
    }
}
