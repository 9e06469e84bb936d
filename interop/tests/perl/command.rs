//! The `aemp` command of ours in networks with Perl nodes.

use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::sync::OnceLock;

use serde_json::{Value as Json, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{ChildStdout, Command};

use crate::network::{Kind, Pair, SECRET, Setup, addresses, listed, seeds, soon, up};
use crate::peer::{Perl, library};

/// The binary, built when it is needed first: it belongs to another package, and cargo builds only
/// libraries of those.
pub(crate) fn binary() -> PathBuf {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    let build = || {
        let folder = std::env::current_exe().unwrap().parent().unwrap().parent().unwrap().to_owned();
        let mut cargo = std::process::Command::new(env!("CARGO"));
        cargo.args(["build", "--quiet", "--package", "aemp-cli", "--bin", "aemp"]);
        if !cfg!(debug_assertions) {
            cargo.arg("--release");
        }
        cargo.current_dir(env!("CARGO_MANIFEST_DIR"));
        assert!(cargo.env("CARGO_TARGET_DIR", folder.parent().unwrap()).status().unwrap().success());
        folder.join("aemp")
    };
    BINARY.get_or_init(build).clone()
}

/// What a command left behind.
pub(crate) struct Ran {
    pub(crate) status: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs a command against the network of these seeds, with this on its stdin.
pub(crate) async fn aemp(command: &str, seeds: &[String], args: &[&str], input: &str) -> Ran {
    let binary = tokio::task::spawn_blocking(binary).await.unwrap();
    let home = std::env::temp_dir();
    let mut child = Command::new(binary)
        .args([command, "--set", &format!("secret={SECRET}"), "--set", &format!("seeds={}", seeds.join(","))])
        .args(args)
        .env_clear()
        .env("HOME", home)
        .env("AEMP_RC", "/dev/null")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    // Closed afterwards: that is the end of its input.
    child.stdin.take().unwrap().write_all(input.as_bytes()).await.unwrap();
    let Output { status, stdout, stderr } =
        soon("the end of the command", child.wait_with_output()).await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { status: status.code(), stdout: text(stdout), stderr: text(stderr) }
}

/// The binds of the node that is the seed.
pub(crate) fn seed_of(pair: &Pair) -> Vec<String> {
    match pair.setup.seed {
        Kind::Rust => addresses(&pair.rust),
        Kind::Perl => pair.perl.binds.clone(),
    }
}

/// `aemp eval`: Perl nodes evaluate Perl.
pub(crate) async fn eval(setup: Setup) {
    let pair = Pair::start(setup).await;
    let seed = seed_of(&pair);
    let ran =
        aemp("eval", &seed, &["perl", "6", "*", "7,", "[1, {a => 2}],", "$AnyEvent::MP::Kernel::NODE"], "")
            .await;
    assert_eq!((ran.status, ran.stdout.as_str()), (Some(0), "42,[1,{\"a\":2}],\"perl\"\n"), "{}", ran.stderr);
    let ran = aemp("eval", &seed, &["--json", "perl", "()"], "").await;
    assert_eq!((ran.status, ran.stdout.as_str()), (Some(0), "[]\n"), "{}", ran.stderr);
    let ran = aemp("eval", &seed, &["perl", "die \"no luck\\n\""], "").await;
    assert_eq!((ran.status, ran.stderr.as_str()), (Some(1), "aemp: perl: no luck\n"));
    let mut config = setup.perl("secure", &seed);
    config["secure"] = json!(1);
    let mut secure = Perl::start(config).await;
    let of_seed = if setup.seed == Kind::Rust { pair.rust.id() } else { &pair.perl.node };
    secure.up(of_seed).await;
    let ran = aemp("eval", &seed, &["--timeout", "1", "secure", "1"], "").await;
    assert_eq!(ran.status, Some(1));
    assert!(
        ran.stderr.contains("no answer within 1s") && ran.stderr.contains("secure mode"),
        "{}",
        ran.stderr
    );
    // It complains that it was asked.
    secure.kill().await;
    pair.finish().await;
}

/// `aemp trace` through Perl nodes and ours, some of which nobody can dial; and ours answer what
/// Perl's tool asks.
pub(crate) async fn trace(setup: Setup) {
    let mut pair = Pair::start(setup).await;
    let seed = seed_of(&pair);
    let hub = Perl::start(setup.perl("hub", &seed)).await;
    let (mut beyond_hub, mut beyond_rust) =
        (setup.perl("far/perl", &hub.binds), setup.perl("leaf", &addresses(&pair.rust)));
    beyond_hub["binds"] = json!([]);
    beyond_rust["binds"] = json!([]);
    let (mut far, mut leaf) = (Perl::start(beyond_hub).await, Perl::start(beyond_rust).await);
    let rust = seeds(setup.rust("far/rust"), &hub.binds).start().await.unwrap();
    far.up(&hub.node).await;
    leaf.up(pair.rust.id()).await;
    up(&rust, &hub.node).await;
    let ran = aemp("trace", &seed, &["--json"], "").await;
    assert_eq!(ran.status, Some(0), "{}{}", ran.stdout, ran.stderr);
    let json: Json = serde_json::from_str(&ran.stdout).unwrap();
    let names: Vec<&str> =
        json["nodes"].as_array().unwrap().iter().map(|one| one["node"].as_str().unwrap()).collect();
    assert_eq!(names, ["far/perl", "far/rust", "hub", "leaf", "perl", "rust"]);
    let connections = json["connections"].as_array().unwrap();
    for ends in [["far/perl", "hub"], ["far/rust", "hub"], ["leaf", "rust"], ["perl", "rust"]] {
        let one = connections.iter().find(|one| one["nodes"] == json!(ends));
        assert_eq!(one.unwrap_or_else(|| panic!("{ends:?}: {json}"))["seen_by"], json!(ends), "{json}");
    }
    let ran = aemp("trace", &seed, &["hub"], "").await;
    assert_eq!(ran.status, Some(0), "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.starts_with("hub\n├── far/perl\n├── far/rust"), "{}", ran.stdout);
    // What Perl's tool sends, as it sends it.
    let ask = "AnyEvent::MP::Kernel::eval_on rust => 'AnyEvent::MP::Kernel::up_nodes', port { ev (answer => @_) }, 'rust'";
    pair.perl.run(ask).await;
    let mut answer = pair.perl.event("answer").await;
    let mut nodes = answer.split_off(2);
    nodes.sort_by_key(|node| node.as_str().map(str::to_owned));
    assert_eq!(answer, [json!("rust"), json!("")]);
    assert!(nodes.contains(&json!("perl")) && nodes.contains(&json!("leaf")), "{nodes:?}");
    rust.shutdown().await;
    for perl in [far, leaf, hub] {
        perl.finish().await;
    }
    pair.finish().await;
}

/// `aemp shell` through a pipe: Perl nodes evaluate, switch packages and send to the echo port.
pub(crate) async fn shell(setup: Setup) {
    let pair = Pair::start(setup).await;
    let seed = seed_of(&pair);
    let input = "=perl\n6 * 7, 'x'\n__PACKAGE__\npackage main;\n__PACKAGE__\nsnd $ECHO, 'hi', [1, undef]; ()\ndie \"no luck\\n\"\n=rust\n1 + 1\n=\n";
    let ran = aemp("shell", &seed, &[], input).await;
    let lines: Vec<&str> = ran.stdout.lines().collect();
    let (last, lines) = lines.split_last().unwrap();
    assert_eq!(
        lines,
        ["42,\"x\"", "\"AnyEvent::MP::Kernel\"", "\"main\"", "ECHO: \"hi\",[1,null]", ""],
        "{}",
        ran.stderr
    );
    let nodes: Vec<&str> = last.strip_prefix("nodes: aemp/").unwrap().split(' ').skip(1).collect();
    assert_eq!(nodes, ["perl", "rust"]);
    let failures: Vec<&str> = ran.stderr.lines().collect();
    assert_eq!(failures[..2], ["aemp: perl: no luck", "aemp: rust: eval is refused on this node"]);
    assert_eq!((ran.status, failures[2]), (Some(1), "aemp: lines that failed: 2"));
    pair.finish().await;
}

/// `aemp restart` starts a Perl node again that runs under Perl's watchdog, and leaves one alone
/// that does not; what Perl's tool asks for starts a node of ours again.
pub(crate) async fn restart(setup: Setup) {
    let mut pair = Pair::start(setup).await;
    let seed = seed_of(&pair);
    let ran = aemp("restart", &seed, &["perl"], "").await;
    assert_eq!(ran.status, Some(1));
    assert!(ran.stderr.contains("perl cannot be started again"), "{}", ran.stderr);
    assert_eq!(pair.perl.ask("1").await, [json!(1)]);

    let mut ours = start(&setup, &seed).await;
    let id = "ours".parse().unwrap();
    match setup.seed {
        Kind::Rust => up(&pair.rust, &id).await,
        Kind::Perl => pair.perl.up(&id).await,
    }
    // A Perl node that does not know where it is tries once.
    listed(&pair.rust, "ours").await;
    let code = "my $w; $w = AE::idle sub { undef $w; use AnyEvent::Watchdog::Util ();AnyEvent::Watchdog::Util::restart}; ()";
    pair.perl
        .run(&format!("AnyEvent::MP::Kernel::eval_on ours => q<{code}>, port {{ ev (answer => @_) }}"))
        .await;
    assert_eq!(pair.perl.event("answer").await, [json!("")]);
    soon("the second start", ours.ready()).await;
    let ran = aemp("restart", &seed, &["ours"], "").await;
    assert_eq!((ran.status, ran.stdout.as_str()), (Some(0), "ours is back\n"), "{}", ran.stderr);
    drop(ours);

    // It is not a part of AnyEvent::MP, and may not be there.
    if library().is_some_and(|library| library.join("AnyEvent/Watchdog.pm").exists()) {
        let mut config = setup.perl("watched", &seed);
        config["norc"] = json!(1);
        let mut watched = watched_perl(&config).await;
        let ran = aemp("restart", &seed, &["watched"], "").await;
        assert_eq!((ran.status, ran.stdout.as_str()), (Some(0), "watched is back\n"), "{}", ran.stderr);
        watched.ready().await;
        // Its watchdog ends with it.
        let end = ["watched", "AnyEvent::Watchdog::Util::autorestart (0);", "POSIX::_exit (0)"];
        aemp("eval", &seed, &[&["--timeout", "5"][..], &end].concat(), "").await;
        assert!(soon("the end of the watchdog", watched.child.wait()).await.unwrap().success());
    }
    pair.finish().await;
}

/// A process that says when it is ready.
struct Watched {
    child: tokio::process::Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Watched {
    async fn of(mut command: Command) -> Watched {
        let command =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut watched = Watched { child, lines };
        watched.ready().await;
        watched
    }

    async fn ready(&mut self) {
        let line = soon("a node that is ready", self.lines.next_line()).await.unwrap();
        assert!(line.as_ref().is_some_and(|line| line.starts_with("ready")), "{line:?}");
    }
}

/// A node of ours under a watchdog.
async fn start(setup: &Setup, seeds: &[String]) -> Watched {
    assert!(!setup.tls, "the secret is enough here");
    let binary = tokio::task::spawn_blocking(binary).await.unwrap();
    let mut command = Command::new(binary);
    command.args(["run", "--watchdog", "norc", "1", "nodeid", "ours", "binds", "127.0.0.1:0"]);
    command.args(["secret", SECRET, "seeds", &seeds.join(",")]);
    Watched::of(command).await
}

/// A Perl node under Perl's watchdog, as Perl's tool starts it.
async fn watched_perl(config: &Json) -> Watched {
    let code = "use EV; use JSON::XS; use POSIX (); use AnyEvent::Watchdog::Util; AnyEvent::Watchdog::Util::autorestart (1); \
        use AnyEvent::MP; configure %{ decode_json $ARGV[0] }; $| = 1; print qq{ready\n}; EV::run";
    let mut command = Command::new("perl");
    command.args(["-MAnyEvent::Watchdog", "-e", code, &config.to_string()]);
    command.env("PERL5LIB", library().unwrap()).env("PERL_ANYEVENT_MP_RC", "/dev/null");
    Watched::of(command).await
}
