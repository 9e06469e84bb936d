//! The side that catches: follows the nodes of the network, and asks each of them for its records.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{self, Poll};
use std::time::Duration;

use aemp_proto::{AnyMessage, Body, NodeId, PortId, Reason};
use futures_core::Stream;
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc};
use tokio::task::{AbortHandle, JoinSet};

use super::clock::{Clock, now};
use super::{CONNECT, Level, Record};
use crate::call::CallError;
use crate::database::Change;
use crate::message::FromMessage as _;
use crate::node::Node;
use crate::rate_limit::RateLimit;
use crate::runtime::NodeEvent;

/// Records that wait for anyone who reads them. What comes beyond is lost, and counted.
const RECORDS_MAX: usize = 4096;

/// What one node may say: this many bytes at once, and this many a second in the long run. What is
/// more is lost, and counted: a node that runs wild must not fill the disk of the one who catches.
const BURST_MAX: f64 = (4 << 20) as f64;
const RATE_MAX: f64 = (256 << 10) as f64;

/// What a record counts beside its text.
const RECORD: usize = 64;

/// How long a node may take to say what time it is before it is asked for its records all the same.
const TIME_LIMIT: Duration = Duration::from_secs(5);

/// How often the clocks are compared.
const TIME_INTERVAL: Duration = Duration::from_secs(60);

/// How long to wait before a lost node is tried again: the first time, and at most. Earlier if it
/// connects to us.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// Where the nodes of the network can be found: those that listen, and those that are reached
/// through others.
const FAMILIES: [&str; 2] = ["'l", "'x"];

/// The log records of all other nodes, as [`Node::catch_logs`] gives them. Dropping it tells the
/// nodes to stop.
#[must_use = "the nodes are told to stop when this is dropped"]
pub struct LogCatcher {
    records: mpsc::Receiver<Record>,
    lost: Arc<AtomicU64>,
    task: AbortHandle,
}

impl LogCatcher {
    /// Waits for the next record; `None` when the node has been shut down.
    ///
    /// The records of one node come in their order; nothing is said about those of different nodes.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> Option<Record> {
        self.records.recv().await
    }

    /// How many records were lost so far because they were not taken as fast as they came, or
    /// because a node said more than 4 MiB at once or 256 KiB a second in the long run. What gets
    /// lost on the side of a node stands in a record of that node.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

impl Stream for LogCatcher {
    type Item = Record;

    fn poll_next(mut self: Pin<&mut Self>, task: &mut task::Context<'_>) -> Poll<Option<Record>> {
        self.records.poll_recv(task)
    }
}

impl Drop for LogCatcher {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl fmt::Debug for LogCatcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LogCatcher({} waiting)", self.records.len())
    }
}

impl Node {
    /// Catches the log records of all other nodes, down to this level: of those that are in the
    /// network, and of those that will come. A node that was lost is asked again when it is back;
    /// what it logged meanwhile is not heard of.
    ///
    /// Perl nodes take part as they are. A node in secure mode is silent, and so is a program
    /// without a [`LogSource`](crate::log::LogSource).
    pub fn catch_logs(&self, level: Level) -> LogCatcher {
        let (sender, records) = mpsc::channel(RECORDS_MAX);
        let lost = Arc::new(AtomicU64::new(0));
        let wish = Wish { level, records: sender, lost: lost.clone() };
        let task = self.inner().runtime.spawn(catch(self.clone(), wish)).abort_handle();
        LogCatcher { records, lost, task }
    }
}

/// What is asked of each node, and where its records go.
#[derive(Clone)]
struct Wish {
    level: Level,
    records: mpsc::Sender<Record>,
    lost: Arc<AtomicU64>,
}

/// Follows the nodes of the network until the own one ends.
async fn catch(node: Node, wish: Wish) {
    let mut events = node.node_events();
    let [mut listeners, mut others] = FAMILIES.map(|family| node.db().watch(family));
    let mut followed = DeliveryTrace::new(&node, wish);
    for up in node.connected_nodes() {
        followed.up(up);
    }
    loop {
        tokio::select! {
            change = listeners.next() => match change {
                Some(change) => followed.change(0, change),
                None => return,
            },
            change = others.next() => match change {
                Some(change) => followed.change(1, change),
                None => return,
            },
            event = events.next() => match event {
                Some(NodeEvent::Up(up)) => followed.up(up),
                Some(NodeEvent::Down(down, _)) => followed.down(&down),
                Some(NodeEvent::Missed(_)) => followed.look_again(),
                None => return,
            },
            Some(_) = followed.tasks.join_next() => {}
        }
    }
}

/// The nodes whose records are caught: those that the database knows, and those that are connected.
struct DeliveryTrace {
    node: Node,
    wish: Wish,
    /// Those in the database, by the family.
    listed: [BTreeSet<NodeId>; 2],
    nodes: BTreeMap<NodeId, Tracer>,
    /// Ends with this, and with it what the tasks hold.
    tasks: JoinSet<()>,
}

struct Tracer {
    task: AbortHandle,
    /// The node has just connected.
    again: Arc<Notify>,
}

impl DeliveryTrace {
    fn new(node: &Node, wish: Wish) -> DeliveryTrace {
        DeliveryTrace {
            node: node.clone(),
            wish,
            listed: Default::default(),
            nodes: BTreeMap::new(),
            tasks: JoinSet::new(),
        }
    }

    /// A change of one of the families.
    fn change(&mut self, family: usize, change: Change) {
        for id in change.added.iter().filter_map(|id| NodeId::new(id).ok()) {
            self.follow(id.clone());
            self.listed[family].insert(id);
        }
        for id in change.deleted.iter().filter_map(|id| NodeId::new(id).ok()) {
            self.listed[family].remove(&id);
            if !self.is_listed(&id) && !self.node.connected_nodes().contains(&id) {
                self.forget(&id);
            }
        }
    }

    fn is_listed(&self, id: &NodeId) -> bool {
        self.listed.iter().any(|listed| listed.contains(id))
    }

    fn up(&mut self, id: NodeId) {
        match self.nodes.get(&id) {
            Some(following) => following.again.notify_one(),
            None => self.follow(id),
        }
    }

    fn down(&mut self, id: &NodeId) {
        if !self.is_listed(id) {
            self.forget(id);
        }
    }

    /// News were missed: of nodes that came, and of nodes that went.
    fn look_again(&mut self) {
        let up = self.node.connected_nodes();
        let gone: Vec<NodeId> =
            self.nodes.keys().filter(|id| !self.is_listed(id) && !up.contains(id)).cloned().collect();
        gone.iter().for_each(|id| self.forget(id));
        up.into_iter().for_each(|id| self.up(id));
    }

    fn follow(&mut self, id: NodeId) {
        if id == *self.node.id() || self.nodes.contains_key(&id) {
            return;
        }
        let again = Arc::new(Notify::new());
        let task = self.tasks.spawn(follow(self.node.clone(), id.clone(), self.wish.clone(), again.clone()));
        self.nodes.insert(id, Tracer { task, again });
    }

    fn forget(&mut self, id: &NodeId) {
        if let Some(following) = self.nodes.remove(id) {
            following.task.abort();
        }
    }
}

/// Asks one node for its records, again and again as it is lost.
async fn follow(node: Node, other: NodeId, wish: Wish, again: Arc<Notify>) {
    let mut pause = PAUSE_MIN;
    loop {
        if listen(&node, &other, &wish).await {
            pause = PAUSE_MIN;
        }
        // An error says that it is up to the time.
        let _ = tokio::time::timeout(pause, again.notified()).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// Takes the records of a node until it is lost. Gives whether there was an answer at all.
async fn listen(node: &Node, other: &NodeId, wish: &Wish) -> bool {
    let clock = Arc::new(Mutex::new(Clock::default()));
    let mut asked = false;
    let mut port = None;
    // Monitored first: once it is lost there is no answer to wait for.
    let death = node.exited(&other.control_port());
    tokio::pin!(death);
    loop {
        match ask_time(node, other, &clock).await {
            Ok(()) => asked = true,
            Err(CallError::Died(_) | CallError::Send(_)) => return asked,
            Err(CallError::TimedOut(_) | CallError::BadReply(_)) => {}
        }
        // The first record already comes with the difference.
        if port.is_none() {
            let own = Receiving::open(node, other, wish, &clock);
            let request = (CONNECT, 0, own.port.to_string(), wish.level.number());
            if let Err(error) = node.send(&other.control_port(), request) {
                if let Some(withheld) = node.may_complain() {
                    tracing::error!(node = %other, %error, withheld, "a node could not be asked for its log records");
                }
                return asked;
            }
            port = Some(own);
        }
        tokio::select! {
            _ = &mut death => return asked,
            () = tokio::time::sleep(TIME_INTERVAL) => {}
        }
    }
}

/// Compares the clocks.
async fn ask_time(node: &Node, other: &NodeId, clock: &Mutex<Clock>) -> Result<(), CallError> {
    let asked = now();
    let theirs: f64 = node.call(&other.control_port(), TIME_LIMIT, |reply| ("time", reply)).await?;
    clock.lock().measured(asked, now(), theirs);
    Ok(())
}

/// The port that gets the records of one node. They stop when it is gone.
struct Receiving {
    node: Node,
    port: PortId,
}

impl Receiving {
    fn open(node: &Node, other: &NodeId, wish: &Wish, clock: &Arc<Mutex<Clock>>) -> Receiving {
        let (other, wish, clock) = (other.clone(), wish.clone(), clock.clone());
        let mut allowed = RateLimit::new(BURST_MAX, RATE_MAX, node.inner().shared.now());
        let port = node.port(move |cx, body: Body| {
            // A record that cannot be read must not be the last one.
            let Ok(message) = AnyMessage::decode(&body) else {
                wish.lost.fetch_add(1, Ordering::Relaxed);
                return;
            };
            let record = Record::from_message(&other, clock.lock().difference(), &message);
            // Nodes may know levels in between, or care less about what was asked for.
            if record.level > wish.level {
                return;
            }
            let bytes = RECORD + record.context.len() + record.text.len();
            let now = cx.node().inner().shared.now();
            if !allowed.take(bytes as f64, now) || wish.records.try_send(record).is_err() {
                wish.lost.fetch_add(1, Ordering::Relaxed);
            }
        });
        Receiving { node: node.clone(), port: port.into() }
    }
}

impl Drop for Receiving {
    fn drop(&mut self) {
        self.node.kill(&self.port, Reason::NORMAL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn after_missed_news_nobody_is_followed_who_is_gone() {
        let node = Node::builder().start().await.expect("it starts");
        let (records, _taken) = mpsc::channel(1);
        let wish = Wish { level: Level::Info, records, lost: Arc::default() };
        let mut followed = DeliveryTrace::new(&node, wish);
        let [gone, listed, up] = ["gone", "listed", "up"].map(|id| NodeId::new(id).expect("a node ID"));
        followed.listed[1].insert(listed.clone());
        node.inner().shared.up.write().insert(up.clone(), aemp_proto::kernel::Route::Direct);
        followed.follow(gone);
        followed.follow(listed.clone());
        followed.look_again();
        assert_eq!(followed.nodes.into_keys().collect::<Vec<_>>(), [listed, up]);
    }
}
