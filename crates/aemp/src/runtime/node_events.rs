//! Nodes that come and go, as a program hears of them.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use aemp_proto::NodeId;
use futures_core::Stream;
use parking_lot::Mutex;
use tokio::sync::mpsc;

/// Events that wait for one who follows them.
const WAITING_MAX: usize = 256;

/// A node that came or went.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum NodeEvent {
    /// A connection to the node is up.
    Up(NodeId),
    /// It is lost, and why. All monitors on ports of the node were told before: callbacks have run,
    /// messages and code for ports are in their mailboxes, and tasks that wait in
    /// [`Node::exited`](crate::Node::exited) are woken.
    Down(NodeId, String),
    /// As many events were not kept, for more than 256 waited: see
    /// [`Node::connected_nodes`](crate::Node::connected_nodes).
    Missed(u64),
}

/// Nodes that come and go, as [`Node::node_events`](crate::Node::node_events) gives them: in the
/// order in which it happens.
#[derive(Debug)]
#[must_use = "events are kept for it until it is dropped"]
pub struct NodeEvents {
    events: mpsc::Receiver<NodeEvent>,
    missed: Arc<Mutex<u64>>,
}

impl NodeEvents {
    /// Waits for the next event; `None` when the node has been shut down.
    ///
    /// # Cancel safety
    ///
    /// No event is lost when the future is dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// # async fn example(node: aemp::Node) {
    /// let mut events = node.node_events();
    /// while let Some(event) = events.next().await {
    ///     println!("{event:?}");
    /// }
    /// # }
    /// ```
    pub async fn next(&mut self) -> Option<NodeEvent> {
        std::future::poll_fn(|task| self.poll(task)).await
    }

    /// The next event, if there is one already.
    pub fn try_next(&mut self) -> Option<NodeEvent> {
        self.events.try_recv().ok().or_else(|| self.take_missed())
    }

    /// Whether the node has been shut down: what waits still follows, and nothing else.
    pub fn is_closed(&self) -> bool {
        self.events.is_closed()
    }

    fn poll(&mut self, task: &mut Context<'_>) -> Poll<Option<NodeEvent>> {
        match self.events.poll_recv(task) {
            Poll::Ready(Some(event)) => Poll::Ready(Some(event)),
            // Behind what was kept. Until it is told, nothing more is kept: nothing overtakes it.
            Poll::Ready(None) => Poll::Ready(self.take_missed()),
            // A task that has used up its budget sees nothing, too.
            Poll::Pending if self.events.is_empty() => {
                self.take_missed().map_or(Poll::Pending, |event| Poll::Ready(Some(event)))
            }
            Poll::Pending => Poll::Pending,
        }
    }

    fn take_missed(&self) -> Option<NodeEvent> {
        let missed = std::mem::take(&mut *self.missed.lock());
        (missed > 0).then_some(NodeEvent::Missed(missed))
    }
}

impl Stream for NodeEvents {
    type Item = NodeEvent;

    fn poll_next(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Option<NodeEvent>> {
        self.get_mut().poll(task)
    }
}

/// Those who follow the events of a node.
#[derive(Default)]
pub(crate) struct Followers(Vec<Follower>);

struct Follower {
    events: mpsc::Sender<NodeEvent>,
    missed: Arc<Mutex<u64>>,
}

impl Followers {
    /// One more, who is told from now on.
    pub(crate) fn add(&mut self) -> NodeEvents {
        let (sender, events) = mpsc::channel(WAITING_MAX);
        let missed = Arc::new(Mutex::new(0));
        self.0.push(Follower { events: sender, missed: missed.clone() });
        NodeEvents { events, missed }
    }

    /// Tells all who are still there. Never waits.
    pub(crate) fn tell(&mut self, event: &NodeEvent) {
        self.0.retain(|follower| {
            let mut missed = follower.missed.lock();
            if *missed > 0 || follower.events.capacity() == 0 {
                *missed += 1;
                return !follower.events.is_closed();
            }
            follower.events.try_send(event.clone()).is_ok()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_does_not_read_is_told_how_many_were_missed_behind_those_that_were_kept() {
        let mut followers = Followers::default();
        let (mut slow, gone) = (followers.add(), followers.add());
        drop(gone);
        let up = NodeEvent::Up(NodeId::new("a").expect("a node ID"));
        for _ in 0..WAITING_MAX + 3 {
            followers.tell(&up);
        }
        assert_eq!(followers.0.len(), 1);
        assert_eq!(slow.next().await.as_ref(), Some(&up));
        // There is room again, but what comes now is behind those that were missed.
        followers.tell(&up);
        for _ in 1..WAITING_MAX {
            assert_eq!(slow.next().await.as_ref(), Some(&up));
        }
        assert_eq!(slow.next().await, Some(NodeEvent::Missed(4)));
        assert_eq!(slow.try_next(), None);
        followers.tell(&up);
        assert_eq!(slow.next().await.as_ref(), Some(&up));
        drop(followers);
        assert_eq!(slow.next().await, None);
        assert_eq!(followed(&mut slow).await, None);
    }

    /// As a stream of `futures`.
    async fn followed(events: &mut NodeEvents) -> Option<NodeEvent> {
        std::future::poll_fn(|task| Pin::new(&mut *events).poll_next(task)).await
    }
}
