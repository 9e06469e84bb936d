//! Typed actors: started here or spawned from elsewhere, with their state, and what happens when
//! they end.

#![allow(clippy::unwrap_used)] // a test may

mod support;

use std::time::Duration;

use aemp::{Actor, Addr, AsyncActor, CallError, Context, Inbox, Message, Node, Reason, ReplyTo};
use serde::{Deserialize, Serialize};
use support::{LIMIT, builder, in_both_modes, soon};
use tokio::sync::mpsc;

#[derive(Debug, Serialize, Deserialize, Message)]
enum Order {
    Add(i64),
    Total { reply: ReplyTo<i64> },
    Later(i64),
    Follow(Addr<Order>),
    Panic,
    PanicLater,
    Refuse,
    Leave,
}

type News = mpsc::UnboundedSender<(i64, Reason)>;

/// Counts, and tells the test what it has counted when it ends.
struct Counter {
    total: i64,
    news: Option<News>,
}

impl Actor for Counter {
    type Args = (i64, Teller);
    type Message = Order;

    fn init(_: &mut Context<'_>, (total, teller): (i64, Teller)) -> Result<Counter, Reason> {
        if total < 0 {
            return Err(Reason::text("negative", total));
        }
        Ok(Counter { total, news: teller.to })
    }

    fn handle(&mut self, cx: &mut Context<'_>, order: Order) -> Result<(), Reason> {
        match order {
            Order::Add(n) => self.total += n,
            Order::Total { reply } => cx.reply(reply, self.total),
            Order::Later(n) => {
                cx.after(Duration::ZERO, move |cx| {
                    cx.with_actor(|counter: &mut Counter, _| counter.total += n)
                });
            }
            Order::Follow(port) => {
                let lost =
                    |cx: &mut Context<'_>, _| cx.with_actor(|counter: &mut Counter, _| counter.total = -1);
                cx.monitor(&port, lost).detach();
            }
            Order::Panic => panic!("as told"),
            Order::PanicLater => cx.after(Duration::ZERO, |_| panic!("as told")),
            Order::Refuse => return Err(Reason::text("refused", "an order")),
            Order::Leave => cx.end(Reason::NORMAL),
        }
        Ok(())
    }

    fn stopped(self, _: &Node, reason: Reason) {
        if let Some(news) = self.news {
            news.send((self.total, reason)).unwrap();
        }
    }
}

/// The way to the test, for an actor that was started on its node.
#[derive(Default, Serialize, Deserialize)]
struct Teller {
    #[serde(skip)]
    to: Option<News>,
}

fn started(node: &Node, total: i64) -> (Addr<Order>, mpsc::UnboundedReceiver<(i64, Reason)>) {
    let (news, told) = mpsc::unbounded_channel();
    (node.start_actor::<Counter>((total, Teller { to: Some(news) })), told)
}

async fn total(node: &Node, port: &Addr<Order>) -> Result<i64, CallError> {
    node.call(port, LIMIT, |reply| Order::Total { reply }).await
}

#[test]
fn an_actor_keeps_its_state_between_messages() {
    in_both_modes(async |mode| {
        let node = builder(mode).start().await.unwrap();
        let (port, _told) = started(&node, 40);
        node.send(&port, Order::Add(1)).unwrap();
        node.send(port.port(), ("add", 1)).unwrap();
        assert_eq!(total(&node, &port).await.unwrap(), 42);
    });
}

#[test]
fn timers_and_monitors_get_at_the_actor() {
    in_both_modes(async |mode| {
        let node = builder(mode).start().await.unwrap();
        let (port, _told) = started(&node, 1);
        node.send(&port, Order::Later(1)).unwrap();
        soon("the timer", async { while total(&node, &port).await.unwrap() != 2 {} }).await;
        let (other, _told) = started(&node, 0);
        node.send(&port, Order::Follow(other.clone())).unwrap();
        node.send(&other, Order::Leave).unwrap();
        soon("the monitor", async { while total(&node, &port).await.unwrap() != -1 {} }).await;
    });
}

#[test]
fn an_actor_that_ended_is_told_why() {
    in_both_modes(async |mode| {
        let node = builder(mode).start().await.unwrap();
        let ends = [
            (Order::Leave, Reason::NORMAL),
            (Order::Refuse, Reason::text("refused", "an order")),
            (Order::Panic, Reason::died("as told")),
            (Order::PanicLater, Reason::died("as told")),
        ];
        for (order, reason) in ends {
            let (port, mut told) = started(&node, 1);
            let death = node.exited(&port);
            node.send(&port, Order::Add(1)).unwrap();
            node.send(&port, order).unwrap();
            assert_eq!(soon("the news", told.recv()).await, Some((2, reason.clone())));
            assert_eq!(soon("the death", death).await, reason);
        }
        let (port, mut told) = started(&node, 5);
        assert_eq!(total(&node, &port).await.unwrap(), 5);
        node.kill(&port, Reason::text("enough", "of this"));
        assert_eq!(soon("the news", told.recv()).await, Some((5, Reason::text("enough", "of this"))));
        let (port, mut told) = started(&node, 6);
        assert_eq!(total(&node, &port).await.unwrap(), 6);
        node.shutdown().await;
        assert!(matches!(soon("the news", told.recv()).await, Some((6, _))));
    });
}

#[test]
fn an_actor_that_could_not_be_made_is_none() {
    in_both_modes(async |mode| {
        let node = builder(mode).actor::<Counter>("test::counter").start().await.unwrap();
        let port = node.spawn(node.id(), "test::counter", (-1, Teller::default())).unwrap();
        let death = node.exited(&port);
        assert_eq!(soon("the death", death).await, Reason::text("negative", -1));
    });
}

#[test]
fn other_nodes_spawn_actors_by_name() {
    in_both_modes(async |mode| {
        let far = builder(mode)
            .id("far")
            .bind("127.0.0.1:0")
            .secret("s")
            .actor::<Counter>("test::counter")
            .start()
            .await
            .unwrap();
        let near = builder(mode).secret("s").seed(far.local_addrs()[0]).start().await.unwrap();
        let port = near.spawn(far.id(), "test::counter", (40, Teller::default())).unwrap().assume();
        near.send(&port, Order::Add(2)).unwrap();
        assert_eq!(soon("the total", total(&near, &port)).await.unwrap(), 42);
        let failed = near.spawn(far.id(), "test::counter", (-1, Teller::default())).unwrap();
        assert_eq!(soon("the failure", near.exited(&failed)).await, Reason::text("negative", -1));
    });
}

/// Passes questions on to another actor, and waits for the answers.
struct Proxy {
    to: Addr<Order>,
    dropped: Option<mpsc::UnboundedSender<()>>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(dropped) = self.dropped.take() {
            let _ = dropped.send(());
        }
    }
}

impl AsyncActor for Proxy {
    type Args = (Addr<Order>, Dropped);
    type Message = Order;

    async fn init(inbox: &mut Inbox<Order>, (to, dropped): (Addr<Order>, Dropped)) -> Result<Proxy, Reason> {
        let total: i64 = inbox.call(&to, LIMIT, |reply| Order::Total { reply }).await?;
        if total < 0 {
            return Err(Reason::text("negative", total));
        }
        Ok(Proxy { to, dropped: dropped.to })
    }

    async fn handle(&mut self, inbox: &mut Inbox<Order>, order: Order) -> Result<(), Reason> {
        match order {
            Order::Total { reply } => {
                let total = inbox.call(&self.to, LIMIT, |reply| Order::Total { reply }).await?;
                inbox.reply(reply, total + 1)?;
            }
            Order::Later(_) => std::future::pending().await,
            Order::Panic => panic!("as told"),
            Order::Refuse => return Err(Reason::text("refused", "")),
            Order::Leave => return Err(Reason::NORMAL),
            other => inbox.send(&self.to, other)?,
        }
        Ok(())
    }
}

/// Where the end of a proxy is told; a spawned one tells nobody.
#[derive(Default, Deserialize, Serialize)]
struct Dropped {
    #[serde(skip)]
    to: Option<mpsc::UnboundedSender<()>>,
}

#[test]
fn an_actor_with_async_handlers_waits_for_answers_and_keeps_the_order() {
    in_both_modes(|mode| async move {
        let node = builder(mode).async_actor::<Proxy>("test::proxy").start().await.unwrap();
        let counter = node.start_actor::<Counter>((0, Teller { to: None }));
        let here = node.start_async_actor::<Proxy>((counter.clone(), Dropped::default()));
        let args = (counter.clone(), Dropped::default());
        let spawned = node.spawn(node.id(), "test::proxy", args).unwrap().assume::<Order>();
        for (proxy, expected) in [(&here, 43), (&spawned, 85)] {
            node.send(proxy, Order::Add(42)).unwrap();
            let total = node.call(proxy, LIMIT, |reply| Order::Total { reply }).await;
            assert_eq!(total, Ok(expected));
        }
        node.shutdown().await;
    });
}

#[test]
fn an_actor_with_async_handlers_ends_by_error_panic_and_kill_and_is_dropped() {
    in_both_modes(|mode| async move {
        let node = builder(mode).start().await.unwrap();
        let counter = node.start_actor::<Counter>((0, Teller { to: None }));
        let ends = [
            (Order::Refuse, Some("refused")),
            (Order::Leave, None),
            (Order::Panic, Some("die")),
            // It waits for ever, and is killed there.
            (Order::Later(0), Some("enough")),
        ];
        for (order, expected) in ends {
            let (to, mut dropped) = mpsc::unbounded_channel();
            let proxy = node.start_async_actor::<Proxy>((counter.clone(), Dropped { to: Some(to) }));
            let death = node.exited(&proxy);
            // Not before it has begun.
            node.call(&proxy, LIMIT, |reply| Order::Total { reply }).await.unwrap();
            node.send(&proxy, order).unwrap();
            if expected == Some("enough") {
                node.kill(&proxy, Reason::text("enough", ""));
            }
            assert_eq!(soon("the death", death).await.identifier().as_deref(), expected);
            soon("the drop", dropped.recv()).await.unwrap();
        }
        let wrong = node.start_actor::<Counter>((0, Teller { to: None }));
        node.send(&wrong, Order::Add(-1)).unwrap();
        let proxy = node.start_async_actor::<Proxy>((wrong, Dropped::default()));
        let asked = node.call(&proxy, LIMIT, |reply| Order::Total { reply }).await;
        let Err(CallError::Died(reason)) = asked else { panic!("{asked:?}") };
        assert_eq!(reason.identifier().as_deref(), Some("negative"));
        node.shutdown().await;
    });
}
