//! The orderly end of a node: what was sent before is delivered, and what is not is reported.

#![allow(clippy::unwrap_used)] // a test may

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use aemp::{AnyMessage, Builder, Context, Framing, Node, NodeId, PortId, Reason, Route, ShutdownReport};
use support::{LIMIT, builder, in_both_modes, soon, up};
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::watch;

/// A port that counts what it gets.
fn counting(node: &Node) -> (PortId, watch::Receiver<u64>) {
    let (sender, receiver) = watch::channel(0);
    let port =
        node.port(move |_: &mut Context<'_>, (_text,): (String,)| sender.send_modify(|count| *count += 1));
    (port.to_string().parse().unwrap(), receiver)
}

async fn reaches(counted: &mut watch::Receiver<u64>, count: u64) {
    soon("the last message", counted.wait_for(|seen| *seen >= count)).await.unwrap();
}

fn certificate() -> String {
    let own = rcgen::generate_simple_self_signed(vec!["x".into()]).unwrap();
    own.signing_key.serialize_pem() + &own.cert.pem()
}

/// The place of JSON among the setups.
const JSON: usize = 2;

/// What connections of nodes are made of: each framing, and TLS.
fn setups() -> Vec<Box<dyn Fn(Builder) -> Builder>> {
    let pem = certificate();
    let framed = |framing| move |builder: Builder| builder.secret("s").framings([framing]);
    vec![
        Box::new(framed(Framing::Native)),
        Box::new(framed(Framing::Cbor)),
        Box::new(framed(Framing::Json)),
        Box::new(move |builder| builder.certificate_pem(pem.clone())),
    ]
}

#[test]
fn what_waits_for_its_first_connection_is_delivered() {
    in_both_modes(async |mode| {
        for with in setups() {
            let far = with(builder(mode).id("far").bind("127.0.0.1:0")).start().await.unwrap();
            let (port, mut counted) = counting(&far);
            let node = with(builder(mode).seed(far.local_addrs()[0])).start().await.unwrap();
            for _ in 0..3 {
                node.send(&port, ("hello",)).unwrap();
            }
            assert_eq!(soon("the end", node.shutdown()).await, ShutdownReport::default());
            reaches(&mut counted, 3).await;
            far.shutdown().await;
        }
    });
}

#[test]
fn what_is_queued_is_delivered_while_the_other_side_sends_too() {
    const COUNT: u64 = 5_000;
    in_both_modes(async |mode| {
        for (number, with) in setups().into_iter().enumerate() {
            let far = with(builder(mode).id("far").bind("127.0.0.1:0")).start().await.unwrap();
            let (port, mut counted) = counting(&far);
            let node = with(builder(mode).seed(far.local_addrs()[0])).start().await.unwrap();
            up(&node, far.id()).await;
            let (back, _) = counting(&node);
            let stop = Arc::new(AtomicBool::new(false));
            let noise = std::thread::spawn({
                let (far, stop, runtime) = (far.clone(), stop.clone(), Handle::current());
                move || {
                    let text = "y".repeat(2000);
                    // More than a socket takes. Reading so much JSON would take its time.
                    let rounds = if number == JSON { 50 } else { 2000 };
                    for _ in (0..rounds).take_while(|_| !stop.load(Ordering::Relaxed)) {
                        for _ in 0..20 {
                            far.send(&back, (&text,)).unwrap();
                        }
                        // What is beyond the limit of an outbox would be a loss of its own.
                        runtime.block_on(far.ready(&back));
                    }
                }
            });
            let text = "x".repeat(500);
            for _ in 0..COUNT {
                node.send(&port, (&text,)).unwrap();
            }
            let report = soon("the end", node.shutdown_within(LIMIT / 2)).await;
            stop.store(true, Ordering::Relaxed);
            noise.join().unwrap();
            assert_eq!(report, ShutdownReport::default());
            reaches(&mut counted, COUNT).await;
            far.shutdown().await;
        }
    });
}

#[test]
fn large_messages_and_relayed_ones_are_delivered() {
    in_both_modes(async |mode| {
        for (number, with) in setups().into_iter().enumerate() {
            let seed = with(builder(mode).id("seed").bind("127.0.0.1:0").global(true)).start().await.unwrap();
            let join =
                async |id| with(builder(mode).id(id).seed(seed.local_addrs()[0])).start().await.unwrap();
            let (a, b) = (join("a").await, join("b").await);
            let mut routes = a.db().watch("'x");
            soon("the way", async { while !routes.next().await.unwrap().content.contains_key("b") {} }).await;
            let (port, mut counted) = counting(&b);
            let (near, mut counted_near) = counting(&seed);
            // From 2 MiB on it goes in parts; JSON within JSON would take its time.
            let large = "x".repeat(if number == JSON { 300 << 10 } else { 2 << 20 });
            for _ in 0..2 {
                for port in [&port, &near] {
                    a.send(port, (&large,)).unwrap();
                    a.send(port, ("small",)).unwrap();
                }
            }
            assert_eq!(soon("the end", a.shutdown_within(LIMIT / 2)).await, ShutdownReport::default());
            reaches(&mut counted, 4).await;
            reaches(&mut counted_near, 4).await;
            assert!(matches!(b.route(a.id()), None | Some(Route::Through(_))));
            b.shutdown().await;
            seed.shutdown().await;
        }
    });
}

#[test]
fn two_nodes_that_end_at_the_same_time_get_what_the_other_sent() {
    in_both_modes(async |mode| {
        for with in setups() {
            let far = with(builder(mode).id("far").bind("127.0.0.1:0")).start().await.unwrap();
            let node = with(builder(mode).seed(far.local_addrs()[0])).start().await.unwrap();
            up(&node, far.id()).await;
            up(&far, node.id()).await;
            let ((there, mut counted_there), (here, mut counted_here)) = (counting(&far), counting(&node));
            for _ in 0..100 {
                node.send(&there, ("there",)).unwrap();
                far.send(&here, ("here",)).unwrap();
            }
            let (one, other) = tokio::join!(node.shutdown(), far.shutdown());
            // Anyone who is told that everything arrived can rely on it.
            if one.is_complete() {
                reaches(&mut counted_there, 100).await;
            }
            if other.is_complete() {
                reaches(&mut counted_here, 100).await;
            }
        }
    });
}

#[test]
fn what_cannot_be_delivered_is_reported_when_the_grace_is_over() {
    in_both_modes(async |mode| {
        // It accepts connections, and says nothing.
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let seed = silent.local_addr().unwrap().to_string();
        let node = builder(mode).secret("s").seed(seed).start().await.unwrap();
        let far = NodeId::new("far").unwrap();
        node.send(&far.named("port"), ("lost",)).unwrap();
        let death = node.exited(&far.named("port"));
        let report = soon("the end", node.shutdown_within(Duration::from_millis(100))).await;
        let undelivered: Vec<&NodeId> = report.undelivered.iter().map(|lost| &lost.node).collect();
        assert_eq!(undelivered, [&far]);
        assert!(!report.is_complete());
        soon("the fire", death).await;
        // What nobody waits for costs nothing.
        let idle = builder(mode).secret("s").seed(silent.local_addr().unwrap().to_string());
        let idle = idle.start().await.unwrap();
        assert_eq!(soon("the end", idle.shutdown()).await, ShutdownReport::default());
    });
}

#[test]
fn everybody_who_ends_a_node_gets_the_report() {
    in_both_modes(async |mode| {
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let seed = silent.local_addr().unwrap().to_string();
        let node = builder(mode).secret("s").seed(seed).start().await.unwrap();
        let far = NodeId::new("far").unwrap();
        node.send(&far.named("port"), ("lost",)).unwrap();
        let grace = Duration::from_millis(100);
        let (one, other) = tokio::join!(node.shutdown_within(grace), node.shutdown_within(grace));
        assert_eq!(one, other);
        assert_eq!(one.undelivered.len(), 1);
        assert!(node.shutdown().await.is_complete());
    });
}

#[test]
fn messages_that_arrive_while_a_node_ends_are_delivered_to_ports_that_live() {
    in_both_modes(async |mode| {
        let far = builder(mode).id("far").secret("s").bind("127.0.0.1:0").start().await.unwrap();
        let node = builder(mode).secret("s").seed(far.local_addrs()[0]).start().await.unwrap();
        up(&far, node.id()).await;
        let seen = Arc::new(AtomicU64::new(0));
        let counts = seen.clone();
        let port = node.port(move |_: &mut Context<'_>, (n,): (u64,)| {
            // No hole: what comes is what was sent, from the first on.
            assert_eq!(n, counts.fetch_add(1, Ordering::Relaxed));
        });
        let death = far.exited(&port.to_string().parse().unwrap());
        for n in 0..1000_u64 {
            far.send(&port, (n,)).unwrap();
        }
        node.shutdown().await;
        soon("the news", death).await;
        far.shutdown().await;
    });
}

/// What `aemp restart` of AnyEvent::MP has a node evaluate.
const PERL_RESTART: &str = "my $w; $w = AE::idle sub { undef $w; use AnyEvent::Watchdog::Util ();\
    AnyEvent::Watchdog::Util::restart}; ()";

#[test]
fn a_node_answers_before_it_is_started_again() {
    in_both_modes(async |mode| {
        let asking = builder(mode).id("asking").bind("127.0.0.1:0").secret("s").start().await.unwrap();
        let (sender, mut told) = tokio::sync::mpsc::unbounded_channel();
        let inbox = asking.port(move |_: &mut Context<'_>, (word,): (String,)| sender.send(word).unwrap());
        let ends = inbox.clone();
        let asked = builder(mode)
            .id("asked")
            .secret("s")
            .seed(asking.local_addrs()[0])
            .function("AnyEvent::Watchdog::Util::restart", move |cx: &mut Context<'_>, _: AnyMessage| {
                cx.send(&ends, ("the end",));
                cx.end(Reason::NORMAL);
                Ok::<(), Reason>(())
            })
            .start()
            .await
            .unwrap();
        up(&asking, asked.id()).await;
        for _ in 0..100 {
            asking.send(&asked.id().control_port(), ("eval", PERL_RESTART, inbox.clone())).unwrap();
            assert_eq!(soon("the answer", told.recv()).await, Some(String::new()));
            assert_eq!(soon("the end", told.recv()).await, Some("the end".into()));
        }
    });
}

#[test]
fn a_node_that_is_to_close_on_drop_delivers_and_ends_and_a_kept_one_lives() {
    in_both_modes(|mode| async move {
        let far = builder(mode).id("far").secret("s").bind("127.0.0.1:0").start().await.unwrap();
        let seed = far.local_addrs()[0].to_string();
        let (told, seen) = tokio::sync::oneshot::channel();
        let mut told = Some(told);
        let port = far.port(move |_: &mut Context<'_>, (n,): (u64,)| {
            let _ = told.take().map(|told| told.send(n));
        });
        let near = builder(mode).id("near").secret("s").seed(seed).start().await.unwrap().close_on_drop();
        let copy = Node::clone(&near);
        let own = copy.port(|_: &mut Context<'_>, (): ()| {});
        let death = copy.exited(&own);
        // It still has to connect.
        near.send(port.port(), (7u64,)).unwrap();
        drop(near);
        assert_eq!(soon("the message", seen).await, Ok(7));
        soon("the end of its ports", death).await;
        // Nobody waits for it, and nothing is left to do.
        assert!(copy.shutdown().await.is_complete());

        let kept = far.close_on_drop().detach();
        let own = kept.port(|cx: &mut Context<'_>, (reply,): (aemp::ReplyTo<u8>,)| cx.reply(reply, 1));
        assert_eq!(kept.call(&own, LIMIT, |reply| (reply,)).await, Ok(1));
        kept.shutdown().await;
    });
}
