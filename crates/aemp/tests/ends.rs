//! Ends: of a node, and of ports that are stuck in some way.

#![allow(clippy::unwrap_used)] // a test may

mod support;

use std::sync::Arc;

use std::time::Duration;

use aemp::{AnyMessage, CallError, Context, Limits, NodeEvent, PortId, Reason, SendError};
use support::{LIMIT, builder, in_both_modes, soon};

#[test]
fn a_shutdown_fires_every_monitor_and_ends_every_call() {
    in_both_modes(async |mode| {
        let far = builder(mode).id("far").bind("127.0.0.1:0").secret("s").start().await.unwrap();
        let node = builder(mode).id("near").secret("s").seed(far.local_addrs()[0]).start().await.unwrap();
        let ignores = |_: &mut Context<'_>, _: AnyMessage| {};
        let (local, remote) = (node.port(ignores), far.port(ignores));
        let (here, there, link) =
            (node.exited(&local), node.exited(&remote), node.exited(&far.id().control_port()));
        let own = node.exited(&node.id().control_port());
        let withdrawn = node.monitor(&node.id().control_port(), |_| panic!("it is withdrawn"));
        drop(withdrawn);
        let call = node.call::<_, u8, _>(&remote, LIMIT * 10, |reply| ("ask", reply));
        assert_eq!(
            node.call::<_, (u8,), _>(&far.id().control_port(), LIMIT, |to| ("snd", to.port().clone(), 1))
                .await
                .unwrap(),
            (1,)
        );
        soon("the end", node.shutdown()).await;
        assert!(soon("the local fire", here).await.is_normal());
        assert_eq!(soon("the remote fire", there).await.identifier().as_deref(), Some("transport_error"));
        soon("the node's fire", link).await;
        soon("the own node's fire", own).await;
        assert!(matches!(soon("the call", call).await, Err(CallError::Died(_))));
        // Nobody is left to run a monitor; then the future says so.
        soon("a fire after the end", node.exited(&local)).await;
        far.shutdown().await;
    });
}

#[test]
fn what_is_begun_after_the_end_is_told_of_it() {
    in_both_modes(async |mode| {
        let far = builder(mode).id("far").bind("127.0.0.1:0").secret("s").start().await.unwrap();
        let node = builder(mode).id("near").secret("s").seed(far.local_addrs()[0]);
        let stays = |cx: &mut Context<'_>, (): ()| {
            cx.receive(|_, _: AnyMessage| ());
            Ok::<(), Reason>(())
        };
        let node = node.function("test::stays", stays).start().await.unwrap();
        let ignores = |_: &mut Context<'_>, _: AnyMessage| {};
        let there = far.port(ignores);
        let up =
            node.call::<_, (u8,), _>(&far.id().control_port(), LIMIT, |to| ("snd", to.port().clone(), 1));
        assert_eq!(soon("an answer", up).await.unwrap(), (1,));
        soon("the end", node.shutdown()).await;

        let opened = node.port(ignores);
        let task = node.port_async(|port| async move {
            std::future::pending::<()>().await;
            drop(port);
            Ok(())
        });
        let spawned = node.spawn(node.id(), "test::stays", ()).unwrap();
        let unknown = PortId::parse("unknown#port").unwrap();
        // More than waits for a node that is not connected.
        let large = "x".repeat(20 << 20);
        assert!(matches!(node.send(&unknown, (large,)), Ok(()) | Err(SendError::TooLarge { .. })));
        for port in [there.into(), far.id().control_port(), unknown, opened.into(), task, spawned] {
            for _ in 0..2 {
                soon("the death", node.exited(&port)).await;
                let call = node.call::<_, u8, _>(&port, Duration::MAX, |reply| ("ask", reply));
                assert!(matches!(soon("the call", call).await, Err(CallError::Died(_))));
            }
        }
        let call =
            node.call::<_, u8, _>(&node.id().control_port(), Duration::MAX, |reply| ("nothing", reply));
        assert!(matches!(soon("the call", call).await, Err(CallError::Died(_))));
        far.shutdown().await;
    });
}

#[test]
fn a_node_that_was_shut_down_has_lost_the_others() {
    in_both_modes(async |mode| {
        let far = builder(mode).id("far").bind("127.0.0.1:0").secret("s").start().await.unwrap();
        let node = builder(mode).id("near").secret("s").seed(far.local_addrs()[0]).start().await.unwrap();
        let mut events = node.node_events();
        if node.connected_nodes().is_empty() {
            assert_eq!(soon("the connection", events.next()).await, Some(NodeEvent::Up(far.id().clone())));
        }
        let mut events = node.node_events();
        soon("the end", node.shutdown()).await;
        assert!(
            matches!(soon("the news", events.next()).await, Some(NodeEvent::Down(node, _)) if node == *far.id())
        );
        assert_eq!(soon("the close", events.next()).await, None);
        assert_eq!(soon("another close", node.node_events().next()).await, None);
        assert_eq!((node.connected_nodes(), node.route(far.id())), (Vec::new(), None));
        far.shutdown().await;
    });
}

#[test]
fn a_node_that_was_shut_down_keeps_nothing_alive() {
    in_both_modes(async |mode| {
        let node = builder(mode).start().await.unwrap();
        let token = Arc::new(());
        let (in_port, in_monitor, own) = (token.clone(), token.clone(), node.clone());
        let port = node.port(move |_: &mut Context<'_>, (): ()| {
            let _ = (&in_port, &own);
        });
        node.shutdown().await;
        let again = node.clone();
        node.monitor(&port, move |_| drop((in_monitor, again))).detach();
        drop(node);
        assert_eq!(Arc::strong_count(&token), 1);
    });
}

#[test]
fn a_port_that_waits_for_a_receiver_can_be_killed() {
    in_both_modes(async |mode| {
        let limits = Limits::default().mailbox_high(1000);
        let node = builder(mode).limits(limits).start().await.unwrap();
        let deaf = node.port_async(|port| async move {
            std::future::pending::<()>().await;
            drop(port);
            Ok(())
        });
        node.send(&deaf, ("x".repeat(2000),)).unwrap();
        let (sent, mut told) = tokio::sync::mpsc::unbounded_channel();
        let sender = node.port(move |cx: &mut Context<'_>, (): ()| {
            cx.send(&deaf, ("more",));
            sent.send(()).unwrap();
        });
        let death = node.exited(&sender);
        node.send(&sender, ()).unwrap();
        soon("the message", told.recv()).await.unwrap();
        node.kill(&sender, Reason::text("enough", "of this"));
        assert_eq!(soon("the death", death).await.identifier().as_deref(), Some("enough"));
        node.shutdown().await;
    });
}

#[test]
fn a_kill_that_stands_before_the_start_of_an_async_port_ends_it() {
    in_both_modes(async |mode| {
        let node = builder(mode)
            .function("test::sleeper", |cx: &mut Context<'_>, (): ()| {
                cx.receive_async(|port| async move {
                    std::future::pending::<()>().await;
                    drop(port);
                    Ok(())
                });
                Ok::<(), Reason>(())
            })
            .start()
            .await
            .unwrap();
        let port: PortId = node.spawn(node.id(), "test::sleeper", ()).unwrap();
        let death = node.exited(&port);
        node.kill(&port, Reason::text("enough", "of this"));
        assert_eq!(soon("the death", death).await.identifier().as_deref(), Some("enough"));
        node.shutdown().await;
    });
}

#[test]
fn what_an_async_port_does_not_pick_counts_for_its_limit() {
    in_both_modes(async |mode| {
        let limits = Limits::default().mailbox(100_000);
        let node = builder(mode).limits(limits).start().await.unwrap();
        let port = node.port_async(|mut port| async move {
            loop {
                let (tag, reply): (String, PortId) = port.recv_tag("ask").await;
                if tag == "take" {
                    let _: (String,) = port.recv_tag("fill").await;
                }
                port.send(&reply, (1u8,)).map_err(Reason::died)?;
            }
        });
        let fill = |tag: &'static str| {
            let (node, port) = (node.clone(), port.clone());
            async move {
                for _ in 0..200 {
                    node.send(&port, ("fill", "x".repeat(1000))).unwrap();
                    node.call::<_, u8, _>(&port, LIMIT, |to| ("ask", tag, to)).await?;
                }
                Ok::<(), CallError>(())
            }
        };
        soon("the answers", fill("take")).await.unwrap();
        match soon("the end", fill("leave")).await {
            Err(CallError::Died(reason)) => {
                assert!(reason.identifier().is_some_and(|id| id == "mailbox_full" || id == "no_such_port"))
            }
            other => panic!("{other:?}"),
        }
        node.shutdown().await;
    });
}
