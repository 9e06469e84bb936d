//! `aemp follow` over three real processes.
#![allow(clippy::unwrap_used, reason = "these are tests")]

mod support;

use serde_json::Value as Json;
use support::{Running, User};

/// Ports that send on what they get.
const RELAY: &str = r#"
fn last() {
    rcv(SELF, "go", |n| n);
    log(`the port is ${SELF}`);
}
fn relay(to) {
    rcv(SELF, "go", |n| snd(to, "go", n));
    log(`the port is ${SELF}`);
}
"#;

/// A node with one of these ports, and the ID of the port and the address of the node.
fn node(user: &User, id: &str, service: &str, seeds: &str) -> (Running, String, String) {
    let common = ["run", "norc", "1", "nodeid", id, "secret", "geheim", "binds", "127.0.0.1:0"];
    let service = ["scripts", ".", "services", service];
    let seeds: &[&str] = if seeds.is_empty() { &[] } else { &["seeds", seeds] };
    let mut node = user.start(&[&common[..], &service, seeds].concat());
    let (_, address) = node.ready();
    let line = node.logged("the port is ");
    let port = line.split("the port is ").nth(1).unwrap().split_whitespace().next().unwrap();
    (node, port.to_owned(), address)
}

#[test]
fn a_message_is_followed_over_three_nodes_in_the_order_of_cause() {
    let user = User::new();
    std::fs::write(user.home().join("relay.rhai"), RELAY).unwrap();
    let (_c, last, of_c) = node(&user, "c", r#"[["relay::last"]]"#, "");
    let (_b, middle, of_b) = node(&user, "b", &format!(r#"[["relay::relay","{last}"]]"#), &of_c);
    let seeds = format!("{of_c},{of_b}");
    let (_a, first, of_a) = node(&user, "a", &format!(r#"[["relay::relay","{middle}"]]"#), &seeds);
    user.ok(&["setsecret", "geheim", "setseeds", &format!("{seeds},{of_a}")]);
    // Until one of them is followed.
    let messages = user.start(&["snd", "--count", "1000", "--interval", "0.1", &first, "go", "1"]);

    let found = user.ok(&["follow", "go", "--json"]);
    let found: Json = serde_json::from_str(&found).unwrap();
    let hops: Vec<(&str, &str, u64)> = found["hops"]
        .as_array()
        .unwrap()
        .iter()
        .map(|hop| {
            assert_eq!(hop["tag"], "go");
            (hop["node"].as_str().unwrap(), hop["kind"].as_str().unwrap(), hop["depth"].as_u64().unwrap())
        })
        .collect();
    let expected =
        [("a", "handled", 0), ("a", "sent", 1), ("b", "handled", 2), ("b", "sent", 3), ("c", "handled", 4)];
    assert_eq!(hops, expected, "{found}");
    assert_eq!(found["hops"][4]["port"], Json::from(last.as_str()));

    let text = user.ok(&["follow", &middle, "--count", "2"]);
    let handled = format!("b: {middle} handled \"go\"");
    assert_eq!(text.lines().filter(|line| line.starts_with("trace ")).count(), 2, "{text}");
    assert!(text.contains(&handled) && text.contains(", waited ") && text.contains(", took "), "{text}");
    drop(messages);
    // Nobody sends this, and nobody may ask.
    let error = user.fails(1, &["follow", "stop", "--wait", "0.5"]);
    assert!(error.contains("stop: no message was seen within"), "{error}");
    let error = user.fails(1, &["--read-only", "follow", "go"]);
    assert!(error.contains("follow is refused"), "{error}");
    let error = user.fails(1, &["follow", "d#port"]);
    assert!(error.contains("d: there is no such node"), "{error}");
}
