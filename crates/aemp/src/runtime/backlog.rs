//! Requests of the shared database that the driver has not dealt with: each link has a queue of its
//! own with a limit, at which its reader waits, and the driver takes one of each in turns. So a
//! peer that asks for much, or for what takes long, waits for itself.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use aemp_proto::budget::{Charge, PeerBudgets};
use aemp_proto::kernel::LinkId;
use aemp_proto::{Body, NodeId};
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;

/// Bytes of requests above which the reader of a link waits. They stay encoded until their turn:
/// decoded they can take fifty times as much.
const BYTES_MAX: usize = 16 << 20;

/// What a request costs beside its bytes.
const REQUEST_COST: usize = 256;

/// A request shorter than this is copied, for it would keep the block of memory that it was read
/// into, with all that came beside it.
const COPY_BELOW: usize = 256 << 10;

/// The requests that wait for the driver.
#[derive(Default)]
pub(crate) struct Backlog {
    budgets: PeerBudgets,
    queues: Mutex<Queues>,
    /// The driver waits here.
    ready: Notify,
}

#[derive(Default)]
struct Queues {
    links: HashMap<LinkId, Queue>,
    /// Links that have a request, the next one first.
    turns: VecDeque<LinkId>,
}

struct Queue {
    from: NodeId,
    requests: VecDeque<Body>,
    bytes: usize,
    /// What they take out of the budget of the node; all that it has left, if that is less.
    charge: Charge,
    charged: bool,
    /// The reader waits here.
    room: Arc<Notify>,
}

/// One of the requests, and the link that it came over.
pub(crate) struct Waiting {
    pub(crate) link: LinkId,
    pub(crate) from: NodeId,
    pub(crate) request: Body,
}

impl Backlog {
    pub(crate) fn new(budgets: PeerBudgets) -> Backlog {
        Backlog { budgets, ..Backlog::default() }
    }

    /// A request came over this link.
    pub(crate) fn enter(&self, link: LinkId, from: &NodeId, request: Body) {
        let request = compact(request);
        let mut queues = self.queues.lock();
        let Queues { links, turns } = &mut *queues;
        let queue = links.entry(link).or_insert_with(|| {
            turns.push_back(link);
            Queue {
                from: from.clone(),
                requests: VecDeque::new(),
                bytes: 0,
                charge: self.budgets.of(from).nothing(),
                charged: true,
                room: Arc::default(),
            }
        });
        queue.resize(queue.bytes + cost(&request));
        queue.requests.push_back(request);
        drop(queues);
        self.ready.notify_one();
    }

    /// Waits for the request whose turn it is. Nothing is lost when the future is dropped.
    pub(crate) async fn next(&self) -> Waiting {
        loop {
            if let Some(waiting) = self.take() {
                return waiting;
            }
            self.ready.notified().await;
        }
    }

    /// The request whose turn it is, if there is one.
    pub(crate) fn take(&self) -> Option<Waiting> {
        let mut queues = self.queues.lock();
        let Queues { links, turns } = &mut *queues;
        let link = turns.pop_front()?;
        let queue = links.get_mut(&link)?;
        let request = queue.requests.pop_front()?;
        let was_full = queue.is_full();
        queue.resize(queue.bytes - cost(&request));
        if was_full && !queue.is_full() {
            queue.room.notify_waiters();
        }
        let from = queue.from.clone();
        if queue.requests.is_empty() {
            links.remove(&link);
        } else {
            turns.push_back(link);
        }
        Some(Waiting { link, from, request })
    }

    /// How many links have requests here.
    pub(crate) fn links(&self) -> usize {
        self.queues.lock().turns.len()
    }

    /// Waits until this link may have more requests here; `None` if it may already.
    pub(crate) fn room(&self, link: LinkId) -> Option<OwnedNotified> {
        let queues = self.queues.lock();
        // Under the lock: what is told from now on reaches the future, though it was not polled.
        queues
            .links
            .get(&link)
            .filter(|queue| queue.is_full())
            .map(|queue| queue.room.clone().notified_owned())
    }

    /// The link is gone: nothing of it counts any more.
    pub(crate) fn forget(&self, link: LinkId) {
        let mut queues = self.queues.lock();
        let Some(queue) = queues.links.remove(&link) else { return };
        queues.turns.retain(|turn| *turn != link);
        queue.room.notify_waiters();
        drop(queues);
    }
}

impl Queue {
    fn is_full(&self) -> bool {
        self.bytes > BYTES_MAX || !self.charged
    }

    fn resize(&mut self, bytes: usize) {
        self.bytes = bytes;
        self.charged = self.charge.resize(bytes);
    }
}

fn cost(request: &Body) -> usize {
    request.items().len() + REQUEST_COST
}

fn compact(request: Body) -> Body {
    if request.items().len() >= COPY_BELOW {
        return request;
    }
    Body::new(request.count(), Bytes::copy_from_slice(request.items()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(bytes: usize) -> Body {
        Body::encode(&[aemp_proto::Value::Bytes(vec![0; bytes].into())]).expect("a body")
    }

    fn peers() -> [(LinkId, NodeId); 2] {
        let node = |id| NodeId::new(id).expect("a node ID");
        [(LinkId::accepted(1), node("greedy")), (LinkId::accepted(2), node("modest"))]
    }

    #[tokio::test]
    async fn a_reader_waits_until_its_own_requests_are_dealt_with() {
        let backlog = Backlog::default();
        let [(greedy, far), (modest, near)] = peers();
        backlog.enter(greedy, &far, request(BYTES_MAX));
        backlog.enter(greedy, &far, request(1));
        backlog.enter(modest, &near, request(1));
        assert!(backlog.room(modest).is_none());
        let room = backlog.room(greedy).expect("it is full");
        assert_eq!(backlog.next().await.link, greedy);
        room.await;
        assert!(backlog.room(greedy).is_none());
    }

    #[tokio::test]
    async fn what_waits_is_charged_to_the_budget_of_its_peer() {
        let budgets = PeerBudgets::new(10_000);
        let backlog = Backlog::new(budgets.clone());
        let [(greedy, far), (modest, near)] = peers();
        let budget = budgets.of(&far);
        let kept = budget.charge(9000);
        backlog.enter(greedy, &far, request(100));
        assert!(backlog.room(greedy).is_none() && budget.used() > 9100);
        backlog.enter(greedy, &far, request(600));
        backlog.enter(modest, &near, request(600));
        let room = backlog.room(greedy).expect("the budget is used up");
        assert!(backlog.room(modest).is_none());
        drop(kept);
        while backlog.take().is_some() {}
        room.await;
        assert_eq!((budget.used(), budgets.of(&near).used()), (0, 0));
    }

    #[tokio::test]
    async fn links_take_turns_and_the_requests_of_each_keep_their_order() {
        let backlog = Backlog::default();
        let [(greedy, far), (modest, near)] = peers();
        (1..=5).for_each(|n| backlog.enter(greedy, &far, request(n)));
        (1..=2).for_each(|n| backlog.enter(modest, &near, request(10 * n)));
        let mut order = Vec::new();
        while let Some(waiting) = backlog.take() {
            order.push(waiting.request.items().len() - 1);
        }
        assert_eq!(order, [1, 10, 2, 20, 3, 4, 5]);
        assert_eq!(backlog.links(), 0);
    }

    #[tokio::test]
    async fn what_a_link_asked_for_goes_with_it() {
        let backlog = Backlog::default();
        let [(greedy, far), (modest, near)] = peers();
        (0..3).for_each(|_| backlog.enter(greedy, &far, request(BYTES_MAX)));
        backlog.enter(modest, &near, request(1));
        let room = backlog.room(greedy).expect("it is full");
        backlog.forget(greedy);
        room.await;
        assert_eq!(backlog.next().await.link, modest);
        assert_eq!(backlog.links(), 0);
    }
}
