//! The configuration file survives no matter what happens while it is written.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "these are parts of tests")]

mod support;

use std::collections::BTreeSet;
use std::fs::{self, File, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use support::User;

fn seeds(path: &Path) -> BTreeSet<String> {
    let file: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    serde_json::from_value(file["seeds"].clone()).unwrap()
}

/// What is in a folder besides the file.
fn left_over(rc: &Path) -> Vec<String> {
    let names = fs::read_dir(rc.parent().unwrap()).unwrap().map(|entry| entry.unwrap().file_name());
    let names = names.map(|name| name.into_string().unwrap());
    names.filter(|name| *name != rc.file_name().unwrap().to_str().unwrap()).collect()
}

fn all_succeed(children: Vec<Child>) {
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn changes_at_the_same_moment_all_take_effect() {
    let user = User::new();
    let all: BTreeSet<String> = (0..60).map(|n| format!("seed{n}:1")).collect();
    let children =
        all.iter().map(|seed| user.command(&["addseed", seed]).stderr(Stdio::piped()).spawn().unwrap());
    all_succeed(children.collect());
    assert_eq!(seeds(&user.rc()), all);
    assert!(left_over(&user.rc()).is_empty(), "{:?}", left_over(&user.rc()));
    assert_eq!(fs::metadata(user.rc()).unwrap().mode() & 0o777, 0o600);
}

#[test]
fn it_does_not_matter_by_which_name_the_file_is_known() {
    let user = User::new();
    let (real, link) = (user.home().join("dotfiles/aemp.json"), user.home().join("link"));
    std::os::unix::fs::symlink("dotfiles/aemp.json", &link).unwrap();
    let all: BTreeSet<String> = (0..20).map(|n| format!("seed{n}:1")).collect();
    let children = all.iter().enumerate().map(|(n, seed)| {
        let path = if n % 2 == 0 { &real } else { &link };
        user.command(&["addseed", seed]).env("AEMP_RC", path).stderr(Stdio::piped()).spawn().unwrap()
    });
    all_succeed(children.collect());
    assert_eq!(seeds(&real), all);
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
}

#[test]
fn a_killed_change_leaves_the_old_or_the_new_file_and_blocks_nobody() {
    let user = User::new();
    user.ok(&["setsecret", "geheim"]);
    for n in 0..30 {
        let seed = format!("seed{n}:1");
        let mut child = user.command(&["addseed", &seed]).spawn().unwrap();
        // A different moment each time, without a clock: this many system calls of ours after it
        // was started.
        for _ in 0..n * 20 {
            fs::metadata(user.home()).unwrap();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let file: Value = serde_json::from_slice(&fs::read(user.rc()).unwrap()).unwrap();
        assert_eq!(file["secret"], "geheim");
    }
    user.ok(&["setseeds", "a:1"]);
    assert_eq!(seeds(&user.rc()), BTreeSet::from(["a:1".to_owned()]));
    assert!(left_over(&user.rc()).is_empty(), "{:?}", left_over(&user.rc()));
}

#[test]
fn one_who_waits_too_long_is_told_for_whom() {
    let user = User::new();
    user.ok(&["setnodeid", "a"]);
    let lock = user.rc().with_file_name(".config.json.lock");
    let held = File::create(&lock).unwrap();
    held.lock().unwrap();
    fs::write(&lock, "4711 doomed").unwrap();
    let error = user.fails(3, &["setnodeid", "b"]);
    assert!(error.contains("is being changed by process 4711 on doomed"), "{error}");
    assert!(error.contains(lock.to_str().unwrap()), "{error}");
    assert!(user.ok(&["showconfig"]).contains("\"a\""), "looking needs no lock");
    drop(held);
    user.ok(&["setnodeid", "b"]);
}

#[test]
fn when_there_is_no_room_the_old_file_stays() {
    let user = User::new();
    user.ok(&["setnodeid", "a"]);
    let before = fs::read(user.rc()).unwrap();
    // A file may not grow at all; the signal that goes with it is ignored, so that it is an error
    // as on a full disk.
    let script = "trap '' XFSZ; ulimit -f 0; exec \"$0\" gensecret";
    let mut shell = Command::new("sh");
    shell.args(["-c", script, env!("CARGO_BIN_EXE_aemp")]).env_clear().env("HOME", user.home());
    let output = shell.output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(3), "{error}");
    assert!(error.contains("cannot be written: File too large"), "{error}");
    assert!(error.contains("as it was before"), "{error}");
    assert_eq!(fs::read(user.rc()).unwrap(), before);
    assert!(left_over(&user.rc()).is_empty(), "{:?}", left_over(&user.rc()));
}

#[test]
fn what_may_not_be_written_is_not_written() {
    let user = User::new();
    user.ok(&["setnodeid", "a"]);
    let before = fs::read(user.rc()).unwrap();
    fs::set_permissions(user.rc(), Permissions::from_mode(0o400)).unwrap();
    assert!(user.fails(3, &["setnodeid", "b"]).contains("read-only"));
    fs::set_permissions(user.rc(), Permissions::from_mode(0o600)).unwrap();
    let folder = user.rc().parent().unwrap().to_owned();
    fs::set_permissions(&folder, Permissions::from_mode(0o500)).unwrap();
    // Root may write everywhere.
    if File::create(folder.join("probe")).is_err() {
        let error = user.fails(3, &["setnodeid", "b"]);
        assert!(error.contains("no file can be made in"), "{error}");
    }
    fs::set_permissions(&folder, Permissions::from_mode(0o700)).unwrap();
    assert_eq!(fs::read(user.rc()).unwrap(), before);
    let output = user.command(&["setnodeid", "b"]).env("AEMP_RC", "/proc/aemp/config.json").output().unwrap();
    assert_eq!(output.status.code(), Some(3));
}

#[test]
#[cfg(target_os = "linux")]
fn what_cannot_be_printed_is_an_error_and_changes_nothing() {
    let user = User::new();
    user.ok(&["setnodeid", "a"]);
    let before = fs::read(user.rc()).unwrap();
    let printing: [&[&str]; 7] = [
        &["--help"],
        &["--version"],
        &["help", "run"],
        &["run", "--help"],
        &["completions", "bash"],
        &["showconfig"],
        &["setnodeid", "b", "showconfig"],
    ];
    for arguments in printing {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let output = user.command(arguments).stdout(full).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {error}");
        assert!(error.contains("stdout cannot be written: No space left"), "{arguments:?}: {error}");
    }
    assert_eq!(fs::read(user.rc()).unwrap(), before);
}
