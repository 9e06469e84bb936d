//! C1–C3, L1: a call ends once, in time and for a reason, and who is linked to a port dies with it.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;

use super::facts::{Facts, Monitor, Run};
use super::{Violation, report};
use crate::history::{Event, FaultKind, Over};

/// How late a call may end, in microseconds.
const LATE: u64 = 1_000_000;

pub(super) fn check(facts: &Facts<'_>, out: &mut Vec<Violation>) {
    calls(facts, out);
    links(facts, out);
}

/// A call from its beginning to its end.
struct Call<'a> {
    at: usize,
    sid: &'a str,
    r: &'a str,
    limit: u64,
    ends: Vec<(usize, Over)>,
}

fn calls(facts: &Facts<'_>, out: &mut Vec<Violation>) {
    let mut calls: BTreeMap<(Run<'_>, u64), Call<'_>> = BTreeMap::new();
    // What the port of a call has got last: a message, or the news of a death.
    let mut got: FxHashMap<&str, Over> = FxHashMap::default();
    for (at, record) in facts.records.iter().enumerate() {
        let run = facts.run(at);
        match &record.event {
            Event::Call { id, sid, r, limit, .. } => {
                calls.insert((run, *id), Call { at, sid, r, limit: *limit, ends: Vec::new() });
            }
            Event::Rcv { p, .. } => {
                got.insert(p, Over::Answer);
            }
            Event::Fire { m, .. } => {
                if let Some(to) = facts.monitors.get(&(run, *m)).and_then(|monitor| monitor.to) {
                    got.insert(to, Over::Died);
                }
            }
            Event::CallOver { id, how } => {
                let Some(call) = calls.get_mut(&(run, *id)) else {
                    report(out, "C1", format_args!("call {id} of {run:?} is over, and never began"));
                    continue;
                };
                call.ends.push((at, *how));
                if *how != Over::TimedOut && got.get(call.r) != Some(how) {
                    let last = got.get(call.r);
                    report(
                        out,
                        "C3",
                        format_args!("call {id} of {run:?} ended with {how:?}, and got {last:?}"),
                    );
                }
            }
            _ => {}
        }
    }
    for ((run, id), call) in &calls {
        // In the library a call ends with its port; the simulator has no tasks of ports.
        let waits = facts.outside.is_none() || facts.is_alive(call.sid, facts.end);
        if call.ends.len() > 1 || call.ends.is_empty() && facts.lasts(*run) && waits {
            let ends = &call.ends;
            report(out, "C1", format_args!("call {id} of {run:?} has ended {} times: {ends:?}", ends.len()));
        }
        let begun = facts.time(call.at);
        let late = facts.outside.unwrap_or_default().max(LATE);
        let due = begun.saturating_add(call.limit).saturating_add(late);
        if let Some((end, _)) = call.ends.first()
            && facts.time(*end) > due
            && !paused(facts, *run, begun, facts.time(*end))
        {
            report(out, "C2", format_args!("call {id} of {run:?} ended {} µs late", facts.time(*end) - due));
        }
    }
}

/// Whether a node was stopped at some time between these.
fn paused(facts: &Facts<'_>, run: Run<'_>, from: u64, to: u64) -> bool {
    facts.faults.iter().any(|fault| {
        fault.kind == Some(FaultKind::Pause)
            && fault.from <= to
            && fault.to >= from
            && fault.nodes.iter().any(|node| node == run.0)
    })
}

/// L1.
fn links(facts: &Facts<'_>, out: &mut Vec<Violation>) {
    // When a port has died, as far as it was linked to another one that died abnormally.
    let mut doomed: FxHashMap<&str, (usize, u64)> = FxHashMap::default();
    for (at, record) in facts.records.iter().enumerate() {
        let Event::Link { m } = &record.event else { continue };
        let Some(monitor) = facts.monitors.get(&(facts.run(at), *m)) else { continue };
        if let Some((to, fire)) = last_news(monitor) {
            let first = doomed.entry(to).or_insert((fire, *m));
            *first = (*first).min((fire, *m));
            if facts.is_alive(to, facts.end) {
                report(out, "L1", format_args!("{to} lives, though monitor {m} should have killed it"));
            }
        }
    }
    for (k, received) in &facts.received {
        for (at, _) in received {
            let Event::Rcv { p, .. } = &facts.records[*at].event else { continue };
            if let Some((_, m)) = doomed.get(p.as_str()).filter(|(fire, _)| fire < at) {
                report(out, "L1", format_args!("{p} received {k} after monitor {m} should have killed it"));
            }
        }
    }
}

/// The port that dies of this, and where.
fn last_news<'a>(monitor: &Monitor<'a>) -> Option<(&'a str, usize)> {
    let (fire, reason) = monitor.fires.first()?;
    monitor.to.filter(|_| !reason.is_empty()).map(|to| (to, *fire))
}
