//! The task of an async port: it polls the port's code, and ends the port when that has ended or
//! the port was killed.
//!
//! Only this task ends the port, so the news of its death comes behind all that the code has sent.
//! A kill leaves its reason in the mailbox and wakes the task, which looks for it before it polls
//! the code again: then the code is dropped, what that sends still counts, and the death is told. A
//! monitor that kills does the same, and until the task looks it can still be withdrawn.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, Waker};

use aemp_proto::Reason;

use super::exit_result::ExitResult;
use crate::follow::{Current, resume, suspend};
use crate::node::Node;
use aemp_ports::Host as _;
use aemp_ports::exit::end_port;
use aemp_ports::mailbox::{Signal, TaskQueue, TaskState};
use aemp_ports::monitor::{Delivered, Gate};
use aemp_ports::port_no::PortNo;
use aemp_ports::run::panic_text;
use aemp_ports::sender;

/// The code of an async port.
type Code = Pin<Box<dyn Future<Output = ExitResult> + Send>>;

/// The task of an async port.
pub(super) struct PortTask {
    node: Node,
    number: PortNo,
    state: Arc<TaskState>,
    /// Until the port has ended.
    code: Option<Code>,
    /// Whether those who kill the port can wake this task.
    known: bool,
    /// The trace that the code is in the middle of, while it is not polled.
    current: Option<Current>,
}

/// Why an async port ends.
struct End {
    reason: Reason,
    /// News of losses that the port does not hear of any more. To be dropped when its code is gone,
    /// which may send while it is dropped, and must not pass them.
    unheard: (Option<Gate>, Vec<Signal<Node>>),
}

impl From<Reason> for End {
    fn from(reason: Reason) -> End {
        End { reason, unheard: (None, Vec::new()) }
    }
}

impl PortTask {
    pub(super) fn new(node: Node, number: PortNo, state: Arc<TaskState>, code: Code) -> PortTask {
        PortTask { node, number, state, code: Some(code), known: false, current: None }
    }

    /// Lets the task be woken by those who kill the port. It is the same waker as long as the task
    /// lives.
    fn make_known(&mut self, waker: &Waker) {
        self.known = true;
        self.with_mailbox(|mailbox| mailbox.kills.make_known(waker));
    }

    fn with_mailbox<T>(&self, action: impl FnOnce(&mut TaskQueue<Node>) -> T) -> Option<T> {
        let mut cell = self.node.table().get(self.number)?;
        Some(action(cell.mailbox()?.downcast_mut()?))
    }

    /// The first kill that takes effect, if the port has to die of one.
    fn kill(&self) -> Option<End> {
        if !self.state.doom.is_set() {
            return None;
        }
        // The node has ended the port if it has no mailbox.
        let kills = self.with_mailbox(|mailbox| mailbox.kills.take());
        let Some(mut kills) = kills.map(Vec::into_iter) else { return Some(Reason::NORMAL.into()) };
        let first = kills.find_map(|signal| match signal {
            Signal::Kill(reason) => Some((reason, None)),
            Signal::Notification(notification) => {
                let Delivered { action, reason, gate } = notification.deliver();
                action.map(|_| (reason, gate))
            }
            Signal::Job(_) | Signal::Traced(_) => None,
        });
        first.map(|(reason, gate)| End { reason, unheard: (gate, kills.collect()) })
    }

    fn poll_code(&mut self, task: &mut TaskContext<'_>) -> Poll<Reason> {
        let Some(code) = &mut self.code else { return Poll::Ready(Reason::NORMAL) };
        let poll = AssertUnwindSafe(|| code.as_mut().poll(task));
        resume(&mut self.current);
        let polled = sender::as_port(self.node.reference(), self.number, || catch_unwind(poll));
        self.current = suspend();
        polled.map_or_else(
            |panic| Poll::Ready(Reason::died(panic_text(&*panic))),
            |polled| polled.map(|ended| ended.err().unwrap_or(Reason::NORMAL)),
        )
    }

    /// Drops the code, which may send for the last time, and ends the port.
    fn end(&mut self, End { reason, unheard }: End) {
        let Some(code) = self.code.take() else { return };
        let drops = AssertUnwindSafe(|| drop(code));
        if let Err(panic) = sender::as_port(self.node.reference(), self.number, || catch_unwind(drops)) {
            let port = self.node.port_id(self.number);
            tracing::warn!(%port, text = panic_text(&*panic), "the code of a dying port panicked while it was dropped");
        }
        end_port(&self.node, self.number, reason);
        drop(unheard);
        self.node.inner().task_ended.notify_waiters();
    }
}

impl Future for PortTask {
    type Output = ();

    fn poll(self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<()> {
        let this = self.get_mut();
        if !this.known {
            this.make_known(task.waker());
        }
        let end = match this.kill() {
            Some(end) => end,
            None => match this.poll_code(task) {
                Poll::Pending => return Poll::Pending,
                // Of what it was told to die of meanwhile, the first reason counts.
                Poll::Ready(reason) => this.kill().unwrap_or(reason.into()),
            },
        };
        this.end(end);
        Poll::Ready(())
    }
}

impl Node {
    /// Waits until these async ports have ended.
    pub(crate) async fn tasks_ended(&self, numbers: Vec<PortNo>) {
        for number in numbers {
            loop {
                let mut ended = pin!(self.inner().task_ended.notified());
                ended.as_mut().enable();
                if self.table().get(number).is_none() {
                    break;
                }
                ended.await;
            }
        }
    }
}

impl Drop for PortTask {
    /// Ends the port, too, when the task goes with its runtime.
    fn drop(&mut self) {
        let end = self.code.as_ref().and_then(|_| self.kill());
        self.end(end.unwrap_or_else(|| Reason::text("shutdown", "the runtime has ended").into()));
    }
}
