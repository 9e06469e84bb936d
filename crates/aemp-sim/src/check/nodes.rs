//! N1–N7, NET1–NET5: who is connected to whom.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use rustc_hash::FxHashMap;

use super::facts::{Facts, Monitor, Run};
use super::{Bounds, Violation, micros, report};
use crate::history::{Event, FaultKind, RELAYED, Record, node_of};

/// The least time between two dials of one address, in microseconds.
const PACE: u64 = 300_000;

/// Dials of one address in a minute, at most: every 0.3 s at worst, when there is good news of it
/// again and again.
const DIALS_A_MINUTE: usize = 200;

/// How often a node may dial itself before it knows better.
const SELF_DIALS: usize = 3;

/// So long after an overflow, which is the load's fault, the connection may break, in microseconds.
const OVERFLOW: u64 = 1_500_000;

/// A connection that is up: the run of the peer, and the connection.
type Ups<'a> = BTreeMap<(Run<'a>, &'a str), (u64, u64)>;

pub(super) fn check(facts: &Facts<'_>, bounds: &Bounds, out: &mut Vec<Violation>) {
    let ups = alternate(facts, out);
    fires_first(facts, out);
    without_faults(facts, bounds, out);
    dials(facts, out);
    if facts.quiet.is_some() {
        agree(facts, &ups, out);
        mesh(facts, &ups, out);
        settled(facts, bounds, out);
        if facts.rest.is_none() {
            report(
                out,
                "N7",
                "long after the last fault and the last thing that anybody did, something is still on its way",
            );
        }
    }
}

/// N1. Gives what is up at the end.
fn alternate<'a>(facts: &Facts<'a>, out: &mut Vec<Violation>) -> Ups<'a> {
    let mut ups = BTreeMap::new();
    for (at, record) in facts.records.iter().enumerate() {
        let run = facts.run(at);
        match &record.event {
            Event::Up { peer, pinc, conn } => {
                let before = ups.insert((run, peer.as_str()), (*pinc, *conn));
                if before.is_some() {
                    report(out, "N1", format_args!("{peer} came up at {run:?} while it was up"));
                }
            }
            Event::Down { peer, .. } => {
                let before = ups.remove(&(run, peer.as_str()));
                if before.is_none() {
                    report(out, "N1", format_args!("{peer} went down at {run:?} while it was not up"));
                }
            }
            _ => {}
        }
    }
    ups.retain(|(run, _), _| facts.lasts(*run));
    ups
}

/// N1, in those runs whose records are there from the start.
pub(super) fn alternate_in_whole_runs(records: &[Record], out: &mut Vec<Violation>) {
    let mut up: BTreeMap<Run<'_>, BTreeSet<&str>> = BTreeMap::new();
    for record in records {
        let run = (record.node.as_str(), record.inc);
        if let Event::Start { .. } = &record.event {
            up.insert(run, BTreeSet::new());
        }
        // Of others nobody knows who was up when their records begin.
        let Some(up) = up.get_mut(&run) else { continue };
        match &record.event {
            Event::Up { peer, .. } if !up.insert(peer) => {
                report(out, "N1", format_args!("{peer} came up at {run:?} while it was up"));
            }
            Event::Down { peer, .. } if !up.remove(peer.as_str()) => {
                report(out, "N1", format_args!("{peer} went down at {run:?} while it was not up"));
            }
            _ => {}
        }
    }
}

/// N2, N3: what was set on ports of a node has fired when it is down. Callbacks only: a message may
/// wait in a mailbox, and a task for its turn.
fn fires_first(facts: &Facts<'_>, out: &mut Vec<Violation>) {
    let mut by_node: FxHashMap<(Run<'_>, &str), Vec<u64>> = FxHashMap::default();
    for ((run, m), monitor) in &facts.monitors {
        if monitor.to.is_none() && !monitor.task {
            by_node.entry((*run, node_of(monitor.p))).or_default().push(*m);
        }
    }
    let mut broke: FxHashMap<(Run<'_>, &str), usize> = FxHashMap::default();
    for (at, record) in facts.records.iter().enumerate() {
        let run = facts.run(at);
        let peer = match &record.event {
            Event::Broke { peer, .. } => {
                broke.insert((run, peer), at);
                continue;
            }
            Event::Down { peer, .. } => peer.as_str(),
            _ => continue,
        };
        // What was set after that belongs to the next connection.
        let since = broke.get(&(run, peer)).copied().unwrap_or(at);
        for m in by_node.get(&(run, peer)).into_iter().flatten() {
            // From outside it is not seen when a connection was lost, but a long time ago it was
            // not.
            let before = |set: usize| match facts.outside {
                Some(late) => facts.time(set).saturating_add(late) < record.t,
                None => set < since,
            };
            let late = |monitor: &Monitor<'_>| before(monitor.set) && facts.is_active(monitor, at);
            if facts.monitors.get(&(run, *m)).is_some_and(late) {
                report(out, "N2", format_args!("{peer} is down at {run:?}, and monitor {m} had not fired"));
            }
        }
    }
}

/// N5, M6: without a fault nothing that was up goes down. What nobody carries is broken only by a
/// fault at one of its ends.
fn without_faults(facts: &Facts<'_>, bounds: &Bounds, out: &mut Vec<Violation>) {
    let slack = micros(bounds.detect.max(bounds.heal));
    let mut ups: BTreeMap<(Run<'_>, &str), u64> = BTreeMap::new();
    let mut known: BTreeSet<(&str, u64)> = BTreeSet::new();
    for (at, record) in facts.records.iter().enumerate() {
        let run = facts.run(at);
        match &record.event {
            Event::Up { peer, conn, .. } => {
                ups.insert((run, peer), *conn);
                known.insert((run.0, *conn));
            }
            Event::Down { peer, reason, .. } => {
                let direct = ups.remove(&(run, peer.as_str())).filter(|conn| conn & RELAYED == 0);
                let excused = match direct.filter(|conn| known.contains(&(peer, *conn))) {
                    Some(_) => facts.faulty_at([run.0, peer], record.t, slack),
                    // A relay may have failed; or the other end gave up, for it had waited too long
                    // for the answer of a third node.
                    None => facts.faulty(record.t, slack) || facts.replaced([run.0, peer], record.t),
                };
                if !excused {
                    let node = run.0;
                    report(out, "N5", format_args!("{peer} went down at {node} without a fault: {reason}"));
                }
            }
            _ => {}
        }
    }
}

/// NET4, NET5.
fn dials(facts: &Facts<'_>, out: &mut Vec<Violation>) {
    let mut own: FxHashMap<Run<'_>, (&str, usize)> = FxHashMap::default();
    let mut dials: FxHashMap<(Run<'_>, &str), VecDeque<u64>> = FxHashMap::default();
    for (at, record) in facts.records.iter().enumerate() {
        let run = facts.run(at);
        match &record.event {
            Event::Start { address, .. } => {
                own.insert(run, (address, 0));
            }
            // A node in shutdown does not listen, so it cannot find out that an address is its own.
            Event::Fault { kind: FaultKind::Shutdown, nodes } => {
                own.retain(|run, _| !nodes.iter().any(|node| node == run.0));
            }
            Event::Dial { address } => {
                let recent = dials.entry((run, address)).or_default();
                if recent.back().is_some_and(|last| record.t < last + PACE) {
                    report(out, "NET4", format_args!("{run:?} dialled {address} twice within 0.3 s"));
                }
                recent.push_back(record.t);
                while recent.front().is_some_and(|first| first + 60_000_000 < record.t) {
                    recent.pop_front();
                }
                if recent.len() > DIALS_A_MINUTE {
                    report(
                        out,
                        "NET4",
                        format_args!("{run:?} dialled {address} {} times a minute", recent.len()),
                    );
                }
                if let Some((myself, count)) = own.get_mut(&run)
                    && myself == address
                {
                    *count += 1;
                    if *count > SELF_DIALS {
                        report(out, "NET5", format_args!("{run:?} goes on dialling itself"));
                    }
                }
            }
            _ => {}
        }
    }
}

/// N4, N6.
fn agree(facts: &Facts<'_>, ups: &Ups<'_>, out: &mut Vec<Violation>) {
    let incs: BTreeMap<&str, u64> = facts.last_runs().collect();
    for ((run, peer), (pinc, conn)) in ups {
        let Some(inc) = incs.get(peer) else {
            report(out, "N6", format_args!("{peer} is up at {run:?} and does not run"));
            continue;
        };
        if inc != pinc {
            report(
                out,
                "N6",
                format_args!("run {pinc} of {peer} is up at {run:?}, and it is run {inc} by now"),
            );
        }
        let back = ups.get(&((*peer, *inc), run.0));
        if back.is_none_or(|(_, back)| back != conn) {
            report(out, "N4", format_args!("{run:?} is connected to {peer} by {conn}, which has {back:?}"));
        }
    }
}

/// NET1–NET3.
fn mesh(facts: &Facts<'_>, ups: &Ups<'_>, out: &mut Vec<Violation>) {
    let running: BTreeMap<&str, u64> = facts.last_runs().collect();
    let mut globals = BTreeSet::new();
    let mut wanted: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (run, life) in facts.lives.iter().filter(|(_, life)| life.stop.is_none()) {
        let Event::Start { global, seeds, .. } = &facts.records[life.start].event else { continue };
        if *global {
            globals.insert(run.0);
        }
        let seeds: Vec<&str> =
            seeds.iter().map(String::as_str).filter(|seed| running.contains_key(seed)).collect();
        globals.extend(seeds.iter().filter(|seed| **seed != run.0 || seeds.len() == 1));
        wanted.insert(run.0, seeds);
    }
    let is_up = |a: &str, b: &str| running.get(a).is_some_and(|inc| ups.contains_key(&((a, *inc), b)));
    for (node, seeds) in &wanted {
        for seed in seeds.iter().filter(|seed| *seed != node) {
            if !is_up(node, seed) {
                report(out, "NET1", format_args!("{node} is not connected to its seed {seed}"));
            }
        }
    }
    for a in &globals {
        for b in globals.iter().filter(|b| *b != a) {
            if running.contains_key(a) && running.contains_key(b) && !is_up(a, b) {
                report(out, "NET2", format_args!("the global nodes {a} and {b} are not connected"));
            }
        }
    }
}

/// When the network has healed, nothing goes down any more.
fn settled(facts: &Facts<'_>, bounds: &Bounds, out: &mut Vec<Violation>) {
    let Some(quiet) = facts.quiet else { return };
    let healed = facts.time(quiet).saturating_add(micros(bounds.heal));
    for record in &facts.records[quiet..] {
        if let Event::Down { peer, reason, .. } = &record.event
            && record.t > healed
            && !facts.faulty(record.t, OVERFLOW)
            && !facts.replaced([&record.node, peer], record.t)
        {
            let node = &record.node;
            report(out, "N4", format_args!("{peer} went down at {node} long after the last fault: {reason}"));
        }
    }
}
