//! B1: a port dies of a full mailbox because of what comes from elsewhere, not because of what the
//! handlers of ports on its own node send to it: these wait.

use std::ops::Range;

use rustc_hash::FxHashMap;

use super::facts::Facts;
use super::{Bounds, Pressure, Violation, report};
use crate::history::Event;

/// What comes first in the reason.
const FULL: &str = "mailbox_full";

pub(super) fn check(facts: &Facts<'_>, bounds: &Bounds, out: &mut Vec<Violation>) {
    let Some(pressure) = bounds.pressure else { return };
    for (port, known) in &facts.ports {
        let full = |reason: &[String]| reason.first().is_some_and(|first| first == FULL);
        if let Some((died, _)) = known.died.iter().find(|(_, reason)| full(reason)) {
            from_handlers(facts, port, facts.closed_at(port).unwrap_or(*died), pressure, out);
        }
    }
}

/// Counts what was sent to a port from handlers until its mailbox was full, and what it had not
/// handled of that.
fn from_handlers(facts: &Facts<'_>, port: &str, until: usize, pressure: Pressure, out: &mut Vec<Violation>) {
    let mut unread: FxHashMap<&str, (usize, usize)> = FxHashMap::default();
    // On each node, the port whose handler runs: what it sends follows at the same time.
    let mut handler: FxHashMap<&str, (&str, u64)> = FxHashMap::default();
    for (at, record) in facts.records[..until].iter().enumerate() {
        match &record.event {
            Event::Rcv { p, .. } => {
                handler.insert(&record.node, (p, record.t));
            }
            Event::Snd { sid, p, k, epoch: None, .. } if p == port && !facts.came_before(*k, until) => {
                // A port that is to die waits for nobody, or its death would wait, too.
                let dying = || {
                    let from = facts.closed_at(sid).into_iter().chain(facts.doomed_from(sid)).min();
                    from.is_some_and(|from| from < at)
                };
                if handler.get(record.node.as_str()) == Some(&(sid, record.t)) && !dying() {
                    let (_, count) = unread.entry(sid).or_insert((at, 0));
                    *count += 1;
                }
            }
            Event::Snd { .. } => {}
            _ => {
                handler.remove(record.node.as_str());
            }
        }
    }
    // The code of an async port has to wait by itself.
    unread.retain(|sid, _| facts.ports.get(sid).is_some_and(|port| !port.task));
    for (sid, (first, count)) in unread {
        // A port that is behind itself goes on, so that of any ring of ports at least one does.
        if count > pressure.unread && waiting(facts, sid, first..until) <= pressure.behind {
            report(
                out,
                "B1",
                format_args!("{port} died of {count} messages that handlers of {sid} sent to it"),
            );
        }
    }
}

/// The most messages that waited for a port at once, between these places, as far as it has handled
/// them.
fn waiting(facts: &Facts<'_>, port: &str, places: Range<usize>) -> usize {
    let (mut now, mut most) = (0_usize, 0);
    for (at, record) in facts.records[..places.end].iter().enumerate() {
        match &record.event {
            Event::Snd { p, k, .. } if p == port && facts.came(*k) => now += 1,
            Event::Rcv { p, .. } if p == port => now = now.saturating_sub(1),
            _ => continue,
        }
        if at >= places.start {
            most = most.max(now);
        }
    }
    most
}
