//! What nodes tell of one trace, put in order by what follows from what: clocks differ, and say
//! nothing about it.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap, HashSet};

use aemp::follow::{Hop, HopKind};
use serde_json::{Value as Json, json};

use crate::values::escaped;

/// By how many seconds the clock of a node is ahead of the one here, and by how much that may be
/// wrong.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Clock {
    pub(super) ahead: f64,
    pub(super) doubt: f64,
}

/// Something that happened at a node.
#[derive(Debug, Clone)]
pub(super) struct Event {
    pub(super) node: String,
    pub(super) hop: Hop,
}

/// An event in its place: how many others it follows from, one from the other.
#[derive(Debug)]
struct OrderedEvent<'a> {
    depth: usize,
    event: &'a Event,
    /// What it follows from.
    cause: Option<&'a Event>,
}

/// The events of a trace, each behind what it follows from, and what one handler sent in the order
/// in which it did. Only among several first ones the clocks decide.
fn in_order<'a>(events: &'a [Event], clocks: &BTreeMap<String, Clock>) -> Vec<OrderedEvent<'a>> {
    let by_span: HashMap<&str, &Event> =
        events.iter().map(|event| (event.hop.span.as_str(), event)).collect();
    let mut children: HashMap<&str, Vec<&Event>> = HashMap::new();
    let mut first = Vec::new();
    for event in events {
        let parent = event.hop.parent.as_deref().filter(|parent| by_span.contains_key(parent));
        match parent {
            Some(parent) => children.entry(parent).or_default().push(event),
            None => first.push(event),
        }
    }
    first.sort_by(|one, other| here(one, clocks).total_cmp(&here(other, clocks)));
    for events in children.values_mut() {
        events.sort_by(|one, other| (&one.node, one.hop.number).cmp(&(&other.node, other.hop.number)));
    }
    let (mut ordered, mut seen) = (Vec::new(), HashSet::new());
    let mut next: Vec<OrderedEvent<'_>> =
        first.into_iter().rev().map(|event| OrderedEvent { depth: 0, event, cause: None }).collect();
    while let Some(OrderedEvent { depth, event, cause }) = next.pop() {
        // Nodes say what they like: nothing is told twice.
        if !seen.insert(event.hop.span.as_str()) {
            continue;
        }
        let behind = children.get(event.hop.span.as_str()).into_iter().flatten().rev();
        next.extend(behind.map(|later| OrderedEvent { depth: depth + 1, event: later, cause: Some(event) }));
        ordered.push(OrderedEvent { depth, event, cause });
    }
    ordered
}

/// Which of two traces began earlier, as far as the clocks tell.
pub(super) fn earlier(one: &[Event], other: &[Event], clocks: &BTreeMap<String, Clock>) -> Ordering {
    let began = |events: &[Event]| {
        let times = events.iter().map(|event| here(event, clocks));
        times.min_by(f64::total_cmp).unwrap_or_default()
    };
    began(one).total_cmp(&began(other))
}

/// When something happened, by the clock here.
fn here(event: &Event, clocks: &BTreeMap<String, Clock>) -> f64 {
    event.hop.time - clocks.get(&event.node).map_or(0.0, |clock| clock.ahead)
}

/// How long a message took from its sending to the mailbox, and by how much that may be wrong, in
/// seconds.
fn transit(ordered: &OrderedEvent<'_>, clocks: &BTreeMap<String, Clock>) -> Option<(f64, f64)> {
    let sent = ordered.cause.filter(|cause| cause.hop.kind == HopKind::Sent)?;
    let clock = |event: &Event| clocks.get(&event.node).copied().unwrap_or_default();
    let (there, here) = (clock(ordered.event), clock(sent));
    let took = (ordered.event.hop.time - there.ahead) - (sent.hop.time - here.ahead);
    // One clock is no matter of doubt.
    let doubt = if sent.node == ordered.event.node { 0.0 } else { there.doubt + here.doubt };
    Some((took.max(0.0), doubt))
}

/// The trace for people: a line for each event.
pub(super) fn lines(trace: &str, events: &[Event], clocks: &BTreeMap<String, Clock>) -> Vec<String> {
    let mut lines = vec![format!("trace {}", escaped(trace))];
    for ordered in in_order(events, clocks) {
        let OrderedEvent { depth, event: Event { node, hop }, .. } = &ordered;
        let indent = "  ".repeat(*depth + 1);
        let what = hop.tag.as_deref().map_or("a message".into(), |tag| format!("{:?}", escaped(tag)));
        let (node, port) = (escaped(node), escaped(&hop.port));
        lines.push(match hop.kind {
            HopKind::Sent => format!("{indent}{node}: sent {what} to {port} at {}", clock_time(hop.time)),
            _ => {
                let transit = transit(&ordered, clocks).map(|(took, doubt)| match doubt > 0.0 {
                    true => format!("arrived after {} ± {}, ", millis(took), millis(doubt)),
                    false => format!("arrived after {}, ", millis(took)),
                });
                let from = match (&ordered.cause, &hop.peer) {
                    (None, Some(peer)) => format!(" of {}", escaped(peer)),
                    _ => String::new(),
                };
                format!(
                    "{indent}{node}: {port} handled {what}{from}: {}at {}, waited {}, took {}",
                    transit.unwrap_or_default(),
                    clock_time(hop.time),
                    millis(hop.waited),
                    millis(hop.took)
                )
            }
        });
    }
    lines.extend(clock_lines(events, clocks));
    lines
}

/// What is said of clocks that differ by more than is in doubt.
fn clock_lines(events: &[Event], clocks: &BTreeMap<String, Clock>) -> Vec<String> {
    let mentioned: HashSet<&str> = events.iter().map(|event| event.node.as_str()).collect();
    let differ = clocks.iter().filter(|(node, clock)| {
        mentioned.contains(node.as_str()) && clock.ahead.abs() > clock.doubt.max(0.001)
    });
    let line = |(node, clock): (&String, &Clock)| {
        let (node, by) = (escaped(node), clock.ahead.abs());
        let where_to = if clock.ahead > 0.0 { "ahead of" } else { "behind" };
        format!("  the clock of {node} is {by:.3} s {where_to} the one here, ± {}", millis(clock.doubt))
    };
    differ.map(line).collect()
}

/// The trace for programs.
pub(super) fn json(trace: &str, events: &[Event], clocks: &BTreeMap<String, Clock>) -> Json {
    let hops = in_order(events, clocks).into_iter().map(|ordered| {
        let OrderedEvent { depth, event: Event { node, hop }, .. } = &ordered;
        let clock = clocks.get(node).copied().unwrap_or_default();
        let transit = transit(&ordered, clocks);
        json!({
            "depth": depth, "node": node, "kind": hop.kind, "span": hop.span, "parent": hop.parent,
            "port": hop.port, "tag": hop.tag, "peer": hop.peer, "time": hop.time,
            "clock_ahead": clock.ahead, "clock_doubt": clock.doubt,
            "transit": transit.map(|transit| transit.0), "transit_doubt": transit.map(|transit| transit.1),
            "waited": hop.waited, "took": hop.took,
        })
    });
    json!({"trace": trace, "hops": hops.collect::<Vec<_>>()})
}

fn millis(seconds: f64) -> String {
    format!("{:.3} ms", seconds * 1e3)
}

/// The time of day, in UTC.
fn clock_time(seconds: f64) -> String {
    let of_day = seconds.rem_euclid(86_400.0);
    let (whole, fraction) = (of_day.floor(), of_day.fract());
    let (hours, minutes, seconds) = (whole / 3600.0, whole % 3600.0 / 60.0, whole % 60.0);
    format!(
        "{:02.0}:{:02.0}:{:02.0}.{:03.0}",
        hours.floor(),
        minutes.floor(),
        seconds,
        (fraction * 1e3).floor()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(node: &str, number: u64, kind: HopKind, ids: (&str, Option<&str>), time: f64) -> Event {
        let mut hop = Hop::default();
        hop.number = number;
        hop.kind = kind;
        hop.span = ids.0.into();
        hop.parent = ids.1.map(str::to_owned);
        hop.port = "c#last".into();
        hop.tag = Some("go".into());
        hop.time = time;
        Event { node: node.into(), hop }
    }

    /// Three nodes; the clock of the one in the middle is two seconds behind.
    fn over_three_nodes() -> (Vec<Event>, BTreeMap<String, Clock>) {
        use HopKind::{Handled, Sent};
        let events = vec![
            event("c", 1, Handled, ("e5", Some("d4")), 100.030),
            event("b", 2, Handled, ("b2", Some("a1")), 98.010),
            event("b", 1, Sent, ("d4", Some("b2")), 98.020),
            event("b", 3, Sent, ("d6", Some("b2")), 98.021),
            event("a", 1, Sent, ("a1", None), 100.000),
        ];
        let clock = |ahead| Clock { ahead, doubt: 0.0005 };
        let clocks = [("a", 0.0), ("b", -2.0), ("c", 0.0)];
        (events, clocks.into_iter().map(|(node, ahead)| (node.into(), clock(ahead))).collect())
    }

    #[test]
    fn a_clock_that_is_two_seconds_off_changes_no_order_and_is_told() {
        let (mut events, clocks) = over_three_nodes();
        let expected = [("a1", 0), ("b2", 1), ("d4", 2), ("e5", 3), ("d6", 2)];
        for clocks in [&clocks, &BTreeMap::new()] {
            for _ in 0..events.len() {
                events.rotate_left(1);
                let ordered = in_order(&events, clocks);
                let found: Vec<_> = ordered.iter().map(|p| (p.event.hop.span.as_str(), p.depth)).collect();
                assert_eq!(found, expected);
            }
        }
        let lines = lines("0af7", &events, &clocks);
        assert_eq!(lines[0], "trace 0af7");
        assert!(lines[1].starts_with("  a: sent \"go\" to c#last at 00:01:40.000"), "{lines:?}");
        assert!(
            lines[2].starts_with("    b: c#last handled \"go\": arrived after 10.000 ms ± 1.000 ms"),
            "{lines:?}"
        );
        assert!(lines[4].contains("c: c#last handled \"go\": arrived after 10.000 ms"), "{lines:?}");
        assert_eq!(lines[6], "  the clock of b is 2.000 s behind the one here, ± 0.500 ms");
        assert_eq!(lines.len(), 7);
        let json = json("0af7", &events, &clocks);
        assert_eq!(json["hops"][1]["clock_ahead"], -2.0);
        assert_eq!(json["hops"][3]["depth"], 3);
    }

    #[test]
    fn of_two_traces_the_one_that_began_earlier_is_first_by_the_clock_here() {
        let (events, clocks) = over_three_nodes();
        let later = [event("b", 9, HopKind::Sent, ("f7", None), 98.005)];
        assert_eq!(earlier(&events, &later, &clocks), Ordering::Less);
        assert_eq!(earlier(&later, &events, &clocks), Ordering::Greater);
    }

    #[test]
    fn what_nodes_say_wrongly_neither_loops_nor_is_told_twice() {
        let circle = [
            event("a", 1, HopKind::Sent, ("1", Some("2")), 1.0),
            event("a", 2, HopKind::Sent, ("2", Some("1")), 2.0),
            event("a", 3, HopKind::Sent, ("3", None), 3.0),
            event("b", 3, HopKind::Sent, ("3", None), 3.0),
        ];
        assert_eq!(in_order(&circle, &BTreeMap::new()).len(), 1);
    }

    #[test]
    fn the_time_of_day_is_shown() {
        assert_eq!(clock_time(1_700_000_000.25), "22:13:20.250");
        assert_eq!(clock_time(0.0), "00:00:00.000");
    }
}
