//! `aemp shell` on a terminal: prompts, completion, lines given up, history.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "these are parts of tests")]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use support::User;
use support::terminal::Terminal;

#[test]
fn lines_are_completed_given_up_and_remembered() {
    let user = User::new();
    let _seed = user.seed("seed/1", &["services", "aemp::echo"]);
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
    assert_eq!(terminal.wait(), Some(0));
    let history = user.home().join(".local/state/aemp/shell_history");
    assert_eq!(fs::metadata(&history).unwrap().permissions().mode() & 0o777, 0o600);
    let lines = fs::read_to_string(history).unwrap();
    assert_eq!(lines.lines().skip(1).collect::<Vec<_>>(), ["=", "ECHO", "=seed/1"]);
}
