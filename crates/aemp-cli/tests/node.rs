//! Nodes, and the commands that talk to them.

#![allow(clippy::unwrap_used, reason = "these are parts of tests")]

mod support;

use std::net::TcpListener;

use support::reserved::Reserved;
use support::{Running, User};

/// The arguments of a node on loopback that reads no file.
fn node<'a>(id: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let mut args =
        vec!["run", "--log", "debug", "norc", "1", "nodeid", id, "secret", "geheim", "binds", "127.0.0.1:0"];
    args.extend(more);
    args
}

/// A node with services, and a user whose commands know it as their seed.
fn network(services: &str) -> (User, Running) {
    let user = User::new();
    let mut seed = user.start(&node("seed", &["services", services]));
    let (_, address) = seed.ready();
    user.ok(&["setsecret", "geheim", "setseeds", &address]);
    (user, seed)
}

/// The only port in a family, as soon as it is there.
fn port(user: &User, family: &str) -> String {
    user.ok(&["wait", "--family", family]);
    let ports = user.ok(&["db", family]);
    assert_eq!(ports.lines().count(), 1, "{ports}");
    ports.trim_end().to_owned()
}

#[test]
fn run_says_once_that_it_is_ready_and_ends_in_order() {
    for signal in ["INT", "TERM"] {
        let user = User::new();
        let reserved = Reserved::new();
        let mut running = user.start(&node("a/b", &["binds", &reserved.address()]));
        assert_eq!(running.ready(), ("a/b".into(), reserved.address()));
        running.signal(signal);
        assert_eq!(running.wait(), Some(0));
        assert!(running.rest().is_empty());
        TcpListener::bind(reserved.address()).unwrap();
    }
}

#[test]
fn run_takes_its_settings_from_the_file_and_its_profiles() {
    let user = User::new();
    user.ok(&[
        "setsecret",
        "geheim",
        "profile",
        "p",
        "setnodeid",
        "from/",
        "setbinds",
        "127.0.0.1,127.0.0.1",
    ]);
    let mut running = user.start(&["run", "p", "nodeid", "overruled"]);
    running.logged("overrules");
    let line = running.line();
    assert!(line.starts_with("ready from/"), "{line}");
    assert_eq!(line.split(',').count(), 2, "{line}");
}

#[test]
fn run_says_what_is_wrong() {
    let user = User::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let fails = |status, more: &[&str]| {
        user.fails(status, &[&["run", "norc", "1", "nodeid", "n"][..], more].concat())
    };
    assert!(fails(1, &["secret", "s", "binds", &address]).contains(&address));
    assert!(fails(3, &["binds", "0.0.0.0:0"]).contains("without a secret or certificate"));
    assert!(fails(3, &["services", "no::such"]).contains("aemp::echo"));
    assert!(fails(3, &["binds", "x:y"]).contains("HOST:PORT"));
    assert!(fails(2, &["sekret", "s"]).contains("secret"));
    assert!(fails(2, &["secret"]).contains("missing"));
}

#[test]
fn logs_can_be_json() {
    let user = User::new();
    let mut running =
        user.start(&[&["--log", "debug", "--log-format", "json"][..], &node("n", &[])].concat());
    running.ready();
    running.signal("TERM");
    running.wait();
    let errors = running.errors();
    assert!(!errors.is_empty());
    for line in errors {
        let record: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert!(record["level"].is_string(), "{line}");
    }
}

#[test]
fn echo_sends_back_and_sink_counts() {
    let (user, _seed) = network("aemp::echo,aemp::sink");
    let (echo, sink) = (port(&user, "aemp::echo"), port(&user, "aemp::sink"));
    assert_eq!(
        user.ok(&["cal", &echo, "1", r#"[2,null,{"a":1.5}]"#, "é", r#""x""#]),
        "\"1\",[2,null,{\"a\":1.5}],\"é\",\"x\"\n"
    );
    assert_eq!(user.ok(&["cal", &echo]), "\n");
    assert_eq!(user.ok(&["snd", &sink, "hello", "1"]), "message sent successfully\n");
    // `hello` has six bytes in CBOR, and `1` two.
    assert_eq!(user.ok(&["cal", &sink, "stats"]), "1,8\n");
    assert_eq!(user.ok(&["snd", &echo, "nobody is to get this back"]), "message sent successfully\n");
    assert_eq!(user.ok(&["cal", &echo, "still there"]), "\"still there\"\n");
}

#[test]
fn services_can_be_spawned_by_name() {
    let (user, _seed) = network("aemp::global");
    for service in ["aemp::echo", "aemp::sink"] {
        let name = service.replace("aemp::", "spawned-");
        user.ok(&["snd", "seed", "AnyEvent::MP::_spawn", &name, service]);
        assert_eq!(port(&user, service), format!("seed#{name}"));
    }
    assert_eq!(user.ok(&["cal", "seed#spawned-echo", "x"]), "\"x\"\n");
    assert_eq!(user.ok(&["cal", "seed#spawned-sink", "stats"]), "0,0\n");
}

#[test]
fn the_node_port_answers() {
    let (user, _seed) = network("aemp::global");
    let time: f64 = user.ok(&["cal", "seed", "time"]).trim_end().parse().unwrap();
    assert!(time > 1.7e9);
    assert!(user.ok(&["db", "'l"]).lines().any(|line| line.starts_with("seed [\"127.0.0.1:")));
    assert!(user.fails(1, &["db", "empty"]).contains("there is no such family"));
}

#[test]
fn what_cannot_be_reached_is_an_error() {
    let (user, _seed) = network("aemp::global");
    assert!(user.fails(1, &["snd", "seed#nothing", "x"]).contains("no_such_port"));
    assert!(user.fails(1, &["cal", "seed#nothing", "x"]).contains("no_such_port"));
    assert!(user.fails(1, &["cal", "nowhere", "x"]).contains("no known address"));
    let wrong = ["cal", "--set", "secret=wrong", "--timeout", "1", "seed", "time"];
    assert!(user.fails(1, &wrong).contains("wrong secret"));
    assert_eq!(
        user.ok(&["mon", "seed#nothing"]),
        "no_such_port cannot monitor nonexistent port seed#nothing\n"
    );
    user.fails(2, &["snd", "a b", "x"]);
    user.fails(2, &["snd", "a", "[x"]);
    user.fails(2, &["cal", "--set", "secret", "seed"]);
    user.fails(2, &["cal", "--timeout", "-1", "seed"]);
}

#[test]
fn mon_waits_until_the_node_is_gone() {
    let (user, mut seed) = network("aemp::global");
    let mut mon = user.start(&["mon", "seed"]);
    seed.logged("node up");
    seed.signal("KILL");
    let line = mon.line();
    assert!(line.starts_with("transport_error seed "), "{line}");
    assert_eq!(mon.wait(), Some(0));
}

#[test]
fn mon_can_be_interrupted() {
    let (user, mut seed) = network("aemp::global");
    let mut mon = user.start(&["mon", "seed"]);
    seed.logged("node up");
    mon.signal("INT");
    assert_eq!(mon.wait(), Some(130));
}

#[test]
fn a_certificate_alone_makes_a_network() {
    let user = User::new();
    user.ok(&["gencert"]);
    let mut seed = user.start(&["run", "nodeid", "seed", "binds", "127.0.0.1:0", "services", "aemp::echo"]);
    let (_, address) = seed.ready();
    user.ok(&["setseeds", &address]);
    let echo = port(&user, "aemp::echo");
    assert_eq!(user.ok(&["cal", &echo, "over TLS"]), "\"over TLS\"\n");
    let stranger = User::new();
    stranger.ok(&["gencert", "setseeds", &address]);
    stranger.fails(1, &["cal", "--timeout", "1", "seed", "time"]);
}
