//! Seeds with real processes: those that have to keep all promises, and those in which a mistake
//! has to be found.

use std::process::{Command, Output};

/// Runs the program.
fn torture(arguments: &[&str]) -> Output {
    let keep = concat!(env!("CARGO_TARGET_TMPDIR"), "/torture");
    let mut command = Command::new(env!("CARGO_BIN_EXE_aemp-torture"));
    command.args(["--keep", keep]).args(arguments).output().expect("the program can be run")
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Both runtimes, all framings, with TLS and without, relayed and not.
#[test]
fn seeds_of_every_kind_keep_all_promises() {
    let output = torture(&["--from", "8", "--times", "16", "--work", "3", "--jobs", "5"]);
    assert!(output.status.success(), "{}", text(&output));
}

/// A mistake of the programs is reported by one of these rules.
#[track_caller]
fn found(sabotage: &str, rules: &[&str]) {
    let output = torture(&["--from", "1", "--times", "6", "--work", "4", "--sabotage", sabotage]);
    let text = text(&output);
    assert!(!output.status.success(), "{sabotage} was not found: {text}");
    let named = |rule: &&str| text.lines().any(|line| line.trim_start().starts_with(&format!("{rule}: ")));
    assert!(rules.iter().any(named), "{sabotage} was found by none of {rules:?}: {text}");
}

#[test]
fn a_message_that_is_not_handled_is_found() {
    found("drop-message", &["M4", "M5", "M7"]);
}

/// Of native frames and others. What the programs have noted may show it as well.
#[test]
fn a_frame_that_vanishes_is_found_in_what_the_flight_recorders_of_both_ends_tell() {
    for (seed, rule) in [("2", "F3"), ("3", "F1")] {
        let output = torture(&["--seed", seed, "--work", "3", "--sabotage", "drop-frame"]);
        let text = text(&output);
        let found = text.lines().any(|line| line.trim_start().starts_with(&format!("{rule}: ")));
        assert!(!output.status.success() && found, "seed {seed}: {text}");
    }
}

#[test]
fn a_message_that_is_handled_twice_is_found() {
    found("double-message", &["M2"]);
}

#[test]
fn a_monitor_that_is_not_heard_is_found() {
    found("forget-fire", &["MON2", "M4", "M5"]);
}

#[test]
fn a_call_that_ends_twice_is_found() {
    found("end-twice", &["C1"]);
}
