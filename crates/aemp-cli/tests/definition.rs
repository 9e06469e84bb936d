//! What is made of the definition of the command line: manual pages, and completion in a shell.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "these are parts of tests")]

mod support;

use std::fs;
use std::path::Path;
use std::process::Command;

use support::hosts::output_of;
use support::{Running, User};

#[test]
fn there_is_a_manual_page_for_each_command_and_mandoc_finds_nothing_wrong() {
    let user = User::new();
    assert!(user.ok(&["man", "man1"]).contains(" pages are in man1"));
    let folder = user.home().join("man1");
    let page = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    assert!(page("aemp.1").contains("aemp\\-top(1)"));
    assert!(page("aemp-snd.1").contains(".B \\-\\-count") || page("aemp-snd.1").contains("\\-\\-count"));
    assert!(!folder.join("aemp-demo-node.1").exists());
    if output_of("mandoc", "-h").is_none() {
        println!("there_is_a_manual_page…: mandoc is skipped, it is not here");
        return;
    }
    let mut pages: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    pages.sort();
    let lint = Command::new("mandoc").args(["-T", "lint", "-W", "warning"]).args(&pages).output().unwrap();
    assert!(lint.status.success(), "{}", String::from_utf8_lossy(&lint.stdout));
}

/// A node with a service, and a user whose commands know it as their seed.
fn network() -> (User, Running) {
    let user = User::new();
    let seed = user.seed("seed", &["services", "aemp::echo"]);
    user.ok(&["profile", "remote"]);
    (user, seed)
}

#[test]
fn names_are_those_that_there_are() {
    let (user, _seed) = network();
    assert_eq!(user.ok(&["complete-names", "nodes"]), "seed\n");
    assert!(user.ok(&["complete-names", "families"]).lines().any(|name| name == "aemp::echo"));
    let ports = user.ok(&["complete-names", "ports"]);
    assert!(ports.starts_with("seed\nseed#"), "{ports}");
    assert_eq!(user.ok(&["complete-names", "profiles"]), "remote\n");
}

#[test]
fn bash_completes_names_with_and_without_colons() {
    let (user, _seed) = network();
    let script = user.home().join("completion");
    fs::write(&script, user.ok(&["completions", "bash"])).unwrap();
    let bin = Path::new(env!("CARGO_BIN_EXE_aemp")).parent().unwrap();
    let complete = |words: &[&str], line: &str| {
        // What bash itself sets when Tab is pressed at the end of the line.
        let text = format!(
            "source completion; COMP_WORDS=({}); COMP_CWORD={}; COMP_LINE='{line}'; COMP_POINT={}\n\
             _aemp_names aemp \"${{COMP_WORDS[COMP_CWORD]}}\" x; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            words.join(" "),
            words.len() - 1,
            line.len()
        );
        let mut bash = Command::new("bash");
        bash.args(["--norc", "-c", &text]).current_dir(user.home()).env_clear().env("HOME", user.home());
        bash.env("PATH", format!("{}:/usr/bin:/bin", bin.display()));
        String::from_utf8(bash.output().unwrap().stdout).unwrap()
    };
    assert_eq!(complete(&["aemp", "stats", "s"], "aemp stats s"), "seed\n");
    assert_eq!(complete(&["aemp", "stats", "x"], "aemp stats x"), "\n");
    assert_eq!(complete(&["aemp", "db", "aemp", "::", "e"], "aemp db aemp::e"), "echo\n");
    assert_eq!(complete(&["aemp", "use", "''"], "aemp use "), "remote\n");
    // Commands and options are completed as before.
    assert!(complete(&["aemp", "sta"], "aemp sta").contains("stats"));
    assert!(complete(&["aemp", "stats", "--outp"], "aemp stats --outp").contains("--output"));
}

/// What a shell prints that has read the script for it, or `None` if it is not here.
fn shell(test: &str, shell: &str, user: &User, arguments: &[&str]) -> Option<String> {
    if output_of(shell, "--version").is_none() {
        println!("{test}: skipped, it needs {shell}");
        return None;
    }
    fs::write(user.home().join("completion"), user.ok(&["completions", shell])).unwrap();
    let bin = Path::new(env!("CARGO_BIN_EXE_aemp")).parent().unwrap();
    let mut command = Command::new(shell);
    command.args(arguments).current_dir(user.home()).env_clear().env("HOME", user.home());
    command.env("PATH", format!("{}:/usr/bin:/bin", bin.display()));
    let output = command.output().unwrap();
    Some(String::from_utf8(output.stdout).unwrap() + &String::from_utf8_lossy(&output.stderr))
}

#[test]
fn fish_completes_names() {
    let (user, _seed) = network();
    let line = "source completion; complete -C 'aemp stats s'; complete -C 'aemp db aemp::e'";
    if let Some(shown) = shell("fish_completes_names", "fish", &user, &["--no-config", "-c", line]) {
        assert_eq!(shown, "seed\naemp::echo\n");
    }
}

#[test]
fn zsh_completes_names() {
    let (user, _seed) = network();
    // These are zsh's own, where a line is edited.
    let line = "compdef() { }; compadd() { print -l -- ${(P)2} }; _call_program() { shift; eval \"$@\" }
        source ./completion; _aemp_names nodes; which _aemp | grep -c '_aemp_names ports'";
    if let Some(shown) = shell("zsh_completes_names", "zsh", &user, &["-f", "-c", line]) {
        let (names, ports) = shown.split_once('\n').unwrap();
        assert_eq!(names, "seed");
        // mon, snd, cal and kill.
        assert_eq!(ports.trim_end(), "4");
    }
}
