//! Nodes that cannot be dialled find each other through a third one, and all that holds for
//! connections holds for these.

use std::time::Duration;

use super::net::{Net, node};
use crate::kernel::{KernelConfig, Route};

/// Two seeds, and two nodes that listen nowhere.
fn private(seed: u64) -> Net {
    let mut net = Net::new(seed);
    net.add("s", &["t"], true);
    net.add("t", &["s"], true);
    net.add_private("a", &["s", "t"]);
    net.add_private("b", &["s", "t"]);
    net.run(Duration::from_secs(3));
    net
}

fn route(net: &Net, from: &str, to: &str) -> Option<Route> {
    net.nodes[from].kernel.as_ref().and_then(|kernel| kernel.route(&node(to)))
}

fn via(net: &Net, from: &str, to: &str) -> String {
    match route(net, from, to) {
        Some(Route::Through(via)) => via.to_string(),
        other => panic!("{from} reaches {to} by {other:?}"),
    }
}

fn assert_joined(net: &Net, a: &str, b: &str) {
    assert!(net.nodes[a].up.contains_key(b) && net.nodes[b].up.contains_key(a), "{a} and {b} are apart");
    assert_eq!(net.wires_between(a, b), 1, "{a} and {b} have more than one connection");
}

fn received(net: &Net) -> usize {
    net.check_messages();
    net.received.values().map(Vec::len).sum()
}

#[test]
fn two_that_listen_nowhere_are_joined_through_a_node_that_both_reach() {
    let mut net = private(1);
    net.send("a", "b");
    net.run(Duration::from_millis(300));
    assert_joined(&net, "a", "b");
    assert_eq!(via(&net, "a", "b"), via(&net, "b", "a"));
    assert_eq!(route(&net, "a", "s"), Some(Route::Direct));
    assert_eq!(route(&net, "a", "nobody"), None);
    assert_eq!(received(&net), 1);
}

#[test]
fn both_at_once_keep_one_connection_and_lose_nothing() {
    for seed in 0..200 {
        let mut net = private(seed);
        for round in 0..4 {
            net.send("a", "b");
            net.run(Duration::from_millis(seed * round % 23));
            net.send("b", "a");
        }
        net.run(Duration::from_secs(3));
        assert_joined(&net, "a", "b");
        assert!(net.nodes["a"].breaks.is_empty() && net.nodes["b"].breaks.is_empty(), "seed {seed}");
        assert_eq!(received(&net), 8, "seed {seed}");
    }
}

#[test]
fn when_the_relay_dies_both_are_told_and_another_one_relays() {
    for seed in 0..50 {
        let mut net = private(seed);
        net.send("a", "b");
        net.run(Duration::from_millis(500));
        let first = via(&net, "a", "b");
        net.crash(&first, seed % 2 == 0);
        net.run(Duration::from_secs(6));
        for (id, other) in [("a", "b"), ("b", "a")] {
            let breaks = net.nodes[id].breaks.iter().filter(|(peer, _)| peer == other).count();
            assert_eq!(breaks, 1, "seed {seed}");
        }
        net.send("b", "a");
        net.run(Duration::from_secs(2));
        assert_joined(&net, "a", "b");
        assert_ne!(via(&net, "a", "b"), first);
        assert_eq!(received(&net), 2, "seed {seed}");
    }
}

/// Two private nodes, each connected to a seed of its own.
fn apart() -> Net {
    let mut net = Net::new(7);
    net.add("s", &["t"], true);
    net.add("t", &["s"], true);
    net.add_private("a", &["s"]);
    net.add_private("b", &["t"]);
    net.run(Duration::from_secs(3));
    net
}

#[test]
fn a_relay_that_is_not_connected_is_dialled_first() {
    let mut net = apart();
    assert_eq!(route(&net, "a", "t"), None);
    net.send("a", "b");
    net.run(Duration::from_millis(500));
    assert_eq!(via(&net, "a", "b"), "t");
    assert_eq!(route(&net, "a", "t"), Some(Route::Direct));
    assert_eq!(received(&net), 1);
}

#[test]
fn a_relay_that_cannot_be_reached_is_one_that_refuses() {
    let mut net = apart();
    net.cut("a", "t");
    net.send("a", "b");
    net.run(Duration::from_secs(2));
    assert_eq!(net.nodes["a"].breaks.len(), 1);
    assert!(net.nodes["a"].breaks[0].1.contains("connect timeout"), "{:?}", net.nodes["a"].breaks);
}

#[test]
fn an_address_that_answers_is_preferred() {
    let mut net = private(3);
    net.add("p", &["s"], false);
    net.run(Duration::from_secs(1));
    net.send("a", "p");
    net.run(Duration::from_millis(300));
    assert_eq!(route(&net, "a", "p"), Some(Route::Direct));
    net.send("s", "b");
    assert_eq!(route(&net, "s", "b"), Some(Route::Direct));
}

#[test]
fn an_address_that_does_not_answer_is_not_waited_for_to_the_end() {
    for (reachable, cut) in [("a:2", false), ("a:1", true)] {
        let mut net = private(5);
        // It says that it listens on `a:1`, and that nobody should count on it.
        let mut config = KernelConfig::new(node("n"));
        config.binds = vec!["n:1".into()];
        config.private = true;
        config.seeds = vec!["s:1".into()];
        config.monitor_timeout = Duration::from_secs(4);
        net.add_at(config, reachable.replace('a', "n"));
        net.run(Duration::from_secs(2));
        if cut {
            net.cut("a", "n");
        }
        net.send("a", "n");
        net.run(Duration::from_millis(1200));
        assert_eq!(via(&net, "a", "n"), "s");
        assert_eq!(received(&net), 1);
    }
}

#[test]
fn routes_vanish_with_those_that_offered_them() {
    let mut net = private(2);
    let routes = |net: &mut Net| {
        let query = net.query("s", crate::kernel::QueryKind::Family, "'x");
        net.run(Duration::from_millis(100));
        format!("{:?}", net.nodes["s"].answers[&query])
    };
    let before = routes(&mut net);
    net.crash("t", false);
    net.run(Duration::from_secs(3));
    let between = routes(&mut net);
    net.crash("a", false);
    net.crash("b", false);
    net.run(Duration::from_secs(3));
    let after = routes(&mut net);
    let count = |text: &str| (text.matches("via:s").count(), text.matches("via:t").count());
    assert_eq!([count(&before), count(&between), count(&after)], [(2, 2), (2, 0), (0, 0)]);
}

#[test]
fn a_relay_that_is_reached_through_another_one_is_dialled_before_it_relays() {
    for seed in 0..50 {
        let mut net = private(seed);
        // Each of the two loses one seed, and is then reached by that through the other one.
        net.cut("a", "t");
        net.cut("b", "s");
        net.run(Duration::from_secs(9));
        net.send("t", "a");
        net.send("s", "b");
        net.run(Duration::from_secs(3));
        assert_eq!((via(&net, "t", "a"), via(&net, "s", "b")), ("s".into(), "t".into()));
        net.heal_all();
        net.run(Duration::from_secs(60));
        net.send("a", "b");
        net.run(Duration::from_secs(3));
        assert_joined(&net, "a", "b");
        assert!(net.nodes["a"].up.contains_key("t") && net.nodes["b"].up.contains_key("s"));
        net.check_messages();
    }
}

#[test]
fn no_matter_what_breaks_two_private_nodes_find_each_other_afterwards() {
    for seed in 0..60 {
        let mut net = private(seed);
        let ids = ["a", "b", "s", "t"];
        for _ in 0..60 {
            net.disturb(&ids);
        }
        net.restore(&ids);
        net.run(Duration::from_secs(9));
        net.send("a", "b");
        net.run(Duration::from_secs(3));
        assert_joined(&net, "a", "b");
        net.check_messages();
    }
}
