//! `aemp top` in real processes: as JSON, on a terminal, and what is left of the terminal.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "these are parts of tests")]

mod support;

use std::process::Command;
use std::time::Duration;

use serde_json::Value as Json;
use support::hosts::output_of;
use support::terminal::Terminal;
use support::{Running, User};

/// A node with a service, and a user whose commands know it as their seed.
fn network() -> (User, Running) {
    let user = User::new();
    let seed = user.seed("seed", &["services", "aemp::echo"]);
    (user, seed)
}

#[test]
fn everything_that_is_seen_comes_as_json_and_each_list_as_a_table() {
    let (user, _seed) = network();
    user.fails(1, &["snd", "seed#nobody", "hello"]);
    let all: Json = serde_json::from_str(&user.ok(&["top", "--once", "--json"])).unwrap();
    assert_eq!(all["version"], 1);
    assert_eq!((&all["nodes"][0]["node"], &all["nodes"][0]["state"]), (&"seed".into(), &"up".into()));
    assert_eq!(all["nodes"][0]["undeliverable"], 1);
    // Those who ask are not part of the network.
    assert_eq!(all["links"], Json::Array(vec![]));
    assert!(all["ports"][0]["port"].as_str().unwrap().starts_with("seed#"), "{all}");
    assert_eq!(all["families"][2]["family"], "aemp::echo");
    assert_eq!((&all["lost"][0]["node"], &all["lost"][0]["tag"]), (&"seed".into(), &"hello".into()));
    let table = user.ok(&["top", "--once", "families"]);
    assert_eq!(table.lines().next(), Some("FAMILY      ENTRIES  BYTES"));
    let largest_first = user.ok(&["top", "families", "--once", "--sort", "bytes"]);
    assert_ne!(table, largest_first);
    assert!(
        user.fails(2, &["top", "--once", "--sort", "bites"]).contains("nodes have the columns node, state")
    );
}

#[test]
fn without_a_terminal_it_says_what_to_do() {
    let (user, _seed) = network();
    assert!(user.fails(2, &["top"]).contains("`aemp top --once` prints a list"));
    assert!(user.fails(2, &["top", "--json"]).contains("--once"));
}

#[test]
fn keys_work_and_the_terminal_is_given_back() {
    let (user, seed) = network();
    let port = user.ok(&["db", "aemp::echo"]);
    let mut top = Terminal::start(&user, &["top"]);
    top.until("0.1");
    assert!(!top.is_as_before());
    // Down to the ports of the node, and on to one of them.
    top.press("\r");
    top.until("of seed");
    top.until("idle");
    top.press("K");
    top.until("Kill seed#");
    top.press("y");
    top.until("is dead: killed by aemp top");
    assert!(user.fails(1, &["snd", port.trim_end(), "x"]).contains("killed by aemp top"));
    top.press("?");
    top.until("after a question");
    top.press("qq");
    assert_eq!(top.wait(), Some(0));
    top.is_given_back();
    drop(seed);
}

#[test]
fn a_signal_ends_it_and_gives_the_terminal_back() {
    let (user, _seed) = network();
    for signal in ["TERM", "INT"] {
        let mut top = Terminal::start(&user, &["top"]);
        top.until("0.1");
        support::signal(top.id(), signal);
        assert_eq!(top.wait(), Some(130));
        top.is_given_back();
    }
}

#[test]
fn nothing_is_killed_by_those_who_only_look() {
    let (user, _seed) = network();
    let mut top = Terminal::start(&user, &["top", "ports", "--read-only"]);
    top.until("read-only");
    top.until("idle");
    top.press("K");
    top.until("nothing can be killed with --read-only");
    top.press("q");
    assert_eq!(top.wait(), Some(0));
}

#[test]
fn it_works_in_a_terminal_that_answers_and_changes_its_size() {
    if output_of("tmux", "-V").is_none() {
        println!("it_works_in_a_terminal_that_answers_and_changes_its_size: skipped, it needs tmux");
        return;
    }
    let (user, _seed) = network();
    let tmux = |arguments: &[&str]| {
        let mut command = Command::new("tmux");
        command.arg("-S").arg(user.home().join("tmux")).args(["-f", "/dev/null"]).args(arguments);
        command.env_clear().env("HOME", user.home()).env("PATH", "/usr/bin:/bin").env("TERM", "xterm");
        let output = command.output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let until = |text: &str| {
        let shown = || tmux(&["capture-pane", "-p"]).1;
        for _ in 0..600 {
            if shown().contains(text) {
                return;
            }
            // tmux does not tell when something is drawn.
            std::thread::park_timeout(Duration::from_millis(50));
        }
        panic!("{text:?} is not shown, but\n{}", shown());
    };
    let shell = "PS1='prompt> ' exec sh";
    assert!(tmux(&["new-session", "-d", "-x", "80", "-y", "24", shell]).0);
    until("prompt>");
    let type_line = |line: &str| tmux(&["send-keys", "-l", line]).0 && tmux(&["send-keys", "Enter"]).0;
    assert!(type_line(&format!("{} top ports", env!("CARGO_BIN_EXE_aemp"))));
    until("seed#");
    tmux(&["send-keys", "-l", "/nonsense"]);
    until("no row has this text");
    tmux(&["send-keys", "Escape"]);
    until("idle");
    tmux(&["resize-window", "-x", "40", "-y", "10"]);
    until("BYTES");
    tmux(&["send-keys", "q"]);
    until("prompt>");
    assert!(type_line("echo back $((6 * 7))"));
    until("back 42");
    tmux(&["kill-server"]);
}
