//! Nodes that are killed, silent or unwelcome, and two that connect to each other at once.

use std::process::Stdio;
use std::time::{Duration, Instant};

use aemp::{AnyMessage, Node, NodeEvent, NodeId, PortId, Value};
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::network::{Kind, LIMIT, Pair, SECRET, Setup, addresses, inbox, next, seeds, soon, up};
use crate::peer::Perl;
use crate::reserved::Reserved;

/// The limit of silence in these tests.
const SILENCE: Duration = Duration::from_secs(4);

pub(crate) async fn perl_killed_and_restarted(setup: Setup) {
    let reserved = Reserved::new();
    let address = reserved.address();
    let mut config = setup.perl("perl", &[]);
    config["binds"] = json!([address]);
    let builder = setup.rust("rust");
    let rust = match setup.seed {
        Kind::Perl => builder.seed(address).start().await.unwrap(),
        Kind::Rust => builder.start().await.unwrap(),
    };
    if setup.seed == Kind::Rust {
        config["seeds"] = json!(addresses(&rust));
    }
    let mut old: Option<PortId> = None;
    for _ in 0..3 {
        let mut perl = Perl::start(config.clone()).await;
        up(&rust, &perl.node).await;
        perl.up(rust.id()).await;
        let echo = perl.port("$echo = port; peval $echo, \\&echo; $echo").await;
        let answer: (u8,) = rust.call(&echo, LIMIT, |reply| (7, reply)).await.unwrap();
        assert_eq!(answer.0, 7);
        if let Some(old) = old {
            let reason = soon("the answer", rust.exited(&old)).await;
            assert_eq!(reason.identifier().as_deref(), Some("no_such_port"));
        }
        let (death, node_death) = (rust.exited(&echo), rust.exited(&perl.node.control_port()));
        let mut events = rust.node_events();
        let killed = Instant::now();
        perl.kill().await;
        let reason = soon("the fire", death).await;
        assert!(killed.elapsed() < Duration::from_secs(1), "noticed after {:?}", killed.elapsed());
        assert_eq!(reason.identifier().as_deref(), Some("transport_error"), "{reason}");
        assert_eq!(reason.values()[1].to_name().as_deref(), Some("perl"));
        soon("the node's fire", node_death).await;
        assert!(matches!(soon("the event", events.next()).await, Some(NodeEvent::Down(..))));
        old = Some(echo);
    }
    rust.shutdown().await;
}

/// A Rust node in a process of its own, and its port.
async fn rust_process(address: &str, seeds: &[String]) -> (Child, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_aemp-interop"))
        .args(["rust", address, SECRET])
        .args(seeds)
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let ready = soon("the node", lines.next_line()).await.unwrap().expect("it says that it is ready");
    let port = ready.split(' ').nth(1).unwrap().to_string();
    (child, port)
}

pub(crate) async fn rust_killed_and_restarted(setup: Setup) {
    let reserved = Reserved::new();
    let address = reserved.address();
    let node = NodeId::new("rust").unwrap();
    let known = if setup.seed == Kind::Rust { vec![address.clone()] } else { vec![] };
    let mut perl = Perl::start(setup.perl("perl", &known)).await;
    let known = if setup.seed == Kind::Perl { perl.binds.clone() } else { vec![] };
    let mut old: Option<String> = None;
    for round in 0..3 {
        let (mut child, port) = rust_process(&address, &known).await;
        perl.up(&node).await;
        perl.run(&format!("cal '{port}', {round}, sub {{ ev (answer => @_) }}, 10")).await;
        assert_eq!(perl.event("answer").await, [json!(round)]);
        if let Some(old) = old {
            perl.run(&format!("mon '{old}', sub {{ ev (old => @_) }}")).await;
            assert_eq!(perl.event("old").await[0], "no_such_port");
        }
        perl.run(&format!("mon '{port}', sub {{ ev (fired => @_) }}")).await;
        perl.reached(&node).await;
        child.kill().await.unwrap();
        let fired = perl.event("fired").await;
        assert_eq!((&fired[0], &fired[1]), (&json!("transport_error"), &json!("rust")));
        perl.down(&node).await;
        old = Some(port);
    }
    perl.finish().await;
}

pub(crate) async fn silence(setup: Setup) {
    let Pair { rust, mut perl, .. } = Pair::start_with(setup, SILENCE).await;
    let port = perl.port("port { }").await;
    let echo = perl.port("$echo = port; peval $echo, \\&echo; $echo").await;
    let death = rust.exited(&port);
    let () = rust.call(&echo, LIMIT, |reply| (reply,)).await.unwrap();
    let mut events = rust.node_events();
    let stopped = Instant::now();
    perl.signal("-STOP").await;
    let reason = soon("the fire", death).await;
    let noticed = stopped.elapsed();
    assert_eq!(reason.identifier().as_deref(), Some("transport_error"), "{reason}");
    let within = SILENCE.mul_f64(0.75)..=SILENCE.mul_f64(1.05);
    assert!(within.contains(&noticed), "noticed after {noticed:?}");
    // First the monitors fire, then the node is down.
    let down = soon("the event", events.next()).await;
    assert!(matches!(down, Some(NodeEvent::Down(..))), "{down:?}");
    assert!(rust.connected_nodes().is_empty());
    // It lives on, and is found again.
    perl.signal("-CONT").await;
    perl.down(rust.id()).await;
    up(&rust, &perl.node).await;
    perl.up(rust.id()).await;
    let () = rust.call(&echo, LIMIT, |reply| (reply,)).await.unwrap();
    perl.finish().await;
    rust.shutdown().await;
}

pub(crate) async fn idleness(setup: Setup) {
    let Pair { rust, mut perl, .. } = Pair::start_with(setup, SILENCE).await;
    let port = perl.port("port { }").await;
    let death = rust.exited(&port);
    let given_up = timeout(SILENCE.mul_f64(2.5), death).await;
    assert!(given_up.is_err(), "an idle node was given up: {given_up:?}");
    perl.finish().await;
    rust.shutdown().await;
}

pub(crate) async fn wrong_secret(setup: Setup) {
    let mut config = setup.perl("perl", &[]);
    config["secret"] = "another secret".into();
    let builder = setup.rust("rust").connect_interval(Duration::from_secs(1));
    let (rust, mut perl) = match setup.seed {
        Kind::Rust => {
            let rust = builder.start().await.unwrap();
            config["seeds"] = json!(addresses(&rust));
            (rust, Perl::start(config).await)
        }
        Kind::Perl => {
            let perl = Perl::start(config).await;
            (seeds(builder, &perl.binds).start().await.unwrap(), perl)
        }
    };
    let reason = soon("the fire", rust.exited(&perl.node.named("port"))).await;
    assert_eq!(reason.identifier().as_deref(), Some("transport_error"), "{reason}");
    perl.run("mon 'rust#port', sub { ev (fired => @_) }").await;
    assert_eq!(perl.event("fired").await[0], "transport_error");
    assert!(rust.connected_nodes().is_empty());
    assert_eq!(perl.ask("up_nodes").await, [json!("perl")][..0]);
    perl.finish().await;
    rust.shutdown().await;
}

/// Waits until the network knows where these nodes listen.
async fn known(node: &Node, ids: &[&NodeId]) {
    let mut addresses = node.db().watch("'l");
    soon("the addresses", async {
        while let Some(change) = addresses.next().await {
            if ids.iter().all(|id| change.content.contains_key(id.as_str())) {
                return;
            }
        }
    })
    .await;
}

/// Messages that both send to each other before they are connected.
const BURST: u64 = 50;

pub(crate) async fn simultaneous_connect(setup: Setup) {
    let global = match setup.seed {
        Kind::Rust => Err(setup.rust("global").start().await.unwrap()),
        Kind::Perl => Ok(Perl::start(setup.perl("global", &[])).await),
    };
    let addresses = global.as_ref().map_or_else(addresses, |perl| perl.binds.clone());
    let mut perl = Perl::start(setup.perl("perl", &addresses)).await;
    perl.up(&NodeId::new("global").unwrap()).await;
    let sink = perl.port("port { ev (took => @_) }").await;
    for round in 0..10 {
        let rust = seeds(setup.rust(&format!("rust{round}")), &addresses).start().await.unwrap();
        up(&rust, &NodeId::new("global").unwrap()).await;
        // The master knows both: each finds the other's address there.
        known(&rust, &[rust.id(), &perl.node]).await;
        let (me, mut received) = inbox(&rust);
        let death = rust.exited(&sink);
        let burst = format!(
            "$fired = undef; $guard = mon '{me}', sub {{ $fired = 1 }}; snd '{me}', $_ for 0 .. {}",
            BURST - 1
        );
        perl.run(&burst).await;
        for n in 0..BURST {
            rust.send(&sink, (round, n)).unwrap();
        }
        // Both have got through by now, or their monitors have fired; what is sent from now on
        // arrives.
        up(&rust, &perl.node).await;
        perl.up(rust.id()).await;
        perl.run(&format!("snd '{me}', 'end'")).await;
        let mut numbers = Vec::new();
        loop {
            match next(&mut received).await.as_slice() {
                [Value::Int(n)] => numbers.push(u64::try_from(*n).unwrap()),
                [end] if end.to_name().as_deref() == Some("end") => break,
                other => panic!("{other:?}"),
            }
        }
        let fired = perl.ask("$fired").await[0] == 1;
        check_promise(&numbers, fired, "perl to rust");

        rust.send(&sink, (round, "end")).unwrap();
        let mut numbers = Vec::new();
        loop {
            let took = perl.event("took").await;
            assert_eq!(took[0], json!(round));
            match took[1].as_u64() {
                Some(n) => numbers.push(n),
                None => break,
            }
        }
        let fired = tokio::time::timeout(Duration::ZERO, death).await.is_ok();
        check_promise(&numbers, fired, "rust to perl");
        rust.shutdown().await;
        perl.down(rust.id()).await;
    }
    perl.finish().await;
    match global {
        Ok(perl) => perl.finish().await,
        Err(rust) => drop(rust.shutdown().await),
    }
}

/// Without a fire everything arrives; with one, what arrives before it and after it is without
/// holes.
fn check_promise(numbers: &[u64], fired: bool, route: &str) {
    if !fired {
        assert_eq!(numbers, (0..BURST).collect::<Vec<_>>(), "{route}: nothing may be lost without a fire");
    }
    let holes = numbers.windows(2).filter(|pair| pair[1] != pair[0] + 1).count();
    assert!(holes <= usize::from(fired), "{route}: {numbers:?}");
}

/// A node that ends in order is seen to go at once, by both kinds.
pub(crate) async fn orderly_end(pair: &mut Pair) {
    let Pair { setup, rust, perl } = pair;
    let addresses = if setup.seed == Kind::Rust { addresses(rust) } else { perl.binds.clone() };
    let third = seeds(setup.rust("third"), &addresses).start().await.unwrap();
    known(rust, &[third.id()]).await;
    let (port, _received) = inbox(&third);
    perl.run(&format!("mon '{port}', sub {{ ev (fired => @_) }}; snd '{port}', 'hello'")).await;
    perl.up(third.id()).await;
    perl.reached(third.id()).await;
    rust.send(&port, AnyMessage(vec![])).unwrap();
    third.shutdown().await;
    let fired = perl.event("fired").await;
    assert_eq!((&fired[0], &fired[1]), (&json!("transport_error"), &json!("third")));
    perl.down(third.id()).await;
}
