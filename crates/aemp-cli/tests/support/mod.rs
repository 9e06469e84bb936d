//! The real binary, run as a user would: with a home folder of its own and nothing from the
//! environment of the tests.
#![allow(dead_code, reason = "every test file uses another part of this")]
#![allow(clippy::unwrap_used, reason = "these are parts of tests")]

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

#[cfg(target_os = "linux")]
pub(crate) mod hosts;
#[path = "../../../aemp/tests/support/reserved.rs"]
pub(crate) mod reserved;
#[cfg(unix)]
pub(crate) mod terminal;

/// What the nodes of a network share.
pub(crate) const SECRET: &str = "a secret of the tests";

/// Nothing in these tests takes so long, unless it hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// A user with a home folder.
pub(crate) struct User {
    home: TempDir,
}

impl User {
    pub(crate) fn new() -> User {
        User { home: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    /// Where the configuration is unless something else is said.
    pub(crate) fn rc(&self) -> PathBuf {
        self.home().join(".config/aemp/config.json")
    }

    /// The binary with these arguments, ready to be run.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_aemp"));
        command.args(args).current_dir(self.home()).env_clear().env("HOME", self.home()).stdin(Stdio::null());
        command
    }

    /// Runs it to its end.
    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        Ran::of(self.command(args).output().unwrap())
    }

    /// Runs it to its end; it must succeed. Gives its stdout.
    pub(crate) fn ok(&self, args: &[&str]) -> String {
        let ran = self.run(args);
        assert_eq!(ran.status, Some(0), "aemp {args:?}: {}", ran.stderr);
        ran.stdout
    }

    /// Runs it to its end; it must fail with this status. Gives its stderr.
    pub(crate) fn fails(&self, status: i32, args: &[&str]) -> String {
        let ran = self.run(args);
        assert_eq!(ran.status, Some(status), "aemp {args:?}: {}{}", ran.stdout, ran.stderr);
        ran.stderr
    }

    /// Starts a node with these settings besides, which the user's commands know as their seed.
    pub(crate) fn seed(&self, id: &str, settings: &[&str]) -> Running {
        let args = ["run", "norc", "1", "nodeid", id, "secret", SECRET, "binds", "127.0.0.1:0"];
        let mut seed = self.start(&[&args, settings].concat());
        let (_, address) = seed.ready();
        self.ok(&["setsecret", SECRET, "setseeds", &address]);
        seed
    }

    /// Starts it.
    pub(crate) fn start(&self, args: &[&str]) -> Running {
        Running::start(self.command(args))
    }
}

/// What a command left behind.
pub(crate) struct Ran {
    pub(crate) status: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    fn of(output: Output) -> Ran {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Ran { status: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

/// A process that is killed when the test is over.
pub(crate) struct Running {
    child: Child,
    stdout: Receiver<String>,
    stderr: Receiver<String>,
}

impl Running {
    pub(crate) fn start(mut command: Command) -> Running {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stdout = lines(child.stdout.take().unwrap());
        let stderr = lines(child.stderr.take().unwrap());
        Running { child, stdout, stderr }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The next line on stdout.
    pub(crate) fn line(&mut self) -> String {
        next(&self.stdout).unwrap_or_else(|| panic!("stdout has ended; stderr: {:?}", self.errors()))
    }

    /// The next line on stdout, if there is one by now.
    pub(crate) fn line_if_there(&mut self) -> Option<String> {
        self.stdout.try_recv().ok()
    }

    /// A line on stderr that contains `text`, if there is one by now. Those before it are gone.
    pub(crate) fn logged_if_there(&mut self, text: &str) -> Option<String> {
        self.stderr.try_iter().find(|line| line.contains(text))
    }

    /// The lines on stdout up to one that contains `text`, which is the last one.
    pub(crate) fn lines_until(&mut self, text: &str) -> Vec<String> {
        let mut lines = vec![self.line()];
        while !lines.last().unwrap().contains(text) {
            lines.push(self.line());
        }
        lines
    }

    /// Waits for a line on stderr that contains `text`.
    pub(crate) fn logged(&mut self, text: &str) -> String {
        loop {
            let line = next(&self.stderr).unwrap_or_else(|| panic!("stderr has ended without {text:?}"));
            if line.contains(text) {
                return line;
            }
        }
    }

    /// The node ID and the first address in the `ready` line.
    pub(crate) fn ready(&mut self) -> (String, String) {
        let line = self.line();
        let words: Vec<&str> = line.split(' ').collect();
        assert_eq!((words.len(), words[0]), (3, "ready"), "{line}");
        (words[1].to_owned(), words[2].split(',').next().unwrap().to_owned())
    }

    /// Sends a signal by its name.
    pub(crate) fn signal(&self, name: &str) {
        signal(self.id(), name);
    }

    /// Waits for the end, which is after the end of stdout. Gives the exit status, unless a signal
    /// has ended it.
    pub(crate) fn wait(&mut self) -> Option<i32> {
        self.rest();
        self.child.wait().unwrap().code()
    }

    /// Waits for its end, although others may still hold its stdout.
    pub(crate) fn wait_for_exit(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }

    /// All that is left on stdout, up to its end.
    pub(crate) fn rest(&mut self) -> Vec<String> {
        std::iter::from_fn(|| next(&self.stdout)).collect()
    }

    /// All that is left on stderr, up to its end.
    pub(crate) fn errors(&mut self) -> Vec<String> {
        std::iter::from_fn(|| next(&self.stderr)).collect()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn lines(stream: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, lines) = channel();
    thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    lines
}

/// The next line, or none at the end.
fn next(lines: &Receiver<String>) -> Option<String> {
    match lines.recv_timeout(PATIENCE) {
        Ok(line) => Some(line),
        Err(RecvTimeoutError::Disconnected) => None,
        Err(RecvTimeoutError::Timeout) => panic!("no line within {PATIENCE:?}"),
    }
}

/// Sends a signal by its name to a process.
pub(crate) fn signal(process: u32, name: &str) {
    let status = Command::new("kill").args([format!("-{name}"), process.to_string()]).status().unwrap();
    assert!(status.success());
}

/// The processes that have this text in their environment.
#[cfg(target_os = "linux")]
pub(crate) fn processes_with(text: &str) -> Vec<u32> {
    let holds = |process: &u32| {
        let environment = std::fs::read(format!("/proc/{process}/environ")).unwrap_or_default();
        environment.windows(text.len()).any(|part| part == text.as_bytes())
    };
    let names =
        std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().into_string().ok());
    names.filter_map(|name| name.parse().ok()).filter(holds).collect()
}

/// Waits until no process has this text in its environment.
#[cfg(target_os = "linux")]
pub(crate) fn wait_until_gone(text: &str) {
    let start = Instant::now();
    while !processes_with(text).is_empty() {
        assert!(start.elapsed() < PATIENCE, "{:?} are left behind", processes_with(text));
        // There is nothing to wait on: these are the children of a process that is gone.
        thread::park_timeout(Duration::from_millis(10));
    }
}
