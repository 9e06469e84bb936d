//! The end of a node: in order, within a grace, or at once because its runtime has ended.
//!
//! In order it goes in three steps, each until it is done or the grace is over: what waits for a
//! connection gets it; connections that other nodes carry are closed after what is queued for them;
//! then the direct ones are, which carry the others.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use aemp_proto::kernel::{LinkId, Route};
use aemp_proto::{NodeId, Reason};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout, timeout_at};

use super::driver::Driver;
use super::report::{ShutdownReport, ShutdownRequest, Undelivered};
use super::{Command, Ended, Event, NodeEvent};
use crate::node::Node;
use crate::recorder::compact::CompactEvent;
use crate::remote::Remote;
use aemp_ports::exit::end_port;
use aemp_ports::mailbox::Signal;
use aemp_ports::port_no::PortNo;
use aemp_ports::signal::{kill_task, signal};
use aemp_ports::wake::guarded;

/// How long [`Node::shutdown`] takes at most to deliver what was sent before.
pub const SHUTDOWN_GRACE: Duration = Duration::from_secs(5);

/// How long the monitors that fired because of the end may run.
const LAST_CALLBACKS: Duration = Duration::from_secs(2);

/// How much later than the grace the news of the last link may come.
const LINKS_LATE: Duration = Duration::from_millis(500);

/// A longer grace is cut to this one, so that there is a time at which it ends.
const GRACE_MAX: Duration = Duration::from_secs(24 * 3600);

/// Why a node that has ended has lost all others.
pub(crate) const SHUT_DOWN: &str = "this node has shut down";

impl Node {
    /// Ends the node in order: what was sent before is delivered, connections are closed, ports are
    /// gone. Other nodes learn of it at once. Does nothing the second time.
    ///
    /// The report, which is also logged, names each node that may not have got everything.
    /// Delivering takes at most [`SHUTDOWN_GRACE`], of which connections that are still to be made
    /// may take the first half; see [`Node::shutdown_within`] for another time. Ports then get what
    /// has come for them, and callbacks of monitors that fire because of the end run, for two
    /// seconds at most.
    ///
    /// # Cancel safety
    ///
    /// The node ends also if the future is dropped after its first poll.
    pub async fn shutdown(&self) -> ShutdownReport {
        self.shutdown_within(SHUTDOWN_GRACE).await
    }

    /// As [`Node::shutdown`], with another grace. What waits for a connection, too, is lost when it
    /// is over.
    pub async fn shutdown_within(&self, grace: Duration) -> ShutdownReport {
        // An error says that the node has ended already.
        self.request_shutdown(grace).await.unwrap_or_default()
    }

    /// Begins a shutdown of which nobody wants to hear.
    pub(crate) fn begin_shutdown(&self) {
        drop(self.request_shutdown(SHUTDOWN_GRACE));
    }

    fn request_shutdown(&self, grace: Duration) -> oneshot::Receiver<ShutdownReport> {
        let (done, report) = oneshot::channel();
        self.event(Event::Shutdown(ShutdownRequest { grace, done }));
        report
    }
}

impl Node {
    /// Runs code of the library on another thread, for the caller may hold locks; also when the
    /// runtime has ended.
    pub(crate) fn run_elsewhere(&self, code: impl FnOnce() + Send + 'static) {
        let mut late = Late(Some(code));
        self.inner().runtime.spawn(async move { late.run() });
    }
}

/// Code that is run even if the runtime that should do so has ended.
struct Late<F: FnOnce() + Send + 'static>(Option<F>);

impl<F: FnOnce() + Send + 'static> Late<F> {
    fn run(&mut self) {
        if let Some(code) = self.0.take() {
            code();
        }
    }
}

impl<F: FnOnce() + Send + 'static> Drop for Late<F> {
    fn drop(&mut self) {
        if let Some(code) = self.0.take() {
            // Without a thread nobody can be told.
            let _ = std::thread::Builder::new().spawn(code);
        }
    }
}

/// A shutdown in progress.
struct Shutdown {
    events: mpsc::UnboundedReceiver<Event>,
    deadline: Instant,
    waiters: Vec<oneshot::Sender<ShutdownReport>>,
    delivered: HashSet<LinkId>,
    lost: Vec<Undelivered>,
}

impl Shutdown {
    fn lost(&mut self, node: NodeId, reason: impl Into<String>) {
        self.lost.push(Undelivered { node, reason: reason.into() });
    }

    /// Tells those who wait for the end.
    fn report(self) {
        for Undelivered { node, reason } in &self.lost {
            tracing::warn!(peer = %node, reason, "shut down before everything was delivered");
        }
        let report = ShutdownReport { undelivered: self.lost };
        for done in self.waiters {
            guarded(|| drop(done.send(report.clone())));
        }
    }
}

impl Driver {
    /// Delivers what is queued, closes all links, then ends the ports.
    pub(super) async fn shutdown(mut self, events: mpsc::UnboundedReceiver<Event>, request: ShutdownRequest) {
        let ShutdownRequest { grace, done } = request;
        let grace = grace.min(GRACE_MAX);
        self.note(|| CompactEvent::ShuttingDown);
        let deadline = Instant::now() + grace;
        let (delivered, lost) = (HashSet::new(), Vec::new());
        let mut shutdown = Shutdown { events, deadline, waiters: vec![done], delivered, lost };
        self.node.streams().end();
        self.connect_waiting(&mut shutdown, deadline - grace / 2).await;
        self.stop_listening();
        self.close_links(&mut shutdown).await;
        let up = self.disconnect_all();
        let tasks = self.kill_ports();
        let _ = timeout(LAST_CALLBACKS, self.node.tasks_ended(tasks)).await;
        // The monitors that fired because of this are still to run, and may have opened ports.
        self.node.scheduler().stop();
        let _ = timeout(LAST_CALLBACKS, self.node.inner().runners.ended(self.node.scheduler())).await;
        self.announce_end(up);
        self.node.inner().shared.ending.be_over();
        self.end_ports();
        shutdown.report();
    }

    /// Goes on as before until nothing waits for a connection any more. A node that cannot be
    /// reached must not take the time that others need to read what is queued for them.
    async fn connect_waiting(&mut self, shutdown: &mut Shutdown, deadline: Instant) {
        self.lost = Some(Vec::new());
        let mut waiting = Vec::new();
        for remote in self.node.remotes().all() {
            let epoch = remote.outbox.lock().epoch();
            waiting.push((epoch, remote));
        }
        let connect = async {
            while waiting.iter().any(|(epoch, remote)| waits(remote, *epoch)) {
                if let Some(request) = self.step(&mut shutdown.events).await {
                    shutdown.waiters.push(request.done);
                }
            }
        };
        let _ = timeout_at(deadline, connect).await;
        shutdown.lost.extend(self.lost.take().unwrap_or_default());
        for (epoch, remote) in waiting {
            if waits(&remote, epoch) {
                shutdown.lost(remote.node.clone(), "no connection to it was made in time");
            }
        }
    }

    /// Closes all links: those that other nodes carry first, and those that carry them when nothing
    /// more is to be carried.
    async fn close_links(&mut self, shutdown: &mut Shutdown) {
        let (mut relayed, mut direct) = (Vec::new(), Vec::new());
        for remote in self.node.remotes().all() {
            let Some(link) = remote.outbox.lock().link() else { continue };
            match self.via(&remote) {
                Some(via) => relayed.push((link, remote, via)),
                None => direct.push((link, remote)),
            }
        }
        let attached: HashSet<LinkId> =
            relayed.iter().map(|(link, ..)| *link).chain(direct.iter().map(|(link, _)| *link)).collect();
        for link in self.links.keys().filter(|link| !attached.contains(link)) {
            self.command(*link, Command::Close(SHUT_DOWN.into()));
        }
        self.links.retain(|link, _| attached.contains(link));
        let first = relayed.iter().map(|(link, remote, _)| (*link, remote.clone())).collect();
        self.close_in_order(shutdown, first, &direct).await;
        self.close_in_order(shutdown, direct, &[]).await;
        for (link, remote, via) in relayed {
            let lost = shutdown.lost.iter().any(|lost| lost.node == via);
            if lost && shutdown.delivered.contains(&link) {
                shutdown.lost(remote.node.clone(), format!("it was reached through node {via}"));
            }
        }
    }

    /// Closes these links after what is queued for them. What is sent to their nodes from now on is
    /// lost. `relays` are those that they depend on.
    async fn close_in_order(
        &mut self,
        shutdown: &mut Shutdown,
        links: Vec<(LinkId, Arc<Remote>)>,
        relays: &[(LinkId, Arc<Remote>)],
    ) {
        let (mut open, mut held) = (HashMap::new(), Vec::new());
        for (link, remote) in links {
            let holds = {
                let mut outbox = remote.outbox.lock();
                outbox.seal();
                outbox.holds()
            };
            if holds {
                held.push(remote.node.clone());
            }
            self.command(link, Command::Shutdown(shutdown.deadline));
            if self.links.contains_key(&link) {
                open.insert(link, remote.node.clone());
            } else {
                shutdown.lost(remote.node.clone(), "its connection was closed");
            }
        }
        // Each link keeps the deadline by itself.
        let deadline = shutdown.deadline + LINKS_LATE;
        while !open.is_empty()
            && let Ok(Some(event)) = timeout_at(deadline, shutdown.events.recv()).await
        {
            match event {
                Event::Shutdown(request) => shutdown.waiters.push(request.done),
                Event::Delivered(link) => drop(shutdown.delivered.insert(link)),
                Event::Closed(link, Ended { reason, .. }) => {
                    self.links.remove(&link);
                    if let Some((_, via)) = relays.iter().find(|(via, _)| *via == link) {
                        self.node.inner().shared.relaying.down(&self.node, &via.node, &reason);
                    }
                    if let Some(node) = open.remove(&link)
                        && !shutdown.delivered.contains(&link)
                    {
                        shutdown.lost(node, reason);
                    }
                }
                _ => {}
            }
        }
        for node in open.into_values() {
            shutdown.lost(node, "its connection did not end in time");
        }
        for node in held {
            if !shutdown.lost.iter().any(|lost| lost.node == node) {
                shutdown.lost(node, "not all who had to be told of an earlier loss were told in time");
            }
        }
    }

    /// The node that carries the connection to this one.
    fn via(&self, remote: &Remote) -> Option<NodeId> {
        match self.node.route(&remote.node)? {
            Route::Through(via) => Some(via),
            Route::Direct => None,
        }
    }

    fn stop_listening(&self) {
        self.node.inner().shared.listening.close();
    }

    /// Every other node is lost: monitors fire. Returns the nodes that were up.
    fn disconnect_all(&mut self) -> Vec<NodeId> {
        let node = self.node.clone();
        let shared = &node.inner().shared;
        shared.ending.part();
        for remote in self.node.remotes().all() {
            let reset = self.node.break_remote(&remote, SHUT_DOWN);
            self.note_broke(&remote.node, &reset);
        }
        self.node.fire_own_monitors();
        let up: Vec<NodeId> = std::mem::take(&mut *shared.up.write()).into_keys().collect();
        up.iter().for_each(|node| self.note_down(node, SHUT_DOWN));
        self.note(|| CompactEvent::Stop);
        up
    }

    /// The monitors have told their owners: those who follow the nodes hear that these are lost,
    /// and that nothing follows.
    fn announce_end(&mut self, up: Vec<NodeId>) {
        let waiting = self.announcements.finish();
        let lost = up.into_iter().map(|node| NodeEvent::Down(node, SHUT_DOWN.into()));
        waiting.into_iter().chain(lost).for_each(|event| self.announce(event));
        self.node.inner().shared.events.lock().take();
    }

    /// Kills all ports, which get to what has come before. Those that are tasks have to end
    /// themselves, behind what they send.
    fn kill_ports(&self) -> Vec<PortNo> {
        let mut tasks = Vec::new();
        for number in self.node.table().numbers() {
            if kill_task(&self.node, number) {
                tasks.push(number);
            } else {
                signal(&self.node, number, Signal::Kill(Reason::NORMAL));
            }
        }
        tasks
    }

    fn end_ports(&self) {
        for number in self.node.table().numbers() {
            end_port(&self.node, number, Reason::NORMAL);
        }
    }
}

impl Drop for Driver {
    /// The runtime has ended, and with it all tasks of the node; or the driver has panicked.
    /// Nothing can be delivered any more, but all that is waited for ends.
    fn drop(&mut self) {
        if self.node.is_over() {
            return;
        }
        tracing::warn!(node = %self.node.id(), "the node has ended without a shutdown: its runtime has ended");
        self.stop_listening();
        self.node.streams().end();
        let up = self.disconnect_all();
        self.node.scheduler().stop();
        self.announce_end(up);
        self.node.inner().shared.ending.be_over();
        self.end_ports();
    }
}

/// Whether something waits for a connection to the node, since this epoch of its outbox.
fn waits(remote: &Remote, epoch: u64) -> bool {
    let outbox = remote.outbox.lock();
    outbox.link().is_none() && outbox.epoch() == epoch && outbox.backlog() > 0
}
