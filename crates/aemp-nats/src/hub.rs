//! One node at a NATS system: what it has subscribed to, its streams, and who has asked for one.

use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use aemp::NodeId;
use aemp::broker::BrokerUser;
use aemp_proto::broker::{Chunk, Network, Session, Stream, StreamLimits};
use async_nats::connection::State as ConnectionState;
use async_nats::{Client, Event, Message, StatusCode, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt as _;
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc};
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout_at};

use crate::shared_stream::{SharedStream, StreamEnd};

/// Messages that the client library keeps for a subscription; more are dropped there. Streams have
/// at most 16 each on their way, and are read out of it without waiting for anything.
pub(crate) const SUBSCRIPTION_CAPACITY: usize = 65_536;

/// Streams of a node: with the least window for each, what may come at once is half of what a
/// server keeps for a client by default (`max_pending`, 64 MiB) before it cuts that off.
const STREAMS_MAX: usize = 2048;

/// Bytes that all streams together may have on their way to this node, as long as each has the
/// least window.
const GRANTED_MAX: u64 = 32 << 20;

/// Streams that other nodes have begun and that were not taken yet.
const ACCEPTED_MAX: usize = 256;

/// Bytes that a message needs besides its payload: the server counts some of them.
const MESSAGE_MARGIN: usize = 64;

/// How long to wait for the first global node to answer, and for others behind the first.
const FIRST_ANSWER: Duration = Duration::from_secs(1);
const MORE_ANSWERS: Duration = Duration::from_millis(50);

/// Answers of global nodes that are looked at.
const ANSWERS_MAX: usize = 32;

/// How often to look whether the broker is there again; mostly it is told.
const LOOK: Duration = Duration::from_millis(100);

/// How long a stream that is wanted waits for the broker.
const CONNECT: Duration = Duration::from_secs(2);

/// A node at the broker.
pub(crate) struct Hub {
    network: Network,
    node: NodeId,
    timeout: Duration,
    started: Instant,
    client: OnceLock<Client>,
    table: Mutex<Table>,
    back: Notify,
    closed: AtomicBool,
    listening: Mutex<Option<AbortHandle>>,
    answering: Mutex<Option<AbortHandle>>,
    accepted: (mpsc::Sender<StreamEnd>, tokio::sync::Mutex<mpsc::Receiver<StreamEnd>>),
}

#[derive(Default)]
struct Table {
    streams: HashMap<Session, Entry>,
    /// By the end of another node that has asked for a stream: ours.
    pending_opens: HashMap<Session, Session>,
    granted: u64,
    questions: HashMap<Session, mpsc::Sender<NodeId>>,
}

struct Entry {
    stream: Arc<SharedStream>,
    window: u64,
    asker: Option<Session>,
}

impl Hub {
    pub(crate) fn new(network: Network, user: &BrokerUser) -> Arc<Hub> {
        let (sender, receiver) = mpsc::channel(ACCEPTED_MAX);
        Arc::new(Hub {
            network,
            node: user.node.clone(),
            timeout: user.monitor_timeout,
            started: Instant::now(),
            client: OnceLock::new(),
            table: Mutex::default(),
            back: Notify::new(),
            closed: AtomicBool::new(false),
            listening: Mutex::default(),
            answering: Mutex::default(),
            accepted: (sender, tokio::sync::Mutex::new(receiver)),
        })
    }

    /// Subscribes to all that is for this node, and begins to listen.
    pub(crate) async fn start(self: Arc<Hub>, client: Client) -> Result<(), async_nats::SubscribeError> {
        let own = client.subscribe(self.network.all_of(&self.node)).await?;
        let task = tokio::spawn(listen(Arc::downgrade(&self), own));
        *self.listening.lock() = Some(task.abort_handle());
        let _ = self.client.set(client);
        // Who has started can be reached. A broker that is away for now does not keep a node from
        // starting.
        if let Err(error) = self.check_reachable().await {
            tracing::warn!(network = self.network.as_str(), %error, "not reached over NATS yet; trying on");
        }
        Ok(())
    }

    /// Answers from now on those who look for a global node.
    pub(crate) fn become_global(&self) {
        let Some(client) = self.client.get() else { return };
        let task = tokio::spawn(answer(client.clone(), self.network.clone(), self.node.clone()));
        *self.answering.lock() = Some(task.abort_handle());
    }

    /// Waits until what is published for this node comes to it.
    async fn check_reachable(&self) -> io::Result<()> {
        let question = session()?;
        let (sender, mut answers) = mpsc::channel(1);
        self.table.lock().questions.insert(question, sender);
        let heard = async {
            let client = self.connected().await?;
            let own = self.network.stream(&self.node, question);
            let text = Bytes::copy_from_slice(self.node.as_str().as_bytes());
            client.publish(own, text).await.map_err(|error| io::Error::other(error.to_string()))?;
            let heard = timeout_at(Instant::now() + CONNECT, answers.recv()).await;
            heard.map(drop).map_err(|_| io::Error::other("the broker does not deliver what is for this node"))
        };
        let heard = heard.await;
        self.table.lock().questions.remove(&question);
        heard
    }

    /// What the client library tells of the connection to the broker. Nothing depends on it: it can
    /// get lost.
    pub(crate) fn event(self: &Arc<Hub>, event: &Event) {
        match event {
            Event::Connected => {
                tracing::info!(network = self.network.as_str(), "connected to NATS");
                let message = self.message_limit();
                let streams: Vec<_> =
                    self.table.lock().streams.values().map(|entry| entry.stream.clone()).collect();
                streams.iter().for_each(|stream| stream.resumed(message, self));
                self.back.notify_waiters();
            }
            Event::Disconnected => tracing::warn!(network = self.network.as_str(), "not connected to NATS"),
            event => tracing::warn!(network = self.network.as_str(), %event, "NATS"),
        }
    }

    /// A stream to a node.
    ///
    /// # Errors
    ///
    /// `NotFound` if the broker says that nobody is there.
    pub(crate) async fn dial(self: &Arc<Hub>, to: &NodeId) -> io::Result<StreamEnd> {
        self.connected().await?;
        let session = session()?;
        let stream = self.add(session, None, self.network.open(to), |limits| {
            Stream::open(limits, session, &self.node, self.now())
        })?;
        let end = StreamEnd::new(stream.clone(), self);
        let peer = stream.answered().await?;
        stream.send_to(self.network.stream(to, peer));
        Ok(end)
    }

    /// The next stream that another node has begun.
    pub(crate) async fn accept(&self) -> io::Result<StreamEnd> {
        // The sender is ours, too: it is never closed.
        self.accepted.1.lock().await.recv().await.ok_or_else(|| io::Error::from(ErrorKind::NotConnected))
    }

    /// The global nodes that answer.
    pub(crate) async fn global_nodes(&self) -> io::Result<Vec<NodeId>> {
        let question = session()?;
        let (sender, mut answers) = mpsc::channel(ANSWERS_MAX);
        self.table.lock().questions.insert(question, sender);
        let asked = self.ask_for_global_nodes(question, &mut answers).await;
        self.table.lock().questions.remove(&question);
        asked
    }

    async fn ask_for_global_nodes(
        &self,
        question: Session,
        answers: &mut mpsc::Receiver<NodeId>,
    ) -> io::Result<Vec<NodeId>> {
        let client = self.connected().await?;
        let reply = self.network.stream(&self.node, question);
        let sent = client.publish_with_reply(self.network.global(), reply, Bytes::new()).await;
        sent.map_err(|error| io::Error::other(error.to_string()))?;
        let mut found = Vec::new();
        let mut until = Instant::now() + FIRST_ANSWER;
        while found.len() < ANSWERS_MAX {
            let Ok(Some(node)) = timeout_at(until, answers.recv()).await else { break };
            if found.is_empty() {
                until = Instant::now() + MORE_ANSWERS;
            }
            if node != self.node && !found.contains(&node) {
                found.push(node);
            }
        }
        Ok(found)
    }

    /// The time of the machines.
    pub(crate) fn now(&self) -> Duration {
        self.started.elapsed()
    }

    pub(crate) fn instant(&self, due: Duration) -> Instant {
        self.started + due
    }

    /// Publishes a chunk; gives whether it may arrive. Without a connection to the broker it is
    /// lost: the client library would keep it, and publish it when it is of no use any more.
    pub(crate) async fn publish(&self, subject: String, message: Vec<u8>, answers: Option<Session>) -> bool {
        let Some(client) = self.client.get().filter(|client| is_connected(client)) else { return false };
        let sent = match answers {
            Some(session) => {
                let reply = self.network.stream(&self.node, session);
                client.publish_with_reply(subject, reply, message.into()).await
            }
            None => client.publish(subject, message.into()).await,
        };
        if let Err(error) = &sent {
            tracing::debug!(%error, "NATS does not take a message");
        }
        sent.is_ok()
    }

    /// A stream is over.
    pub(crate) fn forget(&self, session: Session) {
        let mut table = self.table.lock();
        let Some(entry) = table.streams.remove(&session) else { return };
        table.granted -= entry.window;
        if let Some(asker) = entry.asker {
            table.pending_opens.remove(&asker);
        }
    }

    /// The client, once it is connected to the broker.
    ///
    /// # Errors
    ///
    /// It is not for a while.
    async fn connected(&self) -> io::Result<&Client> {
        let missing = || io::Error::new(ErrorKind::NotConnected, "not connected to NATS");
        let client = self.client.get().ok_or_else(missing)?;
        let until = Instant::now() + CONNECT;
        while !is_connected(client) {
            if Instant::now() >= until {
                return Err(missing());
            }
            let _ = timeout_at(Instant::now() + LOOK, self.back.notified()).await;
        }
        Ok(client)
    }

    /// The longest message that the broker takes.
    pub(crate) fn message_limit(&self) -> usize {
        let most = self.client.get().map_or(0, |client| client.server_info().max_payload);
        if most == 0 { usize::MAX } else { most.saturating_sub(MESSAGE_MARGIN) }
    }

    /// Begins a stream, with a share of what may be on its way to this node.
    fn add(
        self: &Arc<Hub>,
        session: Session,
        asker: Option<Session>,
        subject: String,
        begin: impl FnOnce(StreamLimits) -> Stream,
    ) -> io::Result<Arc<SharedStream>> {
        let message = self.message_limit();
        let mut table = self.table.lock();
        if table.streams.len() >= STREAMS_MAX {
            let text = format!("{STREAMS_MAX} streams over NATS are open at this node already");
            return Err(io::Error::new(ErrorKind::QuotaExceeded, text));
        }
        let share = GRANTED_MAX.saturating_sub(table.granted) / 8;
        let window = share.clamp(16 << 10, StreamLimits::DEFAULT.window);
        let limits = StreamLimits::DEFAULT.window(window).message(message).timeout(self.timeout);
        let stream = SharedStream::new(begin(limits), subject);
        table.granted += window;
        table.streams.insert(session, Entry { stream: stream.clone(), window, asker });
        if let Some(asker) = asker {
            table.pending_opens.insert(asker, session);
        }
        drop(table);
        tokio::spawn(stream.clone().run(Arc::downgrade(self), session));
        Ok(stream)
    }

    /// Something has come for this node.
    fn message(self: &Arc<Hub>, message: &Message) {
        let session = message.subject.rsplit('.').next().and_then(Session::from_hex);
        if message.status == Some(StatusCode::NO_RESPONDERS) {
            return self.nobody(session);
        }
        if let Some(question) = session.and_then(|at| self.table.lock().questions.get(&at).cloned()) {
            let node = str::from_utf8(&message.payload).ok().and_then(|text| NodeId::new(text).ok());
            // One answer too many is of no use.
            return drop(node.map(|node| question.try_send(node)));
        }
        match Chunk::decode(&message.payload) {
            Ok(Chunk::Open { from, limit, node }) => self.opened(from, limit, &node),
            Ok(chunk) => {
                let stream = chunk.to().and_then(|to| self.stream(to));
                if let Some(stream) = stream {
                    stream.input(&chunk, self);
                }
            }
            Err(error) => tracing::debug!(%error, "what came over NATS is of no use"),
        }
    }

    /// A message has found nobody.
    fn nobody(&self, session: Option<Session>) {
        let Some(session) = session else { return };
        if self.table.lock().questions.remove(&session).is_some() {
            return;
        }
        if let Some(stream) = self.stream(session) {
            stream.nobody();
        }
    }

    /// Another node wants a stream.
    fn opened(self: &Arc<Hub>, from: Session, limit: u64, node: &NodeId) {
        let known = self.table.lock().pending_opens.get(&from).copied();
        if let Some(stream) = known.and_then(|own| self.stream(own)) {
            return stream.opened_again(self);
        }
        let Ok(own) = session() else { return };
        let subject = self.network.stream(node, from);
        let begun = match self.closed.load(Ordering::Relaxed) {
            true => Err(io::Error::other("the node takes no more connections")),
            false => self.add(own, Some(from), subject.clone(), |limits| {
                Stream::accept(limits, own, from, limit, self.now())
            }),
        };
        match begun {
            // If there are too many already it is dropped, which ends it.
            Ok(stream) => drop(self.accepted.0.try_send(StreamEnd::new(stream, self))),
            Err(error) => {
                let refusal = Chunk::reset(from, own, &error.to_string());
                let hub = self.clone();
                tokio::spawn(async move { hub.publish(subject, refusal, None).await });
            }
        }
    }

    /// Refuses what other nodes begin from now on.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
        self.answering.lock().iter().for_each(AbortHandle::abort);
    }

    fn stream(&self, session: Session) -> Option<Arc<SharedStream>> {
        self.table.lock().streams.get(&session).map(|entry| entry.stream.clone())
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        // They hold the connection to the broker.
        for task in [self.listening.get_mut(), self.answering.get_mut()] {
            task.iter().for_each(AbortHandle::abort);
        }
        let table = std::mem::take(self.table.get_mut());
        table.streams.values().for_each(|entry| entry.stream.reset("the node has left the broker"));
    }
}

fn is_connected(client: &Client) -> bool {
    client.connection_state() == ConnectionState::Connected
}

async fn listen(hub: Weak<Hub>, mut messages: Subscriber) {
    while let Some(message) = messages.next().await {
        let Some(hub) = hub.upgrade() else { return };
        hub.message(&message);
    }
}

/// Answers those who look for a global node.
async fn answer(client: Client, network: Network, node: NodeId) {
    let mut questions = match client.subscribe(network.global()).await {
        Ok(questions) => questions,
        Err(error) => return tracing::warn!(%error, "cannot answer those who look for a global node"),
    };
    while let Some(question) = questions.next().await {
        let Some(reply) = question.reply else { continue };
        // Anybody can ask, and must not make us publish anywhere.
        if network.is_of_node(&reply) {
            let _ = client.publish(reply, Bytes::copy_from_slice(node.as_str().as_bytes())).await;
        }
    }
}

/// A session that was never used.
fn session() -> io::Result<Session> {
    let mut bits = [0; 16];
    getrandom::fill(&mut bits).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(Session::new(u128::from_ne_bytes(bits)))
}
