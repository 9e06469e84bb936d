//! A command that asks a network something leaves no trace in it.

#![allow(clippy::unwrap_used, reason = "these are parts of tests")]

mod support;

use support::{Running, User};

/// A node that logs at this level, and a user whose commands know it as their seed.
fn network(level: &str) -> (User, Running) {
    let user = User::new();
    let seed = user.seed("seed", &["--log", level]);
    (user, seed)
}

/// The sockets on which a process listens, by their inodes.
#[cfg(target_os = "linux")]
fn listens(process: u32) -> Vec<String> {
    const LISTEN: &str = "0A";
    let read =
        |file: &str| std::fs::read_to_string(format!("/proc/{process}/net/{file}")).unwrap_or_default();
    let tables = [read("tcp"), read("tcp6")].concat();
    let rows = tables.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let listening: Vec<String> = rows
        .filter(|row| row.get(3) == Some(&LISTEN))
        .filter_map(|row| Some(format!("socket:[{}]", row.get(9)?)))
        .collect();
    let open = std::fs::read_dir(format!("/proc/{process}/fd")).unwrap();
    open.filter_map(|file| std::fs::read_link(file.ok()?.path()).ok()?.into_os_string().into_string().ok())
        .filter(|target| listening.contains(target))
        .collect()
}

#[test]
fn a_command_listens_nowhere_and_has_no_entries_in_the_database() {
    let (user, mut seed) = network("debug");
    let mut command = user.start(&["mon", "seed"]);
    seed.logged("node up, a client");
    #[cfg(target_os = "linux")]
    {
        assert_eq!(listens(seed.id()).len(), 1);
        assert_eq!(listens(command.id()), Vec::<String>::new());
    }
    let listeners = user.ok(&["db", "'l"]);
    assert_eq!(listeners.lines().count(), 1, "{listeners}");
    assert_eq!(user.ok(&["db", "'x"]), "");
    command.signal("INT");
    assert_eq!(command.wait(), Some(130));
    seed.logged("node down, a client");
}

#[test]
fn a_node_says_nothing_of_commands_that_come_and_go() {
    let (user, mut seed) = network("info");
    for _ in 0..3 {
        user.ok(&["cal", "seed", "time"]);
    }
    seed.signal("TERM");
    assert_eq!(seed.wait(), Some(0));
    let said = seed.errors();
    assert!(!said.iter().any(|line| line.contains("aemp/")), "{said:?}");
}
