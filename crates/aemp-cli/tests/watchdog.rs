//! Nodes under a watchdog: what they survive, and what ends them.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "these are parts of tests")]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use support::reserved::Reserved;
use support::{Running, User, processes_with, signal, wait_until_gone};

/// A watched node of a user, which is the only process of this user then.
struct Watched {
    user: User,
    watchdog: Running,
    reserved: Reserved,
}

impl Watched {
    fn start(options: &[&str]) -> Watched {
        let user = User::new();
        let reserved = Reserved::new();
        let address = reserved.address();
        let mut watchdog = user.start(&[&arguments(options)[..], &["binds", &address]].concat());
        assert_eq!(watchdog.ready().1, address);
        user.ok(&["setsecret", "s", "setseeds", &address]);
        Watched { user, watchdog, reserved }
    }

    fn mark(&self) -> String {
        format!("HOME={}", self.user.home().display())
    }

    /// The process of the node.
    fn node(&self) -> u32 {
        let mut processes = processes_with(&self.mark());
        processes.retain(|&process| process != self.watchdog.id());
        assert_eq!(processes.len(), 1, "{processes:?}");
        processes[0]
    }

    /// Ends it, and looks that nothing is left.
    fn end(mut self) {
        self.watchdog.signal("TERM");
        assert_eq!(self.watchdog.wait(), Some(0), "{:?}", self.watchdog.errors());
        assert_eq!(processes_with(&self.mark()), []);
    }
}

fn arguments<'a>(options: &[&'a str]) -> Vec<&'a str> {
    let node = ["norc", "1", "nodeid", "n", "secret", "s", "binds", "127.0.0.1:0"];
    [&["run", "--watchdog"], options, &node[..]].concat()
}

#[test]
fn a_crashed_node_is_started_again_later_each_time() {
    let mut watched = Watched::start(&["--restart-delay", "0.1"]);
    for pause in ["100ms", "200ms", "400ms"] {
        let before = watched.node();
        signal(before, "KILL");
        let line = watched.watchdog.logged("started again in");
        assert!(line.contains(pause) && line.contains("Signal(9)"), "{line}");
        watched.watchdog.ready();
        assert_ne!(watched.node(), before);
    }
    watched.end();
}

#[test]
fn a_node_that_hangs_is_killed_and_started_again() {
    let mut watched = Watched::start(&["--heartbeat", "1", "--restart-delay", "0"]);
    let before = watched.node();
    signal(before, "STOP");
    watched.watchdog.logged("does not respond");
    watched.watchdog.ready();
    assert_ne!(watched.node(), before);
    watched.end();
}

#[test]
fn a_restart_picks_up_a_new_program() {
    let user = User::new();
    let real = env!("CARGO_BIN_EXE_aemp");
    let program = user.home().join("aemp");
    std::os::unix::fs::symlink(real, &program).unwrap();
    let mut command = std::process::Command::new(&program);
    command.args(arguments(&[])).env_clear().env("HOME", user.home()).current_dir(user.home());
    let mut watchdog = Running::start(command);
    let (_, address) = watchdog.ready();
    user.ok(&["setsecret", "s", "setseeds", &address]);

    let new = user.home().join("new");
    fs::write(&new, format!("#!/bin/sh\necho a new version\nexec '{real}' \"$@\"\n")).unwrap();
    fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).unwrap();
    fs::rename(&new, &program).unwrap();
    // The address of the new one is another, so anyone who only knows the old one cannot see it
    // come back.
    let failure = user.fails(1, &["restart", "--timeout", "2", "n"]);
    assert!(failure.contains("did not come back"), "{failure}");
    assert_eq!(watchdog.line(), "a new version");
    let (_, address) = watchdog.ready();
    user.ok(&["setseeds", &address]);
    watchdog.signal("TERM");
    assert_eq!(watchdog.wait(), Some(0));
}

#[test]
fn restart_waits_until_the_node_is_back() {
    let user = User::new();
    let mut seed = user.start(&["run", "norc", "1", "nodeid", "seed", "secret", "s", "binds", "127.0.0.1:0"]);
    let (_, address) = seed.ready();
    user.ok(&["setsecret", "s", "setseeds", &address]);
    let node = [&arguments(&[])[..], &["seeds", &address]].concat();
    let mut watchdog = user.start(&node);
    watchdog.ready();
    seed.logged("node up peer=n");
    // Ours, and what Perl's tool has the node evaluate.
    assert_eq!(user.ok(&["restart", "n"]), "n is back\n");
    watchdog.ready();
    let perl = "my $w; $w = AE::idle sub { undef $w; use AnyEvent::Watchdog::Util ();AnyEvent::Watchdog::Util::restart}; ()";
    assert_eq!(user.ok(&["eval", "n", perl]), "\n");
    watchdog.ready();
    // Without a watchdog nobody would start it again.
    let failure = user.fails(1, &["restart", "seed"]);
    assert!(failure.contains("watchdog"), "{failure}");
    user.fails(1, &["eval", "seed", perl]);
    user.fails(1, &["restart", "--timeout", "2", "nobody"]);
    watchdog.signal("TERM");
    assert_eq!(watchdog.wait(), Some(0));
}

#[test]
fn nothing_is_left_of_a_watchdog_that_is_killed() {
    for stopped in [false, true] {
        let mut watched = Watched::start(&[]);
        let node = watched.node();
        if stopped {
            signal(node, "STOP");
        }
        watched.watchdog.signal("KILL");
        assert_eq!(watched.watchdog.wait_for_exit(), None);
        if stopped {
            signal(node, "CONT");
        }
        wait_until_gone(&watched.mark());
        std::net::TcpListener::bind(watched.reserved.address()).unwrap();
    }
}

#[test]
fn signals_mean_what_they_always_mean() {
    for name in ["INT", "TERM"] {
        let mut watched = Watched::start(&[]);
        watched.watchdog.signal(name);
        assert_eq!(watched.watchdog.wait(), Some(0));
        assert_eq!(processes_with(&watched.mark()), []);
    }
    let mut watched = Watched::start(&[]);
    for _ in 0..2 {
        let before = watched.node();
        watched.watchdog.signal("HUP");
        watched.watchdog.ready();
        assert_ne!(watched.node(), before);
    }
    // The node ends in order, and with it the watchdog.
    signal(watched.node(), "TERM");
    assert_eq!(watched.watchdog.wait(), Some(0));
}

#[test]
fn what_is_wrong_is_said_once() {
    let user = User::new();
    let failure =
        user.fails(3, &arguments(&[]).into_iter().chain(["services", "no::such"]).collect::<Vec<_>>());
    assert_eq!(failure.matches("no::such").count(), 1, "{failure}");
    user.fails(2, &arguments(&[]).into_iter().chain(["sekret", "s"]).collect::<Vec<_>>());
    user.fails(2, &["run", "--heartbeat", "5"]);
    // An address that is taken may be free a little later.
    let reserved = Reserved::new();
    let address = reserved.address();
    let taken = std::net::TcpListener::bind(&address).unwrap();
    let mut watchdog = user.start(
        &arguments(&["--restart-delay", "0.01"]).into_iter().chain(["binds", &address]).collect::<Vec<_>>(),
    );
    watchdog.logged("started again in");
    drop(taken);
    watchdog.ready();
    watchdog.signal("TERM");
    assert_eq!(watchdog.wait(), Some(0));
}

#[test]
fn times_that_no_clock_has_are_wrong() {
    let user = User::new();
    for line in [
        &["restart", "n", "--timeout", "1e19"][..],
        &["trace", "n", "--timeout", "1e19"],
        &["snd", "n#p", "--timeout", "86401"],
        &["run", "--watchdog", "--heartbeat", "1e-9", "norc", "1"],
        &["run", "--watchdog", "--restart-delay", "1e19", "norc", "1"],
    ] {
        user.fails(2, line);
    }
}
