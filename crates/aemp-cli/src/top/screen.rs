//! The terminal: taken over, and given back in any case.

use std::io::{self, BufWriter, Stdout, stdout};
use std::panic;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use crossterm::cursor::Show;
use crossterm::execute;
use crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};
use ratatui::backend::CrosstermBackend;
use ratatui::{Frame, Terminal};

/// Whether the terminal is ours, which is one thing of the whole process.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// The terminal while it is ours.
pub(super) struct Screen(Terminal<CrosstermBackend<BufWriter<Stdout>>>);

impl Screen {
    /// Takes the terminal over.
    pub(super) fn take() -> io::Result<Screen> {
        give_back_on_panic();
        enable_raw_mode()?;
        TAKEN.store(true, SeqCst);
        // From here on an error gives it back.
        let screen = Terminal::new(CrosstermBackend::new(BufWriter::new(stdout()))).map(Screen);
        if let Err(error) = execute!(stdout(), EnterAlternateScreen) {
            give_back();
            return Err(error);
        }
        screen.inspect_err(|_| give_back())
    }

    pub(super) fn draw(&mut self, draw: impl FnOnce(&mut Frame)) -> io::Result<()> {
        self.0.draw(draw).map(|_| ())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

/// What is said of a panic would be lost with the screen that `top` draws on.
fn give_back_on_panic() {
    static SET: Once = Once::new();
    SET.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            give_back();
            before(info);
        }));
    });
}

fn give_back() {
    if TAKEN.swap(false, SeqCst) {
        // What fails here fails because the terminal is gone.
        let _ = disable_raw_mode();
        let _ = execute!(stdout(), LeaveAlternateScreen, Show);
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Read as _;
    use std::process::{Command, Stdio};

    use nix::sys::termios::tcgetattr;

    use super::*;

    /// Set for the process that panics.
    const PANICS: &str = "AEMP_TEST_PANICS";

    #[test]
    fn a_panic_is_told_on_a_terminal_that_was_given_back() {
        if std::env::var_os(PANICS).is_some() {
            let _screen = Screen::take().unwrap();
            panic!("told to the user");
        }
        let pty = nix::pty::openpty(None, None).unwrap();
        let before = tcgetattr(&pty.master).unwrap();
        let end = || Stdio::from(pty.slave.try_clone().unwrap());
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["a_panic_is_told_on_a_terminal_that_was_given_back", "--nocapture"])
            .env(PANICS, "1")
            .stdin(end())
            .stdout(end())
            .stderr(end())
            .spawn()
            .unwrap();
        drop(pty.slave);
        let (mut master, mut bytes) = (File::from(pty.master), Vec::new());
        // The end is an error: nobody is at the other side any more.
        let _ = master.read_to_end(&mut bytes);
        assert!(!child.wait().unwrap().success());
        let text = String::from_utf8_lossy(&bytes);
        let at = |what: &str| text.find(what).unwrap_or_else(|| panic!("{what:?} is missing in {text:?}"));
        assert!(at("\u{1b}[?1049h") < at("\u{1b}[?1049l"), "{text:?}");
        assert!(at("\u{1b}[?1049l") < at("told to the user"), "{text:?}");
        assert_eq!(tcgetattr(&master).unwrap(), before);
    }
}
