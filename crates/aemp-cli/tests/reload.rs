//! A running node that reads its settings again: by SIGHUP, by `aemp reload`, and seeds in a file
//! by itself.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "these are parts of tests")]

mod support;

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use support::reserved::Reserved;
use support::{Running, User};

/// A user whose node `n` runs with the profile `p` of the file, and is the seed of the commands.
struct Site {
    user: User,
    node: Running,
    _reserved: Reserved,
}

impl Site {
    fn new() -> Site {
        let (user, reserved) = (User::new(), Reserved::new());
        let address = reserved.address();
        user.ok(&["setsecret", "geheim", "setseeds", &address]);
        user.ok(&["profile", "p", "setnodeid", "n", "setbinds", &address]);
        let mut node = user.start(&["run", "p"]);
        assert_eq!(node.ready(), ("n".into(), address));
        Site { user, node, _reserved: reserved }
    }

    fn set(&self, settings: &[&str]) {
        self.user.ok(&[&["profile", "p"], settings].concat());
    }

    fn reload(&self) -> String {
        self.user.ok(&["reload", "n"])
    }
}

#[test]
fn what_can_change_is_in_force_at_once() {
    let mut site = Site::new();
    assert_eq!(site.reload(), "nothing has changed\n");
    site.set(&["setlog_filter", "debug"]);
    assert_eq!(site.reload(), "changed: log_filter\n");
    site.user.ok(&["cal", "n", "time"]);
    site.node.logged("DEBUG");
    site.set(&["dellog_filter"]);
    assert_eq!(site.reload(), "changed: log_filter\n");

    let other = Reserved::new();
    let address = other.address();
    site.set(&["setseeds", &address]);
    assert_eq!(site.reload(), "changed: seeds\n");
    let seed = ["run", "norc", "1", "nodeid", "seed", "secret", "geheim", "binds", &address];
    let mut seed = site.user.start(&seed);
    seed.ready();
    seed.logged("node up peer=n");
}

#[test]
fn connections_that_are_there_stay_when_the_secret_changes() {
    let mut site = Site::new();
    let address = site.user.ok(&["showprofile", "p"]);
    let address = address.split('"').find(|text| text.starts_with("127.")).unwrap().to_owned();
    let old =
        ["run", "norc", "1", "nodeid", "old", "secret", "geheim", "binds", "127.0.0.1:0", "seeds", &address];
    let mut old = site.user.start(&old);
    old.ready();
    site.node.logged("node up peer=old");
    site.set(&["setsecret", "a new secret of some length"]);
    site.node.signal("HUP");
    site.node.logged("read again");
    // Who has the old one only is refused now, and who has the new one gets in.
    site.user.fails(1, &["cal", "--timeout", "2", "n", "time"]);
    site.user.ok(&["setsecret", "a new secret of some length"]);
    let nodes = site.user.ok(&["nodes"]);
    assert!(nodes.contains("old"), "the connection is there: {nodes}");
    assert!(site.node.logged_if_there("node down peer=old").is_none());
}

#[test]
fn what_cannot_change_is_named_with_what_to_do() {
    let mut site = Site::new();
    let settings: [(&str, &str); 6] = [
        ("nodeid", "m"),
        ("relay", "0"),
        ("monitor_timeout", "5"),
        ("framing_format", "json"),
        ("nodelay", "0"),
        ("metrics", "127.0.0.1:0"),
    ];
    for (key, value) in settings {
        site.set(&[&format!("set{key}"), value]);
    }
    // Once more it says the same: they are still not in force.
    for _ in 0..2 {
        let answer = site.reload();
        for (key, _) in settings {
            let says = format!("not changed: {key}: the node has to be started again for it");
            assert!(answer.contains(&says), "{answer}");
            site.node.logged(&format!("key={key}"));
        }
    }
    site.user.ok(&["cal", "n", "time"]);
}

#[test]
fn a_broken_file_changes_nothing_and_says_where_it_is_broken() {
    let site = Site::new();
    let file = site.user.rc();
    let good = fs::read_to_string(&file).unwrap();
    // Commands have a file of their own.
    let other = site.user.home().join("other.json");
    fs::copy(&file, &other).unwrap();
    let reload = || {
        let mut command = site.user.command(&["reload", "n"]);
        let output = command.env("AEMP_RC", &other).output().unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stderr).unwrap() + &String::from_utf8(output.stdout).unwrap(),
        )
    };
    fs::write(&file, good.replacen('{', "{\n\"seeds\": [,", 1)).unwrap();
    let (status, says) = reload();
    assert_eq!(status, Some(1), "{says}");
    assert!(says.contains("config.json") && says.contains("line 2"), "{says}");
    for (wrong, part) in [
        (good.replace("\"nodeid\"", "\"verify_peeraddr\":\"perhaps\",\"nodeid\""), "verify_peeraddr"),
        (good.replace("\"nodeid\"", "\"log_filter\":\"aemp=loud\",\"nodeid\""), "log_filter"),
        (good.replace("\"nodeid\"", "\"seeds\":[\"@/no/such/file\"],\"nodeid\""), "/no/such/file"),
    ] {
        fs::write(&file, wrong).unwrap();
        let (status, says) = reload();
        assert_eq!(status, Some(1), "{says}");
        assert!(says.contains(part), "{says}");
    }
    fs::write(&file, good).unwrap();
    let (status, says) = reload();
    assert!(status == Some(0) && says.ends_with("nothing has changed\n"), "{says}");
}

#[test]
fn only_nodes_that_take_orders_are_given_some() {
    let user = User::new();
    let _node = user.seed("n", &["secure", "1"]);
    for order in ["reload", "drain"] {
        let failure = user.fails(1, &[order, "n"]);
        assert!(failure.contains("in secure mode"), "{failure}");
    }
}

#[test]
fn the_service_manager_is_told_of_a_reload() {
    let user = User::new();
    let socket = UnixDatagram::bind(user.home().join("notify")).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut command =
        user.command(&["run", "norc", "1", "nodeid", "n", "secret", "s", "binds", "127.0.0.1:0"]);
    command.env("NOTIFY_SOCKET", user.home().join("notify"));
    let mut node = Running::start(command);
    node.ready();
    let heard = || {
        let mut bytes = [0; 4096];
        let length = socket.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..length].to_vec()).unwrap()
    };
    assert!(heard().starts_with("READY=1"));
    node.signal("HUP");
    let reloading = heard();
    let time =
        reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap_or_else(|| panic!("{reloading}"));
    assert!(time.parse::<u64>().unwrap() > 0);
    assert_eq!(heard(), "READY=1\nSTATUS=nothing has changed");
}

#[test]
fn a_network_is_found_again_when_all_of_its_seeds_have_moved() {
    let user = User::new();
    let file = user.home().join("seeds");
    let seeds = format!("@{}", file.display());
    let (old, new) = (Reserved::new(), Reserved::new());
    fs::write(&file, format!("# two of them\n{}\n", old.address())).unwrap();
    let start = |id: &str, bind: &str| {
        let args = [
            "run",
            "norc",
            "1",
            "nodeid",
            id,
            "secret",
            "s",
            "binds",
            bind,
            "seeds",
            &seeds,
            "monitor_timeout",
            "2",
        ];
        let mut node = user.start(&args);
        node.ready();
        node
    };
    let mut first = start("first", &old.address());
    let mut nodes = ["a", "b"].map(|id| start(id, "127.0.0.1:0"));
    for node in &mut nodes {
        node.logged("node up peer=first");
    }
    fs::write(&file, format!("{}\n", new.address())).unwrap();
    first.signal("TERM");
    assert_eq!(first.wait(), Some(0));
    let mut second = start("second", &new.address());
    for node in &mut nodes {
        node.logged("node up peer=second");
    }
    // One that cannot be read changes nothing.
    fs::write(&file, "a:b\n").unwrap();
    second.logged("the seeds stay as they are");
}

#[test]
fn seeds_in_a_file_that_are_as_they_were_before_are_in_force_after_a_reload() {
    let user = User::new();
    let file = user.home().join("seeds");
    let seeds = format!("@{}", file.display());
    let (old, new) = (Reserved::new(), Reserved::new());
    fs::write(&file, old.address()).unwrap();
    let node = ["run", "norc", "1", "nodeid", "n", "secret", "s", "binds", "127.0.0.1:0", "seeds", &seeds];
    let mut node = user.start(&node);
    node.ready();
    fs::write(&file, new.address()).unwrap();
    node.logged("the seeds have changed");
    // Read again before the node has looked at the file by itself.
    fs::write(&file, old.address()).unwrap();
    node.signal("HUP");
    node.logged("the settings were read again");
    let seed = ["run", "norc", "1", "nodeid", "seed", "secret", "s", "binds", &old.address()];
    let mut seed = user.start(&seed);
    seed.ready();
    seed.logged("node up peer=n");
}
