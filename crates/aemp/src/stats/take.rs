//! Taking a snapshot.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::Ordering::Relaxed;

use aemp_proto::kernel::FamilySize;
use tokio::sync::oneshot;

use super::counts::Queue;
use super::descriptors::Descriptors;
use super::lost::{LostMessage, NO_SUCH_PORT};
use super::snapshot::{FamilyStats, PeerStats, PortStats, Stats, VERSION};
use crate::log::clock;
use crate::node::Node;
use crate::runtime::Event;
use aemp_ports::port_no::PortNo;
use aemp_ports::slot::{Slot, State};

impl Node {
    /// A snapshot of what this node counts and knows. It takes some microseconds, and some
    /// milliseconds with a hundred thousand ports. After the end of the node the database is empty.
    pub async fn stats(&self) -> Stats {
        let (answer, answered) = oneshot::channel();
        self.event(Event::Stats(answer));
        // An error says that the node has ended.
        let kernel = answered.await.unwrap_or_default();
        let shared = &self.inner().shared;
        let counts = &shared.counts;
        let (peers, former_peers) = self.peer_stats();
        let mut stats = Stats {
            version: VERSION,
            node: self.id().to_string(),
            program: env!("CARGO_PKG_VERSION").into(),
            time: clock::now(),
            uptime: shared.now().as_secs_f64(),
            merges_database: kernel.serving,
            kills: counts.kills.all(),
            blocked_handlers: counts.blocked_handlers.load(Relaxed),
            handlers: counts.handlers.stats(self.inner().shared.now()),
            undeliverable: undeliverable(counts.lost.no_such_port(), peers.values().chain([&former_peers])),
            families: kernel.families.into_iter().map(|(name, size)| (name, family(size))).collect(),
            handshake_failures: counts.handshake_failures.all(),
            descriptors: Descriptors::now(),
            peers,
            former_peers,
            ..Stats::default()
        };
        self.count_ports(&mut stats);
        stats
    }

    /// The messages that were lost last, the oldest first, at most a hundred: those for ports of
    /// this node that are not there, and those that did not leave it.
    pub fn lost_messages(&self) -> Vec<LostMessage> {
        self.inner().shared.counts.lost.last()
    }

    /// The ports of this node, those with the fullest mailboxes first, at most `limit`.
    pub fn port_stats(&self, limit: usize) -> Vec<PortStats> {
        let mut ports = Vec::new();
        self.table().each(|number, slot| ports.push((slot.waiting(), number)));
        ports.sort_unstable_by_key(|(waiting, number)| (std::cmp::Reverse(*waiting), *number));
        ports.truncate(limit);
        ports.into_iter().filter_map(|(_, number)| self.stats_of_port(number)).collect()
    }

    pub(super) fn stats_of_port(&self, number: PortNo) -> Option<PortStats> {
        let cell = self.table().get(number)?;
        let (bytes, monitors, state) = (cell.waiting() as u64, monitors(&cell), state(cell.state()).into());
        drop(cell);
        Some(PortStats { port: self.port_id(number).to_string(), bytes, monitors, state })
    }

    fn count_ports(&self, stats: &mut Stats) {
        let mut largest = None;
        self.table().each(|number, slot| {
            stats.ports += 1;
            stats.monitors += monitors(slot);
            stats.mailboxes.bytes += slot.waiting() as u64;
            if slot.waiting() > 0 {
                largest = largest.max(Some((slot.waiting(), number)));
            }
        });
        stats.mailboxes.largest = largest.and_then(|(_, number)| self.stats_of_port(number));
    }

    /// Of each peer, and of all that are not known any more.
    fn peer_stats(&self) -> (BTreeMap<String, PeerStats>, PeerStats) {
        let now = self.inner().shared.now();
        let (known, former) = self.remotes().counted();
        let mut all: HashMap<_, _> =
            known.into_iter().map(|(node, counts)| (node, (counts, Queue::default()))).collect();
        for remote in self.remotes().all() {
            let queue = {
                let outbox = remote.outbox.lock();
                let attached = outbox.link().is_some();
                Queue { bytes: outbox.backlog(), attached, counts: outbox.counts() }
            };
            if all.contains_key(&remote.node) || queue.bytes > 0 {
                all.insert(remote.node.clone(), (remote.counts.clone(), queue));
            }
        }
        let stats =
            all.into_iter().map(|(node, (counts, queue))| (node.to_string(), counts.stats(queue, now)));
        (stats.collect(), former.stats(Default::default(), now))
    }
}

fn family(size: FamilySize) -> FamilyStats {
    FamilyStats { entries: size.entries as u64, bytes: size.bytes as u64 }
}

fn undeliverable<'a>(no_such_port: u64, peers: impl Iterator<Item = &'a PeerStats>) -> BTreeMap<String, u64> {
    let (mut lost, mut gated, mut refused) = (0, 0, 0);
    for peer in peers {
        lost += peer.lost;
        gated += peer.gated;
        refused += peer.refused;
    }
    let all =
        [(NO_SUCH_PORT, no_such_port), ("connection_lost", lost), ("gated", gated), ("queue_full", refused)];
    all.into_iter().filter(|(_, count)| *count > 0).map(|(name, count)| (name.into(), count)).collect()
}

fn monitors(slot: &Slot<Node>) -> u64 {
    let watchers = slot.extra().map(|extra| &extra.watchers);
    watchers.map_or(0, |watchers| (watchers.local.len() + watchers.remote.len()) as u64)
}

fn state(state: State) -> &'static str {
    match state {
        State::Free => "free",
        State::Idle => "idle",
        State::Queued => "queued",
        State::Running => "running",
        State::Parked => "parked",
        State::Task => "task",
        State::Unscheduled => "answer",
    }
}
