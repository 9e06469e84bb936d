//! Scripts of our nodes, from Perl.

use std::path::Path;

use aemp::Value;
use aemp_script::{Limits, Scripts};
use serde_json::json;

use crate::network::{Pair, Setup, inbox, next, words};

/// A pair whose Rust node has the scripts of the example, and evaluates.
async fn start(setup: Setup) -> Pair {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/aemp-script/scripts");
    let scripts = Scripts::new([path], Limits::default());
    let builder = setup.rust("rust").function_resolver(scripts.clone()).evaluate(scripts);
    Pair::start_as(setup, builder).await
}

/// A Perl node has code evaluated.
pub(crate) async fn eval(setup: Setup) {
    let mut pair = start(setup).await;
    let perl = &mut pair.perl;
    perl.run("$me = port { ev (got => @_) }").await;
    for (code, answer) in [
        ("6 * 7", json!(["tag", "", 42])),
        ("let x = 5;", json!(["tag", ""])),
        ("[x, `e`, #{ k: x }]", json!(["tag", "", [5, "e", { "k": 5 }]])),
        ("throw `no luck`", json!(["tag", "(eval):1: no luck"])),
        ("NODE", json!(["tag", "", "rust"])),
    ] {
        perl.run(&format!("AnyEvent::MP::Kernel::eval_on 'rust', '{code}', $me, 'tag'")).await;
        assert_eq!(json!(perl.event("got").await), answer, "{code}");
    }
    pair.finish().await;
}

/// A guest on a Perl node and one on ours talk in a chat that is a script.
pub(crate) async fn chat(setup: Setup) {
    let mut pair = start(setup).await;
    let Pair { rust, perl, .. } = &mut pair;
    let (me, mut heard) = inbox(rust);
    let mine = rust.spawn(rust.id(), "chat::server::connect", (&me, "ann")).unwrap();
    assert_eq!(words(&next(&mut heard).await), ["joined", "ann"]);

    perl.run("$me = port { ev (got => @_) }; $s = spawn 'rust', 'chat::server::connect', $me, 'bob'").await;
    perl.run("mon $s, sub { ev (died => @_) }").await;
    assert_eq!(perl.event("got").await, [json!("joined"), json!("bob")]);
    assert_eq!(words(&next(&mut heard).await), ["joined", "bob"]);

    perl.run("snd $s, say => 'hello'").await;
    assert_eq!(words(&next(&mut heard).await), ["said", "bob", "hello"]);
    assert_eq!(perl.event("got").await, [json!("said"), json!("bob"), json!("hello")]);
    rust.send(&mine, ("say", "h\u{e4} \u{263a}")).unwrap();
    assert_eq!(perl.event("got").await, [json!("said"), json!("ann"), json!("h\u{e4} \u{263a}")]);
    assert_eq!(next(&mut heard).await[2], Value::Text("h\u{e4} \u{263a}".into()));
    perl.run("snd $s, 'members'").await;
    let mut members = perl.event("got").await;
    members[1].as_array_mut().unwrap().sort_by_key(|nick| nick.to_string());
    assert_eq!(members, [json!("members"), json!(["ann", "bob"])]);

    perl.run("$t = spawn 'rust', 'chat::server::connect', $me, ''; mon $t, sub { ev (refused => @_) }").await;
    let refused = perl.event("refused").await;
    assert_eq!(refused[0], json!("die"));
    assert!(refused[1].as_str().unwrap().starts_with("chat/server.rhai:"), "{refused:?}");
    perl.run("snd $s, 'quit'").await;
    assert_eq!(perl.event("died").await, Vec::<serde_json::Value>::new());
    assert_eq!(words(&next(&mut heard).await), ["left", "bob"]);
    pair.finish().await;
}
