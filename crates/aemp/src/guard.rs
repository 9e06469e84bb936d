//! Monitors in the hands of those who have set them: a guard, or a future.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{self, Poll};

use aemp_ports::exit::adopt;
use aemp_ports::extra::Child;
use aemp_ports::monitor::{Gate, Monitor};
use aemp_proto::{PortId, Reason};
use tokio::sync::oneshot;

use crate::node::Node;

/// Keeps a monitor: it is withdrawn when the guard is dropped, and then never fires.
/// [`MonitorGuard::detach`] lets it go on by itself.
#[must_use = "a monitor is withdrawn when its guard is dropped; use detach() to keep it"]
pub struct MonitorGuard {
    node: Node,
    monitor: Option<Arc<Monitor<Node>>>,
}

impl fmt::Debug for MonitorGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MonitorGuard").field(&self.target()).finish()
    }
}

impl MonitorGuard {
    pub(crate) fn new(node: Node, monitor: Arc<Monitor<Node>>) -> MonitorGuard {
        MonitorGuard { node, monitor: Some(monitor) }
    }

    /// Keeps the monitor until it fires, or until the port dies in which it would do something.
    pub fn detach(mut self) {
        let Some(monitor) = self.monitor.take() else { return };
        if let Some((number, _)) = monitor.port() {
            adopt(&self.node, number, Child::Monitor(monitor));
        }
    }

    /// The port that is monitored; `None` only while the guard is being taken apart.
    pub fn target(&self) -> Option<&PortId> {
        self.monitor.as_ref().map(|monitor| &monitor.target)
    }
}

impl Drop for MonitorGuard {
    fn drop(&mut self) {
        if let Some(monitor) = self.monitor.take() {
            monitor.withdraw(&self.node);
        }
    }
}

/// A monitor as a future: the reason why the port died. Dropping it withdraws the monitor.
#[must_use = "a future does nothing unless it is polled"]
pub struct ExitFuture {
    pub(crate) reason: oneshot::Receiver<(Reason, Option<Gate>)>,
    pub(crate) _guard: MonitorGuard,
}

impl fmt::Debug for ExitFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ExitFuture").field(&self._guard.target()).finish()
    }
}

impl Future for ExitFuture {
    type Output = Reason;

    fn poll(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Reason> {
        Pin::new(&mut self.reason).poll(cx).map(|told| match told {
            // The gate opens now that the task knows.
            Ok((reason, _gate)) => reason,
            Err(_) => Reason::text("shutdown", "this node has ended"),
        })
    }
}
