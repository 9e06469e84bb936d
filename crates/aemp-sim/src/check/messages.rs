//! M1–M5, M7–M12: what is sent arrives, or those who watch are told.

use rustc_hash::FxHashMap;

use super::facts::{Facts, Kill, Monitor, Run, Sent};
use super::{Bounds, Violation, micros, report};
use crate::history::{Event, node_of};

pub(super) fn check(facts: &Facts<'_>, bounds: &Bounds, out: &mut Vec<Violation>) {
    invention(facts, out);
    order(facts, bounds, out);
    order_across_ports(facts, out);
    streams(facts, bounds, out);
    progress(facts, out);
    kills(facts, out);
    after_death(facts, out);
}

/// M1, M2.
fn invention(facts: &Facts<'_>, out: &mut Vec<Violation>) {
    let sent: FxHashMap<u64, &Sent<'_>> = facts.sent.iter().map(|sent| (sent.k, sent)).collect();
    for (k, received) in &facts.received {
        let (at, hash) = received[0];
        match sent.get(k) {
            None => report(out, "M1", format_args!("message {k} was received and never sent")),
            Some(sent) if sent.at > at => {
                report(out, "M1", format_args!("message {k} was received before it was sent"));
            }
            Some(sent) => {
                let there = matches!(&facts.records[at].event, Event::Rcv { p, .. } if p == sent.p);
                if sent.hash != hash || !there {
                    let (p, got) = (sent.p, &facts.records[at].event);
                    report(out, "M1", format_args!("message {k} for {p} is not what was sent: {got:?}"));
                }
            }
        }
        if received.len() > 1 {
            report(out, "M2", format_args!("message {k} was received {} times", received.len()));
        }
    }
}

/// M3.
fn order(facts: &Facts<'_>, bounds: &Bounds, out: &mut Vec<Violation>) {
    let mut last: FxHashMap<(Run<'_>, &str, &str), (usize, u64)> = FxHashMap::default();
    for sent in &facts.sent {
        let Some(received) = facts.received.get(&sent.k) else { continue };
        let sid = if bounds.one_thread { "" } else { sent.sid };
        let key = (facts.run(sent.at), sid, sent.p);
        let at = received[0].0;
        if let Some((before, k)) = last.get(&key)
            && *before > at
        {
            report(
                out,
                "M3",
                format_args!("{} received {} before {k}, which was sent first", sent.p, sent.k),
            );
        }
        last.insert(key, (at, sent.k));
    }
}

/// M12: what one sender sends to different ports of a node arrives there in the order in which it
/// was sent.
fn order_across_ports(facts: &Facts<'_>, out: &mut Vec<Violation>) {
    let mut last: FxHashMap<(Run<'_>, &str, Run<'_>), (u64, u64)> = FxHashMap::default();
    // What is held at a gate is on its way when the gate opens.
    let mut all: Vec<_> = facts.sent.iter().collect();
    all.sort_by_key(|sent| (sent.enters, sent.at));
    for sent in all {
        let Some(at) = facts.received.get(&sent.k).map(|received| received[0].0) else { continue };
        let Event::Rcv { n: Some(n), .. } = &facts.records[at].event else { continue };
        let before = last.insert((facts.run(sent.at), sent.sid, facts.run(at)), (*n, sent.k));
        if let Some((earlier, k)) = before
            && earlier > *n
        {
            let (sid, p) = (sent.sid, sent.p);
            report(
                out,
                "M12",
                format_args!("{} for {p} arrived before {k}, which {sid} had sent first", sent.k),
            );
        }
    }
}

/// One message, or a kill that took effect, on its way from one run to one port.
struct Step<'a> {
    at: usize,
    enters: usize,
    sid: &'a str,
    k: u64,
    epoch: Option<u64>,
    came: bool,
}

/// M4, M5, M7.
fn streams(facts: &Facts<'_>, bounds: &Bounds, out: &mut Vec<Violation>) {
    let mut streams: FxHashMap<(Run<'_>, &str, &str), Vec<Step<'_>>> = FxHashMap::default();
    // From outside it cannot be seen which of two threads was first.
    let of = |sid| if facts.outside.is_some() { sid } else { "" };
    for sent in &facts.sent {
        let Sent { at, enters, sid, k, epoch, .. } = *sent;
        let step = Step { at, enters, sid, k, epoch, came: facts.came(k) };
        streams.entry((facts.run(sent.at), sent.p, of(sid))).or_default().push(step);
    }
    // A kill takes its turn, but not at an async port.
    for (port, known) in facts.ports.iter().filter(|(_, known)| !known.task) {
        for (_, reason) in &known.died {
            if let Some(Kill { at, enters, sid, p }) = facts.kills.get(reason)
                && p == port
            {
                let step = Step { at: *at, enters: *enters, sid, k: 0, epoch: None, came: true };
                streams.entry((facts.run(*at), port, of(sid))).or_default().push(step);
            }
        }
    }
    for ((run, port, _), mut steps) in streams {
        steps.sort_by_key(|step| step.at);
        if facts.is_local(run, port) {
            local(facts, run, port, &steps, out);
        } else {
            let monitors: Vec<&Monitor<'_>> = facts.monitors_on(run, port).collect();
            let concerned = concerned(facts, &monitors, &steps);
            holes(facts, (run, port), &monitors, (&steps, &concerned), out);
            losses(facts, (run, port), (&steps, &concerned), bounds, out);
        }
    }
}

/// For each step that is lost, the monitors that have to tell of it.
fn concerned<'m, 'a>(
    facts: &Facts<'a>,
    monitors: &[&'m Monitor<'a>],
    steps: &[Step<'_>],
) -> Vec<Vec<&'m Monitor<'a>>> {
    let mut by_place = monitors.to_vec();
    by_place.sort_by_key(|monitor| monitor.set);
    let mut coming = by_place.into_iter().peekable();
    let mut unheard: Vec<&Monitor<'a>> = Vec::new();
    let of = |step: &Step<'_>| {
        if step.came {
            return Vec::new();
        }
        while let Some(monitor) = coming.next_if(|monitor| monitor.set < step.at) {
            unheard.push(monitor);
        }
        unheard.retain(|monitor| monitor.is_unheard(step.at));
        let speaks = |monitor: &&&Monitor<'a>| facts.speaks_for(monitor, &unheard, step.sid, step.at);
        unheard.iter().filter(speaks).copied().collect()
    };
    steps.iter().map(of).collect()
}

fn local(facts: &Facts<'_>, run: Run<'_>, port: &str, steps: &[Step<'_>], out: &mut Vec<Violation>) {
    let last = steps.iter().rposition(|step| step.came).unwrap_or(0);
    for (number, step) in steps.iter().enumerate().filter(|(_, step)| !step.came) {
        let lives_on = facts.lasts(run) && facts.is_alive(port, step.at) && facts.is_alive(port, facts.end);
        if number < last || lives_on {
            report(out, "M7", format_args!("the local message {} to the live port {port} is lost", step.k));
        }
    }
}

fn holes<'a>(
    facts: &Facts<'a>,
    (run, port): (Run<'a>, &'a str),
    monitors: &[&Monitor<'a>],
    (steps, concerned): (&[Step<'_>], &[Vec<&Monitor<'a>>]),
    out: &mut Vec<Violation>,
) {
    let mut next: Option<&Step<'_>> = None;
    for (step, concerned) in steps.iter().zip(concerned).rev() {
        if step.came {
            next = Some(step);
        } else if let Some(next) = next
            && let Err(why) = excused(facts, (run, port), (monitors, concerned), step, next)
        {
            let (k, later) = (step.k, next.k);
            report(out, "M4", format_args!("{port} got {later} of {run:?}, but not {k} before it: {why}"));
        }
    }
}

/// Whether those who watched knew of the loss of one message before the next one was sent that
/// arrived.
fn excused<'a>(
    facts: &Facts<'a>,
    (run, port): (Run<'a>, &'a str),
    (monitors, concerned): (&[&Monitor<'a>], &[&Monitor<'a>]),
    lost: &Step<'_>,
    next: &Step<'_>,
) -> Result<(), String> {
    let mut told = false;
    for monitor in concerned.iter().filter(|monitor| facts.tells_exactly(monitor, lost.sid)) {
        let fired = monitor.fires.first().is_some_and(|(fire, _)| *fire < next.enters);
        let deaf = facts.deaf(monitor).is_some_and(|deaf| deaf < next.enters);
        if !fired && !deaf {
            return Err(format!("monitor {} had not fired", monitor.m));
        }
        told |= fired;
    }
    let breaks = facts.breaks.get(&(run, node_of(port))).map_or(&[][..], Vec::as_slice);
    let unreadable = facts.unreadable.get(&(run, port)).map_or(&[][..], Vec::as_slice);
    let between = |at: &usize| facts.may_precede(lost.at, *at) && facts.may_precede(*at, next.enters);
    let broke_between = breaks.iter().chain(unreadable).any(between) || facts.lost_untold(run, next.enters);
    if told || broke_between || lost.epoch.zip(next.epoch).is_some_and(|(lost, next)| lost < next) {
        return Ok(());
    }
    // Sent to a gated port after the monitor that gates it was withdrawn: its news may still lie in
    // a mailbox.
    let lost_before = |deaf: usize| breaks.iter().chain(unreadable).any(|at| *at < lost.at && *at < deaf);
    let pending = monitors
        .iter()
        .filter(|monitor| monitor.set < lost.at)
        .any(|monitor| facts.deaf(monitor).is_some_and(lost_before));
    if pending { Ok(()) } else { Err("the connection was not lost in between".into()) }
}

/// M5.
fn losses<'a>(
    facts: &Facts<'a>,
    (run, port): (Run<'a>, &'a str),
    (steps, concerned): (&[Step<'_>], &[Vec<&Monitor<'a>>]),
    bounds: &Bounds,
    out: &mut Vec<Violation>,
) {
    if !facts.lasts(run) {
        return;
    }
    let detect = micros(bounds.detect);
    for (step, concerned) in steps.iter().zip(concerned).filter(|(step, _)| !step.came) {
        for monitor in concerned {
            // A kill takes its turn behind what the port has not handled yet.
            let died = facts.end_of(port).map_or(0, |died| facts.time(died));
            // A monitor that waits at a gate is set where the port is when the gate opens.
            let set =
                monitor.waits.filter(|opened| *opened < facts.end).map_or(0, |opened| facts.time(opened));
            let due = facts.time(step.at).max(died).max(set).saturating_add(detect);
            let fire = monitor.fires.first().map(|(fire, _)| *fire);
            // Who withdraws a monitor does not do so because it has been told.
            let over = fire.into_iter().chain(facts.deaf(monitor)).min().map(|over| facts.time(over));
            // Behind a slow port the news waits like everything else, so only callbacks are timed.
            let timed = |over| monitor.to.is_none() && !facts.faulty(over, detect);
            let news_by = || facts.news_by(port, run.0, facts.time(monitor.set)).saturating_add(detect);
            if over.is_none_or(|over| over > due && timed(over) && over > news_by()) {
                let (k, m) = (step.k, monitor.m);
                report(
                    out,
                    "M5",
                    format_args!("{k} to {port} is lost, and monitor {m} has not fired in time"),
                );
            }
        }
    }
}

/// M13: once the network has come to rest after the last fault, what is sent to a port that is
/// alive arrives, if its node can be reached.
fn progress(facts: &Facts<'_>, out: &mut Vec<Violation>) {
    let Some(rest) = facts.first_rest else { return };
    for sent in facts.sent.iter().filter(|sent| sent.at > rest && !facts.came(sent.k)) {
        let run = facts.run(sent.at);
        // A node that cannot be reached is another matter, and monitors would tell of it.
        let breaks = facts.breaks.get(&(run, node_of(sent.p)));
        let broke = breaks.is_some_and(|breaks| breaks.iter().any(|at| *at > sent.at));
        if !broke && facts.lasts(run) && facts.is_alive(sent.p, facts.end) {
            let (k, p) = (sent.k, sent.p);
            report(out, "M13", format_args!("{k} to the live port {p} is lost, long after the last fault"));
        }
    }
}

/// M8: what one sender sends after a kill that took effect is not received.
fn kills(facts: &Facts<'_>, out: &mut Vec<Violation>) {
    let mut by_sender: FxHashMap<(Run<'_>, &str, &str), usize> = FxHashMap::default();
    for (port, known) in &facts.ports {
        for (_, reason) in &known.died {
            if let Some(Kill { at, sid, p, .. }) = facts.kills.get(reason)
                && p == port
            {
                by_sender.insert((facts.run(*at), *sid, *p), *at);
            }
        }
    }
    for sent in facts.sent.iter().filter(|sent| facts.came(sent.k)) {
        if let Some(kill) = by_sender.get(&(facts.run(sent.at), sent.sid, sent.p))
            && *kill < sent.at
        {
            report(out, "M8", format_args!("{} received {}, sent after its kill", sent.p, sent.k));
        }
    }
}

/// M9.
fn after_death(facts: &Facts<'_>, out: &mut Vec<Violation>) {
    for (k, received) in &facts.received {
        for (at, _) in received {
            let Event::Rcv { p, .. } = &facts.records[*at].event else { continue };
            let died = facts.ports.get(p.as_str()).and_then(|port| port.died.first());
            if died.is_some_and(|(died, _)| died < at) {
                report(out, "M9", format_args!("{p} received {k} after its death"));
            }
        }
    }
}
