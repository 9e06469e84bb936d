//! DB1–DB10: in the end everybody sees what the living have set; until then every watch tells a
//! consistent story.

use std::collections::{BTreeMap, BTreeSet};

use rustc_hash::FxHashMap;

use super::facts::{Facts, Run};
use super::{Violation, report};
use crate::history::{Event, Kind};

type Content = BTreeMap<String, String>;

pub(super) fn check(facts: &Facts<'_>, out: &mut Vec<Violation>) {
    watches(facts, out);
    answers(facts, out);
}

/// One watch as it was told.
struct Watch<'a> {
    family: &'a str,
    known: Option<&'a Content>,
    over: bool,
}

/// DB5, DB6, DB7, DB10.
fn watches(facts: &Facts<'_>, out: &mut Vec<Violation>) {
    let mut watches: BTreeMap<(Run<'_>, u64), Watch<'_>> = BTreeMap::new();
    for (at, record) in facts.records.iter().enumerate() {
        let run = facts.run(at);
        match &record.event {
            Event::Dbmon { m, f } => {
                watches.insert((run, *m), Watch { family: f, known: None, over: false });
            }
            Event::Dbunmon { m } => {
                if let Some(watch) = watches.get_mut(&(run, *m)) {
                    watch.over = true;
                }
            }
            Event::Dbev { m, add, chg, del, db } => {
                let Some(watch) = watches.get_mut(&(run, *m)) else {
                    report(
                        out,
                        "DB10",
                        format_args!("watch {m} of {run:?} told something, and is not a watch"),
                    );
                    continue;
                };
                if watch.over {
                    report(out, "DB10", format_args!("watch {m} of {run:?} told something after its end"));
                }
                if let Err((rule, why)) = truthful(watch.known, [add, chg, del], db) {
                    report(out, rule, format_args!("watch {m} of {run:?}: {why}"));
                }
                if let Err(why) = in_order(facts, at, watch.known, db) {
                    report(out, "DB5", format_args!("watch {m} of {run:?}: {why}"));
                }
                watch.known = Some(db);
            }
            _ => {}
        }
    }
    if facts.quiet.is_none() {
        return;
    }
    let expected = expected(facts);
    for ((run, m), watch) in watches.iter().filter(|((run, _), watch)| facts.lasts(*run) && !watch.over) {
        match &watch.known {
            None => report(out, "DB7", format_args!("watch {m} of {run:?} never told anything")),
            Some(known) => {
                if let Err(why) = converged(&expected, watch.family, known.keys(), Some(*known)) {
                    report(out, "DB6", format_args!("watch {m} of {run:?} ends wrong: {why}"));
                }
            }
        }
    }
}

fn truthful(
    before: Option<&Content>,
    [add, chg, del]: [&Vec<String>; 3],
    db: &Content,
) -> Result<(), (&'static str, String)> {
    let all: BTreeSet<&String> = add.iter().chain(chg).chain(del).collect();
    if all.len() != add.len() + chg.len() + del.len() {
        return Err(("DB7", "a subkey was told of twice".into()));
    }
    if all.is_empty() && before.is_some() {
        return Err(("DB7", "an event tells nothing".into()));
    }
    let empty = Content::new();
    let before = before.unwrap_or(&empty);
    if add.iter().any(|key| before.contains_key(key)) {
        return Err(("DB7", format!("{add:?} were there already, in part")));
    }
    if chg.iter().chain(del).any(|key| !before.contains_key(key)) {
        return Err(("DB7", format!("{chg:?} or {del:?} were not there, in part")));
    }
    let kept = |key: &String| !all.contains(key);
    let same = |(key, value): (&String, &String)| !kept(key) || db.get(key) == Some(value);
    let left = before.keys().filter(|key| kept(key)).count();
    let folds = before.iter().all(same) && add.iter().chain(chg).all(|key| db.contains_key(key));
    if !folds || db.len() != left + add.len() + chg.len() {
        return Err(("DB6", format!("{add:?}, {chg:?} and {del:?} do not lead from {before:?} to {db:?}")));
    }
    Ok(())
}

/// DB5. Values are `v` and a number that counts up. While nothing goes wrong, a subkey with one
/// owner never goes back.
fn in_order(facts: &Facts<'_>, at: usize, before: Option<&Content>, db: &Content) -> Result<(), String> {
    let number = |value: &String| value.strip_prefix('v').and_then(|number| number.parse::<u64>().ok());
    // A connection that is reset is enough to make another global node the master.
    if facts.faults.iter().any(|fault| fault.kind.is_some() && fault.from <= facts.time(at)) {
        return Ok(());
    }
    for (key, value) in db {
        let earlier = before.and_then(|before| before.get(key)).and_then(number);
        if let (Some(earlier), Some(now)) = (earlier, number(value))
            && !key.starts_with("shared")
            && now < earlier
        {
            return Err(format!("{key} went back from v{earlier} to v{now}"));
        }
    }
    Ok(())
}

/// Family → subkey → the values that living nodes have set last.
type Expected = BTreeMap<String, BTreeMap<String, BTreeSet<String>>>;

fn expected(facts: &Facts<'_>) -> Expected {
    let mut own: FxHashMap<(Run<'_>, &str, &str), &str> = FxHashMap::default();
    for (at, record) in facts.records.iter().enumerate() {
        match &record.event {
            Event::Set { f, k, v } => {
                own.insert((facts.run(at), f, k), v);
            }
            Event::Del { f, k } => {
                own.remove(&(facts.run(at), f.as_str(), k.as_str()));
            }
            _ => {}
        }
    }
    let mut expected = Expected::new();
    for ((run, f, k), v) in own {
        if facts.lasts(run) {
            expected.entry(f.into()).or_default().entry(k.into()).or_default().insert(v.into());
        }
    }
    expected
}

/// DB1–DB4: the subkeys are exactly those that somebody has, each with the last value of one of its
/// owners.
fn converged<'a>(
    expected: &Expected,
    family: &str,
    keys: impl Iterator<Item = &'a String>,
    content: Option<&Content>,
) -> Result<(), String> {
    let none = BTreeMap::new();
    let wanted = expected.get(family).unwrap_or(&none);
    let keys: BTreeSet<&String> = keys.collect();
    let right: BTreeSet<&String> = wanted.keys().collect();
    if keys != right {
        let (more, less) = (keys.difference(&right), right.difference(&keys));
        let (more, less): (Vec<_>, Vec<_>) = (more.collect(), less.collect());
        return Err(format!("{family} has {more:?} too many, and lacks {less:?}"));
    }
    for (key, value) in content.into_iter().flatten() {
        if !wanted.get(key).is_some_and(|values| values.contains(value)) {
            return Err(format!("{family} {key} is {value}, and should be one of {:?}", wanted.get(key)));
        }
    }
    Ok(())
}

/// DB1–DB4, DB8.
fn answers(facts: &Facts<'_>, out: &mut Vec<Violation>) {
    let mut open: BTreeMap<(Run<'_>, u64), (usize, &str, Kind, usize)> = BTreeMap::new();
    let expected = expected(facts);
    let mut agreed: BTreeMap<&str, (&str, &[String])> = BTreeMap::new();
    // From outside, programs go on for a while after the last fault.
    let settled = if facts.outside.is_some() { facts.first_rest } else { facts.quiet };
    for (at, record) in facts.records.iter().enumerate() {
        let run = facts.run(at);
        match &record.event {
            Event::Q { id, f, kind } => {
                open.insert((run, *id), (at, f, *kind, 0));
            }
            Event::A { id, keys, values } => {
                let Some((asked, family, kind, count)) = open.get_mut(&(run, *id)) else {
                    report(out, "DB8", format_args!("{run:?} got the answer {id} without a question"));
                    continue;
                };
                *count += 1;
                let last = settled.is_some_and(|settled| *asked > settled);
                if !last || *kind == Kind::Values {
                    continue;
                }
                let content: Content = keys.iter().cloned().zip(values.iter().cloned()).collect();
                let content = (*kind == Kind::Family).then_some(&content);
                if let Err(why) = converged(&expected, family, keys.iter(), content) {
                    report(out, "DB1", format_args!("at {run:?} {why}"));
                }
                if *kind == Kind::Family {
                    let (node, first) = agreed.entry(*family).or_insert((&record.node, values));
                    if first != values {
                        report(
                            out,
                            "DB1",
                            format_args!("{node} and {run:?} see different values in {family}"),
                        );
                    }
                }
            }
            _ => {}
        }
    }
    for ((run, id), (_, family, _, count)) in open {
        if count > 1 || count == 0 && facts.lasts(run) {
            report(out, "DB8", format_args!("the question {id} of {run:?} for {family} has {count} answers"));
        }
    }
}
