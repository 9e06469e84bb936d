//! The loop around the kernel: events in, actions out.

use std::collections::{HashMap, HashSet};

use aemp_proto::address::ADDRESSES_MAX;
use aemp_proto::broker::{ANY_GLOBAL, is_address};
use aemp_proto::kernel::{Action, DbCommand, Input, Kernel, LinkId, Peer};
use aemp_proto::link::Side;
use aemp_proto::outbox::Queued;
use aemp_proto::wire::Request;
use aemp_proto::{Framing, NodeId, Value};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::announce::Announcements;
use super::backlog::Waiting;
use super::broker_link;
use super::dialled::{self, Target};
use super::node_events::Followers;
use super::ration::Ration;
use super::report::{ShutdownRequest, Undelivered};
use super::resolve::resolve_to_dial;
use super::{Command, Ended, Event, NodeEvent, link};
use crate::database::{Told, WatchSender};
use crate::node::Node;
use crate::stats::counts::{BreakCause, KernelStats};
use aemp_ports::wake::guarded;

pub(crate) struct Driver {
    pub(super) node: Node,
    kernel: Kernel,
    pub(super) links: HashMap<LinkId, mpsc::UnboundedSender<Command>>,
    /// What the peers of those read that are established and not attached: the framing, and whether
    /// in parts; and what both ends call the connection.
    reads: HashMap<LinkId, (Framing, bool, u64)>,
    /// The connections to the nodes that are up.
    pub(super) conns: HashMap<NodeId, u64>,
    queries: HashMap<u64, oneshot::Sender<Value>>,
    watches: HashMap<u64, WatchSender>,
    refusals: Ration,
    /// The nodes that are up and clients: their coming and going is not worth a line in the log of
    /// every node.
    clients: HashSet<NodeId>,
    pub(super) announcements: Announcements,
    /// Why outboxes break that break now.
    cause: BreakCause,
    /// What was queued for nodes and got lost, once the node shuts down.
    pub(super) lost: Option<Vec<Undelivered>>,
}

impl Driver {
    pub(crate) fn new(node: Node, kernel: Kernel) -> Driver {
        Driver {
            node,
            kernel,
            links: HashMap::new(),
            reads: HashMap::new(),
            conns: HashMap::new(),
            queries: HashMap::new(),
            watches: HashMap::new(),
            refusals: Ration::default(),
            clients: HashSet::new(),
            announcements: Announcements::default(),
            cause: BreakCause::Here,
            lost: None,
        }
    }

    /// Runs until the node is shut down.
    pub(crate) async fn run(mut self, mut events: mpsc::UnboundedReceiver<Event>) {
        self.act();
        loop {
            if let Some(request) = self.step(&mut events).await {
                // In a box: it is large, and a node mostly runs.
                return Box::pin(self.shutdown(events, request)).await;
            }
        }
    }

    /// Waits for the next thing to do and does it, unless it is the end of the node.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the future is dropped.
    pub(super) async fn step(
        &mut self,
        events: &mut mpsc::UnboundedReceiver<Event>,
    ) -> Option<ShutdownRequest> {
        let due = self.kernel.next_timeout();
        let node = self.node.clone();
        let shared = &node.inner().shared;
        tokio::select! {
            // It is never closed: the driver has a handle of the node itself.
            Some(event) = events.recv() => match event {
                Event::Shutdown(request) => return Some(request),
                event => self.event(event),
            },
            () = until(due.and_then(|due| shared.started.checked_add(due))) => {
                self.cause = BreakCause::Unreachable;
                self.input(Input::Tick);
            }
            waiting = shared.requests.next() => self.request(waiting),
            () = until(self.node.deadlines().next()) => self.node.end_due(),
            () = self.node.deadlines().earlier() => {}
        }
        None
    }

    fn event(&mut self, event: Event) {
        self.cause = cause(&event);
        let input = match event {
            Event::Wanted(node) => Input::Wanted(node),
            Event::Overflow(node) => {
                if !self.node.remotes().get_or_create(&node).outbox.lock().is_condemned() {
                    return; // it was broken for another reason since
                }
                Input::Overflow(node)
            }
            Event::Accepted(link, commands) => {
                self.links.insert(link, commands);
                return;
            }
            Event::Greeted(link, peer) => Input::Greeted { link, peer },
            Event::Verified(link) => Input::Verified { link },
            Event::Established { link, framing, parts, conn } => {
                self.reads.insert(link, (framing, parts, conn));
                Input::Established { link }
            }
            Event::ProbeDone(link, alive) => Input::ProbeDone { link, alive },
            Event::Closed(link, Ended { reason, .. }) => {
                self.links.remove(&link);
                self.reads.remove(&link);
                self.node.inner().shared.requests.forget(link);
                Input::Closed { link, reason }
            }
            Event::Binds { binds, unreachable } => Input::Binds { binds, unreachable },
            Event::Seeds(seeds) => {
                self.input(Input::Seeds(seeds.clone()));
                let kept: Vec<String> = seeds.into_iter().chain([ANY_GLOBAL.into()]).collect();
                return self.node.inner().shared.unreached_seeds.keep(&kept);
            }
            Event::Resolved(name, addresses) => Input::Resolved { name, addresses },
            Event::Db(command) => {
                self.catch_up();
                Input::Db(command)
            }
            Event::Query { id, kind, family, answer } => {
                self.catch_up();
                self.queries.insert(id, answer);
                Input::Db(DbCommand::Query { id, kind, family })
            }
            Event::Unquery(id) => {
                self.queries.remove(&id);
                Input::Db(DbCommand::Unquery { id })
            }
            Event::Watch { id, family, sender } => {
                self.watches.insert(id, sender);
                Input::Db(DbCommand::Watch { id, family })
            }
            Event::Unwatch(id) => {
                self.watches.remove(&id);
                Input::Db(DbCommand::Unwatch { id })
            }
            Event::Refused(node) => {
                let remote = self.node.remotes().get_or_create(&node);
                self.node.fire_refused(&remote);
                remote.wake.notify_one();
                if !remote.outbox.lock().is_wanted() {
                    return;
                }
                Input::Wanted(node)
            }
            Event::Told(node) => {
                return self.announcements.ready(&node).into_iter().for_each(|event| self.announce(event));
            }
            Event::Stats(answer) => {
                let (serving, families) = (self.kernel.is_serving(), self.kernel.family_sizes());
                // The asker may have lost interest.
                return drop(answer.send(KernelStats { serving, families }));
            }
            Event::Mark(number, asker) => return self.mark(number, &asker),
            Event::Delivered(_) | Event::Shutdown(_) => return,
        };
        self.input(input);
    }

    /// The program does not read what a watch tells, and too much waits: it learns that by the end
    /// of the watch.
    fn end_watch(&mut self, id: u64) {
        tracing::warn!("a watch of the database has ended: the program does not read the changes");
        let watch = self.watches.remove(&id);
        guarded(|| drop(watch));
        self.kernel.handle(Input::Db(DbCommand::Unwatch { id }), self.node.inner().shared.now());
    }

    /// A request of another node, whose turn it is.
    fn request(&mut self, Waiting { link, from, request }: Waiting) {
        // A request of a link that is gone must not count as one of the next.
        if self.node.remotes().get_or_create(&from).outbox.lock().link() != Some(link) {
            return;
        }
        match Request::decode(&request) {
            Ok(Request::Mesh(request)) => self.input(Input::Request { from, request }),
            Ok(_) => {}
            Err(error) => self.node.refused(&from, &error),
        }
    }

    /// Before the program asks: what came before, one request of each node. More would let these
    /// put it off for long.
    fn catch_up(&mut self) {
        for _ in 0..self.node.inner().shared.requests.links() {
            if let Some(waiting) = self.node.inner().shared.requests.take() {
                self.request(waiting);
            }
        }
    }

    fn input(&mut self, input: Input) {
        tracing::trace!(?input, "kernel");
        self.kernel.handle(input, self.node.inner().shared.now());
        self.act();
    }

    fn act(&mut self) {
        while let Some(action) = self.kernel.poll() {
            tracing::trace!(?action, "kernel");
            self.perform(action);
        }
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Dial { link, address, expected } => self.dial(link, Target { address, expected }),
            Action::Resolve { name } => self.resolve(name),
            Action::BecameGlobal => {
                self.node.inner().shared.broker.iter().for_each(|broker| broker.become_global());
            }
            Action::DialThrough { link, via, to } => self.dial_through(link, via, &to),
            Action::Proceed { link } => self.command(link, Command::Proceed),
            Action::Close { link, reason } => self.close(link, &reason),
            Action::Probe { link } => self.command(link, Command::Probe),
            Action::Up { link, peer } => self.up(link, &peer),
            Action::Break { node, reason } => {
                self.break_outbox(&node, &reason);
            }
            Action::Send { to, request } => {
                let remote = self.node.remotes().get_or_create(&to);
                let ((queued, left_out), lost) = {
                    let mut outbox = remote.outbox.lock();
                    (outbox.mesh(request), outbox.is_condemned())
                };
                self.node.left_out(&to, left_out);
                if queued == Queued::Dropped
                    && !lost
                    && let Some(withheld) = self.refusals.take(self.node.inner().shared.now())
                {
                    tracing::error!(peer = %to, withheld, "a request of the database fits into no message, and was not sent");
                }
                self.node.queued(&remote, queued);
            }
            Action::NodeDown(node, reason) => {
                let shared = &self.node.inner().shared;
                if self.clients.remove(&node) {
                    self.node.remotes().count_no_more(&node);
                    tracing::debug!(peer = %node, reason, "node down, a client");
                } else {
                    match shared.coming.take(&node, shared.now()) {
                        Some(withheld) => {
                            let withheld = (withheld > 0).then_some(withheld);
                            tracing::info!(peer = %node, reason, withheld, "node down");
                        }
                        None => tracing::debug!(peer = %node, reason, "node down"),
                    }
                }
                shared.up.write().remove(&node);
                self.note_down(&node, &reason);
                self.node.remotes().forget_if_idle(&node);
                self.announce_in_order(&node, NodeEvent::Down(node.clone(), reason));
            }
            Action::QueryAnswer { id, result } => {
                if let Some(answer) = self.queries.remove(&id) {
                    // Anyone who asked may have lost interest.
                    guarded(|| drop(answer.send(result)));
                }
            }
            Action::Watch { id, added, changed, deleted, set } => {
                let told = Told { added, changed, deleted, set };
                if let Some(sender) = self.watches.get(&id) {
                    let mut kept = true;
                    guarded(|| kept = sender.tell(told));
                    if !kept {
                        self.end_watch(id);
                    }
                }
            }
            Action::Refused { what } => {
                if let Some(withheld) = self.refusals.take(self.node.inner().shared.now()) {
                    tracing::warn!(withheld, "{what}");
                }
            }
        }
    }

    fn up(&mut self, link: LinkId, peer: &Peer) {
        let node = &peer.node;
        let remote = self.node.remotes().get_or_create(node);
        let (framing, parts, conn) = self.reads.remove(&link).unwrap_or((Framing::Native, false, 0));
        self.note_up(peer, conn);
        self.node.attach_remote(&remote, link, framing);
        self.node.remotes().count(&remote);
        if parts {
            remote.outbox.lock().send_parts(link);
        }
        let shared = &self.node.inner().shared;
        if peer.client {
            self.clients.insert(node.clone());
            tracing::debug!(peer = %node, "node up, a client");
        } else {
            match shared.coming.take(node, shared.now()) {
                Some(withheld) => {
                    let withheld = (withheld > 0).then_some(withheld);
                    tracing::info!(peer = %node, withheld, "node up");
                }
                None => tracing::debug!(peer = %node, "node up"),
            }
        }
        if peer.is_neighbour() {
            shared.relaying.up(node);
        }
        let ready = self.announcements.add(node, NodeEvent::Up(node.clone()));
        {
            // Who has seen that a node is connected, and follows them from then on, is not told of
            // it once more.
            let mut followers = shared.events.lock();
            shared.up.write().insert(node.clone(), peer.route());
            ready.iter().for_each(|event| tell(&mut followers, event));
        }
        // It delivers nothing before everybody can see that the node is up.
        self.command(link, Command::Attach(remote));
    }

    fn announce_in_order(&mut self, node: &NodeId, event: NodeEvent) {
        let ready = self.announcements.add(node, event);
        ready.into_iter().for_each(|event| self.announce(event));
    }

    pub(super) fn announce(&self, event: NodeEvent) {
        tell(&mut self.node.inner().shared.events.lock(), &event);
    }

    pub(super) fn command(&self, link: LinkId, command: Command) {
        if let Some(commands) = self.links.get(&link) {
            // An error says that the task has ended; its `Closed` is on the way.
            let _ = commands.send(command);
        }
    }

    fn break_outbox(&mut self, node: &NodeId, reason: &str) {
        let remote = self.node.remotes().get_or_create(node);
        if let Some(lost) = &mut self.lost
            && remote.outbox.lock().backlog() > 0
        {
            lost.push(Undelivered { node: node.clone(), reason: reason.into() });
        }
        let reset = self.node.break_remote(&remote, reason);
        self.note_broke(node, &reset);
        if reset.link.is_some() || reset.lost > 0 {
            self.node.remotes().count(&remote);
            remote.counts.broke_by(self.cause);
        }
        self.announcements.lost(node, reset.telling);
        drop(remote);
        // If it was not up, nobody says that it is down. Others may name any number of nodes.
        self.node.remotes().forget_if_idle(node);
        if let Some(link) = reset.link {
            self.close(link, reason);
        }
    }

    fn close(&mut self, link: LinkId, reason: &str) {
        self.command(link, Command::Close(reason.into()));
        self.links.remove(&link);
    }

    fn dial(&mut self, link: LinkId, target: Target) {
        self.note_dial(&target);
        let (sender, commands) = mpsc::unbounded_channel();
        self.links.insert(link, sender);
        match &self.node.inner().shared.broker {
            Some(broker) if is_address(&target.address) => {
                let (node, broker) = (self.node.clone(), broker.clone());
                tokio::spawn(broker_link::run_dialled(node, broker, link, target, commands));
            }
            _ => drop(tokio::spawn(dialled::run(self.node.clone(), link, target, commands))),
        }
    }

    fn resolve(&self, name: String) {
        let node = self.node.clone();
        if let Some(broker) = self.node.inner().shared.broker.clone().filter(|_| is_address(&name)) {
            tokio::spawn(async move {
                let found = broker_link::global_nodes(&*broker).await;
                node.event(Event::Resolved(name, found));
            });
            return;
        }
        tokio::spawn(async move {
            let found = resolve_to_dial(&name).await.unwrap_or_else(|error| {
                tracing::debug!(name, %error, "the name of a seed cannot be resolved");
                Vec::new()
            });
            // What else is behind the name is on other hosts, if the name means anything there.
            let (local, network): (Vec<_>, Vec<_>) =
                found.into_iter().partition(|address| address.ip().to_canonical().is_loopback());
            let others = if network.is_empty() { local } else { network };
            let addresses = others.iter().take(ADDRESSES_MAX).map(ToString::to_string).collect();
            node.event(Event::Resolved(name, addresses));
        });
    }

    fn dial_through(&mut self, link: LinkId, via: NodeId, to: &NodeId) {
        let (sender, commands) = mpsc::unbounded_channel();
        self.links.insert(link, sender);
        let stream = self.node.inner().shared.relaying.dial(&self.node, &via, to);
        let node = self.node.clone();
        tokio::spawn(link::run_relayed(node, link, Side::Dialler, stream, via, commands));
    }
}

/// Tells those who follow the nodes, unless the node has ended.
fn tell(followers: &mut Option<Followers>, event: &NodeEvent) {
    if let Some(followers) = followers {
        guarded(|| followers.tell(event));
    }
}

/// Why an outbox breaks, if it does because of this.
fn cause(event: &Event) -> BreakCause {
    match event {
        Event::Closed(_, ended) => ended.cause,
        Event::Overflow(_) => BreakCause::Overflow,
        Event::Greeted(..) | Event::Verified(_) | Event::Established { .. } | Event::ProbeDone(..) => {
            BreakCause::Replaced
        }
        _ => BreakCause::Unreachable,
    }
}

/// Waits until then; for ever if there is no such time.
async fn until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}
