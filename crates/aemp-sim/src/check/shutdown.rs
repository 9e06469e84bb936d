//! D1: a node that is shut down delivers what it has sent before to the nodes that it is connected
//! to.

use std::collections::BTreeMap;

use rustc_hash::{FxHashMap, FxHashSet};

use super::facts::{Facts, Run, Sent};
use super::{Violation, report};
use crate::history::{Event, FaultKind, RELAYED, node_of};

/// Who needs so long, in microseconds, may have come to the end of the grace.
const GRACE: u64 = 4_000_000;

/// What is delivered may be under way for so long after the node has stopped, in microseconds.
const AFTER: u64 = 2_000_000;

pub(super) fn check(facts: &Facts<'_>, out: &mut Vec<Violation>) {
    let shut = shut(facts);
    for sent in facts.sent.iter().filter(|sent| !facts.came(sent.k)) {
        let node = node_of(sent.p);
        let Some(since) = shut.get(&facts.run(sent.at)).and_then(|peers| peers.get(node)) else { continue };
        // A port that has died has not read everything, however slowly it reads, and what came
        // before the connection may have been lost with an earlier one.
        let lives = facts.is_alive(sent.p, sent.at) && facts.end_of(sent.p).is_none();
        if *since < sent.at && lives && !gated(facts, sent) {
            let (k, p, run) = (sent.k, sent.p, facts.run(sent.at));
            report(out, "D1", format_args!("{run:?} was shut down in order, and {k} to {p} is lost"));
        }
    }
}

/// Of each run that was shut down in time: its neighbours of that moment, since when they were
/// connected, if they knew of the connection too and nothing else was wrong between them since
/// then.
fn shut<'a>(facts: &Facts<'a>) -> FxHashMap<Run<'a>, BTreeMap<&'a str, usize>> {
    let mut ups: FxHashMap<Run<'a>, BTreeMap<&'a str, (usize, u64)>> = FxHashMap::default();
    let mut known: FxHashSet<(&str, u64)> = FxHashSet::default();
    let mut shut: FxHashMap<Run<'a>, BTreeMap<&'a str, usize>> = FxHashMap::default();
    let runs: FxHashMap<&str, Vec<Run<'a>>> =
        facts.lives.keys().fold(FxHashMap::default(), |mut runs, run| {
            runs.entry(run.0).or_insert_with(Vec::new).push(*run);
            runs
        });
    for (at, record) in facts.records.iter().enumerate() {
        match &record.event {
            Event::Up { peer, conn, .. } if conn & RELAYED == 0 => {
                let run = facts.run(at);
                known.insert((run.0, *conn));
                ups.entry(run).or_default().insert(peer, (at, *conn));
            }
            Event::Down { peer, .. } => {
                ups.entry(facts.run(at)).or_default().remove(peer.as_str());
            }
            Event::Fault { kind: FaultKind::Shutdown, nodes } => {
                let runs = nodes.iter().filter_map(|node| runs.get(node.as_str())).flatten();
                let lives = |run: &&Run<'a>| facts.lives.get(*run).is_some_and(|life| life.start < at);
                let Some(run) = runs.filter(lives).max_by_key(|run| run.1) else { continue };
                let stop = facts.lives.get(run).and_then(|life| life.stop);
                let Some(stop) = stop.filter(|stop| facts.time(*stop) < record.t + GRACE) else { continue };
                let mut peers = ups.get(run).cloned().unwrap_or_default();
                // Of two ends one comes up first. What it writes is lost if the other gives up
                // before, as at a connect timeout.
                peers.retain(|peer, (up, conn)| {
                    known.contains(&(*peer, *conn)) && untroubled(facts, *run, peer, [*up, at, stop])
                });
                shut.insert(*run, peers.into_iter().map(|(peer, (up, _))| (peer, up)).collect());
            }
            _ => {}
        }
    }
    shut
}

/// Whether nothing else was wrong at these nodes, or between them, since they were connected.
fn untroubled(facts: &Facts<'_>, run: Run<'_>, peer: &str, [up, at, stop]: [usize; 3]) -> bool {
    let [up, from, to] = [up, at, stop].map(|at| facts.time(at));
    let concerns = |nodes: &[String]| nodes.iter().all(|node| node == run.0 || node == peer);
    !facts.faults.iter().any(|fault| {
        let this = fault.kind == Some(FaultKind::Shutdown) && fault.from == from;
        !this && concerns(fault.nodes) && fault.from <= to.saturating_add(AFTER) && fault.to >= up
    })
}

/// Whether the port may have been gated: there was a loss, of which somebody may not have heard
/// yet.
fn gated<'a>(facts: &Facts<'a>, sent: &Sent<'a>) -> bool {
    let run = facts.run(sent.at);
    let breaks = facts.breaks.get(&(run, node_of(sent.p))).map_or(&[][..], Vec::as_slice);
    let unreadable = facts.unreadable.get(&(run, sent.p)).map_or(&[][..], Vec::as_slice);
    let losses = breaks.iter().chain(unreadable);
    facts.monitors_on(run, sent.p).any(|monitor| {
        let over = monitor.fires.first().map(|(fire, _)| *fire);
        losses.clone().any(|broke| monitor.set < *broke && *broke < sent.at)
            && over.is_none_or(|over| over > sent.at)
    })
}
