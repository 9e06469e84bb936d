//! Services that are scripts, with real processes.
#![allow(clippy::unwrap_used, reason = "these are tests")]

mod support;

use std::path::Path;

use support::{Running, User};

/// The folder with the example.
fn examples() -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../aemp-script/scripts").display().to_string()
}

/// A node with these arguments beside those that all have.
fn node(user: &User, id: &str, arguments: &[&str]) -> (Running, String) {
    let common = ["run", "norc", "1", "nodeid", id, "secret", "geheim", "binds", "127.0.0.1:0"];
    let mut node = user.start(&[&common, arguments].concat());
    let (_, address) = node.ready();
    (node, address)
}

/// A node with a script that is a guest of the chat and writes down what it hears.
const GUEST: &str = r#"
fn come(server, nick) {
    let me = port(|message| log(`heard ${message}`));
    let session = spawn(server, "chat::server::connect", me, nick);
    mon(session, |reason| log(`session ${reason}`));
    rcv(SELF, "say", |text| snd(session, "say", text));
    rcv(SELF, "quit", || snd(session, "quit"));
    db_reg("guest", SELF, nick);
}
"#;

#[test]
fn guests_of_two_nodes_talk_in_the_chat_of_a_third() {
    let user = User::new();
    std::fs::write(user.home().join("guest.rhai"), GUEST).unwrap();
    let (mut server, address) =
        node(&user, "server", &["scripts", &examples(), "services", "chat::server::"]);
    server.logged("the room is server#");
    let guest = |nick: &str| {
        let service = format!("[[\"guest::come\", \"server\", \"{nick}\"]]");
        node(&user, nick, &["scripts", ".", "services", &service, "seeds", &address]).0
    };
    let mut ann = guest("ann");
    ann.logged("heard [\"joined\", \"ann\"]");
    let mut bob = guest("bob");
    bob.logged("heard [\"joined\", \"bob\"]");
    ann.logged("heard [\"joined\", \"bob\"]");

    user.ok(&["setsecret", "geheim", "setseeds", &address]);
    let tell = |nick: &str, words: &[&str]| {
        let guests = user.ok(&["db", "guest"]);
        let port = guests.lines().find_map(|line| line.split_once(' ').filter(|(_, of)| of.contains(nick)));
        user.ok(&[&["snd", port.unwrap().0], words].concat());
    };
    tell("ann", &["say", "hello"]);
    bob.logged("heard [\"said\", \"ann\", \"hello\"]");
    tell("bob", &["quit"]);
    bob.logged("session []");
    ann.logged("heard [\"left\", \"bob\"]");
    // Who dies without a word is missed too.
    let mut cid = guest("cid");
    ann.logged("heard [\"joined\", \"cid\"]");
    cid.signal("KILL");
    cid.wait();
    ann.logged("heard [\"left\", \"cid\"]");
}

#[test]
fn a_script_that_cannot_be_loaded_ends_the_start() {
    let user = User::new();
    std::fs::write(user.home().join("bad.rhai"), "let x = 1;\nlet y = ;\n").unwrap();
    let run = |services: &str| {
        ["run", "norc", "1", "binds", "127.0.0.1:0", "scripts", ".", "services", services].map(str::to_owned)
    };
    let fails = |status, services| {
        let arguments = run(services);
        user.fails(status, &arguments.each_ref().map(String::as_str))
    };
    assert!(fails(1, "bad::").contains("bad.rhai:2: "));
    assert!(fails(3, "none::").contains("none::"));
    assert!(fails(3, "../bad::").contains("../bad::"));
    let missing = user.fails(3, &["run", "norc", "1", "binds", "127.0.0.1:0", "scripts", "nowhere"]);
    assert!(missing.contains("there is no folder nowhere"));
    let limit = user
        .fails(3, &["run", "norc", "1", "binds", "127.0.0.1:0", "scripts", ".", "script_limits", "steps=x"]);
    assert!(limit.contains("script_limits"));
}

#[test]
fn nothing_is_found_or_evaluated_unless_it_is_configured() {
    let user = User::new();
    let (mut closed, address) = node(&user, "closed", &[]);
    user.ok(&["setsecret", "geheim", "setseeds", &address]);
    assert!(user.fails(1, &["eval", "closed", "6 * 7"]).contains("eval is refused on this node"));
    closed.logged("refused to evaluate");
    closed.signal("TERM");
    closed.wait();
    let (_open, address) = node(&user, "open", &["script_eval", "1"]);
    user.ok(&["setseeds", &address]);
    assert_eq!(user.ok(&["eval", "open", "6 * 7"]), "42\n");
    assert!(user.fails(1, &["eval", "open", "6 *"]).contains("(eval):1: "));
}
