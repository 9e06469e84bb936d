//! The snapshot tells the truth: a scripted run gives exactly the counts at both ends.

#![allow(clippy::unwrap_used)] // a test may

mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use aemp::stats::{AskError, LostMessage, Stats, Traffic, VERSION};
use aemp::{AnyMessage, Context, Framing, Node, NodeEvent, PeerAddress, PortId, Reason, ReplyTo};
use support::reserved::Reserved;
use support::{LIMIT, builder, in_both_modes, soon, up};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// A seed, and a node that is connected to it.
async fn pair(mode: bool, framing: Framing) -> (Node, Node) {
    let node = |id: &str| builder(mode).id(id).secret("s").framings([framing]);
    let far = node("far").bind("127.0.0.1:0").start().await.unwrap();
    let near = node("near").seed(far.local_addrs()[0]).start().await.unwrap();
    up(&near, far.id()).await;
    up(&far, near.id()).await;
    (near, far)
}

/// What went from `from` to `to` since these snapshots, once both say the same, and it is at least
/// this number of messages.
async fn between(from: (&Node, &Stats), to: (&Node, &Stats), messages: u64) -> Traffic {
    let traffic = |stats: &Stats, peer: &Node, sent: bool| {
        let peer = stats.peers.get(peer.id().as_str()).cloned().unwrap_or_default();
        if sent { peer.sent } else { peer.received }
    };
    let less = |now: Traffic, before: Traffic| {
        let mut traffic = now;
        traffic.bytes -= before.bytes;
        traffic.messages -= before.messages;
        traffic.requests -= before.requests;
        traffic
    };
    soon("the same counts at both ends", async {
        loop {
            let sent = traffic(&from.0.stats().await, to.0, true);
            let received = traffic(&to.0.stats().await, from.0, false);
            let now = less(sent, traffic(from.1, to.0, true));
            if sent == received && now.messages >= messages {
                return now;
            }
            tokio::task::yield_now().await;
        }
    })
    .await
}

/// Forwards one connection to `target`; while `stalled` says so, nothing is read of the dialler.
async fn stalling(target: String, stalled: watch::Receiver<bool>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        let (near, _) = listener.accept().await.unwrap();
        let far = TcpStream::connect(target).await.unwrap();
        let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
        let (_always, never) = watch::channel(false);
        tokio::join!(copy(near_in, far_out, stalled), copy(far_in, near_out, never));
    });
    address
}

async fn copy(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut stalled: watch::Receiver<bool>) {
    let mut buffer = vec![0; 64 << 10];
    loop {
        // An error says that nobody stalls it any more.
        let _ = stalled.wait_for(|stalled| !stalled).await;
        match from.read(&mut buffer).await {
            Ok(n @ 1..) if to.write_all(&buffer[..n]).await.is_ok() => {}
            _ => return,
        }
    }
}

/// Kills a port of another node, and waits until it is dead.
async fn kill(node: &Node, port: &PortId, reason: Reason) {
    let dead = node.exited(port);
    node.kill(port, reason.clone());
    assert_eq!(soon("the death", dead).await.to_string(), reason.to_string());
}

/// Runs a script between two connected nodes, of which the second one is called `far`, and compares
/// what they count.
async fn counts_are_exact(near: Node, far: Node, connection: (Framing, bool, Option<&str>)) {
    let (framing, tls, relay) = connection;
    let sink = far.port(|_: &mut Context<'_>, _: (String, u64)| {});
    let victims = [(); 3].map(|()| far.port(|_: &mut Context<'_>, _: (String, u64)| {}));
    let (before, there) = (near.stats().await, far.stats().await);
    (0..1000).for_each(|n| near.send(&sink, ("work", n)).unwrap());
    for victim in &victims {
        kill(&near, victim, Reason::text("bored", "of it")).await;
    }
    near.send(&victims[0], ("late", 1)).unwrap();
    near.send(&victims[1], ("later", 2)).unwrap();
    assert_eq!(between((&near, &before), (&far, &there), 1002).await.messages, 1002);
    let back = between((&far, &there), (&near, &before), 0).await;
    assert_eq!(back.messages, 0);
    assert!(back.requests >= 3 && back.bytes > 0, "the deaths: {back:?}");

    let stats = soon("the last messages", async {
        loop {
            let stats = far.stats().await;
            if stats.undeliverable.contains_key("no_such_port") {
                return stats;
            }
        }
    })
    .await;
    assert_eq!((stats.version, &*stats.node), (VERSION, "far"));
    assert_eq!(stats.kills, BTreeMap::from([("bored".to_string(), 3)]));
    assert_eq!(stats.undeliverable, BTreeMap::from([("no_such_port".to_string(), 2)]));
    assert_eq!(there.ports - stats.ports, 3);
    let lost = far.lost_messages();
    let seen: Vec<_> = lost.iter().map(|lost| (&*lost.port, lost.tag.as_deref(), &*lost.reason)).collect();
    let names = [victims[0].to_string(), victims[1].to_string()];
    assert_eq!(
        seen,
        [(&*names[0], Some("late"), "no_such_port"), (&*names[1], Some("later"), "no_such_port")]
    );
    assert!(lost.iter().all(|lost| lost.time <= stats.time && lost.time > stats.time - 60.0));

    let (peer, before) = (&stats.peers["near"], &there.peers["near"]);
    let connection = peer.connection.as_ref().unwrap();
    assert_eq!((&connection.framing, connection.tls), (&framing.to_string(), tls));
    assert_eq!(connection.relay.as_deref(), relay);
    assert_eq!((peer.connects, peer.breaks.len(), peer.lost), (1, 0, 0));
    let mut events = far.node_events();
    let id = near.id().clone();
    near.shutdown().await;
    while !matches!(soon("the end", events.next()).await.unwrap(), NodeEvent::Down(node, _) if node == id) {}
    let peer = far.stats().await.peers["near"].clone();
    let cause = if framing == Framing::Native { "shut_down" } else { "closed" };
    assert_eq!(peer.breaks, BTreeMap::from([(cause.to_string(), 1)]));
    assert_eq!((peer.connection, peer.received.messages - before.received.messages), (None, 1002));
    far.shutdown().await;
}

#[test]
fn a_scripted_run_is_counted_exactly_at_both_ends() {
    for framing in Framing::ALL {
        in_both_modes(async |mode| {
            let (near, far) = pair(mode, framing).await;
            counts_are_exact(near, far, (framing, false, None)).await;
        });
    }
}

#[cfg(feature = "tls")]
#[test]
fn a_scripted_run_is_counted_exactly_over_tls() {
    let own = rcgen::generate_simple_self_signed(vec!["x".into()]).unwrap();
    let pem = own.signing_key.serialize_pem() + &own.cert.pem();
    for framing in Framing::ALL {
        in_both_modes(async |mode| {
            let node = |id: &str| builder(mode).id(id).certificate_pem(pem.as_str()).framings([framing]);
            let far = node("far").bind("127.0.0.1:0").start().await.unwrap();
            let near = node("near").seed(far.local_addrs()[0]).start().await.unwrap();
            up(&near, far.id()).await;
            up(&far, near.id()).await;
            counts_are_exact(near, far, (framing, true, None)).await;
        });
    }
}

#[test]
fn a_scripted_run_is_counted_exactly_through_a_relay() {
    in_both_modes(async |mode| {
        let node = |id: &str| builder(mode).id(id).secret("s");
        let relay = node("relay").bind("127.0.0.1:0").global(true).start().await.unwrap();
        let [near, far] = ["near", "far"].map(|id| node(id).seed(relay.local_addrs()[0]).start());
        let (near, far) = (near.await.unwrap(), far.await.unwrap());
        let echo = far.port(|cx: &mut Context<'_>, (reply,): (ReplyTo<()>,)| cx.reply(reply, ()));
        let mut routes = near.db().watch("'x");
        soon("the route", async { while !routes.next().await.unwrap().content.contains_key("far") {} }).await;
        near.call(&echo, LIMIT, |reply: ReplyTo<()>| (reply,)).await.unwrap();
        far.kill(&echo, Reason::NORMAL);
        // What belongs to the question has been counted.
        let nothing = (Stats::default(), Stats::default());
        between((&near, &nothing.0), (&far, &nothing.1), 1).await;
        between((&far, &nothing.1), (&near, &nothing.0), 1).await;
        counts_are_exact(near, far, (Framing::Native, false, Some("relay"))).await;
        relay.shutdown().await;
    });
}

#[test]
fn what_waited_for_a_node_that_cannot_be_reached_is_counted_as_lost() {
    in_both_modes(async |mode| {
        // Its seed may still tell of the node that is sent to, so that is waited for.
        let nobody = Reserved::new();
        let alone = builder(mode).id("alone").secret("s").seed(nobody.address());
        let node = alone.monitor_timeout(Duration::from_secs(2)).start().await.unwrap();
        let port: PortId = "nowhere#port".parse().unwrap();
        let dead = node.exited(&port);
        (0..10).for_each(|n| node.send(&port, ("work", n)).unwrap());
        assert_eq!(soon("the loss", dead).await.identifier().as_deref(), Some("transport_error"));
        let stats = node.stats().await;
        let peer = &stats.peers["nowhere"];
        // The monitor is a request.
        assert_eq!((peer.lost, peer.sent, peer.connects), (11, Traffic::default(), 0));
        assert_eq!(peer.breaks, BTreeMap::from([("unreachable".to_string(), 1)]));
        assert_eq!(stats.undeliverable, BTreeMap::from([("connection_lost".to_string(), 11)]));
        let lost = node.lost_messages();
        let work = |lost: &LostMessage| (lost.port == "nowhere#port") && lost.tag.as_deref() == Some("work");
        assert!(lost.len() == 10 && lost.iter().all(work), "{lost:?}");
        node.shutdown().await;
    });
}

#[test]
fn a_message_that_never_had_a_wire_form_is_named_by_its_type() {
    in_both_modes(async |mode| {
        let node = builder(mode).start().await.unwrap();
        let port = node.port(|_: &mut Context<'_>, _: AnyMessage| {});
        kill(&node, &port, Reason::NORMAL).await;
        (0..150).for_each(|_| node.send(&port, AnyMessage(Vec::new())).unwrap());
        let stats = node.stats().await;
        assert_eq!((stats.undeliverable["no_such_port"], stats.kills.len()), (150, 0));
        let lost = node.lost_messages();
        assert_eq!(lost.len(), 100);
        assert!(lost.iter().all(|lost| lost.tag.as_deref().is_some_and(|tag| tag.ends_with("AnyMessage"))));
        node.shutdown().await;
    });
}

#[test]
fn another_node_tells_what_it_counts_and_of_its_ports_unless_it_is_secure() {
    in_both_modes(async |mode| {
        for secure in [false, true] {
            let far =
                builder(mode).id("far").secret("s").secure(secure).bind("127.0.0.1:0").start().await.unwrap();
            let near =
                builder(mode).client(true).secret("s").seed(far.local_addrs()[0]).start().await.unwrap();
            up(&near, far.id()).await;
            let family = far.db().set("family", "key", 1).unwrap();
            let port = far.port_async(|_| async { std::future::pending().await });
            far.send(&port, ("waits", "x".repeat(100))).unwrap();
            let stats = near.stats_of(far.id(), LIMIT).await.unwrap();
            assert_eq!(&*stats.node, "far");
            assert_eq!(stats.families["family"].entries, 1);
            assert_eq!(stats.mailboxes.largest.as_ref().unwrap().port, port.to_string());
            assert!(stats.mailboxes.bytes >= 100 && stats.uptime > 0.0);
            assert!(stats.descriptors.is_none_or(|files| files.open > 3 && files.limit >= files.open));
            let ports = near.port_stats_of(far.id(), 1, LIMIT).await;
            let lost = near.lost_messages_of(far.id(), LIMIT).await;
            if secure {
                assert!(matches!((ports, lost), (Err(AskError::Refused(_)), Err(AskError::Refused(_)))));
            } else {
                let ports = ports.unwrap();
                assert_eq!((ports.len(), &*ports[0].port), (1, &*port.to_string()));
                assert_eq!((&*ports[0].state, ports[0].monitors), ("task", 0));
                assert_eq!(lost.unwrap(), []);
            }
            // A client is not worth an entry once it is gone; what went over is.
            let mut events = far.node_events();
            near.shutdown().await;
            while !matches!(soon("the end", events.next()).await.unwrap(), NodeEvent::Down(..)) {}
            let stats = far.stats().await;
            assert_eq!((stats.peers.len(), stats.former_peers.connects), (0, 1));
            assert!(stats.former_peers.received.requests > 0);
            drop(family);
            far.shutdown().await;
        }
    });
}

#[test]
fn the_node_itself_can_be_asked_too() {
    in_both_modes(async |mode| {
        let node = builder(mode).id("own").start().await.unwrap();
        assert_eq!(node.stats_of(node.id(), LIMIT).await.unwrap().node, "own");
        node.shutdown().await;
        assert_eq!(node.stats().await.families, BTreeMap::new());
    });
}

#[test]
fn handshakes_that_fail_are_counted_by_cause() {
    in_both_modes(async |mode| {
        let far = builder(mode).id("far").secret("one").bind("127.0.0.1:0").start().await.unwrap();
        let near = builder(mode).secret("other").seed(far.local_addrs()[0]).start().await.unwrap();
        soon("the failure", async {
            while !far.stats().await.handshake_failures.contains_key("wrong_secret") {
                tokio::task::yield_now().await;
            }
        })
        .await;
        near.shutdown().await;
        far.shutdown().await;
    });
}

#[test]
fn a_sign_of_life_tells_the_round_trip() {
    in_both_modes(async |mode| {
        let node = |id: &str| builder(mode).id(id).secret("s").monitor_timeout(Duration::from_secs(2));
        let far = node("far").bind("127.0.0.1:0").start().await.unwrap();
        let near = node("near").seed(far.local_addrs()[0]).start().await.unwrap();
        up(&near, far.id()).await;
        let took = soon("an answer", async {
            loop {
                if let Some(took) = near.stats().await.peers["far"].round_trip {
                    return took;
                }
                tokio::task::yield_now().await;
            }
        })
        .await;
        assert!(took > 0.0 && took < LIMIT.as_secs_f64());
        near.shutdown().await;
        far.shutdown().await;
    });
}

#[test]
fn a_connection_that_takes_no_more_shows_in_what_waits_and_for_how_long() {
    in_both_modes(async |mode| {
        let (stall, stalled) = watch::channel(false);
        let node = |id: &str| builder(mode).id(id).secret("s").verify_peeraddr(PeerAddress::Off);
        let far = node("far").bind("127.0.0.1:0").start().await.unwrap();
        let proxy = stalling(far.local_addrs()[0].to_string(), stalled).await;
        let near = node("near").seed(proxy).start().await.unwrap();
        up(&near, far.id()).await;
        let sink = far.port(|_: &mut Context<'_>, _: (String,)| {});
        stall.send(true).unwrap();
        // More than all buffers between the two take.
        let text = "x".repeat(100 << 10);
        (0..500).for_each(|_| near.send(&sink, (&text,)).unwrap());
        let peer = async || near.stats().await.peers["far"].clone();
        let age = soon("what waits", async {
            loop {
                if let Some(age) = peer().await.queue_age {
                    return age;
                }
                tokio::task::yield_now().await;
            }
        })
        .await;
        assert!(peer().await.queue_bytes > 0 && peer().await.queue_age.unwrap() >= age);
        stall.send(false).unwrap();
        soon("the end of the queue", async {
            while peer().await.queue_bytes > 0 || far.stats().await.peers["near"].received.messages < 500 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        let peer = peer().await;
        assert_eq!((peer.queue_age, peer.sent.messages, peer.lost), (None, 500, 0));
        near.shutdown().await;
        far.shutdown().await;
    });
}

#[test]
fn signs_of_life_are_counted_at_both_ends_in_every_framing() {
    for framing in Framing::ALL {
        in_both_modes(async |mode| {
            let node = |id: &str| {
                builder(mode).id(id).secret("s").framings([framing]).monitor_timeout(Duration::from_secs(2))
            };
            let far = node("far").bind("127.0.0.1:0").start().await.unwrap();
            let near = node("near").seed(far.local_addrs()[0]).start().await.unwrap();
            up(&near, far.id()).await;
            up(&far, near.id()).await;
            let (before, there) = (near.stats().await, far.stats().await);
            // What is said at the beginning comes first, and then there is nothing to say.
            let settled = between((&near, &before), (&far, &there), 0).await;
            let now = near.stats().await.peers["far"].sent.bytes;
            soon("a sign of life", async {
                while near.stats().await.peers["far"].sent.bytes == now {
                    tokio::task::yield_now().await;
                }
            })
            .await;
            assert!(between((&near, &before), (&far, &there), 0).await.bytes > settled.bytes);
            near.shutdown().await;
            far.shutdown().await;
        });
    }
}

#[test]
fn handlers_are_measured_and_one_that_blocks_is_named() {
    in_both_modes(async |mode| {
        let node = builder(mode).start().await.unwrap();
        let port = node.port(|cx: &mut Context<'_>, (block, reply): (bool, ReplyTo<()>)| {
            if block {
                std::thread::sleep(Duration::from_millis(150)); // sleep: the handler that blocks is the fault
            }
            cx.reply(reply, ());
        });
        let task = port.port().clone();
        let own = node.clone();
        // From a task of its own, whose thread is not one that only waits.
        let calls = tokio::spawn(async move {
            for n in 0..1000 {
                own.call(&task, LIMIT, |reply: ReplyTo<()>| (n == 500, reply)).await.unwrap();
            }
        });
        soon("the calls", calls).await.unwrap();
        let stats = soon("the measure", async {
            loop {
                let stats = node.stats().await;
                if !stats.handlers.blocked.is_empty() {
                    return stats;
                }
                node.call(&port, LIMIT, |reply: ReplyTo<()>| (true, reply)).await.unwrap();
            }
        })
        .await;
        let handlers = &stats.handlers;
        assert!(handlers.count > 0 && handlers.count >= *handlers.within.last().unwrap());
        assert!(handlers.within.is_sorted() && handlers.seconds >= 0.15, "{handlers:?}");
        let blocked = &handlers.blocked[0];
        assert!(blocked.ports.contains(&port.to_string()) && blocked.seconds >= 0.15, "{blocked:?}");
        assert_eq!(stats.blocked_handlers, handlers.blocked.len() as u64);
        node.shutdown().await;
    });
}
