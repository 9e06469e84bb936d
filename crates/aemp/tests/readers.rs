//! Code of users that runs because of what a connection brings: it may panic or take its time, and
//! the connection lives. If the task of a connection itself panics, the connection ends, and
//! everybody is told.

#![allow(clippy::unwrap_used)] // a test may

mod support;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};

use aemp::{
    Addr, AnyMessage, CallError, Context, EvalReply, Evaluate, FunctionResolver, Node, NodeEvent, PortId,
    Reason, ReplyTo, Stream, StreamError, Value,
};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use support::{LIMIT, builder, in_both_modes, soon, up};
use tracing::Subscriber;
use tracing_subscriber::layer::{Context as LayerContext, Layer, SubscriberExt as _};

/// Panics, waits to be told to go on, or says what it was asked.
struct Evaluator {
    go_on: parking_lot::Mutex<mpsc::Receiver<()>>,
}

impl Evaluate for Evaluator {
    fn evaluate(&self, _node: &Node, code: String, answer: EvalReply) {
        match code.as_str() {
            "panic" => panic!("asked"),
            "wait" => self.go_on.lock().recv().unwrap(),
            "forget" => return,
            _ => {}
        }
        answer(Ok(vec![Value::Text(code)]));
    }
}

struct Finder;

impl FunctionResolver for Finder {
    fn knows(&self, name: &str) -> bool {
        assert!(!name.contains("panic"), "asked");
        name == "found::function"
    }

    fn run(&self, cx: &mut Context<'_>, _name: &str, arguments: AnyMessage) -> Option<Result<(), Reason>> {
        let to: PortId = arguments.0[0].to_name()?.parse().ok()?;
        cx.send(&to, (9u8,));
        cx.end(Reason::NORMAL);
        Some(Ok(()))
    }
}

/// A server with user code of all kinds, and a client that is connected to it.
async fn pair(mode: bool) -> (Node, Node, mpsc::Sender<()>) {
    let (go, go_on) = mpsc::channel();
    let far = builder(mode)
        .id("far")
        .bind("127.0.0.1:0")
        .secret("s")
        .evaluate(Evaluator { go_on: parking_lot::Mutex::new(go_on) })
        .function_resolver(Finder)
        .stream_function(
            "test::stream",
            async |_node: Node, _stream: Stream, _: Grenade| Ok::<(), Reason>(()),
        )
        .start()
        .await
        .unwrap();
    let near = builder(mode).id("near").secret("s").seed(far.local_addrs()[0]).start().await.unwrap();
    up(&near, far.id()).await;
    up(&far, near.id()).await;
    (near, far, go)
}

/// Panics when it is decoded.
#[derive(serde::Serialize)]
struct Grenade;

impl<'de> Deserialize<'de> for Grenade {
    fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Grenade, D::Error> {
        panic!("asked")
    }
}

/// The error, which is empty on success, and the results.
async fn eval<R: DeserializeOwned + Send + 'static>(
    near: &Node,
    far: &Node,
    code: &'static str,
) -> Result<R, CallError> {
    let call = near.call::<_, R, _>(&far.id().control_port(), LIMIT, |reply| ("eval", code, reply));
    soon("the answer", call).await
}

fn echo(node: &Node) -> Addr<(u8, ReplyTo<u8>)> {
    node.port(|cx: &mut Context<'_>, (n, reply): (u8, ReplyTo<u8>)| cx.reply(reply, n))
}

async fn answers(near: &Node, port: &Addr<(u8, ReplyTo<u8>)>) {
    let call = near.call::<_, u8, _>(port, LIMIT, |reply| (5u8, reply));
    assert_eq!(soon("the echo", call).await.unwrap(), 5);
}

#[test]
fn an_evaluator_that_panics_gives_an_error_and_the_connection_lives() {
    in_both_modes(async |mode| {
        let (near, far, _go) = pair(mode).await;
        let port = echo(&far);
        let mut events = near.node_events();
        for code in ["panic", "forget"] {
            let error: String = eval(&near, &far, code).await.unwrap();
            assert!(error.starts_with("the evaluator of this node"), "{error}");
        }
        let answer: (String, String) = eval(&near, &far, "what").await.unwrap();
        assert_eq!(answer, (String::new(), "what".into()));
        answers(&near, &port).await;
        assert!(events.try_next().is_none());
        soon("the end", near.shutdown()).await;
        soon("the end", far.shutdown()).await;
    });
}

#[test]
fn while_code_is_evaluated_the_connection_delivers_and_evaluations_keep_their_order() {
    let many = tokio::runtime::Builder::new_multi_thread().worker_threads(3).enable_all().build().unwrap();
    many.block_on(async {
        let (near, far, go) = pair(false).await;
        let port = echo(&far);
        let first = eval::<(String, String)>(&near, &far, "wait");
        let second = eval::<(String, String)>(&near, &far, "second");
        let order = Arc::new(parking_lot::Mutex::new(Vec::new()));
        let (one, two) = (order.clone(), order.clone());
        tokio::join!(
            async {
                first.await.unwrap();
                one.lock().push(1);
            },
            async {
                second.await.unwrap();
                two.lock().push(2);
            },
            async {
                // The evaluation waits for what comes behind it over the same connection.
                answers(&near, &port).await;
                go.send(()).unwrap();
            },
        );
        assert_eq!(*order.lock(), [1, 2]);
        near.shutdown().await;
        far.shutdown().await;
    });
}

#[test]
fn a_finder_that_panics_harms_nobody_and_what_it_knows_is_called() {
    in_both_modes(async |mode| {
        let (near, far, _go) = pair(mode).await;
        let port = echo(&far);
        let mut events = near.node_events();
        near.send(&far.id().control_port(), ("some::panic", 1u8)).unwrap();
        near.send(&far.id().control_port(), ("some::other", 1u8)).unwrap();
        answers(&near, &port).await;
        let (sender, mut told) = tokio::sync::mpsc::unbounded_channel();
        let here = near.port(move |_: &mut Context<'_>, (n,): (u8,)| sender.send(n).unwrap());
        near.send(&far.id().control_port(), ("found::function", here.to_string())).unwrap();
        assert_eq!(soon("the function", told.recv()).await, Some(9));
        assert!(events.try_next().is_none());
        near.shutdown().await;
        far.shutdown().await;
    });
}

#[test]
fn arguments_of_a_stream_that_panic_when_they_are_decoded_cost_the_stream_alone() {
    in_both_modes(async |mode| {
        let (near, far, _go) = pair(mode).await;
        let port = echo(&far);
        let mut events = near.node_events();
        let opened = soon("the stream", near.connect_stream(far.id(), "test::stream", Grenade, LIMIT)).await;
        match opened {
            Err(StreamError::Refused { reason, .. }) => {
                assert!(reason.to_string().contains("asked"), "{reason}")
            }
            other => panic!("{other:?}"),
        }
        answers(&near, &port).await;
        assert!(events.try_next().is_none());
        near.shutdown().await;
        far.shutdown().await;
    });
}

/// Panics in the code that logs that a request was refused, once: that is the reader of a
/// connection.
struct Mine(Arc<AtomicBool>);

impl<S: Subscriber> Layer<S> for Mine {
    fn on_event(&self, event: &tracing::Event<'_>, _: LayerContext<'_, S>) {
        struct Refused(bool);
        impl tracing::field::Visit for Refused {
            fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
                self.0 |= field.name() == "message" && format!("{value:?}").contains("a request was refused");
            }
        }
        let mut refused = Refused(false);
        event.record(&mut refused);
        if refused.0 && self.0.swap(false, Ordering::SeqCst) {
            panic!("asked");
        }
    }
}

#[test]
fn a_reader_that_panics_ends_its_connection_and_everybody_is_told() {
    let armed = Arc::new(AtomicBool::new(true));
    // For this thread only, on which everything runs.
    let layer = tracing_subscriber::registry().with(Mine(armed.clone()));
    let _default = tracing::subscriber::set_default(layer);
    let single = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    single.block_on(async {
        let (near, far, _go) = pair(false).await;
        let (here, there) = (echo(&near), echo(&far));
        let (mut near_events, mut far_events) = (near.node_events(), far.node_events());
        let (of_there, of_here) = (near.exited(&there), far.exited(&here));
        // A request that cannot be read.
        near.send(&far.id().control_port(), ("mon1", vec![3u8])).unwrap();
        for death in [of_there, of_here] {
            assert_eq!(soon("the fire", death).await.identifier().as_deref(), Some("transport_error"));
        }
        assert!(!armed.load(Ordering::SeqCst));
        for (events, node) in [(&mut near_events, far.id()), (&mut far_events, near.id())] {
            let down = soon("the news", events.next()).await;
            assert!(matches!(down, Some(NodeEvent::Down(down, _)) if down == *node));
        }
        up(&near, far.id()).await;
        answers(&near, &there).await;
        near.shutdown().await;
        far.shutdown().await;
    });
}
