//! What scripts can do, with a real node.
#![allow(clippy::unwrap_used, reason = "these are tests")]

mod support;

use aemp::{AnyMessage, PortId, Reason, Value};
use support::{Scripted, words};

#[tokio::test(flavor = "multi_thread")]
async fn handlers_share_the_state_of_their_port() {
    let (at, mut probe) = Scripted::probed(
        r#"
        fn count(start) {
            this.n = start;
            rcv(SELF, "add", |n| this.n += n);
            rcv(SELF, "read", |to| snd(to, "n", this.n));
        }"#,
    )
    .await;
    let counter = at.spawn("t::count", [Value::from(5)]);
    at.node.send(&counter, ("add", 2)).unwrap();
    at.node.send(&counter, ("add", 3, "more than it takes")).unwrap();
    at.node.send(&counter, ("read", &probe.port)).unwrap();
    assert_eq!(probe.words().await, "n 10");
}

#[tokio::test(flavor = "multi_thread")]
async fn self_is_the_port_that_runs_and_captured_values_are_copies() {
    let (at, mut probe) = Scripted::probed(
        r#"
        fn make(to) {
            let n = 1;
            let other = port(#{ name: "other" }, |message| {
                n += 1;
                snd(to, SELF, this.name, message, n);
            });
            n = 100;
            rcv(SELF, |message| snd(message[0], SELF, n));
            snd(to, SELF, other, NODE);
        }"#,
    )
    .await;
    at.spawn("t::make", [probe.id()]);
    let made: Vec<String> = probe.next().await.iter().map(|value| value.to_name().unwrap()).collect();
    assert_eq!(made[2], at.node.id().as_str());
    for _ in 0..2 {
        at.node.send(&made[1].parse::<PortId>().unwrap(), ("x", 7)).unwrap();
        assert_eq!(probe.words().await, format!("{} other [x 7] 2", made[1]));
    }
    at.node.send(&made[0].parse::<PortId>().unwrap(), (&probe.port,)).unwrap();
    assert_eq!(probe.words().await, format!("{} 100", made[0]));
}

#[tokio::test(flavor = "multi_thread")]
async fn names_mean_what_stands_nearest() {
    let (at, mut probe) = Scripted::probed(
        r#"
        const A = "outer";
        let b = "outer";
        fn show(to, b) {
            const A = ["inner"];
            let c = #{ n: 1 };
            let f = || [A, b, c];
            let g = || { c.n += 1; c.n };
            c.n = 7;
            snd(to, A, f.call()[0], f.call()[1], f.call()[2].n, g.call(), g.call(), c.n, outer());
            rcv(SELF, || ());
        }
        fn outer() { A + b }"#,
    )
    .await;
    at.spawn("t::show", [probe.id(), Value::from("inner")]);
    assert_eq!(probe.words().await, "[inner] [inner] inner 1 2 2 7 outerouter");
}

#[tokio::test(flavor = "multi_thread")]
async fn monitors_kills_and_timers() {
    let (at, mut probe) = Scripted::probed(
        r#"
        fn watch(to) {
            let a = port();
            mon(a, |reason| snd(to, "a", reason));
            let b = port();
            mon(b, to, "b");
            let c = port();
            let d = port();
            mon(c, d);
            mon(d, |reason| snd(to, "d", reason));
            let silent = mon(d, |reason| snd(to, "never"));
            cancel(silent);
            rcv(SELF, "go", || {
                kil(a, "why", 1);
                kil(b);
                kil(c, "c");
            });
            let never = after(0.01, || snd(to, "never"));
            cancel(never);
            after(0.02, || { snd(to, "timer"); let p = port(); mon(p); kil(p, "end"); });
        }"#,
    )
    .await;
    let port = at.spawn("t::watch", [probe.id()]);
    let died = at.node.exited(&port);
    at.node.send(&port, ("go",)).unwrap();
    let mut told = [probe.words().await, probe.words().await, probe.words().await, probe.words().await];
    told.sort();
    assert_eq!(told, ["a [why 1]", "b", "d [c]", "timer"]);
    assert_eq!(died.await, Reason::new([Value::name("end")]));
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_are_answered_or_not() {
    let (at, mut probe) = Scripted::probed(
        r#"
        fn ask(to) {
            let adder = port();
            rcv(adder, "add", |a, b, reply| snd(reply, a + b, "sum"));
            rcv(adder, "silence", || ());
            cal(adder, "add", 20, 22, 5, |sum, word| {
                snd(to, sum, word);
                cal(adder, "silence", 0.05, |answer| snd(to, answer));
            });
            rcv(SELF, "unused", || ());
        }"#,
    )
    .await;
    at.spawn("t::ask", [probe.id()]);
    assert_eq!(probe.words().await, "42 sum");
    assert_eq!(probe.words().await, "null");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_database_is_at_hand() {
    let (at, mut probe) = Scripted::probed(
        r#"
        fn enter(to) {
            db_mon("t::family", |content, added, changed, deleted| {
                snd(to, content.keys(), added, changed, deleted);
            });
            rcv(SELF, "set", |key, value| db_set("t::family", key, value));
            rcv(SELF, "del", |key| db_del("t::family", key));
            rcv(SELF, "ask", || {
                db_family("t::family", |content| snd(to, "family", content.one));
                db_keys("t::family", |keys| snd(to, "keys", keys));
                db_values("t::family", |values| snd(to, "values", values));
            });
            rcv(SELF, "reg", || db_reg("t::ports", SELF, 7));
        }"#,
    )
    .await;
    let port = at.spawn("t::enter", [probe.id()]);
    assert_eq!(probe.words().await, "[] [] [] []");
    at.node.send(&port, ("set", "one", 1)).unwrap();
    assert_eq!(probe.words().await, "[one] [one] [] []");
    at.node.send(&port, ("set", "one", 2)).unwrap();
    assert_eq!(probe.words().await, "[one] [] [one] []");
    at.node.send(&port, ("ask",)).unwrap();
    let mut answers = [probe.words().await, probe.words().await, probe.words().await];
    answers.sort();
    assert_eq!(answers, ["family 2", "keys [one]", "values [2]"]);
    at.node.send(&port, ("del", "one")).unwrap();
    assert_eq!(probe.words().await, "[] [] [] [one]");

    let mut watch = at.node.db().watch("t::ports");
    assert!(watch.next().await.unwrap().content.is_empty());
    at.node.send(&port, ("reg",)).unwrap();
    assert_eq!(watch.next().await.unwrap().content[&port.to_string()], Value::Int(7));
    at.node.kill(&port, Reason::NORMAL);
    assert_eq!(watch.next().await.unwrap().deleted, [port.to_string()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_kills_the_port_and_says_where() {
    let at = Scripted::new(
        "fn a() { rcv(SELF, || ()); after(0, || b(1)); }\nfn b(n) {\n  if n == 1 { throw \"boom\"; }\n}\nfn c() { nothing_of_this_name }\n",
    )
    .await;
    assert_eq!(at.death_of("t::a").await, Reason::died("t.rhai:3: boom"));
    assert_eq!(at.death_of("t::c").await, Reason::died("t.rhai:5: Variable not found: nothing_of_this_name"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_found_or_loaded_is_said() {
    let files = [
        ("t.rhai", "fn f() {}\nprivate fn g() {}"),
        ("bad/one.rhai", "\nfn f( {"),
        ("bad/two.rhai", "throw 7;"),
    ];
    let at = Scripted::with(&files, Default::default()).await;
    let text = |reason: Reason| words(reason.values());
    assert!(
        text(at.death_of("none::f").await)
            .starts_with("spawn_refused the function \"none::f\" is not registered")
    );
    assert_eq!(text(at.death_of("t::g").await), "die t.rhai: there is no function g");
    assert!(
        text(at.death_of("t::f").await).starts_with("no_such_port the function \"t::f\" set no receiver")
    );
    assert!(text(at.death_of("bad::one::f").await).starts_with("die bad/one.rhai:2: "));
    assert_eq!(text(at.death_of("bad::two::f").await), "die bad/two.rhai:1: 7");
    for outside in ["../t::f", "..::t::f", "/etc/passwd", "../../etc/passwd", "t::f::", "t.rhai::f", ""] {
        assert!(text(at.death_of(outside).await).starts_with("spawn_refused"), "{outside}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_module_is_loaded_once_and_its_functions_read_its_variables() {
    let (at, mut probe) = Scripted::probed(
        r#"
        const GREETING = "hello";
        fn greeting() { GREETING }
        let first = greeting();
        let home = SELF;
        let room = port(#{ n: 0 });
        rcv(room, "next", |to| { this.n += 1; snd(to, this.n, first); });
        fn init(to) {
            rcv(SELF, "go", || snd(room, "next", to));
            snd(SELF, "go");
        }"#,
    )
    .await;
    at.scripts.load(&at.node, "t::").unwrap();
    for n in 1..=3 {
        at.spawn("t::init", [probe.id()]);
        assert_eq!(probe.words().await, format!("{n} hello"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn values_pass_through_a_script_unchanged() {
    let (at, mut probe) = Scripted::probed(
        "fn echo() { rcv(SELF, |message| { let to = message.pop(); snd_all(to, message); }); }",
    )
    .await;
    let echo = at.spawn("t::echo", []);
    let sent = vec![
        Value::name("tag"),
        Value::Null,
        Value::Bool(true),
        Value::Int(i128::from(u64::MAX)),
        Value::Int(-1),
        Value::Float(1.0),
        Value::Text("text".into()),
        Value::Bytes(vec![0, 255].into()),
        Value::List(vec![Value::Null]),
        Value::Map(vec![(Value::name("k"), Value::Int(1))]),
        Value::Map(vec![(Value::Int(1), Value::Int(2))]),
        Value::Tag(99, Box::new(Value::Null)),
    ];
    let mut message = sent.clone();
    message.push(probe.id());
    at.node.send(&echo, AnyMessage(message)).unwrap();
    assert_eq!(probe.next().await, sent);
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_fit_nothing_are_as_with_other_ports() {
    let at = Scripted::new(
        "fn tags() { rcv(SELF, \"a\", || ()); }\nfn open(to) { snd(to, port()); rcv(SELF, || ()); }",
    )
    .await;
    let tags = at.spawn("t::tags", []);
    let died = at.node.exited(&tags);
    at.node.send(&tags, ("b",)).unwrap();
    assert_eq!(died.await.identifier().as_deref(), Some("unhandled_message"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_of_a_port_that_was_set_again_outlives_the_port() {
    let (at, probe) = Scripted::probed(
        r#"
        fn enter(to) {
            rcv(SELF, "reg", || db_reg("t::ports"));
            rcv(SELF, "set", || db_set("t::ports", SELF, "kept"));
        }"#,
    )
    .await;
    let port = at.spawn("t::enter", [probe.id()]);
    let mut watch = at.node.db().watch("t::ports");
    assert!(watch.next().await.unwrap().content.is_empty());
    at.node.send(&port, ("reg",)).unwrap();
    assert_eq!(watch.next().await.unwrap().added, [port.to_string()]);
    at.node.send(&port, ("set",)).unwrap();
    assert_eq!(watch.next().await.unwrap().changed, [port.to_string()]);
    let death = at.node.exited(&port);
    at.node.kill(&port, Reason::NORMAL);
    death.await;
    assert_eq!(at.node.db().keys("t::ports").await.unwrap(), [port.to_string()]);
}
