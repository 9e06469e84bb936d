//! What has no form in the framing of a peer costs its sender an error or one message, and nobody
//! else anything.

#![allow(clippy::unwrap_used)] // a test may

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use aemp::{AnyMessage, CallError, Context, Framing, Node, PortId, Reason, ReplyTo, SendError, Value};
use support::{LIMIT, builder, in_both_modes, soon, up};
use tokio::sync::mpsc;

/// A node that reads only this framing, and another one that is connected to it.
async fn pair(always_encode: bool, framing: Framing) -> (Node, Node) {
    let reader = builder(always_encode).id("reader").bind("127.0.0.1:0").secret("s").framings([framing]);
    let reader = reader.start().await.unwrap();
    let node = builder(always_encode).id("node").seed(reader.local_addrs()[0]).secret("s");
    let node = node.start().await.unwrap();
    up(&node, reader.id()).await;
    (reader, node)
}

/// A port of a node, and the first values that it gets.
fn port(node: &Node) -> (PortId, mpsc::UnboundedReceiver<Value>) {
    let (sender, values) = mpsc::unbounded_channel();
    let port = node.port(move |_: &mut Context<'_>, AnyMessage(values): AnyMessage| {
        sender.send(values.into_iter().next().unwrap_or_default()).unwrap();
    });
    (port.to_string().parse().unwrap(), values)
}

fn is_refused(sent: &Result<(), SendError>) -> bool {
    matches!(sent, Err(SendError::NoForm { .. } | SendError::TooLarge { .. }))
}

fn reference() -> Value {
    Value::Tag(29, Box::new(5.into()))
}

/// Values without a form there.
fn poison(framing: Framing) -> Vec<Value> {
    let list = || Value::List(vec![1.into()]);
    match framing {
        Framing::Native => Vec::new(),
        Framing::Cbor => vec![reference(), Value::Int(-(1 << 64))],
        Framing::Json => vec![
            Value::Float(f64::NAN),
            Value::Map(vec![(list(), 2.into())]),
            reference(),
            Value::Text("\u{1}".repeat(12 << 20)),
            Value::Bytes(vec![0xff; 33 << 20].into()),
        ],
    }
}

#[test]
fn a_value_without_a_form_is_refused_and_the_connection_stays() {
    in_both_modes(|always_encode| async move {
        for framing in [Framing::Json, Framing::Cbor] {
            let (reader, node) = pair(always_encode, framing).await;
            let (to, mut got) = port(&reader);
            let lost = Arc::new(AtomicUsize::new(0));
            let counted = lost.clone();
            let watched = reader.port(|_: &mut Context<'_>, (): ()| {});
            let count = move |_| {
                counted.fetch_add(1, Ordering::SeqCst);
            };
            node.monitor(&watched, count).detach();
            for (at, value) in poison(framing).into_iter().enumerate() {
                // What is too large only there takes a while in a debug build.
                if at > 2 && always_encode {
                    continue;
                }
                let sent = node.send(&to, AnyMessage(vec![value.clone()]));
                assert!(is_refused(&sent), "{framing}: {sent:?}");
                if at > 2 {
                    continue;
                }
                let here = node.port(|_: &mut Context<'_>, _: AnyMessage| {});
                let sent = node.send_all([&here, &to], AnyMessage(vec![value.clone()]));
                assert!(is_refused(&sent), "{framing}: {sent:?}");
                assert!(node.spawn(reader.id(), "f", AnyMessage(vec![value.clone()])).is_err());
                // Within a port, its own port dies of it, as of what no framing has a form for.
                let far = to.clone();
                let sender = node.port(move |cx: &mut Context<'_>, (): ()| {
                    cx.send(&far, AnyMessage(vec![value.clone()]));
                });
                let died = node.exited(&sender);
                node.send(&sender, ()).unwrap();
                assert!(soon("the sender's death", died).await.to_string().contains("die"));
            }
            node.send_all([&to], (7,)).unwrap();
            assert_eq!(soon("what follows", got.recv()).await, Some(7.into()));
            // The reason of a kill may be anything; the kill is told all the same.
            let died = node.exited(&to);
            node.kill(&to, Reason::new(poison(framing)));
            let reason = soon("the death", died).await.to_string();
            assert!(reason.contains("bad_reason"), "{reason}");
            assert_eq!(lost.load(Ordering::SeqCst), 0);
            assert!(node.connected_nodes().contains(reader.id()));
            node.shutdown().await;
            reader.shutdown().await;
        }
    });
}

#[test]
fn what_waits_for_a_connection_and_has_no_form_there_fires_the_monitors_of_its_port() {
    in_both_modes(|always_encode| async move {
        let reader =
            builder(always_encode).id("reader").bind("127.0.0.1:0").secret("s").framings([Framing::Json]);
        let reader = reader.start().await.unwrap();
        let ((bad, mut bad_got), (good, mut good_got)) = (port(&reader), port(&reader));
        let node = builder(always_encode).id("node").seed(reader.local_addrs()[0]).secret("s");
        let node = node.start().await.unwrap();
        // Nothing yields between these, so the connection is not there before the last one on one
        // thread; where it is, the sender has an error instead.
        let died = node.exited(&bad);
        node.send(&bad, (1,)).unwrap();
        let sent = node.send(&bad, (f64::NAN,));
        node.send(&bad, (2,)).unwrap();
        node.send(&good, (3,)).unwrap();
        assert_eq!(soon("the other port's message", good_got.recv()).await, Some(3.into()));
        assert_eq!(soon("what came before", bad_got.recv()).await, Some(1.into()));
        if sent.is_ok() {
            let reason = soon("the monitor", died).await.to_string();
            assert!(reason.contains("transport_error") && reason.contains("json"), "{reason}");
            node.send(&bad, (4,)).unwrap();
            assert_eq!(soon("what comes afterwards", bad_got.recv()).await, Some(4.into()));
        } else {
            assert_eq!(soon("what follows", bad_got.recv()).await, Some(2.into()));
        }
        assert!(node.connected_nodes().contains(reader.id()));
        node.shutdown().await;
        reader.shutdown().await;
    });
}

#[test]
fn an_entry_without_a_form_keeps_no_node_from_the_rest_of_its_family() {
    in_both_modes(|always_encode| async move {
        let master = builder(always_encode).id("master").bind("127.0.0.1:0").secret("s");
        let master = master.start().await.unwrap();
        let seed = master.local_addrs()[0].to_string();
        let node = builder(always_encode).id("node").seed(seed.clone()).secret("s").start().await.unwrap();
        let reader = builder(always_encode).id("reader").seed(seed).secret("s").framings([Framing::Json]);
        let reader = reader.start().await.unwrap();
        up(&node, master.id()).await;
        up(&reader, master.id()).await;
        let mut events = reader.node_events();
        let mut watch = reader.db().watch("f");
        let set = |key: &str, value: Value| node.db().set("f", key, value).unwrap().detach();
        set("a", 1.into());
        set("b", 2.into());
        let mut content = soon("the family", watch.next()).await.unwrap().content;
        while content.len() < 2 {
            content = soon("the family", watch.next()).await.unwrap().content;
        }
        set("b", Value::Float(f64::NAN));
        while content.contains_key("b") {
            content = soon("the entry that it cannot read leaves", watch.next()).await.unwrap().content;
        }
        set("c", 3.into());
        while !content.contains_key("c") {
            content = soon("the next entry", watch.next()).await.unwrap().content;
        }
        assert_eq!(soon("an answer", reader.db().family("f")).await.unwrap(), *content);
        assert_eq!(soon("an answer", node.db().family("f")).await.unwrap().len(), 3);
        let values = soon("an answer", reader.db().values("f")).await.unwrap();
        assert_eq!(values, [1.into(), 3.into()]);
        assert!(events.try_next().is_none(), "it has lost its master");
        for node in [reader, node, master] {
            node.shutdown().await;
        }
    });
}

#[test]
fn an_answer_that_cannot_be_sent_is_an_error_for_the_caller_and_for_nobody_else() {
    in_both_modes(|always_encode| async move {
        for framing in [Framing::Native, Framing::Json] {
            let (caller, server) = pair(always_encode, framing).await;
            type Ask = (usize, ReplyTo<(String, f64)>);
            let callback = server.port(|cx: &mut Context<'_>, (bytes, reply): Ask| {
                let float = if bytes == 7 { f64::NAN } else { 0.5 };
                cx.reply(reply, ("x".repeat(bytes), float));
            });
            let task = server.port_async(move |mut me| async move {
                loop {
                    let (bytes, reply): Ask = me.recv().await;
                    let float = if bytes == 7 { f64::NAN } else { 0.5 };
                    let sent = me.reply(reply, ("x".repeat(bytes), float));
                    assert_eq!(sent.is_err(), bytes > 100 || bytes == 7 && framing == Framing::Json);
                }
            });
            for service in [callback.into(), task] {
                let service: PortId = service.to_string().parse().unwrap();
                for bytes in [3, (64 << 20) + 1, 7, 3] {
                    let answer: Result<(String, f64), _> =
                        caller.call(&service, LIMIT, |reply| (bytes, reply)).await;
                    match answer {
                        Ok((text, _)) => assert!(
                            text.len() == bytes && bytes < 100 && (bytes == 3 || framing == Framing::Native)
                        ),
                        Err(CallError::BadReply(error)) => {
                            assert!(bytes > 3, "{framing} {bytes}: {error}");
                            assert!(bytes > 100 || framing == Framing::Json, "{framing} {bytes}: {error}");
                        }
                        Err(error) => panic!("{framing} {bytes}: {error}"),
                    }
                }
            }
            caller.shutdown().await;
            server.shutdown().await;
        }
    });
}

#[test]
fn a_message_that_was_not_sent_is_given_back() {
    in_both_modes(|always_encode| async move {
        let (far, node) = pair(always_encode, Framing::Json).await;
        let there = far.id().named("port");
        let (sender, mut told) = mpsc::unbounded_channel();
        let spill = node.port(move |_: &mut Context<'_>, (text, _): (String, f64)| {
            sender.send(text.len()).unwrap();
        });
        for (size, number) in [((64 << 20) + 1, 0.5), (7, f64::NAN)] {
            let error = node.send(&there, ("x".repeat(size), number)).unwrap_err();
            assert_eq!(error.clone().to_string(), error.to_string());
            let unsent = error.into_message().unwrap();
            node.send(spill.port(), unsent).unwrap();
            assert_eq!(soon("the message", told.recv()).await, Some(size));
        }
        node.shutdown().await;
        far.shutdown().await;
    });
}
