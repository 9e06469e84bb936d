//! `aemp log`, and the log catcher as a service of `run`.

#![allow(clippy::unwrap_used, reason = "these are parts of tests")]

mod support;

use serde_json::Value as Json;
use support::{Running, User};

/// A seed, and a user whose commands know it.
fn network() -> (User, Running, String) {
    let user = User::new();
    let mut seed = user.start(&["run", "norc", "1", "nodeid", "seed", "secret", "s", "binds", "127.0.0.1:0"]);
    let (_, address) = seed.ready();
    user.ok(&["setsecret", "s", "setseeds", &address]);
    (user, seed, address)
}

fn node(user: &User, id: &str, seed: &str, more: &[&str]) -> Running {
    let args = ["run", "norc", "1", "nodeid", id, "secret", "s", "binds", "127.0.0.1:0", "seeds", seed];
    let mut node = user.start(&[&args[..], more].concat());
    node.ready();
    node
}

/// Makes the seed log that it refuses to call a function of this name.
fn provoke(user: &User, name: &str) {
    user.ok(&["snd", "seed", name]);
}

#[test]
fn records_of_nodes_that_come_and_go_are_shown() {
    let (user, _seed, address) = network();
    let mut log = user.start(&["log"]);
    // A node comes and goes until that is heard of: it may be gone before it has connected.
    let mut seen: Vec<String> = Vec::new();
    let heard = |seen: &[String], text: &str| seen.iter().any(|line| line.contains(text));
    while !(heard(&seen, "node up peer=late") && heard(&seen, "node down peer=late")) {
        let mut late = node(&user, "late", &address, &[]);
        late.signal("TERM");
        assert_eq!(late.wait(), Some(0));
        seen.extend(std::iter::from_fn(|| log.line_if_there()));
    }
    let line = seen.iter().find(|line| line.contains("node up peer=late")).unwrap();
    // TIME LEVEL NODE CONTEXT: TEXT, without colours as this is no terminal.
    let words: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(words[1..], ["info", "seed", "aemp::runtime::driver:", "node", "up", "peer=late"], "{line}");
    assert!(words[0].ends_with('Z') && words[0].len() == "2026-01-01T00:00:00.000000Z".len(), "{line}");
    log.signal("INT");
    assert_eq!(log.wait(), Some(0));
}

#[test]
fn levels_are_asked_for_and_json_is_complete() {
    let (user, mut seed, _) = network();
    let mut log = user.start(&["log", "--json", "warn"]);
    seed.logged("node up");
    let mut number = 0;
    let record = loop {
        // Until it is heard; lines of one cause come once a second.
        number += 1;
        provoke(&user, &format!("no::such::function{number}"));
        if let Some(line) = log.line_if_there() {
            break serde_json::from_str::<Json>(&line).unwrap();
        }
    };
    assert_eq!((&record["node"], &record["level"]), (&"seed".into(), &"warn".into()), "{record}");
    assert_eq!(record["context"], "aemp::spawn");
    assert!(record["text"].as_str().unwrap().contains("no::such::function"), "{record}");
    assert!(record["clock_difference"].as_f64().unwrap().abs() < 1.0, "{record}");
    assert!(record["time"].as_str().unwrap().ends_with('Z') && record["own_time"].is_string(), "{record}");
    user.fails(2, &["log", "loud"]);
    user.fails(2, &["log", "0"]);
}

#[test]
fn one_who_stops_reading_ends_it() {
    let (user, mut seed, address) = network();
    let mut log = user.command(&["log", "debug"]);
    let mut log = log.stdout(std::process::Stdio::piped()).spawn().unwrap();
    seed.logged("node up");
    drop(log.stdout.take());
    let status = loop {
        drop(node(&user, "late", &address, &[]));
        if let Some(status) = log.try_wait().unwrap() {
            break status;
        }
    };
    assert_eq!(status.code(), Some(0));
}

#[test]
fn a_node_can_log_what_all_others_log() {
    let (user, _seed, address) = network();
    let services = r#"[["AnyEvent::MP::LogCatcher::catch", 8]]"#;
    let mut one = node(&user, "one", &address, &["services", services]);
    let mut two = node(&user, "two", &address, &["services", services]);
    for (catcher, number) in [(&mut one, "1"), (&mut two, "2")] {
        // Shown although debug records of its own are not.
        let mut tries = 0;
        loop {
            tries += 1;
            user.ok(&["snd", "seed", "AnyEvent::MP::_spawn", &format!("echo{number}.{tries}"), "aemp::echo"]);
            // Both catch it, so each has it, in its own time.
            if let Some(line) = catcher.logged_if_there("[seed] spawn") {
                assert!(line.contains("DEBUG") && line.contains("aemp::caught"), "{line}");
                break;
            }
        }
    }
    // The two catch each other, and nothing that was caught is caught again.
    for mut catcher in [one, two] {
        catcher.signal("TERM");
        assert_eq!(catcher.wait(), Some(0));
        for line in catcher.errors() {
            assert!(line.matches("aemp::caught").count() <= 1, "{line}");
            assert!(!line.contains("[one] [") && !line.contains("[two] ["), "{line}");
        }
    }
}
