//! Scripts that mean harm: each has to end soon, with an error, and take nothing else with it.
#![allow(clippy::unwrap_used, reason = "these are tests")]

mod support;

use std::time::{Duration, Instant};

use aemp::{Reason, Value};
use aemp_script::Limits;
use support::{PATIENCE, Scripted, words};

/// A build without optimisation on a busy machine may take so much longer than the 50 ms of the
/// limit.
const SOON: Duration = Duration::from_secs(5);

/// Evaluates code that must fail soon, and then asks the same node for something simple.
fn fails(at: &Scripted, code: &str, with: &[&str]) {
    let started = Instant::now();
    let error = at.eval(code).expect_err(code);
    assert!(started.elapsed() < SOON, "{code}: {:?}", started.elapsed());
    assert!(with.iter().any(|text| error.contains(text)), "{code}: {error}");
    assert_eq!(at.eval("1"), Ok(vec![Value::Int(1)]), "after {code}");
}

/// Evaluates pieces of code that must fail as [`fails`] says, all on one node without scripts.
/// Gives the node.
async fn each_fails<'a>(codes: impl IntoIterator<Item = &'a str>, with: &[&str]) -> Scripted {
    let at = Scripted::new("").await;
    for code in codes {
        fails(&at, code, with);
    }
    at
}

const LIMITED: &[&str] = &["script_limits", "too large"];

#[tokio::test(flavor = "multi_thread")]
async fn endless_loops_end() {
    let codes = [
        "loop {}",
        "while true { let x = 1; }",
        "let i = 0; do { i += 1; } until false",
        "let n = 0; for i in 0..9_000_000_000_000 { n += 1; }",
        "let f = || { loop {} }; f.call()",
        "[1].map(|x| { loop {} })",
        "loop { try { loop {} } catch {} }",
        "loop { try { throw 1; } catch {} }",
    ];
    each_fails(codes, LIMITED).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deep_recursion_ends() {
    let codes = [
        "fn f(x) { f(x + 1) } f(0)",
        "fn f(x) { [x].map(|y| f(y + 1)) } f(0)",
        "fn f(x) { g(x) } fn g(x) { f([x]) } f(0)",
        "let f = Fn(\"f\"); fn f(g) { g.call(g) } f.call(f)",
        "fn f(x) { try { f(x + 1) } catch (e) { throw e; } } f(0)",
    ];
    let at = each_fails(codes, &["script_limits: depth", "too many calls"]).await;
    let deep = |open: &str, close: &str| [&open.repeat(20_000), "1", &close.repeat(20_000)].concat();
    for code in
        [deep("(", ")"), deep("[", "]"), deep("-", ""), deep("!", ""), deep("{", "}"), deep("if true {", "}")]
    {
        fails(&at, &code, &["(eval):1: "]);
    }
    // At the limit of both, with the dearest frames there are.
    let nested = ["(1 + ".repeat(24), "f(x - 1)".into(), ")".repeat(24)].concat();
    at.eval(&format!("fn f(x) {{ if x == 0 {{ 0 }} else {{ {nested} }} }} f(29)")).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn values_do_not_grow_without_end() {
    let codes = [
        "let s = \"x\"; loop { s += s; }",
        "let s = \"x\"; loop { s = s + s; }",
        "let s = \"x\"; loop { s = `${s}${s}`; }",
        "let s = \"x\"; s.pad(1_000_000_000, \"yyyy\")",
        "let a = [1]; loop { a += a; }",
        "let a = [1]; loop { a = a + a; }",
        "let a = [1]; loop { a = [a, a]; }",
        "let a = []; a.pad(1_000_000_000, 7)",
        "let a = []; loop { a.push(a); }",
        "let b = blob(1_000_000_000, 7)",
        "let b = blob(1, 7); loop { b += b; }",
        "let m = #{}; let i = 0; loop { m[i.to_string()] = i; i += 1; }",
        "let m = #{}; loop { m = #{ a: m, b: m }; }",
        "let a = []; loop { a.push(\"x\".pad(500_000, \"y\")); }",
        "let all = []; loop { let big = []; big.pad(9_000, 1); all.push(|| big); }",
    ];
    each_fails(codes, &["script_limits", "too large", "too long", "exceeds", "size"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn functions_of_the_library_look_at_the_limits_first() {
    let codes = [
        "let a = \"a\"; a.pad(1_000_000, 'a'); a.replace(\"a\", a)",
        "let a = \"a\"; a.pad(1_000_000, 'a'); a.replace('a', a)",
        "let a = \"a\"; a.pad(1_000_000, 'a'); a.split(\"\")",
        "let a = \"a\"; a.pad(1_000_000, 'a'); a.split('a')",
        "let a = \"a\"; a.pad(1_000_000, 'a'); a.to_chars()",
        // Twice as many, and once more, is more than there are numbers: nothing.
        "let one = []; one.pad(8_191, 1); let a = []; a.pad(1 << 51, one)",
        "let a = \"a\"; a.pad(10, \"\"); throw \"size\"",
    ];
    each_fails(codes, &["would be too large", "nothing to pad with"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn json_calls_no_functions() {
    let at = Scripted::new("").await;
    at.eval("let json = `{\"a\": parse_json(json)}`;").unwrap();
    fails(&at, "parse_json(json)", &["parse_json: "]);
    fails(&at, "parse_json(`{\"a\": port()}`)", &["parse_json: "]);
    fails(
        &at,
        &format!("parse_json(`{{\"a\": {}}}`)", "[".repeat(50_000)),
        &["would be too large", "parse_json: "],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn all_values_of_a_call_together_are_limited() {
    let mut limits = Limits::default();
    // Not the time: on a busy machine that would be the first.
    for limit in ["milliseconds=10000", "steps=10000000"] {
        limits.set(limit).unwrap();
    }
    let at = Scripted::with(&[], limits).await;
    let big =
        "let t = \"x\"; t.pad(1_000_000, 'x'); let f = |n| { let t = \"x\"; t.pad(1_000_000, 'x'); t };";
    for code in [
        "[0].map(|n| 0); let a = []; a.pad(900, 0); a.map(|n| f.call(n))",
        "fn deep(n, f) { let t = f.call(n); if n > 0 { deep(n - 1, f); deep(n - 1, f); } t } let m = #{}; for i in 0..500 { m[f.call(i) + i] = i; }",
    ] {
        fails(&at, &format!("{big} {code}"), &["script_limits: working"]);
    }
    let names: Vec<String> = (0..900).map(|n| format!("let v{n} = f.call({n});")).collect();
    fails(&at, &format!("{big} {}", names.concat()), &["script_limits: working"]);
    let arrays: Vec<String> = (0..900).map(|n| format!("let v{n} = a;")).collect();
    fails(&at, &format!("let a = []; a.pad(9_999, 1); {}", arrays.concat()), &["script_limits: working"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn compiling_counts() {
    let mut limits = Limits::default();
    limits.set("working=1000000").unwrap();
    limits.set("milliseconds=10000").unwrap();
    let at = Scripted::with(&[], limits).await;
    fails(&at, &format!("let a = 1; {}", "a+a;".repeat(50_000)), &["script_limits: working"]);
    let mut limits = Limits::default();
    limits.set("milliseconds=1").unwrap();
    let at = Scripted::with(&[], limits).await;
    let error = at.eval(&format!("let a = 1; {}", "a+a;".repeat(60_000))).unwrap_err();
    assert!(error.contains("script_limits: milliseconds"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn values_within_values_do_not_break_the_stack() {
    let deep = "more than 64 values within each other";
    let codes = [
        "let a = []; loop { a = [take(a)]; }",
        "let m = #{}; loop { m = #{ m: take(m) }; }",
        "let m = #{}; loop { let n = #{}; n.x = [take(m)]; m = n; }",
        "let a = []; for i in 0..500 { a = [take(a)]; } throw a",
        "let a = []; for i in 0..500 { a = [take(a)]; } snd(SELF, a)",
        "let a = []; for i in 0..500 { a = [take(a)]; } print(a); to_json(#{ a: a }); a == a; let f = || a; f",
    ];
    let at = each_fails(codes, &["script_limits", "too large", deep, "(eval):1: "]).await;
    fails(&at, "let a = []; for i in 0..500 { a = [take(a)]; }", &[deep]);
}

#[tokio::test(flavor = "multi_thread")]
async fn functions_that_capture_themselves_are_copies() {
    let at = Scripted::new("").await;
    at.eval("let f = (); f = || f; f = || f; let a = []; let g = || a; a.push(g);").unwrap();
    fails(&at, "let f = (); loop { f = || f; }", &["more than 64 values within each other"]);
    fails(&at, "let a = []; loop { a = [|| a]; }", &["more than 64 values within each other"]);
    fails(&at, "let f = Fn(\"print\"); loop { f = f.curry(take(f)); }", &["(eval):1: "]);
    fails(&at, "let f = Fn(\"print\"); Fn(\"curry\").call(f, 1)", &["(eval):1: "]);
}

#[tokio::test(flavor = "multi_thread")]
async fn threads_are_not_held() {
    let at = Scripted::new("").await;
    fails(&at, "sleep(1000)", &["must not hold"]); // sleep: it is the script that wants to, and must not
    fails(&at, "Fn(\"sleep\").call(1000.0)", &["must not hold"]); // sleep: it is the script that wants to, and must not
    fails(&at, "let x = 1000; x.sleep()", &["must not hold"]); // sleep: it is the script that wants to, and must not
}

#[tokio::test(flavor = "multi_thread")]
async fn ports_timers_and_the_like_are_limited() {
    let mut limits = Limits::default();
    // Not the time: on a busy machine that would be the first.
    for limit in ["ports=50", "pending=50", "entries=50", "milliseconds=10000"] {
        limits.set(limit).unwrap();
    }
    let at = Scripted::with(
        &[("t.rhai", "fn f() { rcv(SELF, || ()); spawn(NODE, \"t::f\"); spawn(NODE, \"t::f\"); }")],
        limits,
    )
    .await;
    fails(&at, "loop { port(); }", &["script_limits: ports"]);
    fails(&at, "loop { after(1000, || ()); }", &["script_limits: pending"]);
    fails(
        &at,
        "let p = port_of_nobody; loop { mon(p, |reason| ()); }",
        &["script_limits: pending", "not found"],
    );
    fails(&at, "loop { cal(SELF, \"x\", 1000, |answer| ()); }", &["script_limits: pending"]);
    fails(&at, "let i = 0; loop { i += 1; db_set(\"f\", `${i}`); }", &["script_limits: entries"]);
    fails(&at, "loop { spawn(NODE, \"t::none\", 1); }", &["script_limits: ports", "verbs"]);
    fails(&at, "loop { log(\"x\"); }", &["verbs", "script_limits"]);
    fails(
        &at,
        "let s = \"x\"; for i in 0..18 { s += s; } loop { snd(\"nobody#here\", s); }",
        &["script_limits: memory"],
    );
}

/// A node whose scripts may have little.
async fn tight() -> Scripted {
    let mut limits = Limits::default();
    for limit in ["pending=50", "entries=50", "total=1000000", "milliseconds=10000"] {
        limits.set(limit).unwrap();
    }
    let source = "fn f(n) { for i in 0..n { db_reg(`g${i}`); } rcv(SELF, |message| snd_all(message[0], [\"here\"])); }";
    Scripted::with(&[("t.rhai", source)], limits).await
}

#[tokio::test(flavor = "multi_thread")]
async fn monitors_entries_and_tags_are_limited() {
    for (code, limit) in [
        ("let p = port(); loop { mon(p); }", "script_limits: pending"),
        ("let p = port(); loop { mon(p, SELF); }", "script_limits: pending"),
        ("let p = port(); loop { mon(p, SELF, 1); }", "script_limits: pending"),
        ("let s = []; s.pad(2000, 7); let p = port(); loop { mon(p, SELF, s); }", "script_limits: total"),
        ("let i = 0; loop { i += 1; db_reg(`f${i}`); }", "script_limits: entries"),
        ("let i = 0; loop { i += 1; db_reg(`f${i}`, SELF, 1); }", "script_limits: entries"),
        (
            "let s = \"x\"; for i in 0..18 { s += s; } let i = 0; loop { i += 1; rcv(SELF, s + i, || ()); }",
            "script_limits: total",
        ),
    ] {
        fails(&tight().await, code, &[limit]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_monitors_and_entries_took_is_given_back() {
    let at = tight().await;
    let mut probe = at.probe();
    for _ in 0..3 {
        at.eval("let p = port(); for i in 0..49 { mon(p); } kil(p);").unwrap();
        at.eval("let p = port(); for i in 0..49 { mon(p, SELF, i); } kil(p);").unwrap();
        let tell = format!("mon(q, |reason| snd(\"{}\", reason[0]));", probe.port);
        at.eval(&format!(
            "let p = port(); let q = port(); for i in 0..49 {{ mon(p, q); }} {tell} kil(p, \"x\");"
        ))
        .unwrap();
        assert_eq!(probe.words().await, "x");
    }
    for _ in 0..3 {
        let port = at.spawn("t::f", [Value::Int(50)]);
        let died = at.node.exited(&port);
        at.node.send(&port, (&probe.port,)).unwrap();
        assert_eq!(probe.words().await, "here");
        assert!(at.eval("db_reg(\"other\")").is_err());
        at.node.kill(&port, Reason::NORMAL);
        died.await;
    }
    // What is registered again and again is there once, and stays as long as its port.
    at.eval("for i in 0..100 { db_reg(\"again\"); db_reg(\"again\", SELF, i); }").unwrap();
    let entries = at.node.db().family("again").await.unwrap();
    assert_eq!(entries.into_values().collect::<Vec<_>>(), [Value::Int(99)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_cancelled_is_given_back() {
    let at = tight().await;
    for begun in ["after(1000, || ())", "cal(SELF, \"x\", 1000, |answer| ())", "db_mon(\"f\", |content| ())"]
    {
        for _ in 0..3 {
            let begin = format!("for i in 0..50 {{ cancel({begun}); }}");
            // The tasks end by themselves.
            let begun = async {
                while at.eval(&begin).is_err() {
                    tokio::task::yield_now().await;
                }
            };
            tokio::time::timeout(PATIENCE, begun).await.expect("room for what is begun anew");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_keep_their_place_between_messages() {
    let (at, mut probe) = Scripted::probed("").await;
    let to = &probe.port;
    let sends = format!("snd(\"{to}\", 1); cal(\"{to}\", 2, 1000, |answer| ()); snd(\"{to}\", 3);");
    at.eval(&sends.repeat(100)).unwrap();
    for expected in [1, 2, 3].into_iter().cycle().take(300) {
        assert_eq!(probe.next().await[0], Value::Int(expected));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_bomb_fizzles_out() {
    let mut limits = Limits::default();
    limits.set("ports=50").unwrap();
    let bomb =
        "fn f() { rcv(SELF, || ()); db_reg(\"bombs\"); spawn(NODE, \"t::f\"); spawn(NODE, \"t::f\"); }";
    let at = Scripted::with(&[("t.rhai", bomb)], limits).await;
    let mut bombs = at.node.db().watch("bombs");
    at.spawn("t::f", []);
    loop {
        let change = bombs.next().await.unwrap();
        assert!(change.content.len() <= 50);
        if !change.deleted.is_empty() {
            break; // one died because it could not spawn another
        }
    }
    assert_eq!(at.eval("1"), Ok(vec![Value::Int(1)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_port_keeps_is_limited() {
    let mut limits = Limits::default();
    limits.set("memory=100000").unwrap();
    limits.set("total=150000").unwrap();
    let source = r#"
        fn hoard() { this.all = []; rcv(SELF, "more", || { this.all.pad(this.all.len() + 1000, 7); snd(SELF, "more"); }); snd(SELF, "more"); }
        fn keep() { this.all = []; this.all.pad(5000, 7); rcv(SELF, || ()); }
        fn deep() { rcv(SELF, "more", || { this.x = [take(this.x)]; snd(SELF, "more"); }); snd(SELF, "more"); }"#;
    let at = Scripted::with(&[("t.rhai", source)], limits).await;
    assert!(words(at.death_of("t::hoard").await.values()).contains("script_limits: memory"));
    assert!(words(at.death_of("t::deep").await.values()).contains("more than 64 values within each other"));
    let mut probe = at.probe();
    let first = at.spawn("t::keep", []);
    let (to, node) = (probe.port.clone(), at.node.clone());
    let said = move |port: &aemp::PortId| {
        let to = to.clone();
        node.run_in(port, move |cx| cx.send(&to, ("alive",)));
    };
    said(&first);
    assert_eq!(probe.words().await, "alive");
    assert!(words(at.death_of("t::keep").await.values()).contains("script_limits: total"));
    at.node.kill(&first, aemp::Reason::NORMAL);
    at.node.exited(&first).await;
    said(&at.spawn("t::keep", []));
    assert_eq!(probe.words().await, "alive");
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_are_too_large_for_a_script_kill_its_port() {
    let at = Scripted::new("fn f() { rcv(SELF, |message| ()); }").await;
    for value in [
        Value::List(vec![Value::Null; 20_000]),
        Value::Text("x".repeat(2 << 20)),
        (0..100).fold(Value::Null, |inner, _| Value::List(vec![inner])),
    ] {
        let port = at.spawn("t::f", []);
        let died = at.node.exited(&port);
        at.node.send(&port, (value,)).unwrap();
        assert_eq!(died.await.identifier().as_deref(), Some("bad_message"));
    }
}
