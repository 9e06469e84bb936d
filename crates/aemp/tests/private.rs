//! Nodes that nobody can dial talk to each other through a node that both are connected to.

#![allow(clippy::unwrap_used)] // a test may

mod support;

use std::time::Duration;

use aemp::{Builder, Context, Node, PortId, Reason, RelayLimits, ReplyTo, Route};
use support::judge::{Judge, sender};
use support::raw::{Raw, SECRET};
use support::{LIMIT, builder, in_both_modes, soon};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};

/// So little that hundreds of messages take many rounds.
fn small() -> RelayLimits {
    RelayLimits::default().connections(64).of_one_node(16).window(2048).idle(Duration::from_secs(60))
}

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(test);
}

fn seed(mode: bool, id: &str) -> Builder {
    builder(mode).id(id).bind("127.0.0.1:0").secret("s").global(true).relay_limits(small())
}

/// A node that listens nowhere and knows these seeds by their addresses.
async fn private(mode: bool, id: &str, seeds: &[&str]) -> Node {
    let node = builder(mode).id(id).secret("s").function("test::echo", |cx: &mut Context<'_>, (to,)| {
        let to: PortId = to;
        cx.receive(move |cx, (n,): (u64,)| cx.send(&to, (n,)));
        Ok::<(), Reason>(())
    });
    seeds.iter().fold(node, |node, seed| node.seed(*seed)).start().await.unwrap()
}

/// Waits until it is known how this node can be reached.
async fn known(node: &Node, other: &Node) {
    let mut routes = node.db().watch("'x");
    soon("the way", async {
        while !routes.next().await.unwrap().content.contains_key(other.id().as_str()) {}
    })
    .await;
}

async fn down(node: &Node, other: &Node) {
    let mut events = node.node_events();
    soon("the loss", async {
        while node.connected_nodes().contains(other.id()) {
            events.next().await.unwrap();
        }
    })
    .await;
}

fn counting(node: &Node) -> (PortId, mpsc::UnboundedReceiver<u64>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let port = node.port(move |_: &mut Context<'_>, (n,): (u64,)| sender.send(n).unwrap());
    (port.into(), receiver)
}

/// A seed that carries, and two nodes that can reach nobody else.
async fn three(mode: bool) -> (Node, Node, Node) {
    let seed = seed(mode, "seed").start().await.unwrap();
    let a = private(mode, "a", &[&seed.local_addrs()[0].to_string()]).await;
    let b = private(mode, "b", &[&seed.local_addrs()[0].to_string()]).await;
    known(&a, &b).await;
    known(&b, &a).await;
    (seed, a, b)
}

#[test]
fn everything_that_works_between_nodes_works_between_private_ones() {
    in_both_modes(async |mode| {
        let (seed, a, b) = three(mode).await;
        let adder =
            b.port(|cx: &mut Context<'_>, (x, y, reply): (i64, i64, ReplyTo<i64>)| cx.reply(reply, x + y));
        let sum = a.call(&adder, LIMIT, |reply: ReplyTo<i64>| (20, 22, reply)).await.unwrap();
        assert_eq!(sum, 42);
        for (node, other) in [(&a, &b), (&b, &a)] {
            assert_eq!(node.route(other.id()), Some(Route::Through(seed.id().clone())));
            assert_eq!(node.route(seed.id()), Some(Route::Direct));
        }
        assert_eq!(seed.relayed_connections(), 1);
        let (port, mut received) = counting(&a);
        let echo = b.spawn(a.id(), "test::echo", (&port,)).unwrap();
        let death = b.exited(&echo);
        b.send(&echo, (7,)).unwrap();
        assert_eq!(soon("the echo", received.recv()).await, Some(7));
        b.kill(&echo, Reason::text("enough", "of it"));
        assert_eq!(soon("the death", death).await.identifier().as_deref(), Some("enough"));
        let missing = a.exited(&b.id().named("nothing"));
        assert_eq!(soon("the answer", missing).await.identifier().as_deref(), Some("no_such_port"));
        let (here, there) = (a.exited(&adder), b.exited(&port));
        b.shutdown().await;
        assert_eq!(soon("the fire", here).await.identifier().as_deref(), Some("transport_error"));
        assert_eq!(soon("the fire", there).await.identifier().as_deref(), Some("transport_error"));
        down(&a, &b).await;
        soon("the end of what is carried", async {
            while seed.relayed_connections() > 0 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        a.shutdown().await;
        seed.shutdown().await;
    });
}

#[test]
fn many_messages_arrive_in_order_through_a_small_window() {
    run(async {
        let (seed, a, b) = three(false).await;
        let (here, mut at_a) = counting(&a);
        let (there, mut at_b) = counting(&b);
        const MANY: u64 = 100_000;
        for n in 0..MANY {
            a.send(&there, (n,)).unwrap();
            b.send(&here, (n,)).unwrap();
        }
        for n in 0..MANY {
            assert_eq!(soon("a message", at_b.recv()).await, Some(n));
            assert_eq!(soon("a message", at_a.recv()).await, Some(n));
        }
        assert_eq!(a.route(b.id()), Some(Route::Through(seed.id().clone())));
    });
}

#[test]
fn two_that_want_each_other_at_once_lose_nothing() {
    run(async {
        for _ in 0..20 {
            let (_seed, a, b) = three(false).await;
            let (here, mut at_a) = counting(&a);
            let (there, mut at_b) = counting(&b);
            let (fire_a, fire_b) = (a.exited(&there), b.exited(&here));
            for n in 0..10 {
                a.send(&there, (n,)).unwrap();
                b.send(&here, (n,)).unwrap();
            }
            for n in 0..10 {
                assert_eq!(soon("a message", at_a.recv()).await, Some(n));
                assert_eq!(soon("a message", at_b.recv()).await, Some(n));
            }
            a.kill(&here, Reason::NORMAL);
            b.kill(&there, Reason::NORMAL);
            assert!(soon("the death", fire_a).await.is_normal());
            assert!(soon("the death", fire_b).await.is_normal());
        }
    });
}

/// A seed in a runtime of its own, which can be ended without a word.
fn doomed(id: &'static str, other: Option<String>) -> (tokio::runtime::Runtime, String) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (sender, address) = std::sync::mpsc::channel();
    runtime.spawn(async move {
        let node = other.into_iter().fold(seed(false, id), Builder::seed).start().await.unwrap();
        sender.send(node.local_addrs()[0].to_string()).unwrap();
        std::future::pending::<()>().await;
    });
    (runtime, address.recv().unwrap())
}

#[test]
fn a_relay_that_dies_under_load_is_told_and_another_one_takes_its_place() {
    let first = doomed("first", None);
    let second = doomed("second", Some(first.1.clone()));
    run(async {
        let seeds = [&first.1[..], &second.1[..]];
        let (a, b) = (private(false, "a", &seeds).await, private(false, "b", &seeds).await);
        known(&a, &b).await;
        known(&b, &a).await;
        let (here, there) = (Judge::new(&a), Judge::new(&b));
        let senders = [sender(&a, &there.port), sender(&b, &here.port)];
        let arrive = async { tokio::join!(here.more(500), there.more(500)) };
        soon("messages in both directions", arrive).await;
        let Some(Route::Through(via)) = a.route(b.id()) else { panic!("{:?}", a.route(b.id())) };
        let (dead, living) = match via.as_str() {
            "first" => (first.0, second.0),
            _ => (second.0, first.0),
        };
        dead.shutdown_background();
        for (_, fires) in &senders {
            let mut fires = fires.clone();
            soon("the fires", fires.wait_for(|fires| *fires >= 1)).await.unwrap();
        }
        let again = async { tokio::join!(here.more(500), there.more(500)) };
        soon("messages again", again).await;
        let Some(Route::Through(other)) = a.route(b.id()) else { panic!("{:?}", a.route(b.id())) };
        assert_ne!(other, via);
        here.assert_right();
        there.assert_right();
        living.shutdown_background();
    });
}

/// Forwards connections to `target`, and nothing while `open` is false: its sockets fill.
async fn valve(target: String, open: watch::Receiver<bool>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let far = TcpStream::connect(&target).await.unwrap();
            let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
            tokio::spawn(copy(near_in, far_out, open.clone()));
            tokio::spawn(copy(far_in, near_out, open.clone()));
        }
    });
    address
}

async fn copy(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    mut open: watch::Receiver<bool>,
) {
    let mut buffer = vec![0; 4096];
    while let Ok(n @ 1..) = from.read(&mut buffer).await {
        if open.wait_for(|open| *open).await.is_err() || to.write_all(&buffer[..n]).await.is_err() {
            return;
        }
    }
}

#[test]
fn a_slow_receiver_holds_up_nobody_else() {
    run(async {
        let seed = seed(false, "seed").start().await.unwrap();
        let address = seed.local_addrs()[0].to_string();
        let (opened, open) = watch::channel(true);
        let slow = private(false, "slow", &[&valve(address.clone(), open).await]).await;
        let (a, c) = (private(false, "a", &[&address]).await, private(false, "c", &[&address]).await);
        known(&a, &slow).await;
        known(&a, &c).await;
        let (far, mut at_slow) = counting(&slow);
        let (near, mut at_c) = counting(&c);
        let (own, mut at_seed) = counting(&seed);
        a.send(&far, (0,)).unwrap();
        assert_eq!(soon("a message", at_slow.recv()).await, Some(0));
        let fire = a.exited(&far);
        opened.send(false).unwrap();
        for n in 1..50_000 {
            a.send(&far, (n,)).unwrap();
        }
        for n in 0..1000 {
            a.send(&near, (n,)).unwrap();
            a.send(&own, (n,)).unwrap();
            assert_eq!(soon("a message to another one", at_c.recv()).await, Some(n));
            assert_eq!(soon("a message to the carrier", at_seed.recv()).await, Some(n));
        }
        assert!(at_slow.try_recv().is_err());
        opened.send(true).unwrap();
        for n in 1..50_000 {
            assert_eq!(soon("a late message", at_slow.recv()).await, Some(n));
        }
        slow.kill(&far, Reason::NORMAL);
        assert!(soon("the death", fire).await.is_normal(), "slowness is no loss");
    });
}

/// Reads what a node sends until these words are in it.
async fn until(raw: &mut Raw, words: &str) {
    let mut seen = Vec::new();
    soon(words, async {
        while !String::from_utf8_lossy(&seen).contains(words) {
            seen.push(raw.reader.read_u8().await.unwrap());
        }
    })
    .await;
}

#[test]
fn a_hostile_member_disturbs_no_connection_but_its_own() {
    run(async {
        let base = |id: &str| builder(false).id(id).secret(SECRET);
        let seed = base("seed").bind("127.0.0.1:0").global(true).relay_limits(small()).start().await.unwrap();
        let address = seed.local_addrs()[0].to_string();
        let a = base("a").seed(address.clone()).start().await.unwrap();
        let b = base("b").seed(address).start().await.unwrap();
        known(&a, &b).await;
        let (port, mut received) = counting(&b);
        a.send(&port, (0,)).unwrap();
        assert_eq!(soon("a message", received.recv()).await, Some(0));
        let fire = a.exited(&port);
        let mut evil = Raw::connect(&seed).await;
        evil.authenticate(
            "aemp;1;evil;hmac_sha3_512;json;role=c;inc=00000000000000000000000000000001;caps=carry",
            "json",
        )
        .await;
        until(&mut evil, "hmac_sha3_512;").await;
        for number in (-40..40).chain([i64::MIN, i64::MAX]) {
            evil.send(format!(r#"["","x_data",{number},"evil"]["","x_ack",{number},99]"#)).await;
            evil.send(format!(r#"["","x_end",{number},"evil"]["","x_ack",{number},-1]"#)).await;
        }
        evil.send(r#"["","x_data"]["","x_dial",1,"a#b"]["","x_dial",-1,"a"]["","x_data",{},[]]"#).await;
        // Nobody is there, itself, and the relay.
        for (number, to) in [(1001, "nobody"), (1002, "evil"), (1003, "seed")] {
            evil.send(format!(r#"["","x_dial",{number},"{to}"]"#)).await;
            until(&mut evil, &format!(r#""x_end",-{number}"#)).await;
        }
        // More than the window has room for.
        evil.send(r#"["","x_dial",2000,"a"]"#).await;
        until(&mut evil, r#""x_ack",-2000"#).await;
        let piece = "x".repeat(1000);
        evil.send(format!(r#"["","x_data",2000,"{piece}"]"#).repeat(3)).await;
        until(&mut evil, r#""x_end",-2000"#).await;
        // A connection to the relay itself, to which it is the other end: no greeting, no proof.
        evil.send(r#"["","x_call",3000,"b"]["","x_ack",3000,2048]["","x_data",3000,"GET / HTTP/1.1\n"]"#)
            .await;
        until(&mut evil, r#""x_end",-3000"#).await;
        // As many as it may have, and no more.
        for number in 4000..4017 {
            evil.send(format!(r#"["","x_dial",{number},"a"]"#)).await;
        }
        until(&mut evil, r#""x_end",-4016"#).await;
        a.send(&port, (1,)).unwrap();
        assert_eq!(soon("a message", received.recv()).await, Some(1));
        assert_eq!(a.route(b.id()), Some(Route::Through(seed.id().clone())));
        drop(evil);
        soon("the end of what it had", async {
            while seed.relayed_connections() > 1 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        b.kill(&port, Reason::NORMAL);
        assert!(soon("the death", fire).await.is_normal());
        assert_eq!(a.connected_nodes().len() + b.connected_nodes().len(), 4);
    });
}

#[test]
fn without_a_relay_they_are_out_of_reach() {
    run(async {
        let seed = seed(false, "seed").relay(false).start().await.unwrap();
        let limit = Duration::from_secs(1);
        let start = async |id: &str| {
            let node = builder(false).id(id).secret("s").seed(seed.local_addrs()[0]);
            node.connect_interval(limit).start().await.unwrap()
        };
        let (a, b) = (start("a").await, start("b").await);
        let port = b.port(|_: &mut Context<'_>, (): ()| {});
        b.db().register("ports", &port).unwrap();
        let found = soon("the port", a.db().any("ports")).await.unwrap();
        let reason = soon("the fire", a.exited(&found)).await;
        assert_eq!(reason.identifier().as_deref(), Some("transport_error"));
        assert!(reason.to_string().contains("no known address"), "{reason}");
    });
}

#[test]
fn with_certificates_the_ends_encrypt_what_is_relayed() {
    run(async {
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = rcgen::CertificateParams::new(Vec::new()).unwrap().self_signed(&key).unwrap();
        let bundle = format!("{}{}", key.serialize_pem(), certificate.pem());
        let with = |id: &str| builder(false).id(id).certificate_pem(bundle.clone());
        let seed = with("seed").bind("127.0.0.1:0").global(true).start().await.unwrap();
        let a = with("a").seed(seed.local_addrs()[0]).start().await.unwrap();
        let b = with("b").seed(seed.local_addrs()[0]).start().await.unwrap();
        known(&a, &b).await;
        let echo = b.port(|cx: &mut Context<'_>, (n, reply): (u64, ReplyTo<u64>)| cx.reply(reply, n));
        assert_eq!(a.call(&echo, LIMIT, |reply: ReplyTo<u64>| (7, reply)).await.unwrap(), 7);
        assert_eq!(a.route(b.id()), Some(Route::Through(seed.id().clone())));
    });
}
