//! Types what the transcripts in `docs/cli/` show, and compares what comes back.
//!
//! **To add one,** write `docs/cli/NAME.md` for a reader; every block that starts with ````
//! ```console ```` is also a test:
//!
//! - a line `$ COMMAND` is typed, and lines `> MORE` after it belong to it (`> ` is cut off);
//! - what stands below is what comes back on stdout and stderr; blank lines at its end do not
//!   count;
//! - `? STATUS` as its first line is an exit status other than 0;
//! - in it `[..]` stands for anything within a line, a line `...` for any lines, and `[HOME]` for
//!   the home folder.
//!
//! All blocks of one file go to one POSIX shell with an empty home folder, which is also where it
//! stands, with `aemp` in its `PATH`, a free address of loopback in `ADDRESS` (`[ADDRESS]` in what
//! comes back) and nothing else in its environment. So variables, `cat`, pipes and `&` work. Nodes
//! that are left in the background are ended with it; let them write to a file
//! (`aemp run … >seed.log 2>&1 &`), and wait for their `ready` line with
//! `until grep -qs ready seed.log; do sleep 0.1; done` before they are used.
//!
//! `SNAPSHOTS=overwrite cargo test -p aemp-cli --test transcripts` writes what came back into the
//! files. Read the difference before it is committed.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "these are parts of tests")]

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use reserved::Reserved;
use snapbox::data::DataFormat;
use snapbox::{Assert, Data, Redactions};

#[path = "../../aemp/tests/support/reserved.rs"]
mod reserved;

/// No transcript takes so long, unless it hangs.
const PATIENCE: Duration = Duration::from_secs(120);

/// What the shell prints between commands, before the exit status of the one that has ended.
const SEPARATOR: char = '\u{1e}';

/// A piece of a transcript.
#[derive(Debug, Clone, PartialEq)]
enum Piece {
    /// A line that is only to be read.
    Prose(String),
    /// What is typed, line by line, and how many blank lines follow what it prints.
    Command { typed: Vec<String>, blank: usize },
}

#[test]
fn what_the_transcripts_show_is_what_happens() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/cli");
    let mut paths: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    // Transcripts mostly wait for nodes.
    let failed: Vec<String> = thread::scope(|scope| {
        let checks: Vec<_> = paths.iter().map(|path| scope.spawn(|| difference(path))).collect();
        checks.into_iter().filter_map(|check| check.join().unwrap()).collect()
    });
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    assert!(!paths.is_empty());
}

/// How what happens differs from what a transcript shows.
fn difference(path: &Path) -> Option<String> {
    let expected = Data::read_from(path, Some(DataFormat::Text));
    let reserved = Reserved::new();
    let (actual, home) = replay(&fs::read_to_string(path).unwrap(), &reserved.address());
    let mut redactions = Redactions::new();
    redactions.insert("[HOME]", home).unwrap();
    redactions.insert("[ADDRESS]", reserved.address()).unwrap();
    let assert = Assert::new().action_env("SNAPSHOTS").normalize_paths(false).redact_with(redactions);
    assert.try_eq(Some(&path.display()), Data::text(actual), expected).err().map(|error| error.to_string())
}

/// The transcript as it would be written now, and the home folder in which it was made.
fn replay(text: &str, address: &str) -> (String, PathBuf) {
    let pieces = pieces(text);
    let home = tempfile::tempdir().unwrap();
    let home_path = home.path().canonicalize().unwrap();
    let typed = pieces.iter().filter_map(|piece| match piece {
        Piece::Command { typed, .. } => Some(typed.join("\n")),
        Piece::Prose(_) => None,
    });
    let answers = run(&home_path, address, &script(typed));
    let mut answers = answers.iter();
    let mut out = String::new();
    for piece in pieces {
        match piece {
            Piece::Prose(line) => out += &format!("{line}\n"),
            Piece::Command { typed, blank } => {
                for (at, line) in typed.iter().enumerate() {
                    out += &format!("{} {line}\n", if at == 0 { '$' } else { '>' });
                }
                let (answer, status) = answers.next().map_or(("", "?"), |(a, s)| (a.trim_end(), s.as_str()));
                if status != "0" {
                    out += &format!("? {status}\n");
                }
                if !answer.is_empty() {
                    out += &format!("{answer}\n");
                }
                out += &"\n".repeat(blank);
            }
        }
    }
    (out, home_path)
}

/// Cuts a document into what is read and what is typed.
fn pieces(text: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        if inside && line == "```" || !inside && line.starts_with("```console") {
            inside = !inside;
            pieces.push(Piece::Prose(line.into()));
        } else if !inside {
            pieces.push(Piece::Prose(line.into()));
        } else if let Some(command) = line.strip_prefix("$ ") {
            pieces.push(Piece::Command { typed: vec![command.into()], blank: 0 });
        } else if let Some(Piece::Command { typed, blank }) = pieces.last_mut() {
            match line.strip_prefix("> ") {
                Some(more) => typed.push(more.into()),
                None if line.is_empty() => *blank += 1,
                None => *blank = 0,
            }
        }
    }
    pieces
}

/// All commands for one shell, which separates what they print.
fn script(commands: impl Iterator<Item = String>) -> String {
    let mut script = String::from("exec 2>&1\n");
    for command in commands {
        script += &format!("{command}\nprintf '\\036%s\\036' $?\n");
    }
    script
}

/// Runs a script to its end, and then ends what it has left in the background. Gives what each
/// command printed, and its status.
fn run(home: &Path, address: &str, script: &str) -> Vec<(String, String)> {
    let (script_path, out_path) = (home.join(".script"), home.join(".out"));
    fs::write(&script_path, script).unwrap();
    let bin = Path::new(env!("CARGO_BIN_EXE_aemp")).parent().unwrap();
    let mut shell = Command::new("sh")
        .arg(&script_path)
        .current_dir(home)
        .env_clear()
        .env("HOME", home)
        .env("ADDRESS", address)
        .env("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin", bin.display()))
        .stdin(Stdio::null())
        .stdout(fs::File::create(&out_path).unwrap())
        .stderr(Stdio::inherit())
        .process_group(0)
        .spawn()
        .unwrap();
    let group = shell.id();
    let (ended, wait) = channel();
    let watch = thread::spawn(move || {
        let in_time = wait.recv_timeout(PATIENCE) != Err(RecvTimeoutError::Timeout);
        // The group is empty by now unless something was left in the background, so kill(1) may
        // fail.
        let _ =
            Command::new("kill").args(["-KILL", "--", &format!("-{group}")]).stderr(Stdio::null()).status();
        in_time
    });
    shell.wait().unwrap();
    ended.send(()).unwrap_or_default();
    assert!(watch.join().unwrap(), "the script has not ended within {PATIENCE:?}:\n{script}");
    let out = String::from_utf8_lossy(&fs::read(&out_path).unwrap()).into_owned();
    let parts: Vec<&str> = out.split(SEPARATOR).collect();
    parts.chunks_exact(2).map(|pair| (pair[0].to_owned(), pair[1].to_owned())).collect()
}

#[test]
fn commands_and_what_they_print_are_told_apart() {
    let text = "# Title\n```console\n$ a\n? 2\nout\n\n$ b <<X\n> y\n> X\nmore\n```\nend";
    let command = |typed: &[&str], blank| Piece::Command {
        typed: typed.iter().map(|&line| line.to_owned()).collect(),
        blank,
    };
    let prose = |line: &str| Piece::Prose(line.into());
    assert_eq!(
        pieces(text),
        [
            prose("# Title"),
            prose("```console"),
            command(&["a"], 1),
            command(&["b <<X", "y", "X"], 0),
            prose("```"),
            prose("end")
        ]
    );
}

#[test]
fn a_shell_keeps_its_state_and_statuses_are_shown() {
    let text =
        "```console\n$ x=1\n$ cat <<END\n> a\n> $x\n> END\n$ (exit 3)\n$ sleep 100 &\n$ echo $HOME\n```\n";
    let (out, home) = replay(text, "");
    let expected = format!(
        "```console\n$ x=1\n$ cat <<END\n> a\n> $x\n> END\na\n1\n$ (exit 3)\n? 3\n$ sleep 100 &\n$ echo $HOME\n{}\n```\n",
        home.display()
    );
    assert_eq!(out, expected);
}
