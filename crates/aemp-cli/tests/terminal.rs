//! `aemp shell` on a terminal: prompts, completion, lines given up, history.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "these are parts of tests")]

mod support;

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use support::User;

/// Nothing in these tests takes so long, unless it hangs.
const PATIENCE: Duration = Duration::from_secs(30);

/// A command on a terminal of its own.
struct Terminal {
    child: Child,
    keyboard: File,
    screen: Receiver<Vec<u8>>,
    /// What was shown and not looked at yet.
    shown: String,
    /// What was looked at last.
    passed: String,
}

impl Terminal {
    fn start(user: &User, args: &[&str]) -> Terminal {
        let pty = nix::pty::openpty(None, None).unwrap();
        let [stdin, stdout] = [pty.slave.try_clone().unwrap(), pty.slave];
        let mut command = user.command(args);
        command.env("TERM", "xterm").stdin(Stdio::from(stdin)).stdout(Stdio::from(stdout));
        let child = command.spawn().unwrap();
        let keyboard = File::from(pty.master);
        let mut output = keyboard.try_clone().unwrap();
        let (sender, screen) = channel();
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            // An error is the end: the command has closed its side.
            while let Ok(count) = output.read(&mut bytes) {
                if count == 0 || sender.send(bytes[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        Terminal { child, keyboard, screen, shown: String::new(), passed: String::new() }
    }

    fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// Whether this is shown within a time; what is before it has been looked at then.
    fn shows(&mut self, text: &str, within: Duration) -> bool {
        let start = Instant::now();
        loop {
            if let Some(at) = self.shown.find(text) {
                self.passed = self.shown.drain(..at + text.len()).collect();
                return true;
            }
            let Some(left) = within.checked_sub(start.elapsed()) else { return false };
            let Ok(bytes) = self.screen.recv_timeout(left) else { return false };
            self.shown.push_str(&String::from_utf8_lossy(&bytes));
        }
    }

    fn expect(&mut self, text: &str) {
        assert!(self.shows(text, PATIENCE), "{text:?} is not shown, but {:?}", self.shown);
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn lines_are_completed_given_up_and_remembered() {
    let user = User::new();
    let mut seed = user.start(&[
        "run",
        "norc",
        "1",
        "nodeid",
        "seed/1",
        "secret",
        "geheim",
        "binds",
        "127.0.0.1:0",
        "services",
        "aemp::echo",
    ]);
    let (_, address) = seed.ready();
    user.ok(&["setsecret", "geheim", "setseeds", &address]);
    let mut terminal = Terminal::start(&user, &["shell"]);
    terminal.expect("Ctrl-D ends");
    terminal.expect("> ");
    terminal.press("=\r");
    terminal.expect("nodes: aemp/");
    terminal.press("ECHO\r");
    terminal.expect("\n\"");
    terminal.expect("\"");
    let echo = terminal.passed.trim_end_matches('"').to_owned();
    terminal.expect("> ");
    terminal.press("half a");
    terminal.expect("half a");
    user.ok(&["snd", &echo, "hello"]);
    terminal.expect("ECHO: \"hello\"");
    // The line is shown again below, and goes on.
    terminal.expect("half a");
    terminal.press(" line\x03");
    terminal.expect(" line");
    terminal.expect("> ");
    terminal.press("=se");
    // Until the list of nodes has come that is kept for completion.
    while !terminal.shows("=seed/1", Duration::from_millis(300)) {
        terminal.press("\t");
    }
    terminal.press("\r");
    terminal.expect("seed/1> ");
    terminal.press("given up\x03");
    terminal.expect("given up");
    terminal.expect("seed/1> ");
    terminal.press(" AnyEvent::MP::Kernel::up_nodes\r");
    terminal.expect("\"aemp/");
    terminal.expect("seed/1> ");
    terminal.press("\x04");
    assert_eq!(terminal.child.wait().unwrap().code(), Some(0));
    let history = user.home().join(".local/state/aemp/shell_history");
    assert_eq!(fs::metadata(&history).unwrap().permissions().mode() & 0o777, 0o600);
    let lines = fs::read_to_string(history).unwrap();
    assert_eq!(lines.lines().skip(1).collect::<Vec<_>>(), ["=", "ECHO", "=seed/1"]);
}
