//! The demo: the whole network on real input, and nothing left behind however it ends.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "these are parts of tests")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use support::{User, processes_with, wait_until_gone};

/// A folder with this many files of `size` times two thousand words.
fn input(user: &User, files: usize, size: usize) -> PathBuf {
    let folder = user.home().join("input");
    fs::create_dir(&folder).unwrap();
    for file in 0..files {
        let words: Vec<String> =
            (0..1000).map(|word| format!("word{} the\n", (file * 7 + word) % 500)).collect();
        fs::write(folder.join(format!("{file}.txt")), words.concat().repeat(size)).unwrap();
    }
    fs::write(folder.join("binary"), b"the\0the").unwrap();
    fs::create_dir(folder.join("target")).unwrap();
    fs::write(folder.join("target/built.txt"), "the the").unwrap();
    folder
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn a_killed_worker_is_noticed_and_replaced_and_nothing_is_lost() {
    let user = User::new();
    let folder = input(&user, 100, 1);
    let mut demo = user.start(&["demo", text(&folder)]);
    let lines = demo.rest();
    assert_eq!(demo.wait(), Some(0), "{lines:#?} {:#?}", demo.errors());
    let with = |text: &str| lines.iter().filter(|line| line.contains(text)).collect::<Vec<_>>();
    assert_eq!(with("found in the database").len(), 5, "{lines:#?}");
    let killed = with("killed with SIGKILL")[0].split(' ').next().unwrap();
    assert!(with("monitor of")[0].contains(&format!("monitor of {killed} fired after")));
    assert_eq!(with(&format!("{killed} found in the database")).len(), 2);
    let row = with(killed).into_iter().find(|line| line.split_whitespace().count() == 5).unwrap();
    assert!(row.ends_with(" 1"), "{row}");
    assert_eq!(with("words  ")[0].split_whitespace().nth(1), Some("200000,"));
    assert!(with("most frequent")[0].contains("the 100000, "));
    assert_eq!(lines.last().unwrap(), "the plain count in one process agrees");
    wait_until_gone(text(user.home()));
}

#[test]
fn small_input_is_counted_too() {
    let user = User::new();
    fs::write(user.home().join("one"), "word").unwrap();
    fs::write(user.home().join("empty"), "").unwrap();
    for input in [&["demo", "one"][..], &["demo", "empty"], &["demo", "--workers", "2"]] {
        let output = user.ok(input);
        assert!(output.ends_with("agrees\n"), "{output}");
        assert!(output.contains("killed with SIGKILL"), "{output}");
    }
}

#[test]
fn without_input_it_says_so() {
    let user = User::new();
    fs::create_dir(user.home().join("nothing")).unwrap();
    assert!(user.fails(1, &["demo", "nothing"]).contains("no files to count under nothing"));
    assert!(user.fails(2, &["demo", "nowhere"]).contains("nowhere"));
    user.fails(2, &["demo", "--workers", "1"]);
}

#[test]
fn an_interrupt_leaves_nothing_behind() {
    for (signal, status) in [("INT", Some(130)), ("TERM", Some(130)), ("KILL", None)] {
        let user = User::new();
        let folder = input(&user, 20, 200);
        let mut demo = user.start(&["demo", text(&folder)]);
        demo.lines_until("found in the database");
        assert_eq!(processes_with(text(user.home())).len(), 6, "the demo, a seed and four workers");
        demo.signal(signal);
        assert_eq!(demo.wait(), status);
        wait_until_gone(text(user.home()));
    }
}

#[test]
fn an_interrupt_at_the_very_start_leaves_nothing_behind() {
    let user = User::new();
    let folder = input(&user, 10, 1);
    let mut demo = user.start(&["demo", text(&folder)]);
    demo.line();
    demo.signal("INT");
    assert_eq!(demo.wait(), Some(130));
    wait_until_gone(text(user.home()));
}

#[test]
fn a_worker_that_ends_by_itself_is_reported_with_its_log() {
    let user = User::new();
    let folder = input(&user, 20, 200);
    let mut demo = user.start(&["demo", text(&folder)]);
    demo.lines_until("found in the database");
    let child =
        processes_with(text(user.home())).into_iter().filter(|process| *process != demo.id()).max().unwrap();
    support::signal(child, "KILL");
    assert_eq!(demo.wait(), Some(1));
    let errors = demo.errors().join("\n");
    let log = errors.split("Look at its log: ").nth(1).unwrap_or_else(|| panic!("{errors}"));
    let log = Path::new(log.trim_end());
    assert!(log.is_file());
    fs::remove_dir_all(log.parent().unwrap()).unwrap();
    wait_until_gone(text(user.home()));
}
