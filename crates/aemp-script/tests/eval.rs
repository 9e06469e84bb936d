//! Code that is evaluated, as it arrives from another node.
#![allow(clippy::unwrap_used, reason = "these are tests")]

mod support;

use std::time::Duration;

use aemp::{AnyMessage, Node, Value};
use aemp_script::{Limits, Scripts};
use support::{PATIENCE, Scripted, words};

#[tokio::test(flavor = "multi_thread")]
async fn results_and_errors() {
    let at = Scripted::new("").await;
    assert_eq!(at.eval("1 + 2"), Ok(vec![Value::Int(3)]));
    assert_eq!(at.eval("let x = 1;"), Ok(vec![]));
    assert_eq!(at.eval("[1, \"a\"]"), Ok(vec![Value::List(vec![Value::Int(1), Value::Text("a".into())])]));
    assert_eq!(at.eval("NODE"), Ok(vec![Value::name(at.node.id().as_str())]));
    assert_eq!(at.eval("\n\nthrow \"no\""), Err("(eval):3: no".into()));
    assert!(at.eval("1 +").unwrap_err().starts_with("(eval):1: "));
    assert_eq!(at.eval("exit(5)"), Ok(vec![Value::Int(5)]));
    assert!(at.eval("eval(\"1\")").is_err() && at.eval("Fn(\"eval\").call(\"1\")").is_err());
    assert!(at.eval("import \"t\" as t;").is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn variables_and_functions_stay_within_bounds() {
    let at = Scripted::with(&[], Limits::default()).await;
    at.eval("let n = 1; fn double(x) { x * 2 } fn see() { n }").unwrap();
    at.eval("n += 2; let n = n;").unwrap();
    assert_eq!(at.eval("double(n)"), Ok(vec![Value::Int(6)]));
    assert_eq!(at.eval("see()"), Ok(vec![Value::Int(3)]));
    assert_eq!(at.eval("fn double(x) { x * 3 } double(n)"), Ok(vec![Value::Int(9)]));

    let mut tight = Limits::default();
    tight.set("total=4000").unwrap();
    let at = Scripted::with(&[], tight).await;
    at.eval("let n = 1;").unwrap();
    let error = at.eval("let big = []; big.pad(1000, 7);").unwrap_err();
    assert!(error.contains("script_limits: total"), "{error}");
    assert!(at.eval("n").is_err(), "everything was forgotten");
    assert_eq!(at.eval("1"), Ok(vec![Value::Int(1)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_evaluated_runs_in_a_port() {
    let (at, mut probe) = Scripted::probed("").await;
    at.eval(&format!("after(0, || snd(\"{}\", \"tick\", SELF));", probe.port)).unwrap();
    let port = probe.next().await[1].to_name().unwrap().parse().unwrap();
    let died = at.node.exited(&port);
    at.eval("after(0, || throw \"late\");").unwrap();
    assert_eq!(words(died.await.values()), "die (eval):1: late");
    // Another one takes its place.
    assert_eq!(at.eval("1"), Ok(vec![Value::Int(1)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_nodes_that_allow_it_evaluate_for_others() {
    let scripts = || Scripts::new([], Limits::default());
    let open = Node::builder().id("open").secret("geheim").bind("127.0.0.1:0").evaluate(scripts());
    let open = open.start().await.unwrap();
    let seed = open.local_addrs().remove(0);
    let builder = |id: &str| Node::builder().id(id).secret("geheim").seed(seed);
    let closed = builder("closed").bind("127.0.0.1:0").function_resolver(scripts()).start().await.unwrap();
    let secure =
        builder("secure").bind("127.0.0.1:0").evaluate(scripts()).secure(true).start().await.unwrap();
    let asker = builder("asker").start().await.unwrap();
    // The node port of another node has an empty name.
    let ask = async |node: &Node, values: Vec<Value>| {
        reached(&asker, node).await;
        let answer = asker.call(&node.id().control_port(), PATIENCE, |reply: aemp::ReplyTo<AnyMessage>| {
            let eval = [Value::name("eval"), Value::Text("6 * 7".into()), Value::from(reply.port())];
            AnyMessage([eval.to_vec(), values].concat())
        });
        answer.await.unwrap().0
    };
    assert_eq!(ask(&open, vec![]).await, [Value::Text(String::new()), Value::Int(42)]);
    assert_eq!(words(&ask(&open, vec![Value::Int(1), Value::Null]).await), "1 null  42");
    assert_eq!(words(&ask(&closed, vec![]).await), "eval is refused on this node");
    assert_eq!(words(&ask(&secure, vec![]).await), "eval is refused on this node");
    let limited = tokio::time::timeout(
        Duration::from_secs(20),
        asker.exited(&asker.spawn(secure.id(), "t::f", ()).unwrap()),
    );
    assert_eq!(limited.await.unwrap().identifier().as_deref(), Some("spawn_refused"));
}

/// Waits until a node can be talked to: until the network knows where it listens.
async fn reached(from: &Node, to: &Node) {
    let asked = async {
        loop {
            let time =
                from.call(&to.id().control_port(), PATIENCE, |reply: aemp::ReplyTo<f64>| ("time", reply));
            if time.await.is_ok() {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, asked).await.expect("the node is reached");
}
