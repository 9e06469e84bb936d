//! A command on a terminal of its own.

use std::fs::File;
use std::io::{Read, Write};
use std::num::NonZero;
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use nix::pty::Winsize;
use nix::sys::termios::{Termios, tcgetattr};

use super::User;

/// Nothing in these tests takes so long, unless it hangs.
const PATIENCE: Duration = Duration::from_secs(30);

/// The size of the terminal.
const ROWS: NonZero<u16> = NonZero::new(24).unwrap();
const COLUMNS: NonZero<u16> = NonZero::new(80).unwrap();

/// A command on a terminal of its own.
pub(crate) struct Terminal {
    child: Child,
    keyboard: File,
    /// The side of the command, and how it was set before that.
    slave: OwnedFd,
    before: Termios,
    screen: Receiver<Vec<u8>>,
    /// What was shown and not looked at yet.
    shown: String,
    /// What was looked at last.
    pub(crate) passed: String,
    /// How the screen looks.
    seen: vt100::Parser,
}

impl Terminal {
    pub(crate) fn start(user: &User, args: &[&str]) -> Terminal {
        Terminal::run(user.command(args))
    }

    /// Runs a command on a terminal with 80 columns and 24 rows.
    pub(crate) fn run(mut command: Command) -> Terminal {
        let size = Winsize { ws_row: ROWS.get(), ws_col: COLUMNS.get(), ws_xpixel: 0, ws_ypixel: 0 };
        let pty = nix::pty::openpty(Some(&size), None).unwrap();
        let before = tcgetattr(&pty.slave).unwrap();
        let [stdin, stdout] = [pty.slave.try_clone().unwrap(), pty.slave.try_clone().unwrap()];
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
        let (shown, passed) = (String::new(), String::new());
        let seen = vt100::Parser::new(ROWS, COLUMNS, 0);
        Terminal { child, keyboard, slave: pty.slave, before, screen, shown, passed, seen }
    }

    pub(crate) fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// Whether this is shown within a time; what is before it has been looked at then.
    pub(crate) fn shows(&mut self, text: &str, within: Duration) -> bool {
        let start = Instant::now();
        loop {
            if let Some(at) = self.shown.find(text) {
                self.passed = self.shown.drain(..at + text.len()).collect();
                return true;
            }
            let Some(left) = within.checked_sub(start.elapsed()) else { return false };
            let Ok(bytes) = self.screen.recv_timeout(left) else { return false };
            self.take(&bytes);
        }
    }

    fn take(&mut self, bytes: &[u8]) {
        self.seen.process(bytes);
        self.shown.push_str(&String::from_utf8_lossy(bytes));
    }

    /// Waits until this can be read on the screen, of which only what changes is drawn.
    pub(crate) fn until(&mut self, text: &str) {
        while !self.seen.screen().contents().contains(text) {
            match self.screen.recv_timeout(PATIENCE) {
                Ok(bytes) => self.take(&bytes),
                Err(_) => panic!("{text:?} is not on the screen, but\n{}", self.seen.screen().contents()),
            }
        }
    }

    /// Waits until the cursor is there, and the screen that was there before the command; then the
    /// terminal must be set as it was.
    pub(crate) fn is_given_back(&mut self) {
        while self.seen.screen().alternate_screen() || self.seen.screen().hide_cursor() {
            let bytes = self.screen.recv_timeout(PATIENCE).expect("the screen is not given back");
            self.take(&bytes);
        }
        assert!(self.is_as_before());
    }

    /// Waits for the end, and gives the exit status.
    pub(crate) fn wait(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether the terminal is set as it was before the command.
    pub(crate) fn is_as_before(&self) -> bool {
        tcgetattr(&self.slave).unwrap() == self.before
    }

    pub(crate) fn expect(&mut self, text: &str) {
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
