//! Everybody has a master, all global nodes know each other, islands grow together.

use std::collections::BTreeSet;
use std::time::Duration;

use super::super::{Input, KernelConfig};
use super::net::{Net, node};
use crate::Value;
use crate::db::client::Master;
use crate::wire::MeshRequest;
use crate::wire::request::Family;

fn assert_master(net: &Net, slave: &str, among: &[&str]) {
    let kernel = net.nodes[slave].kernel.as_ref().unwrap();
    match kernel.client.master() {
        Master::Node(master) => {
            assert!(among.contains(&master.as_str()), "{slave} has {master} as its master");
            assert!(net.nodes[slave].up.contains_key(master.as_str()));
        }
        other => panic!("{slave} has {other:?} as its master"),
    }
}

fn is_global(net: &Net, id: &str) -> bool {
    net.nodes[id].kernel.as_ref().unwrap().global.is_active()
}

#[test]
fn a_seed_becomes_global_and_its_nodes_become_its_slaves() {
    let mut net = Net::new(1);
    net.add("s", &[], false);
    net.add("a", &["s"], false);
    net.add("b", &["s"], false);
    net.run(Duration::from_secs(3));
    assert!(is_global(&net, "s") && !is_global(&net, "a"));
    assert_master(&net, "a", &["s"]);
    assert_master(&net, "b", &["s"]);
}

#[test]
fn a_seed_that_is_the_node_itself_is_dropped_and_makes_it_global() {
    let mut net = Net::new(1);
    net.add("s", &["s"], false);
    net.run(Duration::from_secs(3));
    assert!(is_global(&net, "s"));
    assert_eq!(net.dials.len(), 1);
    assert!(net.nodes["s"].up.is_empty() && net.nodes["s"].refused.is_empty());
}

#[test]
fn a_slave_finds_another_master_when_its_master_dies() {
    for seed in 0..20 {
        let mut net = Net::new(seed);
        net.add("s", &["t"], false);
        net.add("t", &["s"], false);
        net.add("a", &["s", "t"], false);
        net.run(Duration::from_secs(3));
        let master = match net.nodes["a"].kernel.as_ref().unwrap().client.master() {
            Master::Node(master) => master.to_string(),
            other => panic!("{other:?}"),
        };
        let other = if master == "s" { "t" } else { "s" };
        net.crash(&master, seed % 2 == 0);
        net.run(Duration::from_secs(5));
        assert_master(&net, "a", &[other]);
        net.start(&master);
        net.run(Duration::from_secs(5));
        assert_master(&net, "a", &[other]);
        assert!(net.nodes[&master].up.contains_key(other));
    }
}

#[test]
fn slaves_find_each_other_through_their_masters() {
    let mut net = Net::new(4);
    net.add("s", &[], false);
    net.add("t", &["s"], true);
    net.add("a", &["s"], false);
    net.add("b", &["t"], false);
    net.run(Duration::from_secs(3));
    net.send("a", "b");
    net.run(Duration::from_millis(300));
    assert_eq!(net.wires_between("a", "b"), 1);
    assert!(net.nodes["a"].breaks.is_empty());
    assert_eq!(net.received.values().map(Vec::len).sum::<usize>(), 1);
}

#[test]
fn islands_that_share_a_seed_grow_together() {
    let mut net = Net::new(2);
    net.add("g", &["s"], true);
    net.add("h", &["s"], true);
    net.add("a", &["g"], false);
    net.run(Duration::from_secs(3));
    assert!(!net.nodes["g"].up.contains_key("h"));
    net.add("s", &[], false);
    net.run(Duration::from_secs(9));
    for (one, other) in [("g", "h"), ("g", "s"), ("h", "s")] {
        assert!(net.nodes[one].up.contains_key(other), "{one} and {other} are apart");
    }
}

#[test]
fn global_nodes_find_together_again_after_the_network_was_cut() {
    for seed in 0..20 {
        let mut net = Net::new(seed);
        // g and h know each other only through s, which is gone by the time the network heals.
        net.add("s", &[], true);
        net.add("g", &["s"], true);
        net.add("h", &["s"], true);
        net.run(Duration::from_secs(3));
        net.cut("g", "h");
        net.run(Duration::from_secs(10));
        assert!(!net.nodes["g"].up.contains_key("h"));
        net.crash("s", true);
        net.run(Duration::from_secs(30));
        net.heal_all();
        net.run(Duration::from_secs(9));
        assert!(net.nodes["g"].up.contains_key("h") && net.nodes["h"].up.contains_key("g"), "seed {seed}");
    }
}

#[test]
fn twelve_global_nodes_are_all_connected_pairwise() {
    let mut net = Net::new(9);
    let ids: Vec<String> = (0..12).map(|n| format!("g{n:02}")).collect();
    for id in &ids {
        net.add(id, &["g00"], true);
    }
    net.run(Duration::from_secs(8));
    for id in &ids {
        let expected: BTreeSet<&String> = ids.iter().filter(|other| *other != id).collect();
        assert_eq!(net.nodes[id].up.keys().collect::<BTreeSet<_>>(), expected);
        assert!(net.nodes[id].breaks.is_empty(), "{:?}", net.nodes[id].breaks);
    }
}

#[test]
fn a_node_that_is_lost_for_good_is_looked_for_less_and_less() {
    let mut net = Net::new(5);
    net.add("g", &[], true);
    net.add("h", &["g"], true);
    net.run(Duration::from_secs(3));
    net.crash("h", false);
    net.run(Duration::from_secs(60));
    let before = net.dials.len();
    net.run(Duration::from_secs(40));
    assert!((8..=12).contains(&(net.dials.len() - before)), "{} dials", net.dials.len() - before);
}

#[test]
fn a_lone_global_node_that_meets_somebody_tries_the_others_again_soon() {
    for seed in 0..20 {
        let mut net = Net::new(seed);
        net.add("g", &[], true);
        net.add("h", &["g"], true);
        net.run(Duration::from_secs(3));
        // h is gone for so long that g hardly looks for it any more, and comes back without looking
        // for g.
        net.cut("g", "h");
        net.run(Duration::from_secs(40));
        net.crash("h", true);
        net.heal_all();
        net.forget_seeds("h");
        net.start("h");
        net.add("n", &["g"], false);
        net.run(Duration::from_millis(2600));
        assert!(net.nodes["g"].up.contains_key("h"), "seed {seed}");
    }
}

#[test]
fn seeds_that_do_not_know_each_other_are_introduced_by_a_node_that_knows_both() {
    for seed in 0..20 {
        let mut net = Net::new(seed);
        net.add("s", &[], true);
        net.add("t", &[], true);
        net.add("a", &["s", "t"], false);
        net.add("b", &["s"], false);
        net.add("c", &["t"], false);
        net.set("b", "f", "b", "here");
        let watch = net.watch("c", "f");
        net.run(Duration::from_secs(5));
        assert!(net.nodes["s"].up.contains_key("t") && net.nodes["t"].up.contains_key("s"), "seed {seed}");
        let seen = net.nodes["c"].watches[&watch].as_ref().unwrap();
        assert!(seen.contains_key("b"), "seed {seed}: {seen:?}");
        net.send("c", "b");
        net.run(Duration::from_millis(500));
        assert!(net.nodes["c"].breaks.is_empty(), "seed {seed}: {:?}", net.nodes["c"].breaks);
    }
}

#[test]
fn an_introduction_outlives_the_connection_of_the_two_but_not_the_node_that_made_it() {
    let mut net = Net::new(3);
    net.add("s", &[], true);
    net.add("t", &[], true);
    net.add("a", &["s", "t"], false);
    net.run(Duration::from_secs(5));
    net.cut("s", "t");
    net.run(Duration::from_secs(60));
    assert!(!net.nodes["s"].up.contains_key("t"));
    net.heal_all();
    net.run(Duration::from_secs(9));
    assert!(net.nodes["s"].up.contains_key("t"));
    net.crash("t", false);
    net.run(Duration::from_secs(2));
    let watch = net.watch("a", "'g");
    net.run(Duration::from_secs(1));
    let globals: Vec<&String> = net.nodes["a"].watches[&watch].as_ref().unwrap().keys().collect();
    assert_eq!(globals, ["s"], "a node that is gone is not listed any more");
}

#[test]
fn of_many_nodes_that_know_two_seeds_few_introduce_them() {
    let mut net = Net::new(8);
    net.add("s", &[], true);
    net.add("t", &[], true);
    for n in 0..40 {
        net.add(&format!("a{n:02}"), &["s", "t"], false);
    }
    net.run(Duration::from_secs(6));
    assert!(net.nodes["s"].up.contains_key("t"));
    let introduces = |request: &MeshRequest| matches!(request, MeshRequest::Update(family, set, _) if family == "'g" && !set.is_empty());
    let made = net.sent.iter().filter(|(_, from, _, request)| from.starts_with('a') && introduces(request));
    assert!((1..=10).contains(&made.clone().count()), "{}", made.count());
}

#[test]
fn nobody_is_introduced_to_a_master_that_knows_all() {
    let mut net = Net::new(8);
    net.add("s", &["t"], true);
    net.add("t", &["s"], true);
    net.add("a", &["s", "t"], false);
    net.run(Duration::from_secs(30));
    let introduces = |request: &MeshRequest| matches!(request, MeshRequest::Update(family, ..) if family == "'g" || family == "'l");
    assert!(!net.sent.iter().any(|(_, from, _, request)| from == "a" && introduces(request)));
}

#[test]
fn the_first_question_to_a_node_that_has_just_become_a_seed_waits_for_what_the_others_know() {
    for seed in 0..20 {
        let mut net = Net::new(seed);
        net.add("s", &[], true);
        net.add("t", &["s"], false);
        net.run(Duration::from_secs(3));
        net.add("a", &["t"], false);
        net.send("a", "s");
        net.run(Duration::from_secs(2));
        assert!(net.nodes["a"].breaks.is_empty(), "seed {seed}: {:?}", net.nodes["a"].breaks);
        assert!(net.nodes["a"].up.contains_key("s"), "seed {seed}");
    }
}

#[test]
fn the_first_question_to_a_seed_that_has_just_started_waits_for_its_own_seeds() {
    for seed in 0..20 {
        let mut net = Net::new(seed);
        for (id, its_seed) in [("t", "s"), ("a", "t")] {
            let mut config = KernelConfig::new(node(id));
            (config.seeds, config.global) = (vec![format!("{its_seed}:1")], id == "t");
            net.add_with(config);
        }
        net.send("a", "b");
        net.run(Duration::from_millis(400));
        net.add("s", &[], true);
        net.add("b", &["s"], false);
        net.run(Duration::from_secs(3));
        assert!(net.nodes["a"].breaks.is_empty(), "seed {seed}: {:?}", net.nodes["a"].breaks);
        assert!(net.nodes["a"].up.contains_key("b"), "seed {seed}");
    }
}

#[test]
fn a_question_for_a_node_that_does_not_exist_is_answered_when_nobody_can_know_it_any_more() {
    let mut net = Net::new(1);
    net.add("s", &[], true);
    net.add("a", &["s"], false);
    net.run(Duration::from_secs(2));
    net.send("a", "nobody");
    net.run(Duration::from_millis(200));
    assert_eq!(net.nodes["a"].breaks, [("nobody".into(), "no known address".into())]);
}

/// What a node may put into the database: global nodes that do not exist, at addresses of its
/// choice.
fn fakes(count: usize, addresses: usize) -> [MeshRequest; 2] {
    let binds =
        |n: usize| Value::List((0..addresses).map(|at| Value::name(&format!("f{n}x{at}:1"))).collect());
    let nodes = 0..count;
    let listeners: Family = nodes.clone().map(|n| (format!("fake{n:04}"), binds(n))).collect();
    let globals: Family = nodes.map(|n| (format!("fake{n:04}"), Value::Null)).collect();
    let update = |family: &str, set| MeshRequest::Update(family.into(), set, Vec::new());
    [update("'l", listeners), update("'g", globals)]
}

#[test]
fn entries_of_one_node_make_others_dial_at_a_moderate_pace_and_hold_nobody_up() {
    for says_global in [false, true] {
        let mut net = Net::new(4);
        net.add("s", &[], true);
        net.add("e", &["s"], says_global);
        net.add("a", &["s"], false);
        net.run(Duration::from_secs(3));
        let (before, began) = (net.dials.len(), net.now);
        for request in fakes(1000, 20) {
            net.input("s", Input::Request { from: node("e"), request });
        }
        net.send("s", "a");
        for second in 1..=10 {
            net.run(Duration::from_secs(1));
            let dialled = net.dials[before..].iter().filter(|(_, from, _)| from == "s").count();
            assert!(dialled <= 100 + 32 * second, "{dialled} dials after {second} s");
        }
        let nodes: BTreeSet<&str> = net.dials[before..]
            .iter()
            .filter_map(|(_, _, to)| to.split_once('x'))
            .map(|(fake, _)| fake)
            .collect();
        assert!((16..=256).contains(&nodes.len()), "{} nodes were dialled", nodes.len());
        // Others get through meanwhile, and are found.
        net.add("n", &["s"], true);
        net.run(Duration::from_secs(1));
        net.add("b", &["n"], false);
        net.run(Duration::from_secs(2));
        net.send("a", "b");
        net.run(Duration::from_secs(1));
        assert!(net.nodes["a"].breaks.is_empty() && net.nodes["a"].up.contains_key("b"));
        assert!(net.now - began < Duration::from_secs(30));
    }
}

#[test]
fn a_node_has_few_addresses() {
    let mut net = Net::new(4);
    net.add("s", &[], true);
    net.add("e", &["s"], false);
    net.run(Duration::from_secs(3));
    let [listeners, _] = fakes(1, 5000);
    net.input("s", Input::Request { from: node("e"), request: listeners });
    net.send("s", "fake0000");
    net.run(Duration::from_secs(20));
    let dialled = net.dials.iter().filter(|(_, _, to)| to.starts_with("f0x")).count();
    assert!((1..=32).contains(&dialled), "{dialled}");
}
