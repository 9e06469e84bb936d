//! Messages that are followed: what follows from what, over nodes, ports of each kind, calls and
//! spawns; and that of others nothing is recorded.

#![allow(clippy::unwrap_used)] // a test may

mod support;

use std::future::Future;
use std::time::Duration;

use aemp::follow::{Hop, HopKind, Rule, Subject};
use aemp::{AnyMessage, Context, Framing, Node, PortId, ReplyTo, TraceContext};
use support::{LIMIT, builder, in_both_modes, soon, up};
use tokio::sync::mpsc;

const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

fn context() -> TraceContext {
    TRACEPARENT.parse().unwrap()
}

fn on_one_thread(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
}

/// Three nodes, each of which is connected to the others.
async fn three(mode: bool, framing: Framing) -> [Node; 3] {
    let node = |id: &str| builder(mode).id(id).secret("s").framings([framing]).bind("127.0.0.1:0");
    let a = node("a").start().await.unwrap();
    let b = node("b").seed(a.local_addrs()[0]).start().await.unwrap();
    let c = node("c").seed(a.local_addrs()[0]).seed(b.local_addrs()[0]).start().await.unwrap();
    for (node, other) in [(&a, &b), (&a, &c), (&b, &a), (&b, &c), (&c, &a), (&c, &b)] {
        up(node, other.id()).await;
    }
    [a, b, c]
}

/// A port that tells its context, and sends what it gets on to others.
fn relay(node: &Node, to: Vec<PortId>) -> (PortId, mpsc::UnboundedReceiver<Option<TraceContext>>) {
    let (sender, contexts) = mpsc::unbounded_channel();
    let port = node.port(move |cx: &mut Context<'_>, message: AnyMessage| {
        sender.send(cx.node().trace_context()).unwrap();
        for port in &to {
            cx.send(port, message.clone());
        }
    });
    (port.to_string().parse().unwrap(), contexts)
}

/// The hops of a node, once there are as many as this.
async fn hops(node: &Node, count: usize) -> Vec<Hop> {
    let hops = soon("the hops", async {
        loop {
            let hops = node.hops(0).hops;
            if hops.len() >= count {
                return hops;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(hops.len(), count, "{hops:#?}");
    hops
}

fn only<const N: usize>(hops: Vec<Hop>, kinds: [HopKind; N]) -> [Hop; N] {
    assert_eq!(hops.iter().map(|hop| hop.kind).collect::<Vec<_>>(), kinds, "{hops:#?}");
    hops.try_into().unwrap()
}

#[test]
fn a_message_takes_its_trace_from_handler_to_handler_over_three_nodes() {
    in_both_modes(|mode| async move {
        let [a, b, c] = three(mode, Framing::Native).await;
        let (last, mut at_last) = relay(&c, Vec::new());
        let (middle, mut at_middle) = relay(&b, vec![last.clone()]);
        a.in_trace(context(), || a.send(&middle, ("go", 1))).unwrap();
        a.send(&middle, ("not followed", 2)).unwrap();
        let followed = at_last.recv().await.unwrap().unwrap();
        assert_eq!(followed.trace(), context().trace());
        assert_eq!(at_last.recv().await.unwrap(), None);
        assert_eq!(at_middle.recv().await.unwrap().map(|found| found.trace()), Some(context().trace()));
        assert_eq!(at_middle.recv().await.unwrap(), None);
        let [sent] = only(hops(&a, 1).await, [HopKind::Sent]);
        // The message behind may be sent before the handler of the first is left.
        let mut between = hops(&b, 2).await;
        between.sort_by_key(|hop| hop.kind == HopKind::Sent);
        let [handled, passed] = only(between, [HopKind::Handled, HopKind::Sent]);
        let [end] = only(hops(&c, 1).await, [HopKind::Handled]);
        assert_eq!(sent.parent.as_deref(), Some(context().span_hex().as_str()));
        assert_eq!(handled.parent, Some(sent.span));
        assert_eq!(passed.parent, Some(handled.span.clone()));
        assert_eq!(end.parent, Some(passed.span));
        assert_eq!(end.span, followed.span_hex());
        for hop in [&handled, &end] {
            assert_eq!(
                (hop.trace.as_str(), hop.tag.as_deref()),
                (context().trace_hex().as_str(), Some("go"))
            );
        }
        assert_eq!((sent.port, sent.peer.as_deref()), (middle.to_string(), Some("b")));
        assert_eq!((end.port, end.peer.as_deref()), (last.to_string(), Some("b")));
        assert!(sent.time <= handled.time && passed.time <= end.time);
    });
}

#[test]
fn an_async_port_follows_the_message_that_it_took_last() {
    in_both_modes(|mode| async move {
        let [a, b, c] = three(mode, Framing::Native).await;
        let (last, mut at_last) = relay(&c, Vec::new());
        let to = last.clone();
        let port = b.port_async(move |mut mailbox| async move {
            loop {
                let message: AnyMessage = mailbox.recv().await;
                // Elsewhere meanwhile, perhaps on another thread.
                tokio::task::yield_now().await;
                mailbox.node().send(&to, message)?;
            }
        });
        a.in_trace(context(), || a.send(&port, ("go", 1))).unwrap();
        a.send(&port, ("not followed", 2)).unwrap();
        assert_eq!(at_last.recv().await.unwrap().map(|found| found.trace()), Some(context().trace()));
        assert_eq!(at_last.recv().await.unwrap(), None);
        let [passed, handled] = only(hops(&b, 2).await, [HopKind::Sent, HopKind::Handled]);
        assert_eq!(passed.parent, Some(handled.span));
    });
}

#[test]
fn a_call_and_what_it_makes_the_called_one_ask_belong_together() {
    in_both_modes(|mode| async move {
        let [a, b, c] = three(mode, Framing::Native).await;
        let adder = c.port(|cx: &mut Context<'_>, (x, y, reply): (i64, i64, ReplyTo<i64>)| {
            cx.reply(reply, x + y);
        });
        let adder: PortId = adder.to_string().parse().unwrap();
        let front = b.port(move |cx: &mut Context<'_>, reply: (ReplyTo<i64>,)| {
            let call = cx.node().call(&adder, LIMIT, |reply| (20, 22, reply));
            let (node, context) = (cx.node().clone(), cx.node().trace_context());
            tokio::spawn(async move {
                let sum = match context {
                    Some(context) => node.traced(context, call).await,
                    None => call.await,
                };
                reply.0.send(sum.unwrap()).unwrap();
            });
        });
        let front: PortId = front.to_string().parse().unwrap();
        let sum: i64 = a.traced(context(), a.call(&front, LIMIT, |reply| (reply,))).await.unwrap();
        assert_eq!(sum, 42);
        assert_eq!(a.trace_context(), None);
        let mut at_b = hops(&b, 2).await;
        at_b.sort_by_key(|hop| hop.kind == HopKind::Sent);
        let [handled, asked] = only(at_b, [HopKind::Handled, HopKind::Sent]);
        assert_eq!(asked.parent, Some(handled.span));
        let at_c = hops(&c, 2).await;
        assert!(at_c.iter().any(|hop| hop.parent == Some(asked.span.clone())), "{at_c:#?}");
    });
}

#[test]
fn a_spawned_port_begins_in_the_trace_of_who_made_it() {
    in_both_modes(|mode| async move {
        let (sender, mut contexts) = mpsc::unbounded_channel();
        let far = builder(mode).id("far").bind("127.0.0.1:0").secret("s");
        let far = far.function("tell", move |cx: &mut Context<'_>, (): ()| {
            sender.send(cx.node().trace_context()).unwrap();
            cx.receive(|_: &mut Context<'_>, (): ()| {});
            Ok::<(), aemp::Reason>(())
        });
        let far = far.start().await.unwrap();
        let near = builder(mode).id("near").seed(far.local_addrs()[0]).secret("s").start().await.unwrap();
        up(&near, far.id()).await;
        let port = near.in_trace(context(), || near.spawn(far.id(), "tell", ())).unwrap();
        near.spawn(far.id(), "tell", ()).unwrap();
        assert_eq!(contexts.recv().await.unwrap().map(|found| found.trace()), Some(context().trace()));
        assert_eq!(contexts.recv().await.unwrap(), None);
        let [sent] = only(hops(&near, 1).await, [HopKind::Sent]);
        let [made] = only(hops(&far, 1).await, [HopKind::Handled]);
        assert_eq!(
            (made.parent, made.port, made.tag.as_deref()),
            (Some(sent.span), port.to_string(), Some("spawn"))
        );
        // On the own node, too.
        far.in_trace(context(), || far.spawn(far.id(), "tell", ())).unwrap();
        assert!(contexts.recv().await.unwrap().is_some());
    });
}

#[test]
fn on_one_node_values_are_still_moved() {
    /// Keeps on a move what it would lose if it were encoded.
    #[derive(serde::Serialize, serde::Deserialize, aemp::Message)]
    struct Moved {
        #[serde(skip)]
        kept: Option<String>,
    }
    on_one_thread(async {
        let node = Node::builder().start().await.unwrap();
        let (sender, mut got) = mpsc::unbounded_channel();
        let port = node.port(move |cx: &mut Context<'_>, Moved { kept }| {
            sender.send((kept, cx.node().trace_context().is_some())).unwrap();
        });
        let message = || Moved { kept: Some("this".into()) };
        node.in_trace(context(), || node.send(&port, message())).unwrap();
        node.send(&port, message()).unwrap();
        assert_eq!(got.recv().await.unwrap(), (Some("this".into()), true));
        assert_eq!(got.recv().await.unwrap(), (Some("this".into()), false));
    });
}

#[test]
fn the_handler_of_a_followed_message_runs_in_a_span_and_that_of_others_does_not() {
    let (log, lines) = std::sync::mpsc::channel();
    let log = std::sync::Mutex::new(log);
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(move || Lines(log.lock().unwrap().clone()))
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    on_one_thread(async {
        let node = Node::builder().start().await.unwrap();
        let (sender, mut done) = mpsc::unbounded_channel();
        let port = node.port(move |_: &mut Context<'_>, (_, n): (String, u8)| {
            tracing::info!(n, "handled");
            sender.send(()).unwrap();
        });
        node.in_trace(context(), || node.send(&port, ("go", 1))).unwrap();
        node.send(&port, ("go", 2)).unwrap();
        for _ in 0..2 {
            done.recv().await.unwrap();
        }
        let lines: Vec<String> = lines.try_iter().filter(|line| line.contains("handled")).collect();
        let span = format!("message{{port={port} tag=\"go\" trace_id=\"{}\" span_id=", context().trace_hex());
        assert!(lines[0].contains(&span) && lines[0].contains("waited="), "{lines:?}");
        assert!(lines[1].contains("n=2") && !lines[1].contains("trace_id"), "{lines:?}");
    });
}

/// Where log lines go.
struct Lines(std::sync::mpsc::Sender<String>);

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let _ = self.0.send(String::from_utf8_lossy(bytes).into_owned());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_handler_that_panics_leaves_no_trace_behind() {
    on_one_thread(async {
        let node = Node::builder().start().await.unwrap();
        let (to, mut contexts) = relay(&node, Vec::new());
        let bad = node.port(|_: &mut Context<'_>, (): ()| panic!("on purpose"));
        let died = node.exited(&bad);
        node.in_trace(context(), || node.send(&bad, ())).unwrap();
        died.await;
        node.send(&to, (1,)).unwrap();
        assert_eq!(contexts.recv().await.unwrap(), None);
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            node.in_trace(context(), || panic!("on purpose"));
        }));
        assert!(outcome.is_err());
        assert_eq!(node.trace_context(), None);
        only(hops(&node, 2).await, [HopKind::Sent, HopKind::Handled]);
    });
}

#[test]
fn nothing_is_recorded_of_what_is_not_sampled_or_not_followed() {
    in_both_modes(|mode| async move {
        let [a, b, _] = three(mode, Framing::Native).await;
        let (to, mut contexts) = relay(&b, Vec::new());
        let not_sampled: TraceContext = TRACEPARENT.replace("-01", "-00").parse().unwrap();
        a.in_trace(not_sampled, || {
            assert_eq!(a.trace_context(), None);
            a.send(&to, ("go", 1))
        })
        .unwrap();
        a.send(&to, ("go", 2)).unwrap();
        for _ in 0..2 {
            assert_eq!(contexts.recv().await.unwrap(), None);
        }
        assert!(a.hops(0).hops.is_empty() && b.hops(0).hops.is_empty());
    });
}

#[test]
fn a_rule_follows_so_many_messages_to_a_port_and_from_peers_that_know_no_traces() {
    in_both_modes(|mode| async move {
        for framing in [Framing::Native, Framing::Cbor, Framing::Json] {
            let [a, b, _] = three(mode, framing).await;
            let (to, mut contexts) = relay(&b, Vec::new());
            let rule = |subject, count| Rule { subject, count, lasts: Duration::from_secs(60) };
            // The sender knows the node already that it has sent to last.
            a.send(&to, ("go", 0)).unwrap();
            assert_eq!(contexts.recv().await.unwrap(), None);
            a.follow_messages_at(b.id(), rule(Subject::Port(to.clone()), 2), LIMIT).await.unwrap();
            for n in 0..4 {
                a.send(&to, ("go", n)).unwrap();
            }
            let mut followed = Vec::new();
            for _ in 0..4 {
                followed.push(contexts.recv().await.unwrap().is_some());
            }
            assert_eq!(followed, [true, true, false, false], "{framing}");
            let found = hops(&b, 2).await;
            assert!(found[0].trace != found[1].trace, "{found:#?}");
            assert!(found.iter().all(|hop| hop.parent.is_none()), "{found:#?}");
            // Where it is sent the first hop is known as well.
            a.follow_messages(rule(Subject::Tag("stop".into()), 1));
            a.send(&to, ("go", 5)).unwrap();
            a.send(&to, ("stop", 6)).unwrap();
            assert_eq!(contexts.recv().await.unwrap(), None);
            let there = contexts.recv().await.unwrap();
            assert_eq!(there.is_some(), framing == Framing::Native);
            let [sent] = only(hops(&a, 1).await, [HopKind::Sent]);
            assert_eq!((sent.parent, sent.tag.as_deref()), (None, Some("stop")));
            let told = a.hops_of(b.id(), 2, LIMIT).await.unwrap();
            assert!(told.hops.iter().all(|hop| hop.number >= 2) && !told.hops.is_empty());
        }
    });
}

#[test]
fn a_node_in_secure_mode_follows_nothing_for_others() {
    on_one_thread(async {
        let far =
            builder(false).id("far").bind("127.0.0.1:0").secret("s").secure(true).start().await.unwrap();
        let near = builder(false).id("near").seed(far.local_addrs()[0]).secret("s").start().await.unwrap();
        up(&near, far.id()).await;
        let rule = Rule { subject: Subject::Tag("t".into()), count: 1, lasts: LIMIT };
        assert!(near.follow_messages_at(far.id(), rule, LIMIT).await.is_err());
        assert!(near.hops_of(far.id(), 0, LIMIT).await.is_err());
    });
}
