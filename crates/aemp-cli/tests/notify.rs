//! What a service manager is told by `aemp run`: a socket of the test takes the place of systemd's.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "these are parts of tests")]

mod support;

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use support::reserved::Reserved;
use support::{Running, User};

/// Nothing takes so long, unless it hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// A service manager that listens.
struct Systemd {
    user: User,
    socket: UnixDatagram,
}

impl Systemd {
    fn new() -> Systemd {
        let user = User::new();
        let socket = UnixDatagram::bind(user.home().join("notify")).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Systemd { user, socket }
    }

    fn start(&self, more: &[&str], environment: &[(&str, &str)]) -> Running {
        let node = ["run", "norc", "1", "nodeid", "n", "secret", "geheim", "binds", "127.0.0.1:0"];
        let mut command = self.user.command(&[&node[..], more].concat());
        command.env("NOTIFY_SOCKET", self.user.home().join("notify"));
        Running::start({
            command.envs(environment.iter().copied());
            command
        })
    }

    /// The next message.
    fn heard(&self) -> String {
        let mut bytes = [0; 4096];
        let length = self.socket.recv(&mut bytes).expect("a message to the service manager");
        String::from_utf8(bytes[..length].to_vec()).unwrap()
    }

    /// The messages up to the first one with this line, which is the last.
    fn until(&self, line: &str) -> Vec<String> {
        let mut all = vec![self.heard()];
        while !all.last().unwrap().lines().any(|found| found == line) {
            all.push(self.heard());
        }
        all
    }
}

#[test]
fn a_node_that_is_the_first_of_its_network_is_ready_at_once_and_says_when_it_ends() {
    let systemd = Systemd::new();
    let mut node = systemd.start(&[], &[]);
    node.ready();
    let first = systemd.heard();
    assert_eq!(first, "READY=1\nSTATUS=connected to 0 nodes");
    node.signal("TERM");
    assert!(systemd.until("STOPPING=1").last().unwrap().contains("STATUS=ending"));
    assert_eq!(systemd.heard(), "STATUS=ended, and everything was delivered");
    assert_eq!(node.wait(), Some(0));
}

#[test]
fn a_node_is_ready_only_when_a_seed_is_connected() {
    let systemd = Systemd::new();
    let (seed, user) = (Reserved::new(), User::new());
    let mut node = systemd.start(&["seeds", &seed.address()], &[]);
    node.ready();
    // It listens, has dialled the seed, and found nobody.
    let refused = |message: &String| message.contains("waiting for a seed") && message.contains("refused");
    let mut waiting = vec![systemd.heard()];
    while !refused(waiting.last().unwrap()) {
        waiting.push(systemd.heard());
    }
    assert!(waiting.iter().all(|message| message.starts_with("STATUS=listening; waiting")), "{waiting:?}");
    let address = seed.address();
    let arguments = ["run", "norc", "1", "nodeid", "seed", "secret", "geheim", "binds", &address];
    let mut first = user.start(&arguments);
    first.ready();
    let ready = systemd.until("READY=1").pop().unwrap();
    assert_eq!(ready, "READY=1\nSTATUS=connected to 1 nodes");
    // The status follows what happens.
    first.signal("TERM");
    systemd.until("STATUS=connected to 0 nodes");
}

#[test]
fn signs_of_life_come_when_they_are_wanted_of_this_process() {
    let systemd = Systemd::new();
    let mut node = systemd.start(&[], &[("WATCHDOG_USEC", "300000")]);
    node.ready();
    for _ in 0..3 {
        systemd.until("WATCHDOG=1");
    }
    node.signal("TERM");
    assert_eq!(node.wait(), Some(0));
    while systemd.heard() != "STATUS=ended, and everything was delivered" {}
    // Of another process they are not.
    let mut node = systemd.start(&[], &[("WATCHDOG_USEC", "3000"), ("WATCHDOG_PID", "1")]);
    node.ready();
    node.signal("TERM");
    assert_eq!(node.wait(), Some(0));
    assert!(systemd.until("STOPPING=1").iter().all(|message| message != "WATCHDOG=1"));
}
