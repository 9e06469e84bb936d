//! What a node tells to those who watch it: monitoring systems, and people who look for a fault.

#![allow(clippy::unwrap_used, reason = "these are parts of tests")]

mod support;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;

use serde_json::{Value as Json, json};
use support::reserved::Reserved;
use support::{Running, User};

const SECRET: &str = "a secret of the tests, which stands in no report";

/// A node that answers monitoring systems, and its two addresses.
fn observed(user: &User, more: &[&str]) -> (Running, String, String) {
    let common = ["run", "norc", "1", "nodeid", "seed", "secret", SECRET, "binds", "127.0.0.1:0"];
    let mut running = user.start(&[&common[..], &["metrics", "127.0.0.1:0"], more].concat());
    let line = running.line();
    let words: Vec<&str> = line.split(' ').collect();
    assert_eq!((words.len(), words[0], words[3]), (5, "ready", "metrics"), "{line}");
    let (node, metrics) = (words[2].to_owned(), words[4].to_owned());
    (running, node, metrics)
}

/// The answer to a request: status and content.
fn request(address: &str, request: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(format!("{request} HTTP/1.1\r\nhost: {address}\r\n\r\n").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, content) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), content.to_owned())
}

#[test]
fn a_monitoring_system_gets_numbers_and_learns_whether_the_node_is_ready() {
    let user = User::new();
    let (mut seed, address, metrics) = observed(&user, &["services", "aemp::echo"]);
    assert_eq!(request(&metrics, "GET /alive").0, 200);
    assert_eq!(request(&metrics, "GET /ready").0, 200);
    assert_eq!(request(&metrics, "GET /").0, 404);
    assert_eq!(request(&metrics, "POST /metrics").0, 405);
    assert_eq!(request(&metrics, "\u{1}").0, 400);
    user.ok(&["setsecret", SECRET, "setseeds", &address]);
    user.fails(1, &["snd", "seed#nobody", "hello"]);
    let (status, text) = request(&metrics, "GET /metrics?x");
    assert_eq!(status, 200);
    for line in [
        "aemp_ports 1.0",
        "aemp_undeliverable_total{reason=\"no_such_port\"} 1",
        "aemp_db_entries{family=\"aemp::echo\"} 1.0",
        "# EOF",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
    assert!(!text.contains(SECRET));
    seed.signal("TERM");
    assert_eq!(seed.wait(), Some(0));
}

#[test]
fn a_node_without_its_network_is_alive_and_not_ready() {
    let (user, nowhere) = (User::new(), Reserved::new());
    let (_node, _, metrics) = observed(&user, &["seeds", &nowhere.address()]);
    assert_eq!(request(&metrics, "GET /alive").0, 200);
    assert_eq!(request(&metrics, "GET /ready").0, 503);
}

#[test]
fn few_descriptors_for_many_seeds_are_warned_of() {
    let user = User::new();
    let seeds: Vec<String> = (1..=20).map(|n| format!("127.0.0.1:{n}")).collect();
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 64; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_aemp")]);
    command.args(["run", "norc", "1", "nodeid", "x", "secret", SECRET, "binds", "127.0.0.1:0", "seeds"]);
    command.arg(seeds.join(",")).current_dir(user.home()).env_clear().env("HOME", user.home());
    let mut running = Running::start(command);
    let line = running.logged("the limit of open descriptors is low");
    assert!(line.contains("limit=64") && line.contains("needed=80"), "{line}");
}

#[test]
fn options_are_understood_behind_the_settings() {
    let user = User::new();
    let args = ["run", "norc", "1", "nodeid", "x", "secret", SECRET, "binds", "127.0.0.1:0", "--json"];
    let mut running = user.start(&args);
    let line = running.line();
    assert!(line.starts_with("{\"listeners\":"), "{line}");
}

#[test]
fn settings_are_checked_and_a_secret_that_differs_is_found_by_the_seed() {
    let user = User::new();
    let (_seed, address, _) = observed(&user, &[]);
    user.ok(&["setsecret", SECRET, "setnodeid", "mine", "setbinds", "127.0.0.1:0", "setseeds", &address]);
    let check = |more: &[&str]| user.run(&[&["check"], more].concat());
    let good = check(&[]);
    assert_eq!((good.status, &*good.stdout), (Some(0), "nothing was found\n"), "{}", good.stderr);
    let other = check(&["--timeout", "2", "secret", "another secret than that of the seed", "force", "1"]);
    assert_eq!(other.status, Some(2), "{}", other.stdout);
    assert!(other.stdout.contains("error: seeds (") && other.stdout.contains(", line "), "{}", other.stdout);
    assert!(other.stdout.contains("the same secret"), "{}", other.stdout);
    assert!(!other.stdout.contains(SECRET) && !other.stdout.contains("another secret"), "{}", other.stdout);
    let short = check(&["--format", "nagios", "secret", "x", "force", "1", "--offline"]);
    assert_eq!(short.status, Some(1), "{}", short.stdout);
    assert!(short.stdout.starts_with("AEMP WARNING - 0 errors, 1 warning: secret:"), "{}", short.stdout);
}

#[test]
fn a_healthy_network_is_not_complained_of_and_a_node_that_hangs_is() {
    let user = User::new();
    let (_seed, address, _) = observed(&user, &[]);
    let args = ["run", "norc", "1", "nodeid", "other", "secret", SECRET, "binds", "127.0.0.1:0"];
    let mut other = user.start(&[&args[..], &["seeds", &address]].concat());
    other.ready();
    user.ok(&["setsecret", SECRET, "setseeds", &address]);
    user.ok(&["wait", "other"]);
    let doctor = |more: &[&str]| user.run(&[&["doctor"], more].concat());
    let healthy = doctor(&[]);
    assert_eq!((healthy.status, &*healthy.stdout), (Some(0), "nothing was found\n"));
    other.signal("STOP");
    let hangs = doctor(&["--timeout", "1"]);
    other.signal("CONT");
    assert_eq!(hangs.status, Some(2), "{}", hangs.stdout);
    assert!(hangs.stdout.starts_with("error: other: does not answer"), "{}", hangs.stdout);
}

#[test]
fn what_is_gathered_has_no_secret_and_nothing_of_messages() {
    let user = User::new();
    let (_seed, address, _) = observed(&user, &[]);
    user.ok(&["setsecret", SECRET, "setseeds", &address]);
    user.fails(1, &["snd", "seed#nobody", "a-tag-of-the-tests", "a payload of the tests"]);
    user.ok(&["gather", "report.json"]);
    let report = std::fs::read_to_string(user.home().join("report.json")).unwrap();
    for secret in [SECRET, "a-tag-of-the-tests", "a payload of the tests"] {
        assert!(!report.contains(secret), "{report}");
    }
    assert!(report.contains("no_such_port") && report.contains("\"seeds\""), "{report}");
    assert!(report.contains("\"ev\": \"dumped\""), "{report}");
    assert!(user.fails(1, &["gather", "report.json"]).contains("cannot be written"));
}

/// The records in a dump; each line is one, and only its owner can read it.
fn records(path: &Path) -> Vec<Json> {
    use std::os::unix::fs::PermissionsExt as _;
    assert_eq!(std::fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
    let text = std::fs::read_to_string(path).unwrap();
    assert!(!text.contains(SECRET), "{text}");
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_flight_recorder_is_dumped_from_elsewhere_and_on_a_signal_into_new_files() {
    let user = User::new();
    let folder = user.home().join("dumps");
    std::fs::create_dir(&folder).unwrap();
    let common = ["run", "norc", "1", "nodeid", "se/ed", "secret", SECRET, "binds", "127.0.0.1:0"];
    let dumps = format!("--dumps={}", folder.display());
    let mut seed = user.start(&[&common[..], &[&*dumps]].concat());
    let (_, address) = seed.ready();
    user.ok(&["setsecret", SECRET, "setseeds", &address]);
    let path = user.home().join("seed.jsonl");
    user.ok(&["dump", "se/ed", "seed.jsonl"]);
    let asked = records(&path);
    assert_eq!((&asked[0]["ev"], &asked.last().unwrap()["ev"]), (&json!("start"), &json!("dumped")));
    assert!(asked.iter().any(|record| record["ev"] == "up"), "the client has come up: {asked:?}");
    assert!(user.ok(&["dump", "se/ed"]).lines().count() > asked.len(), "more has happened since");
    assert!(user.fails(1, &["dump", "se/ed", "seed.jsonl"]).contains("cannot be written"));
    assert!(user.fails(1, &["dump", "seed2"]).contains("no such node"));
    // Somebody has put a link where the first file would be written.
    let name = |number| folder.join(format!("aemp-se_ed-{}-{number}.jsonl", seed.id()));
    let (victim, first, second) = (user.home().join("victim"), name(1), name(2));
    std::fs::write(&victim, "precious").unwrap();
    std::os::unix::fs::symlink(&victim, &first).unwrap();
    seed.signal("USR1");
    let line = seed.logged("the flight recorder was dumped");
    assert!(line.contains(&*second.to_string_lossy()), "{line}");
    assert_eq!(std::fs::read_to_string(&victim).unwrap(), "precious");
    assert_eq!(records(&second).last().unwrap()["why"], "SIGUSR1");
    seed.signal("TERM");
    assert_eq!(seed.wait(), Some(0));
}
