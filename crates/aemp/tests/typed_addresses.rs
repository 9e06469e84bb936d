//! Addresses that know what may be sent: they are port IDs on the wire, and each verb that takes a
//! port ID takes them. What does not compile stands in the documentation of `MessageFor`.

#![allow(clippy::unwrap_used)] // a test may

mod support;

use std::collections::{BTreeMap, HashMap};

use aemp::{Addr, AnyMessage, Context, Inbox, Message, Node, PortId, Reason, ReplyTo, Value};
use serde::{Deserialize, Serialize};
use support::{LIMIT, builder, in_both_modes, soon, up};
use tokio::sync::mpsc;

#[derive(Debug, PartialEq, Serialize, Deserialize, Message)]
enum Game {
    Ping { n: u32, from: Addr<Game> },
    Pong { n: u32 },
    Count { reply: ReplyTo<u32> },
}

/// A port that answers pings, and counts them.
fn partner(node: &Node) -> Addr<Game> {
    let mut pings = 0;
    node.port(move |cx: &mut Context<'_>, game| match game {
        Game::Ping { n, from } => {
            pings += 1;
            cx.send(&from, Game::Pong { n });
        }
        Game::Pong { .. } => cx.fail("nobody pinged"),
        Game::Count { reply } => cx.reply(reply, pings),
    })
}

#[test]
fn an_address_travels_as_a_port_id_and_is_one_again_elsewhere() {
    in_both_modes(async |mode| {
        let seed = builder(mode).id("seed").bind("127.0.0.1:0").secret("s").start().await.unwrap();
        let other = builder(mode).seed(seed.local_addrs()[0]).secret("s").start().await.unwrap();
        up(&other, seed.id()).await;
        let partner = partner(&seed);
        seed.db().register("partners", &partner).unwrap();

        let (pongs, mut came) = mpsc::unbounded_channel();
        let me = other.port(move |_: &mut Context<'_>, game: Game| pongs.send(game).unwrap());
        let found = soon("the partner", other.db().any_of::<Game>("partners")).await.unwrap();
        assert_eq!(found, partner);
        other.send(&found, Game::Ping { n: 7, from: me.clone() }).unwrap();
        assert_eq!(soon("the pong", came.recv()).await, Some(Game::Pong { n: 7 }));
        // The same message without types, as a Perl node sends it.
        let untyped = [Value::name("ping"), 8.into(), Value::name(&me.to_string())];
        other.send(found.port(), AnyMessage(untyped.to_vec())).unwrap();
        assert_eq!(soon("the pong", came.recv()).await, Some(Game::Pong { n: 8 }));
        let pings = soon("the count", other.call(&found, LIMIT, |reply| Game::Count { reply })).await;
        assert_eq!(pings.unwrap(), 2);
        other.shutdown().await;
        seed.shutdown().await;
    });
}

#[test]
fn every_verb_takes_addresses_as_it_takes_port_ids() {
    in_both_modes(async |mode| {
        let node = builder(mode).start().await.unwrap();
        let (told, mut tells) = mpsc::unbounded_channel();
        let told_too = told.clone();
        let ports: Vec<Addr<(String,)>> = (0..2)
            .map(|n| {
                let told = told.clone();
                node.port(move |_: &mut Context<'_>, (text,): (String,)| told.send((n, text)).unwrap())
            })
            .collect();
        // A borrowed text does for an owned one, in one message to all.
        node.send_all(&ports, ("all",)).unwrap();
        let both = [soon("one", tells.recv()).await.unwrap(), soon("two", tells.recv()).await.unwrap()];
        assert_eq!(BTreeMap::from(both), BTreeMap::from([(0, "all".into()), (1, "all".into())]));

        node.ready(&ports[0]).await;
        node.run_in(&ports[0], move |_| told_too.send((9, "in it".into())).unwrap());
        assert_eq!(soon("the code", tells.recv()).await, Some((9, "in it".into())));
        node.monitor_send(&ports[0], &ports[1], |reason| (reason.to_string(),)).detach();
        node.monitor_kill(&ports[1], &ports[0]).detach();
        node.kill(&ports[0], Reason::text("enough", "for today"));
        let (n, text) = soon("the news", tells.recv()).await.unwrap();
        assert!(n == 1 && text.contains("enough"), "{text}");

        // A key like the port ID that it is.
        let names = HashMap::from([(ports[1].clone(), "second")]);
        assert_eq!(names.get(&ports[1].port().clone().assume()), Some(&"second"));
        assert_eq!(PortId::from(ports[1].clone()), ports[1]);
        node.shutdown().await;
    });
}

#[test]
fn an_async_port_of_one_type_has_an_address() {
    in_both_modes(async |mode| {
        let node = builder(mode).start().await.unwrap();
        let partner = partner(&node);
        let asked = partner.clone();
        let player = node.port_async_of(async move |mut inbox: Inbox<Game>| {
            for n in 0..3 {
                inbox.send(&asked, Game::Ping { n, from: inbox.addr() })?;
            }
            let mut sum = 0;
            loop {
                match inbox.recv().await {
                    Game::Pong { n } => sum += n,
                    Game::Count { reply } if sum == 3 => {
                        inbox.reply(reply, sum)?;
                        return Ok(());
                    }
                    Game::Count { reply } => inbox.reply(reply, 0)?,
                    Game::Ping { .. } => return Err(Reason::text("ping", "nobody plays with us")),
                }
            }
        });
        let death = node.exited(&player);
        while soon("the sum", node.call(&player, LIMIT, |reply| Game::Count { reply })).await.unwrap() != 3 {}
        assert!(soon("the end", death).await.is_normal());
        // What does not fit kills it, as any port.
        let strict = node.port_async_of(async |mut inbox: Inbox<Game>| {
            inbox.recv().await;
            Ok(())
        });
        let death = node.exited(&strict);
        node.send(strict.port(), ("unheard_of",)).unwrap();
        assert_eq!(soon("the death", death).await.identifier().as_deref(), Some("unhandled_message"));
        node.shutdown().await;
    });
}
