//! The verbs of a node that need no port: kill, run code in a port or later, wait for room.

use std::time::Duration;

use aemp_ports::mailbox::Signal;
use aemp_ports::pressure::Pressure;
use aemp_ports::signal::signal;
use aemp_proto::{PortId, Reason};

use crate::node::{Node, Place};
use crate::port::Context;
use crate::remote::HIGH_WATER;
use crate::runtime::sender;
use crate::timer::Timer;

impl Node {
    /// Waits until the way to a port is not crowded: until the queue for its node, or the port's
    /// own if it is here, is below its high-water mark. For tasks and async ports; other ports wait
    /// by themselves.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the future is dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aemp::{Node, PortId, SendError};
    /// async fn send(node: &Node, to: &PortId, lines: Vec<String>) -> Result<(), SendError> {
    ///     for line in lines {
    ///         node.ready(to).await;
    ///         node.send(to, (line,))?;
    ///     }
    ///     Ok(())
    /// }
    /// ```
    pub async fn ready(&self, to: &PortId) {
        self.ready_below(to, HIGH_WATER).await;
    }

    /// As [`Node::ready`], with another limit, which may not be above the high-water mark.
    pub(crate) async fn ready_below(&self, to: &PortId, limit: usize) {
        let remote = match self.place(to) {
            // Nothing waits for a node that is not known.
            Place::There(node) => self.remotes().find(node),
            Place::Here(number) => return self.ready_here(number).await,
            Place::Node | Place::Nowhere => return,
        };
        if let Some(remote) = remote {
            remote.ready_below(limit).await;
        }
    }

    /// Kills a port with this reason, after what was sent to it before. The empty reason is a
    /// normal death. Killing a dead port does nothing. An async port ends at its next `await`,
    /// no matter what it has not looked at yet; monitors fire then, behind what it has sent.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aemp::{Node, PortId, Reason};
    /// fn example(node: &Node, done: &PortId, broken: &PortId) {
    ///     node.kill(done, Reason::NORMAL);
    ///     node.kill(broken, Reason::text("disk_full", "/var"));
    /// }
    /// ```
    #[doc(alias = "kil")]
    #[doc(alias = "exit")]
    pub fn kill(&self, port: &PortId, reason: Reason) {
        self.kill_under_pressure(port, reason);
    }

    /// The same, and says whether the node of the port is behind.
    pub(crate) fn kill_under_pressure(&self, port: &PortId, reason: Reason) -> Option<Pressure<Node>> {
        match self.place(port) {
            Place::Here(number) => signal(self, number, Signal::Kill(reason)),
            Place::Node => tracing::warn!("a node port cannot be killed"),
            Place::Nowhere => {}
            Place::There(node) => {
                let remote = self.remotes().get_or_create(node);
                let (queued, backlog) = {
                    let mut outbox = remote.outbox.lock();
                    (outbox.by(sender::current).kill(port, &reason), outbox.backlog())
                };
                self.queued(&remote, queued);
                return remote.pressure(backlog);
            }
        }
        None
    }

    /// Runs code in a port of this node, in order with its messages and exclusive with its handlers
    /// (Perl's `psub`). Nothing happens if there is no such port here.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aemp::{Node, PortId};
    /// fn example(node: &Node, counter: &PortId) {
    ///     node.run_in(counter, |cx| println!("{} has counted {}", cx.me(), cx.state::<u64>()));
    /// }
    /// ```
    #[doc(alias = "psub")]
    pub fn run_in(&self, port: &PortId, code: impl FnOnce(&mut Context<'_>) + Send + 'static) {
        if let Some(number) = self.local_number(port) {
            signal(self, number, Signal::Job(Box::new(code)));
        }
    }

    /// Runs code soon, outside of any port, and never inside of this function (AnyEvent's
    /// `postpone`).
    pub fn postpone(&self, code: impl FnOnce(&Node) + Send + 'static) {
        self.scheduler().call(Box::new(code));
    }

    /// Runs code once after a delay, outside of any port. Dropping the timer changes nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::time::Duration;
    /// # fn example(node: &aemp::Node) {
    /// let timer = node.after(Duration::from_secs(5), |node| println!("{} is there", node.id()));
    /// timer.cancel();
    /// # }
    /// ```
    pub fn after(&self, delay: Duration, code: impl FnOnce(&Node) + Send + 'static) -> Timer {
        let node = self.clone();
        let timer = self.inner().runtime.spawn(async move {
            tokio::time::sleep(delay).await;
            node.scheduler().call(Box::new(code));
        });
        Timer::new(timer.abort_handle())
    }
}
