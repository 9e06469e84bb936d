//! Flush: waiting until what was sent has arrived at another node.

use std::sync::Arc;
use std::time::Duration;

use aemp_proto::{NodeId, PortId};
use tokio::select;
use tokio::time::{Instant, sleep, timeout_at};

use crate::call::CallError;
use crate::message::ReplyTo;
use crate::node::Node;
use crate::remote::Remote;
use crate::runtime::sender;

/// How often a gate is looked at that holds something back. It opens as soon as those who have set
/// monitors have heard of a loss, which nobody else is told.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

impl Node {
    /// Waits until all that the running task or port has sent to this port before has arrived in
    /// its mailbox. Messages to other ports of the same node, sent by the same task or port, have
    /// arrived there as well; [`NodeId::control_port`] stands for all ports of a node.
    ///
    /// Nothing is sent twice and nothing waits on the other side: the node of the port answers a
    /// question that follows the messages. What other tasks and ports send may still be under way.
    /// A node that is not connected yet is connected first. For a port of this node there is
    /// nothing to wait for.
    ///
    /// That a message has arrived does not say that it was handled: a [`call`](Node::call) does.
    ///
    /// # Errors
    ///
    /// [`CallError::Died`] if the port is dead, or if anything of what was sent before may have
    /// been lost while this waited. A loss before is told by the monitors that were set then, and
    /// not once more by this: also what follows it is lost until they have told.
    /// [`CallError::TimedOut`] if nobody has answered within `limit`; the messages are still under
    /// way then.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the future is dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use aemp::{CallError, Node, PortId};
    /// async fn report(node: &Node, to: &PortId, lines: Vec<String>) -> Result<(), CallError> {
    ///     for line in lines {
    ///         node.send(to, (line,))?;
    ///     }
    ///     // The process may end now.
    ///     node.flush(to, Duration::from_secs(5)).await
    /// }
    /// ```
    pub async fn flush(&self, port: &PortId, limit: Duration) -> Result<(), CallError> {
        let deadline = Instant::now().checked_add(limit);
        let exited = self.exited(port);
        let answer = async {
            let late = |_| CallError::TimedOut(limit);
            match deadline {
                Some(deadline) => timeout_at(deadline, self.nothing_held(port.node())).await.map_err(late)?,
                None => self.nothing_held(port.node()).await,
            }
            let left = deadline.map_or(limit, |deadline| deadline.saturating_duration_since(Instant::now()));
            let echo = |reply: ReplyTo<()>| ("snd", reply.port().clone());
            self.call(&port.node().control_port(), left, echo).await
        };
        // The death is told before the answer if it happened before, and looked at first.
        select! {
            biased;
            reason = exited => Err(CallError::Died(reason)),
            answer = answer => answer.map_err(|error| match error {
                CallError::TimedOut(_) => CallError::TimedOut(limit),
                other => other,
            }),
        }
    }

    /// Waits until no gate holds anything for a node that the running task or port has sent. What
    /// others have sent may be held for as long as others have not heard of a loss.
    async fn nothing_held(&self, node: &NodeId) {
        let held = |remote: Arc<Remote>| remote.outbox.lock().holds_of(sender::current());
        while self.remotes().find(node).is_some_and(held) {
            sleep(LOOK_AGAIN).await;
        }
    }
}
