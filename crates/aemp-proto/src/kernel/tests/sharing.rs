//! The shared database: what every node sees once nothing changes any more, and what it is told on
//! the way there.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::net::Net;
use crate::Value;
use crate::kernel::QueryKind;
use crate::wire::request::Family;

const FAMILY: &str = "fam";

/// Every value that a living node owns for a subkey.
fn owners(net: &Net) -> BTreeMap<String, Vec<Value>> {
    let mut all: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for id in net.alive() {
        for ((family, key), value) in &net.nodes[&id].owned {
            if family == FAMILY {
                all.entry(key.clone()).or_default().push(value.clone());
            }
        }
    }
    all
}

fn family_of(answer: &Value) -> Family {
    let Value::Map(entries) = answer else { panic!("a family is answered by a map, not {answer:?}") };
    entries.iter().map(|(key, value)| (key.to_name().unwrap(), value.clone())).collect()
}

/// Asks every living node, and compares the answers with what the owners hold, and with what
/// watchers saw.
fn assert_converged(net: &mut Net, context: &str) {
    let expected = owners(net);
    let alive = net.alive();
    let queries: Vec<(String, u64)> =
        alive.iter().map(|id| (id.clone(), net.query(id, QueryKind::Family, FAMILY))).collect();
    net.run(Duration::from_secs(1));
    let mut answers = BTreeSet::new();
    for (id, query) in queries {
        let answer = net.nodes[&id].answers.get(&query);
        let family = family_of(answer.unwrap_or_else(|| panic!("{context}: {id} got no answer")));
        let keys: Vec<_> = family.keys().cloned().collect();
        assert_eq!(keys, expected.keys().cloned().collect::<Vec<_>>(), "{context}: subkeys at {id}");
        for (key, value) in &family {
            assert!(expected[key].contains(value), "{context}: {id} shows {key} = {value:?}");
        }
        answers.insert(format!("{family:?}"));
        for (watch, known) in &net.nodes[&id].watches {
            let known =
                known.as_ref().unwrap_or_else(|| panic!("{context}: watch {watch} of {id} saw nothing"));
            assert_eq!(*known, family, "{context}: watch {watch} of {id}");
        }
    }
    assert!(answers.len() <= 1, "{context}: nodes disagree");
}

/// Two global nodes that are each other's seed, and four slaves.
fn world(seed: u64) -> (Net, Vec<&'static str>) {
    let mut net = Net::new(seed);
    net.add("g", &["h"], false);
    net.add("h", &["g"], false);
    for id in ["a", "b"] {
        net.add(id, &["g", "h"], false);
    }
    for id in ["x", "y"] {
        net.add(id, &["h", "g"], false);
    }
    (net, vec!["g", "h", "a", "b", "x", "y"])
}

#[test]
fn what_is_set_and_deleted_anywhere_is_seen_everywhere() {
    for seed in 0..40 {
        let (mut net, ids) = world(seed);
        for step in 0..120 {
            change(&mut net, &ids, step);
            let pause = net.below(60) as u64;
            net.run(Duration::from_millis(pause));
        }
        net.run(Duration::from_secs(3));
        assert_converged(&mut net, &format!("seed {seed}"));
    }
}

#[test]
fn the_database_is_right_again_after_crashes_cuts_and_resets() {
    for seed in 0..60 {
        let (mut net, ids) = world(seed);
        for step in 0..150 {
            match net.below(30) {
                0 => {
                    let (at, silently) = (net.below(6), net.below(2) == 0);
                    if net.is_alive(ids[at]) {
                        net.crash(ids[at], silently);
                    }
                }
                1 | 2 => {
                    let at = net.below(6);
                    if !net.is_alive(ids[at]) {
                        net.start(ids[at]);
                    }
                }
                3 => {
                    let (a, b) = (net.below(6), net.below(6));
                    if a != b {
                        net.cut(ids[a], ids[b]);
                    }
                }
                4 | 5 => net.heal_all(),
                6 => {
                    let (a, b) = (ids[net.below(6)], ids[net.below(6)]);
                    net.reset(a, b);
                }
                _ => change(&mut net, &ids, step),
            }
            let pause = net.below(150) as u64;
            net.run(Duration::from_millis(pause));
        }
        net.restore(&["g", "h"]);
        net.run(Duration::from_secs(11));
        let quiet = net.now;
        assert_converged(&mut net, &format!("seed {seed}"));
        net.run(Duration::from_secs(30));
        assert_converged(&mut net, &format!("seed {seed}, later"));
        for id in net.alive() {
            assert!(net.nodes[&id].last_event <= quiet, "{id} still sees changes, seed {seed}");
            let (asked, answered) = (net.nodes[&id].asked.len(), net.nodes[&id].answers.len());
            assert_eq!(asked, answered, "queries of {id} without an answer, seed {seed}");
        }
    }
}

fn change(net: &mut Net, ids: &[&str], step: usize) {
    let id = ids[net.below(ids.len())];
    if !net.is_alive(id) {
        return;
    }
    let shared = format!("shared{}", net.below(3));
    let key = if net.below(2) == 0 { shared } else { format!("{id}{}", net.below(3)) };
    match net.below(10) {
        0..=4 => net.set(id, FAMILY, &key, step),
        5 | 6 => net.delete(id, FAMILY, &key),
        7 => {
            net.watch(id, FAMILY);
        }
        8 => {
            let watch = net.nodes[id].watches.keys().next().copied();
            if let Some(watch) = watch {
                net.unwatch(id, watch);
            }
        }
        _ => {
            net.query(id, [QueryKind::Family, QueryKind::Keys, QueryKind::Values][step % 3], FAMILY);
        }
    }
}

#[test]
fn a_set_that_the_master_did_not_live_to_forward_is_not_lost() {
    for seed in 0..200 {
        let (mut net, _) = world(seed);
        net.run(Duration::from_secs(2));
        let master = ["g", "h"].into_iter().find(|id| net.nodes["a"].up.contains_key(*id)).unwrap();
        net.set("a", FAMILY, "k", seed);
        let pause = net.below(25) as u64;
        net.run(Duration::from_millis(pause));
        net.crash(master, seed % 2 == 0);
        net.run(Duration::from_secs(9));
        assert_converged(&mut net, &format!("seed {seed}"));
        assert_eq!(owners(&net)["k"], [Value::from(seed)]);
    }
}

#[test]
fn a_subkey_with_a_living_owner_never_vanishes_when_the_other_one_leaves() {
    for seed in 0..40 {
        let (mut net, _) = world(seed);
        net.run(Duration::from_secs(2));
        net.set("a", FAMILY, "k", "of a");
        net.set("x", FAMILY, "k", "of x");
        net.run(Duration::from_secs(1));
        for id in ["b", "y"] {
            net.watch(id, FAMILY);
        }
        net.run(Duration::from_secs(1));
        net.crash("a", seed % 2 == 0);
        net.run(Duration::from_secs(5));
        net.start("a");
        net.run(Duration::from_secs(2));
        net.set("a", FAMILY, "k", "of a again");
        net.run(Duration::from_secs(1));
        net.crash("x", seed % 2 == 0);
        net.run(Duration::from_secs(5));
        for id in ["b", "y"] {
            assert_eq!(net.nodes[id].emptied, 0, "{id}, seed {seed}");
        }
        assert_converged(&mut net, &format!("seed {seed}"));
    }
}

#[test]
fn the_value_set_last_is_the_one_shown_no_matter_who_is_whose_slave() {
    for (first, second) in [("a", "x"), ("x", "a"), ("g", "h"), ("h", "g"), ("a", "b")] {
        let (mut net, _) = world(7);
        net.run(Duration::from_secs(2));
        net.set(first, FAMILY, "k", "first");
        net.run(Duration::from_secs(1));
        net.set(second, FAMILY, "k", "second");
        net.run(Duration::from_secs(1));
        for id in ["g", "h", "a", "y"] {
            let query = net.query(id, QueryKind::Values, FAMILY);
            net.run(Duration::from_millis(200));
            assert_eq!(
                net.nodes[id].answers[&query],
                Value::List(vec!["second".into()]),
                "{first}, {second}"
            );
        }
    }
}

#[test]
fn what_nodes_owned_vanishes_with_them() {
    for seed in 0..20 {
        let (mut net, _) = world(seed);
        net.run(Duration::from_secs(3));
        for id in net.alive() {
            net.set(&id, FAMILY, &id, seed);
        }
        net.watch("a", FAMILY);
        net.run(Duration::from_secs(1));
        assert_converged(&mut net, &format!("seed {seed}"));
        // h and all that have it as their first seed, hence as their master.
        for id in ["h", "x", "y"] {
            net.crash(id, seed % 2 == 0);
        }
        net.run(Duration::from_secs(10));
        assert_converged(&mut net, &format!("seed {seed}, afterwards"));
        for (family, left) in [("'l", vec!["a", "b", "g"]), ("'g", vec!["g"])] {
            let query = net.query("a", QueryKind::Family, family);
            net.run(Duration::from_secs(1));
            let keys: Vec<String> = family_of(&net.nodes["a"].answers[&query]).into_keys().collect();
            assert_eq!(keys, left, "seed {seed}");
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let run = || {
        let (mut net, ids) = world(11);
        for step in 0..100 {
            change(&mut net, &ids, step);
            if step % 20 == 7 {
                net.reset("g", "h");
                net.reset(ids[step % 6], "g");
            }
            net.run(Duration::from_millis(40));
        }
        (net.sent, net.dials)
    };
    assert!(run() == run(), "two runs from one seed differ");
}

#[test]
fn a_node_alone_has_a_database_too() {
    let mut net = Net::new(1);
    net.add("a", &[], false);
    net.watch("a", FAMILY);
    assert_eq!(net.nodes["a"].watches[&1], Some(Family::new()));
    net.set("a", FAMILY, "k", 1);
    assert_converged(&mut net, "alone");
}

#[test]
fn a_slave_that_becomes_global_keeps_what_its_watches_know() {
    for seed in 0..30 {
        let mut net = Net::new(seed);
        net.add("s", &[], false);
        net.add("a", &["s"], false);
        net.run(Duration::from_secs(2));
        net.set("s", FAMILY, "k", "of s");
        net.set("a", FAMILY, "l", "of a");
        net.watch("a", FAMILY);
        net.watch("s", FAMILY);
        net.run(Duration::from_secs(1));
        // b has a as its seed, which makes a global.
        net.add("b", &["a"], false);
        for _ in 0..500 {
            net.run(Duration::from_millis(2));
            for id in ["a", "s"] {
                assert_eq!(net.nodes[id].watches[&1].as_ref().unwrap().len(), 2, "at {id}, seed {seed}");
            }
        }
        assert_converged(&mut net, &format!("seed {seed}"));
    }
}
