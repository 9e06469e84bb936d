//! Real nodes over a real nats-server: what is promised over TCP holds here, too.

#![allow(clippy::unwrap_used)] // a test may

mod support;

use std::time::Duration;

use aemp::{Context, Node, NodeId, ReplyTo, Route, StartError};
use aemp_nats::Nats;
use support::server::Server;
use support::{
    LIMIT, arrived, builder, bundle, check, history, new_bundle, receiver, run, send_from, soon, until, up,
};

#[test]
fn a_hundred_thousand_messages_arrive_in_order() {
    let Some(server) = Server::start("a_hundred_thousand_messages_arrive_in_order", &[]) else { return };
    run(async {
        let a = builder("a", &server.address()).start().await.unwrap();
        let b = builder("b", &server.address()).start().await.unwrap();
        let history = history();
        let port = receiver(&b, &history);
        send_from(&a, &port, 100_000, &history);
        until("the last message", &history, |pieces| arrived(pieces) == 100_000).await;
        check(&history);
        assert_eq!(history.borrow().len(), 1, "nothing was lost");
        assert_eq!(a.route(b.id()), Some(Route::Direct));
    });
}

#[test]
fn odd_node_ids_and_large_messages_and_small_payloads() {
    let Some(server) = Server::start("odd_node_ids_and_large_messages", &[]) else { return };
    run(async {
        let long = "x.y*z>".repeat(60);
        for id in ["a.b.c", "*", "10.0.0.1:4040", "=h", &long] {
            let a = builder("a", &server.address()).start().await.unwrap();
            let b = builder(id, &server.address()).start().await.unwrap();
            let echo = b.port(|cx: &mut Context<'_>, (text, reply): (String, ReplyTo<usize>)| {
                cx.reply(reply, text.len());
            });
            let call = a.call(&echo, LIMIT, |reply: ReplyTo<usize>| ("y".repeat(3 << 20), reply));
            assert_eq!(call.await.unwrap(), 3 << 20, "{id}");
        }
    });
}

#[test]
fn a_node_that_is_not_there_has_no_known_address_at_once() {
    let Some(server) = Server::start("a_node_that_is_not_there", &[]) else { return };
    run(async {
        // An attempt may take an hour: what fails, fails because the broker says so.
        let hour = Duration::from_secs(3600);
        let a = builder("a", &server.address()).connect_interval(hour).start().await.unwrap();
        for _ in 0..3 {
            let nobody = NodeId::new("nobody").unwrap().named("port");
            let reason = soon("the fire", a.exited(&nobody)).await;
            assert!(reason.to_string().contains("no known address"), "{reason}");
        }
    });
}

#[test]
fn nodes_find_a_global_node_and_share_a_database_without_seeds() {
    let Some(server) = Server::start("nodes_find_a_global_node", &[]) else { return };
    run(async {
        let start = |id: &str, global| builder(id, &server.address()).global(global).start();
        let (first, second) = (start("g1", true).await.unwrap(), start("g2", true).await.unwrap());
        up(&first, second.id().as_str()).await;
        let (a, b) = (start("a", false).await.unwrap(), start("b", false).await.unwrap());
        let echo = b.port(|cx: &mut Context<'_>, (n, reply): (u64, ReplyTo<u64>)| cx.reply(reply, n));
        b.db().register("echo", &echo).unwrap();
        let found = soon("the port", a.db().any("echo")).await.unwrap();
        assert_eq!(a.call(&found, LIMIT, |reply: ReplyTo<u64>| (7, reply)).await.unwrap(), 7);
    });
}

#[test]
fn a_node_with_both_carriers_relays_between_those_that_have_one() {
    let Some(server) = Server::start("a_node_with_both_carriers", &[]) else { return };
    run(async {
        let both = builder("both", &server.address()).bind("127.0.0.1:0").global(true).start().await.unwrap();
        let over_nats = builder("nats", &server.address()).start().await.unwrap();
        let tcp = Node::builder().id("tcp").certificate_pem(bundle()).bind("127.0.0.1:0");
        let over_tcp = tcp.seed(both.local_addrs()[0]).start().await.unwrap();
        let mut routes = over_tcp.db().watch("'x");
        soon("the route", async {
            while !routes.next().await.unwrap().content.contains_key(over_nats.id().as_str()) {}
        })
        .await;
        let echo = over_nats.port(|cx: &mut Context<'_>, (n, reply): (u64, ReplyTo<u64>)| cx.reply(reply, n));
        over_nats.db().register("echo", &echo).unwrap();
        let found = soon("the port", over_tcp.db().any("echo")).await.unwrap();
        assert_eq!(over_tcp.call(&found, LIMIT, |reply: ReplyTo<u64>| (7, reply)).await.unwrap(), 7);
        assert_eq!(over_tcp.route(over_nats.id()), Some(Route::Through(both.id().clone())));
        assert_eq!(both.route(over_nats.id()), Some(Route::Direct));
    });
}

#[test]
fn a_server_that_is_killed_and_comes_back_soon_costs_nothing() {
    let Some(mut server) = Server::start("a_server_that_is_killed_and_comes_back_soon", &[]) else { return };
    run(async {
        let a = builder("a", &server.address()).start().await.unwrap();
        let b = builder("b", &server.address()).start().await.unwrap();
        let history = history();
        let port = receiver(&b, &history);
        send_from(&a, &port, 60_000, &history);
        for round in 1..=3 {
            until("some messages", &history, |pieces| arrived(pieces) > round * 10_000).await;
            server.kill();
            server.restart();
        }
        until("the last message", &history, |pieces| arrived(pieces) == 60_000).await;
        check(&history);
        assert_eq!(history.borrow().len(), 1, "the connection has lived through it");
    });
}

#[test]
fn a_server_that_is_away_for_too_long_is_told() {
    let Some(mut server) = Server::start("a_server_that_is_away_for_too_long", &[]) else { return };
    run(async {
        let start = |id: &str| builder(id, &server.address()).monitor_timeout(Duration::from_secs(2)).start();
        let (a, b) = (start("a").await.unwrap(), start("b").await.unwrap());
        let history = history();
        let port = receiver(&b, &history);
        send_from(&a, &port, 1_000_000, &history);
        until("some messages", &history, |pieces| arrived(pieces) > 1000).await;
        server.kill();
        until("the fire", &history, |pieces| pieces[0].reason.is_some()).await;
        let before = history.borrow().len();
        server.restart();
        until("messages after it", &history, |pieces| {
            pieces.len() >= before && pieces[before - 1..].iter().any(|piece| piece.arrived > 0)
        })
        .await;
        let wrong = history.borrow().iter().any(|piece| piece.is_wrong());
        assert!(!wrong, "what arrives is a prefix of each piece");
        a.shutdown().await;
    });
}

#[test]
fn without_a_certificate_a_node_trusts_the_broker_or_does_not_start() {
    let Some(server) = Server::start("without_a_certificate", &[]) else { return };
    run(async {
        let nats = || Nats::new([server.address()]).unwrap();
        let with = |id: &str, nats: Nats| Node::builder().id(id).secret("geheim").broker(nats);
        let refused = with("a", nats()).start().await.map(drop);
        assert_eq!(refused, Err(StartError::Unencrypted("nats:default".into())));
        let bare = Node::builder().id("a").broker(nats().trust_broker(true)).start().await.map(drop);
        assert_eq!(bare, Err(StartError::Unprotected("nats:default".into())));
        let a = with("a", nats().trust_broker(true)).start().await.unwrap();
        let b = with("b", nats().trust_broker(true)).start().await.unwrap();
        let echo = b.port(|cx: &mut Context<'_>, (n, reply): (u64, ReplyTo<u64>)| cx.reply(reply, n));
        assert_eq!(a.call(&echo, LIMIT, |reply: ReplyTo<u64>| (7, reply)).await.unwrap(), 7);
        // One that trusts nobody does not talk to them, although it knows the secret as well.
        let c = with("c", nats()).certificate_pem(bundle()).start().await.unwrap();
        for node in [&b, &a] {
            let reason = soon("the fire", c.exited(&node.id().named("port"))).await;
            assert!(!reason.is_normal() && c.connected_nodes().is_empty(), "{reason}");
        }
    });
}

#[test]
fn a_node_with_another_certificate_is_not_let_in() {
    let Some(server) = Server::start("a_node_with_another_certificate", &[]) else { return };
    run(async {
        let a = builder("a", &server.address()).start().await.unwrap();
        let stranger = builder("b", &server.address()).certificate_pem(new_bundle()).start().await.unwrap();
        let port = a.port(|_: &mut Context<'_>, (): ()| {});
        let reason = soon("the fire", stranger.exited(&port)).await;
        assert!(!reason.is_normal(), "{reason}");
        assert!(a.connected_nodes().is_empty() && stranger.connected_nodes().is_empty());
    });
}

#[test]
fn a_node_that_has_ended_is_gone_from_the_broker_and_may_come_back() {
    let Some(server) = Server::start("a_node_that_has_ended", &[]) else { return };
    run(async {
        let b = builder("b", &server.address()).start().await.unwrap();
        for round in 0..3 {
            let a = builder("a", &server.address()).global(round == 1).start().await.unwrap();
            let echo = a.port(|cx: &mut Context<'_>, (n, reply): (u64, ReplyTo<u64>)| cx.reply(reply, n));
            assert_eq!(b.call(&echo, LIMIT, |reply: ReplyTo<u64>| (7, reply)).await.unwrap(), 7);
            let report = a.shutdown().await;
            assert!(report.undelivered.is_empty(), "{report:?}");
            let port = a.id().named("port");
            let refused = soon("the fire", b.exited(&port)).await;
            assert!(refused.to_string().contains("no more connections"), "{refused}");
            drop(a);
            let mut gone = soon("the fire", b.exited(&port)).await;
            while !gone.to_string().contains("no known address") {
                gone = soon("the fire", b.exited(&port)).await;
            }
        }
    });
}

#[test]
fn networks_of_different_names_do_not_see_each_other() {
    let Some(server) = Server::start("networks_of_different_names", &[]) else { return };
    run(async {
        let a = builder("a", &server.address()).start().await.unwrap();
        let other = Nats::new([server.address()]).unwrap().network("other").unwrap();
        let b = Node::builder().id("b").certificate_pem(bundle()).broker(other).start().await.unwrap();
        let reason = soon("the fire", b.exited(&a.id().named("port"))).await;
        assert!(reason.to_string().contains("no known address"), "{reason}");
    });
}
