//! The course in `examples/`, run as its users run it: each side a process of its own. What they
//! print is what the course says.

#![allow(clippy::unwrap_used)] // a test may

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

/// Long enough for any machine; reached only by a test that fails.
const LIMIT: Duration = Duration::from_secs(60);

/// A running example. It is killed when the test is done with it.
struct Terminal {
    process: Child,
    keyboard: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Terminal {
    fn new(example: &str, args: &[&str]) -> Terminal {
        let mut folder = std::env::current_exe().unwrap();
        folder.pop();
        folder.pop();
        let binary = folder.join("examples").join(format!("{example}{}", std::env::consts::EXE_SUFFIX));
        let mut process = Command::new(&binary)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}; cargo build --examples makes it", binary.display()));
        let (sender, lines) = channel();
        let output = BufReader::new(process.stdout.take().unwrap());
        std::thread::spawn(move || {
            output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        Terminal { keyboard: process.stdin.take(), process, lines }
    }

    /// The listening side, and its address.
    fn listen(example: &str) -> (Terminal, String) {
        Terminal::listen_with(example, &[])
    }

    fn listen_with(example: &str, more: &[&str]) -> (Terminal, String) {
        let terminal =
            Terminal::new(example, &[&["listen", "127.0.0.1:0", "--secret", "of the test"], more].concat());
        let line = terminal.line();
        let address = line.strip_prefix("listening on ").unwrap_or_else(|| panic!("{line}"));
        (terminal, address.to_string())
    }

    fn connect(example: &str, address: &str, more: &[&str]) -> Terminal {
        Terminal::new(example, &[&["connect", address, "--secret", "of the test"], more].concat())
    }

    fn line(&self) -> String {
        self.lines.recv_timeout(LIMIT).expect("a line within the limit")
    }

    fn shows(&self, lines: &[&str]) {
        for line in lines {
            assert_eq!(self.line(), *line);
        }
    }

    fn types(&mut self, line: &str) {
        writeln!(self.keyboard.as_mut().unwrap(), "{line}").unwrap();
    }

    /// Waits for the end of the program, and gives what it printed until then.
    fn ends(mut self) -> Vec<String> {
        let mut rest = Vec::new();
        loop {
            match self.lines.recv_timeout(LIMIT) {
                Ok(line) => rest.push(line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("it did not end within {LIMIT:?}: {rest:#?}"),
            }
        }
        assert!(self.process.wait().unwrap().success(), "{rest:#?}");
        rest
    }

    fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // An error says that it has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn e01_ping() {
    let (listens, address) = Terminal::listen("01_ping");
    let connects = Terminal::connect("01_ping", &address, &[]);
    assert_eq!(connects.ends(), ["pong 1", "pong 2", "pong 3"]);
    listens.shows(&["ping 1", "ping 2", "ping 3"]);
}

#[test]
fn e02_tags() {
    let lines = Terminal::new("02_tags", &[]).ends();
    assert_eq!(lines, ["[20, 22]", "no handler for \"double\"", "[84]", "the port ended: normal"]);
}

#[test]
fn e03_workers() {
    let (boss, address) = Terminal::listen("03_workers");
    let workers = [(); 2].map(|()| Terminal::connect("03_workers", &address, &[]));
    let counts = [168, 303, 430, 550, 669, 783, 900, 1007];
    let expected: Vec<String> =
        (1..).zip(counts).map(|(n, count)| format!("{count} primes below {n}000")).collect();
    assert_eq!(boss.ends(), expected);
    // A worker that came too late for any job still waits for a boss.
    let mut jobs = Vec::new();
    for mut worker in workers {
        worker.kill();
        jobs.extend(worker.lines.iter().filter(|line| !line.starts_with("the boss is gone: ")));
    }
    jobs.sort();
    let expected: Vec<String> = (1..=8).map(|n| format!("primes below {n}000")).collect();
    assert_eq!(jobs, expected);
}

#[test]
fn e04_monitor() {
    let (mut nursery, address) = Terminal::listen("04_monitor");
    let watches = Terminal::connect("04_monitor", &address, &[]);
    watches.shows(&["done: normal", "to go: told: to go", "panic: die: as you like", "again: no_such_port"]);
    // Two monitors of one port: nothing is said about their order.
    let mut both = [watches.line(), watches.line()];
    both.sort();
    assert_eq!(both, ["a callback: told: together", "the partner: told: together"]);
    watches.shows(&["watching; now end the other process"]);
    nursery.kill();
    assert_eq!(watches.ends(), ["the nursery: transport_error"]);
}

#[test]
fn e05_spawn() {
    let (server, address) = Terminal::listen("05_spawn");
    let client = Terminal::connect("05_spawn", &address, &[]);
    let expected = [
        "hello, a client",
        "the sum of 1 numbers is 20",
        "the sum of 2 numbers is 42",
        "the connection ended: normal",
        "no such function: spawn_refused",
    ];
    assert_eq!(client.ends(), expected);
    server.shows(&["a client is here", "a client left: normal"]);
}

#[test]
fn e06_chat() {
    let (mut room, address) = Terminal::listen("06_chat");
    let mut alice = Terminal::connect("06_chat", &address, &["alice"]);
    alice.shows(&["alice joined"]);
    let mut bob = Terminal::connect("06_chat", &address, &["bob"]);
    bob.shows(&["bob joined"]);
    let second = Terminal::connect("06_chat", &address, &["bob"]);
    assert_eq!(second.ends(), ["taken: bob is here already"]);
    bob.types("hello");
    alice.types("hello, bob");
    let mut said = [alice.line(), alice.line(), alice.line()];
    said[1..].sort();
    assert_eq!(said, ["bob joined", "alice: hello, bob", "bob: hello"]);
    bob.kill(); // without a word
    alice.shows(&["bob left"]);
    let mut carol = Terminal::connect("06_chat", &address, &["carol"]);
    carol.shows(&["carol joined"]);
    carol.keyboard = None; // ctrl-d
    assert!(carol.ends().is_empty());
    alice.shows(&["carol joined", "carol left"]);
    room.kill();
    let last = alice.ends();
    assert!(last.len() == 1 && last[0].starts_with("transport_error: "), "{last:?}");
}

#[test]
fn e07_selective() {
    let mut lines = Terminal::new("07_selective", &[]).ends();
    // The guest prints beside the cook.
    let served: Vec<String> = lines.extract_if(.., |line| line.starts_with("served: ")).collect();
    assert_eq!(served, ["served: stew", "served: cake"]);
    let cook =
        ["got 3 crates", "put the fire out", "nobody cooked the soup", "the cook: closed: until tomorrow"];
    assert_eq!(lines, cook);
}

#[test]
fn e08_supervise() {
    let (leads, address) = Terminal::listen("08_supervise");
    leads.shows(&["hosts: 0"]);
    let mut first = Terminal::connect("08_supervise", &address, &[]);
    leads.shows(&["hosts: 1"]);
    first.shows(&["the clock runs here", "1 s"]);
    let mut second = Terminal::connect("08_supervise", &address, &[]);
    leads.shows(&["hosts: 2"]);
    first.kill();
    second.shows(&["the clock runs here", "1 s"]);
    leads.shows(&["hosts: 1"]);
    second.kill();
    // It is started on the lost host again and again, which may end the supervisor before the entry
    // of the host goes, or there is not one any more.
    let ended = |line: &String| line.starts_with("the supervisor ended: restart_limit");
    let last = Some(leads.line()).filter(|line| !ended(line)).unwrap_or_else(|| leads.line());
    assert_eq!(last, "hosts: 0");
}

#[test]
fn e09_copy() {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("file"), folder.path().join("there/file"));
    std::fs::create_dir(folder.path().join("there")).unwrap();
    let there = to.parent().unwrap().to_str().unwrap();
    let from_name = from.to_str().unwrap();
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|n| (n ^ (n >> 8)).to_le_bytes()[0]).collect();
    std::fs::write(&from, &bytes).unwrap();
    let (listens, address) = Terminal::listen_with("09_copy", &[there]);
    let lines = Terminal::connect("09_copy", &address, &[from_name]).ends();
    let percents = lines.iter().filter(|line| line.contains(" %  ") && line.ends_with(" MB/s")).count();
    assert_eq!(percents, 10, "{lines:#?}");
    assert!(lines[10].starts_with("file: 3000000 bytes, "), "{lines:#?}");
    assert_eq!(lines[11..], ["the digests are the same"]);
    assert!(std::fs::read(&to).unwrap() == bytes);
    let said: Vec<String> = (0..11).map(|_| listens.line()).collect();
    assert!(said[10].starts_with("file: 3000000 bytes, "), "{said:#?}");
    // Nothing is written over.
    let mut again = Terminal::connect("09_copy", &address, &[from_name]);
    assert!(!again.process.wait().unwrap().success());
    assert!(listens.line().starts_with("file: "));
    assert!(std::fs::read(&to).unwrap() == bytes);
}

#[test]
fn e10_counter() {
    let (_counter, address) = Terminal::listen("10_counter");
    assert_eq!(Terminal::connect("10_counter", &address, &[]).ends(), ["42"]);
}
