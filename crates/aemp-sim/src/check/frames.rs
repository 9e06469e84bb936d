//! F1–F4: what one end of a connection writes, the other one takes. They need no history of
//! messages, only the numbers that the two ends have recorded where they passed the same mark.

use std::collections::BTreeMap;

use super::{Violation, report};
use crate::history::{Direction, Event, Mark, Record};

/// A direction of a connection: its number, who writes and who reads.
type Flow<'a> = (u64, &'a str, &'a str);

/// What the two ends have recorded of one direction.
#[derive(Default)]
struct Ends<'a> {
    sent: BTreeMap<Mark, u64>,
    taken: BTreeMap<Mark, u64>,
    /// The records in which the one who reads tells how many numbered frames there were.
    numbered: Vec<(u64, u64)>,
    malformed: Vec<&'a str>,
}

/// How much there was to compare.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Compared {
    /// Directions of connections that somebody has told of.
    pub directions: usize,
    /// Those of which both ends have.
    pub from_both: usize,
    /// Marks that both ends have passed.
    pub marks: usize,
}

pub(super) fn check(records: &[Record], out: &mut Vec<Violation>) -> Compared {
    let flows = flows(records);
    let mut compared = Compared { directions: flows.len(), ..Compared::default() };
    for (flow, ends) in &flows {
        compared.from_both += usize::from(!ends.sent.is_empty() && !ends.taken.is_empty());
        compared.marks += at_marks(flow, ends, out);
        at_end(flow, ends, out);
        let (conn, from, to) = flow;
        for (n, last) in ends.numbered.iter().filter(|(n, last)| n != last) {
            report(
                out,
                "F4",
                format_args!(
                    "{to} took {n} frames of {from} on connection {conn:x}, the last of which had number {last}"
                ),
            );
        }
        for what in &ends.malformed {
            report(
                out,
                "F3",
                format_args!("{to} could not read what {from} wrote on connection {conn:x}: {what}"),
            );
        }
    }
    compared
}

fn flows(records: &[Record]) -> BTreeMap<Flow<'_>, Ends<'_>> {
    let mut flows: BTreeMap<Flow<'_>, Ends<'_>> = BTreeMap::new();
    for record in records {
        let node = record.node.as_str();
        match &record.event {
            Event::Frames { peer, conn, dir: Direction::Sent, n, mark, .. } => {
                let ends = flows.entry((*conn, node, peer)).or_default();
                ends.sent.insert(*mark, *n);
            }
            Event::Frames { peer, conn, dir: Direction::Taken, n, mark, last } => {
                let ends = flows.entry((*conn, peer, node)).or_default();
                ends.taken.insert(*mark, *n);
                ends.numbered.extend(last.map(|last| (*n, last)));
            }
            Event::Malformed { peer, conn, what } => {
                flows.entry((*conn, peer, node)).or_default().malformed.push(what);
            }
            _ => {}
        }
    }
    flows
}

/// F1. Says how many marks both ends have passed.
fn at_marks((conn, from, to): &Flow<'_>, ends: &Ends<'_>, out: &mut Vec<Violation>) -> usize {
    let common = ends.sent.iter().filter(|(mark, _)| **mark != Mark::Break);
    let common: Vec<_> = common.filter_map(|(mark, n)| Some((mark, *n, *ends.taken.get(mark)?))).collect();
    // What is lost once is missing at all marks behind it.
    if let Some((mark, sent, taken)) = common.iter().find(|(_, sent, taken)| sent != taken) {
        let before = match mark {
            Mark::Ping(number) => format!("sign of life {number:x}"),
            Mark::Pong(number) => format!("the answer to sign of life {number:x}"),
            Mark::End | Mark::Break => "the end".into(),
        };
        report(
            out,
            "F1",
            format_args!(
                "of {sent} frames that {from} wrote on connection {conn:x} before {before}, {to} took {taken}"
            ),
        );
    }
    common.len()
}

/// F2: of numbered frames, for of others those of the connection itself count as well.
fn at_end((conn, from, to): &Flow<'_>, ends: &Ends<'_>, out: &mut Vec<Violation>) {
    let most = ends.numbered.iter().map(|(n, _)| *n).max();
    if let (Some(sent), Some(taken)) = (ends.sent.get(&Mark::Break), most)
        && taken > *sent
    {
        report(
            out,
            "F2",
            format_args!("{to} took {taken} frames on connection {conn:x}, and {from} wrote {sent} there"),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(node: &str, peer: &str, dir: Direction, n: u64, last: Option<u64>, mark: Mark) -> Record {
        let event = Event::Frames { peer: peer.into(), conn: 5, dir, n, last, mark };
        Record { idx: 1, t: 1, node: node.into(), inc: 1, event }
    }

    fn judged(records: &[Record]) -> (Vec<&'static str>, Compared) {
        let mut out = Vec::new();
        let compared = check(records, &mut out);
        (out.into_iter().map(|violation| violation.rule).collect(), compared)
    }

    #[test]
    fn a_frame_that_is_missing_is_found_at_a_mark_and_at_the_end() {
        for mark in [Mark::Ping(1), Mark::Pong(1), Mark::End] {
            let records = |taken| {
                let sent = frames("a", "b", Direction::Sent, 7, None, mark);
                vec![sent, frames("b", "a", Direction::Taken, taken, None, mark)]
            };
            let compared = Compared { directions: 1, from_both: 1, marks: 1 };
            assert_eq!(judged(&records(7)), (vec![], compared));
            for wrong in [6, 8] {
                assert_eq!(judged(&records(wrong)), (vec!["F1"], compared), "{mark:?}");
            }
        }
    }

    #[test]
    fn a_connection_that_breaks_may_lose_the_last_frames_and_brings_no_more_than_was_written() {
        let records = |taken| {
            let sent = frames("a", "b", Direction::Sent, 7, None, Mark::Break);
            vec![sent, frames("b", "a", Direction::Taken, taken, Some(taken), Mark::Break)]
        };
        assert_eq!(judged(&records(3)).0, [""; 0]);
        assert_eq!(judged(&records(8)).0, ["F2"]);
    }

    #[test]
    fn one_end_alone_tells_of_a_number_that_was_left_out_and_of_what_cannot_be_read() {
        let left_out = frames("b", "a", Direction::Taken, 6, Some(7), Mark::Break);
        assert_eq!(judged(&[left_out]).0, ["F4"]);
        let event = Event::Malformed { peer: "a".into(), conn: 5, what: "nonsense".into() };
        let bad = Record { idx: 1, t: 1, node: "b".into(), inc: 1, event };
        assert_eq!(judged(&[bad]).0, ["F3"]);
    }

    #[test]
    fn marks_of_one_end_and_other_directions_are_not_compared() {
        let records = [
            frames("a", "b", Direction::Sent, 7, None, Mark::Ping(1)),
            frames("b", "a", Direction::Taken, 9, None, Mark::Ping(2)),
            frames("b", "a", Direction::Sent, 1, None, Mark::Ping(1)),
        ];
        assert_eq!(judged(&records), (vec![], Compared { directions: 2, from_both: 1, marks: 0 }));
    }
}
