//! Spawning on a node of the other kind.

use std::time::Duration;

use aemp::{AnyMessage, PortId, Reason, Value};
use serde_json::json;

use crate::network::{Pair, inbox, next, soon, words};

const LIMIT: Duration = Duration::from_secs(20);

pub(crate) async fn in_perl(pair: &mut Pair) {
    let Pair { rust, perl, .. } = pair;
    let there = perl.node.clone();
    let (me, mut received) = inbox(rust);
    // Messages, a call and a monitor follow at once.
    let counter = rust.spawn(&there, "main::counter", ()).unwrap();
    let death = rust.exited(&counter);
    for n in 0..500 {
        rust.send(&counter, (n,)).unwrap();
    }
    rust.send(&counter, ("end", &me)).unwrap();
    assert_eq!(next(&mut received).await, [Value::from(500), Value::from(1)]);
    rust.kill(&counter, Reason::text("done", "thanks"));
    assert_eq!(words(soon("the death", death).await.values()), ["done", "thanks"]);
    let echo = rust.spawn(&there, "::echo", ()).unwrap();
    let answer: (String,) = rust.call(&echo, LIMIT, |reply| ("hello", reply)).await.unwrap();
    assert_eq!(answer.0, "hello");
    // Perl's functions with a package of their own get their arguments.
    let (port, _guard) = (rust.spawn(&there, "main::dying", ("it", 2)).unwrap(), ());
    for failing in [
        port,
        rust.spawn(&there, "main::without_receiver", ()).unwrap(),
        rust.spawn(&there, "main::no_such_function", ()).unwrap(),
        rust.spawn(&there, "No::Such::Package::function", ()).unwrap(),
    ] {
        let reason = soon("the refusal", rust.exited(&failing)).await;
        assert_eq!(reason.identifier().as_deref(), Some("no_such_port"), "{reason}");
        rust.send(&failing, ("nobody is there",)).unwrap();
    }
}

pub(crate) async fn in_rust(pair: &mut Pair) {
    let Pair { rust, perl, .. } = pair;
    let here = rust.id().clone();
    perl.run(&format!("$me = port {{ ev (got => @_) }}; $echo = spawn '{here}', 'rust::echo'; mon $echo, sub {{ ev (died => @_) }}")).await;
    perl.run("snd $echo, $_, $me for 1 .. 500").await;
    for n in 1..=500 {
        assert_eq!(perl.event("got").await, [json!(n)]);
    }
    perl.run("cal $echo, 'hello', sub { ev (hello => @_) }").await;
    assert_eq!(perl.event("hello").await, [json!("hello")]);
    perl.run("kil $echo, done => 'thanks'").await;
    assert_eq!(perl.event("died").await, [json!("done"), json!("thanks")]);
    perl.run(&format!("$told = spawn '{here}', 'rust::tell', $me, \"\\xe9\"")).await;
    let told = perl.event("got").await;
    assert_eq!((&told[0], &told[1]), (&json!("told"), &json!("\u{e9}")));
    assert_eq!([told[2].clone()], perl.ask("$told").await[..]);
    // The port that it made has the name that Perl gave it, and Rust reaches it too.
    let port = PortId::parse(told[2].as_str().unwrap()).unwrap();
    let death = rust.exited(&port);
    rust.kill(&port, Reason::NORMAL);
    assert!(soon("the death", death).await.is_normal());

    for (function, identifier) in [
        ("rust::dying', 'it", "die"),
        ("rust::without_receiver", "no_such_port"),
        ("rust::no_such_function", "spawn_refused"),
        ("rust::tell', 'not a port", "bad_message"),
    ] {
        perl.run(&format!(
            "$p = spawn '{here}', '{function}'; mon $p, sub {{ ev (died => @_) }}; snd $p, 'nobody is there'"
        ))
        .await;
        let died = perl.event("died").await;
        assert_eq!(died[0], identifier, "{died:?}");
        // Also when it is asked later.
        perl.run("mon $p, sub { ev (died => @_) }").await;
        assert_eq!(perl.event("died").await[0], identifier);
    }
    let (me, mut received) = inbox(rust);
    rust.send(&me, AnyMessage(vec![Value::name("alive")])).unwrap();
    assert_eq!(words(&next(&mut received).await), ["alive"]);
}
