//! Exactly one connection between two nodes, and no loss that nobody is told of.

use std::time::Duration;

use super::net::Net;
use crate::kernel::Time;

fn assert_joined(net: &Net, a: &str, b: &str) {
    assert!(
        net.nodes[a].up.contains_key(b) && net.nodes[b].up.contains_key(a),
        "{a} and {b} are not connected"
    );
    assert_eq!(net.wires_between(a, b), 1, "{a} and {b} have more than one connection");
}

#[test]
fn nodes_that_dial_each_other_at_once_keep_one_connection_and_lose_nothing() {
    for seed in 0..300 {
        let mut net = Net::new(seed);
        net.delay = Duration::from_millis(1 + seed % 80);
        net.add("a", &["b"], seed % 3 == 0);
        net.add("b", &["a"], seed % 5 == 0);
        for _ in 0..3 {
            net.send("a", "b");
            net.send("b", "a");
            net.run(Duration::from_millis(seed % 7));
        }
        net.run(Duration::from_secs(10));
        // The first dial may be refused, when the other one is not there yet; later ones cross.
        assert_joined(&net, "a", "b");
        for id in ["a", "b"] {
            assert_eq!(net.nodes[id].breaks, [], "seed {seed}");
        }
        net.check_messages();
        assert_eq!(net.received.values().map(Vec::len).sum::<usize>(), 6, "seed {seed}");
    }
}

#[test]
fn slaves_that_want_each_other_at_once_keep_one_connection_and_lose_nothing() {
    for seed in 0..200 {
        let mut net = Net::new(seed);
        net.add("s", &[], false);
        net.add("a", &["s"], false);
        net.add("b", &["s"], false);
        net.run(Duration::from_secs(3));
        for round in 0..4 {
            net.send("a", "b");
            net.run(Duration::from_millis(seed * round % 23));
            net.send("b", "a");
        }
        net.run(Duration::from_secs(3));
        assert_joined(&net, "a", "b");
        assert!(net.nodes["a"].breaks.is_empty() && net.nodes["b"].breaks.is_empty(), "seed {seed}");
        net.check_messages();
        assert_eq!(net.received.values().map(Vec::len).sum::<usize>(), 8, "seed {seed}");
    }
}

#[test]
fn a_node_that_restarts_unseen_is_taken_back_after_a_probe() {
    for seed in 0..50 {
        let mut net = Net::new(seed);
        net.add("a", &[], false);
        net.add("b", &["a"], false);
        net.run(Duration::from_secs(3));
        assert_joined(&net, "a", "b");
        net.send("a", "b");
        net.crash("b", true);
        net.start("b");
        net.run(Duration::from_millis(2500));
        assert_joined(&net, "a", "b");
        assert_eq!(net.nodes["a"].breaks.len(), 1, "the old connection's monitors fire");
        net.check_messages();
    }
}

#[test]
fn no_matter_what_breaks_both_ends_agree_afterwards() {
    for seed in 0..60 {
        let mut net = Net::new(seed);
        let ids = ["a", "b", "c"];
        for id in ids {
            net.add(id, &ids, false);
        }
        for _ in 0..60 {
            net.disturb(&ids);
        }
        net.restore(&ids);
        net.run(Duration::from_secs(9));
        for (a, b) in [("a", "b"), ("b", "c"), ("a", "c")] {
            assert_joined(&net, a, b);
        }
        net.check_messages();
    }
}

#[test]
fn a_message_to_a_node_that_nobody_knows_breaks_its_outbox() {
    let mut net = Net::new(1);
    net.add("a", &[], false);
    net.add("b", &["a"], false);
    net.run(Duration::from_secs(3));
    net.send("b", "nobody");
    net.send("a", "nobody");
    net.run(Duration::from_millis(100));
    for id in ["a", "b"] {
        assert_eq!(net.nodes[id].breaks, [("nobody".into(), "no known address".into())]);
    }
}

#[test]
fn without_any_seed_in_reach_an_attempt_ends_in_time() {
    let mut net = Net::new(1);
    net.add("a", &["gone"], false);
    net.send("a", "b");
    net.run(Duration::from_secs(4) / 3 + Duration::from_millis(1));
    assert_eq!(net.nodes["a"].breaks, [("b".into(), "no known address".into())]);
}

#[test]
fn a_dead_address_is_dialled_ever_more_rarely_however_much_is_sent_to_it() {
    let mut net = Net::new(3);
    net.add("b", &[], false);
    net.add("a", &["b", "gone"], false);
    net.run(Duration::from_secs(2));
    net.crash("b", false);
    net.dials.clear();
    for _ in 0..1500 {
        net.send("a", "b");
        net.run(Duration::from_millis(20));
    }
    for address in ["b:1", "gone:1"] {
        let times: Vec<Time> =
            net.dials.iter().filter(|(_, id, to)| id == "a" && to == address).map(|(at, _, _)| *at).collect();
        let gaps: Vec<Duration> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(gaps.iter().all(|gap| *gap >= Duration::from_millis(300)), "{address}: {gaps:?}");
        assert!(times.len() > 5 && times.len() < 60, "{address}: {} dials in 30 s", times.len());
    }
}
