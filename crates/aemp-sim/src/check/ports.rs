//! P1–P2, K1–K2, S1–S4: ports are born once, die once, and are what they were to be.

use std::collections::BTreeMap;

use rustc_hash::{FxHashMap, FxHashSet};

use super::facts::{Facts, Run};
use super::{Violation, report};
use crate::history::{Event, node_of};

pub(super) fn check(facts: &Facts<'_>, out: &mut Vec<Violation>) {
    for (port, known) in &facts.ports {
        if known.new.len() > 1 {
            report(out, "P1", format_args!("{port} was made {} times", known.new.len()));
        }
        if known.died.len() > 1 {
            report(out, "K1", format_args!("{port} died {} times", known.died.len()));
        }
        if known.new.first().is_some_and(|new| node_of(port) != facts.records[*new].node) {
            report(out, "P1", format_args!("{port} was made on another node"));
        }
    }
    runs(facts, out);
    spawns(facts, out);
}

/// P2.
fn runs(facts: &Facts<'_>, out: &mut Vec<Violation>) {
    for (k, received) in &facts.received {
        for (at, _) in received {
            let Event::Rcv { p, .. } = &facts.records[*at].event else { continue };
            let made = facts.ports.get(p.as_str()).and_then(|port| port.new.first());
            if made.is_none_or(|made| facts.run(*made) != facts.run(*at)) {
                let run = facts.run(*at);
                report(out, "P2", format_args!("{p} received {k} in the run {run:?}, which has not made it"));
            }
        }
    }
}

/// S1–S4.
fn spawns(facts: &Facts<'_>, out: &mut Vec<Violation>) {
    let mut inits: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    let mut spawned: BTreeMap<&str, &str> = BTreeMap::new();
    let mut registered: FxHashMap<Run<'_>, FxHashSet<&str>> = FxHashMap::default();
    for (at, record) in facts.records.iter().enumerate() {
        match &record.event {
            Event::Start { functions, .. } => {
                registered.insert(facts.run(at), functions.iter().map(String::as_str).collect());
            }
            Event::Spawn { p, function, .. } => {
                spawned.insert(p, function);
            }
            Event::Init { p, function } => {
                inits.entry(p).or_default().push(at);
                if !registered.get(&facts.run(at)).is_some_and(|known| known.contains(function.as_str())) {
                    report(out, "S4", format_args!("{function} ran in {p}, and it is not registered"));
                }
                if spawned.get(p.as_str()) != Some(&function.as_str()) {
                    report(out, "S4", format_args!("{function} ran in {p}, and nobody has asked for it"));
                }
            }
            _ => {}
        }
    }
    for (port, inits) in &inits {
        if inits.len() > 1 {
            report(out, "S1", format_args!("the function of {port} ran {} times", inits.len()));
        }
    }
    for (k, received) in &facts.received {
        let (at, _) = received[0];
        let Event::Rcv { p, .. } = &facts.records[at].event else { continue };
        let Some(function) = spawned.get(p.as_str()) else { continue };
        match inits.get(p.as_str()) {
            None => report(out, "S3", format_args!("{p} received {k}, but {function} never ran")),
            Some(inits) if inits[0] > at => {
                report(out, "S2", format_args!("{p} received {k} before {function} ran"));
            }
            Some(_) => {}
        }
    }
}
