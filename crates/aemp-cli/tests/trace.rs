//! `aemp trace` and `aemp eval` against networks of real processes.

#![allow(clippy::unwrap_used, reason = "these are parts of tests")]

mod support;

use serde_json::{Value, json};
use support::{Running, User};

/// A node on loopback with this seed, and a port in the family `aemp::echo`.
fn start(user: &User, id: &str, binds: &str, seeds: &str) -> (Running, String) {
    let args = [
        "run",
        "norc",
        "1",
        "nodeid",
        id,
        "secret",
        "correct horse battery",
        "binds",
        binds,
        "seeds",
        seeds,
        "services",
        "aemp::echo",
    ];
    let mut running = user.start(&args);
    let line = running.line();
    let address = line.split(' ').nth(2).unwrap_or_default().to_owned();
    (running, address)
}

/// Waits until as many nodes are known to the network.
fn wait_for(user: &User, nodes: usize) {
    for _ in 0..1000 {
        if user.run(&["db", "aemp::echo"]).stdout.lines().count() == nodes {
            return;
        }
    }
    panic!("there are never {nodes} nodes");
}

/// Four nodes: `seed` and `hub` know each other; `leaf` knows the seed; `far` knows the hub, and
/// nobody can dial it.
fn network() -> (User, Vec<Running>) {
    let user = User::new();
    let (seed, address) = start(&user, "seed", "127.0.0.1:0", "[]");
    user.ok(&["setsecret", "correct horse battery", "setseeds", &address]);
    let (hub, at_hub) = start(&user, "hub", "127.0.0.1:0", &address);
    let (leaf, _) = start(&user, "leaf", "127.0.0.1:0", &address);
    let (far, _) = start(&user, "far", "[]", &at_hub);
    wait_for(&user, 4);
    (user, vec![seed, hub, leaf, far])
}

#[test]
fn the_tree_has_every_node_also_those_that_nobody_can_dial() {
    let (user, _running) = network();
    assert_eq!(user.ok(&["trace"]), "seed\n├── hub\n│   └── far\n└── leaf\n");
    assert_eq!(user.ok(&["trace", "leaf"]), "leaf\n└── seed\n    └── hub\n        └── far\n");
    // Neither this command nor `far` can be dialled: the hub carries the question.
    assert_eq!(user.ok(&["trace", "far"]), "far\n└── hub\n    └── seed\n        └── leaf\n");
    let dot = user.ok(&["trace", "--dot"]);
    assert!(dot.starts_with("graph aemp {\n") && dot.contains("  \"far\" -- \"hub\";\n"), "{dot}");
    let json: Value = serde_json::from_str(&user.ok(&["trace", "--json"])).unwrap();
    assert_eq!(json["nodes"].as_array().unwrap().len(), 4);
    let far =
        json!({"nodes": ["far", "hub"], "seen_by": ["far", "hub"], "one_sided": false, "carried_by": null});
    assert!(json["connections"].as_array().unwrap().contains(&far), "{json}");
}

#[test]
fn a_node_that_does_not_answer_is_shown_as_such() {
    let (user, running) = network();
    running[2].signal("STOP");
    let ran = user.run(&["trace", "--timeout", "1"]);
    running[2].signal("CONT");
    assert_eq!(ran.status, Some(1));
    assert!(ran.stdout.starts_with("seed\n├── hub\n│   └── far\n└── leaf  [no answer"), "{}", ran.stdout);
    assert!(ran.stderr.contains("no answer from leaf"), "{}", ran.stderr);
}

#[test]
fn what_cannot_be_traced_is_an_error() {
    let (user, _running) = network();
    let ran = user.run(&["trace", "nowhere"]);
    assert_eq!((ran.status, ran.stdout.as_str()), (Some(1), "nowhere  [no answer: no known address]\n"));
    user.fails(2, &["trace", "a b"]);
    user.fails(2, &["trace", "--dot", "--json"]);
    let alone = ["trace", "--set", "seeds=[]", "--timeout", "0.2"];
    assert!(user.fails(1, &alone).contains("no seed has answered"));
}

#[test]
fn a_node_without_scripts_answers_that_it_does_not_evaluate() {
    let (user, _running) = network();
    // The node that asks is connected too.
    assert!(user.ok(&["eval", "leaf", "AnyEvent::MP::Kernel::up_nodes"]).trim_end().ends_with(",\"seed\""));
    let list = user.ok(&["eval", "--json", "leaf", "AnyEvent::MP::Kernel::up_nodes", "()"]);
    assert!(serde_json::from_str::<Vec<String>>(&list).unwrap().contains(&"seed".to_owned()), "{list}");
    assert!(user.fails(1, &["eval", "leaf", "6", "*", "7"]).starts_with("aemp: leaf: "));
    assert!(user.fails(1, &["eval", "nowhere", "1"]).contains("no known address"));
    user.fails(2, &["eval", "leaf"]);
    user.fails(2, &["eval", "a b", "1"]);
}
