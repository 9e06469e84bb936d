//! MON1–MON9 and M6: a monitor fires once, when it has to, and for a reason.

use std::collections::BTreeSet;

use rustc_hash::FxHashMap;

use super::facts::{Facts, LOST, Monitor, Run};
use super::{Bounds, Violation, micros, report};
use crate::history::{Event, node_of};

/// What comes first in the reason if the function of a spawn cannot run. From outside no such port
/// is seen.
const REFUSED: &str = "spawn_refused";
/// What comes first in the reason if there is no such port.
const MISSING: &str = "no_such_port";

pub(super) fn check(facts: &Facts<'_>, bounds: &Bounds, out: &mut Vec<Violation>) {
    let connected = connected(facts);
    for ((run, m), monitor) in &facts.monitors {
        once(facts, *m, monitor, out);
        for (at, reason) in &monitor.fires {
            reasons(facts, monitor, *at, reason, out);
            alarm(facts, monitor, *at, reason, bounds, out);
        }
        if facts.lasts(*run) {
            told(facts, *run, monitor, &connected, bounds, out);
        }
    }
    last_words(facts, out);
    tables(facts, out);
}

/// MON1, MON3.
fn once(facts: &Facts<'_>, m: u64, monitor: &Monitor<'_>, out: &mut Vec<Violation>) {
    if monitor.fires.len() > 1 {
        report(out, "MON1", format_args!("monitor {m} fired {} times", monitor.fires.len()));
    }
    if let (Some(withdrawn), Some((fire, _))) = (monitor.withdrawn, monitor.fires.last())
        && withdrawn < *fire
    {
        let node = &facts.records[*fire].node;
        report(out, "MON3", format_args!("monitor {m} of {node} fired after it was withdrawn"));
    }
}

/// MON5.
fn reasons(facts: &Facts<'_>, monitor: &Monitor<'_>, at: usize, reason: &[String], out: &mut Vec<Violation>) {
    let identifier = reason.first().map(String::as_str);
    let known = facts.ports.get(monitor.p);
    let same = |(died, of_death): &(usize, &[String])| *of_death == reason && facts.may_precede(*died, at);
    let of_death = known.is_some_and(|port| port.died.iter().any(same)) || facts.died_untold(monitor.p, at);
    let right = match identifier {
        _ if of_death => true,
        Some(LOST) => reason.get(1).is_some_and(|node| node == node_of(monitor.p)),
        Some(MISSING) => {
            !facts.is_alive(monitor.p, at)
                || facts.end_of(monitor.p).is_some_and(|end| facts.may_precede(end, at))
        }
        Some(REFUSED) => facts.outside.is_some() && known.is_none(),
        _ => false,
    };
    if !right {
        let (m, p) = (monitor.m, monitor.p);
        report(out, "MON5", format_args!("monitor {m} of {p} fired with {reason:?}, which is not so"));
    }
}

/// M6.
fn alarm(
    facts: &Facts<'_>,
    monitor: &Monitor<'_>,
    at: usize,
    reason: &[String],
    bounds: &Bounds,
    out: &mut Vec<Violation>,
) {
    // Of another node: the port has died of a loss that it had heard of itself.
    let lost = reason.first().is_some_and(|first| first == LOST)
        && reason.get(1).is_some_and(|node| node == node_of(monitor.p));
    if !lost {
        return;
    }
    if facts.unreadable.contains_key(&(facts.run(at), monitor.p)) {
        return;
    }
    // The news may have waited in a slow mailbox; what it tells of is a break, if that is known.
    let breaks = facts.breaks.get(&(facts.run(at), node_of(monitor.p)));
    let broke = breaks.and_then(|breaks| breaks.iter().rfind(|broke| **broke < at)).unwrap_or(&at);
    let time = facts.time(*broke);
    if !facts.faulty(time, micros(bounds.detect.max(bounds.heal)))
        && !facts.replaced([facts.run(at).0, node_of(monitor.p)], time)
    {
        let (m, p) = (monitor.m, monitor.p);
        report(out, "M6", format_args!("monitor {m} of {p} fired, and nothing was wrong: {reason:?}"));
    }
}

/// Which run is connected to which node at the end.
fn connected<'a>(facts: &Facts<'a>) -> BTreeSet<(Run<'a>, &'a str)> {
    let mut connected = BTreeSet::new();
    for (at, record) in facts.records.iter().enumerate() {
        match &record.event {
            Event::Up { peer, .. } => connected.insert((facts.run(at), peer.as_str())),
            Event::Down { peer, .. } => connected.remove(&(facts.run(at), peer.as_str())),
            _ => false,
        };
    }
    connected
}

/// MON2, MON4: what is still set at the end watches a live port over a live connection, and a death
/// is told in time.
fn told<'a>(
    facts: &Facts<'a>,
    run: Run<'a>,
    monitor: &Monitor<'a>,
    connected: &BTreeSet<(Run<'a>, &'a str)>,
    bounds: &Bounds,
    out: &mut Vec<Violation>,
) {
    let (m, p) = (monitor.m, monitor.p);
    let node = node_of(p);
    let local = facts.is_local(run, p);
    if facts.is_active(monitor, facts.end) {
        let alive = node == p || facts.is_alive(p, facts.end);
        if !alive || !local && !connected.contains(&(run, node)) {
            report(
                out,
                "MON2",
                format_args!("monitor {m} of {run:?} on {p} is still set, but the port is gone"),
            );
        }
        return;
    }
    let died = facts.ports.get(p).and_then(|port| port.died.first()).map(|(died, _)| *died);
    let Some(died) = died.filter(|died| facts.is_active(monitor, *died)) else { return };
    let Some((fire, _)) = monitor.fires.first().filter(|_| monitor.to.is_none()) else { return };
    // A monitor that waits at a gate is set where the port is when the gate opens.
    let opened = monitor.waits.filter(|opened| *opened < facts.end).map_or(0, |opened| facts.time(opened));
    let died = facts.time(died).max(opened);
    let fire = facts.time(*fire);
    let detect = micros(bounds.detect);
    let news_by = || facts.news_by(p, run.0, facts.time(monitor.set));
    let late = |since: u64| fire > since.saturating_add(detect);
    if late(died) && late(news_by()) && !facts.faulty(fire, detect) {
        report(out, "MON2", format_args!("monitor {m} on {p} fired {} µs after its death", fire - died));
    }
}

/// MON7: what a port sent to the one that watches it comes before the news of its death.
fn last_words(facts: &Facts<'_>, out: &mut Vec<Violation>) {
    let mut news: FxHashMap<(&str, &str), usize> = FxHashMap::default();
    for monitor in facts.monitors.values() {
        let Some(to) = monitor.to else { continue };
        for (at, reason) in &monitor.fires {
            let died = facts.ports.get(monitor.p).is_some_and(|port| {
                port.died.iter().any(|(_, of_death)| of_death == reason && !reason.is_empty())
            });
            // A port may die later of a loss, through a link, and then with the reason with which
            // that was told.
            let lost = reason.first().is_some_and(|first| first == LOST)
                && reason.get(1).is_some_and(|node| node == node_of(monitor.p));
            if died && !lost {
                let first = news.entry((monitor.p, to)).or_insert(*at);
                *first = (*first).min(*at);
            }
        }
    }
    for sent in &facts.sent {
        let Some(told) = news.get(&(sent.sid, sent.p)) else { continue };
        let after = facts.received.get(&sent.k).is_some_and(|received| received[0].0 > *told);
        if after {
            let (sid, p, k) = (sent.sid, sent.p, sent.k);
            report(out, "MON7", format_args!("{p} knew of the death of {sid} before it got {k}"));
        }
    }
}

/// MON8, MON9: at the end one side's list of what it watches is the other side's list of what is
/// watched, and nothing is gated.
fn tables(facts: &Facts<'_>, out: &mut Vec<Violation>) {
    let mut watched: FxHashMap<(&str, &str), &[String]> = FxHashMap::default();
    let mut watching: FxHashMap<(&str, &str), BTreeSet<&str>> = FxHashMap::default();
    for record in facts.records {
        let Event::Tables { peer, watched: there, watching: here, gated } = &record.event else { continue };
        watched.insert((&record.node, peer), there);
        watching.insert((peer, &record.node), here.iter().map(String::as_str).collect());
        if *gated > 0 {
            let node = &record.node;
            report(out, "MON8", format_args!("{node} still has {gated} gated ports of {peer} at the end"));
        }
    }
    for ((node, peer), here) in &watching {
        let there: BTreeSet<&str> = watched
            .get(&(*node, *peer))
            .into_iter()
            .flat_map(|list| list.iter().map(String::as_str))
            .collect();
        if *here != there {
            report(out, "MON8", format_args!("{peer} holds {here:?} for {node}, which watches {there:?}"));
        }
    }
}
