//! Calls, kills, monitors, and what is asked of a node itself.

use std::time::Duration;

use aemp::stats::AskError;
use aemp::{AnyMessage, CallError, Context, PortId, Reason, ReplyTo, Value};
use serde_json::json;
use tokio::sync::mpsc;

use crate::network::{Pair, inbox, next, plain, soon, words};

const LIMIT: Duration = Duration::from_secs(20);

pub(crate) async fn calls(pair: &mut Pair) {
    let Pair { rust, perl, .. } = pair;
    let add =
        perl.port("port { $_[0] eq 'add' ? snd $_[3], $_[1] + $_[2] : kil $SELF, busy => $_[0] }").await;
    let sum: i64 = rust.call(&add, LIMIT, |reply| ("add", 40, 2, reply)).await.unwrap();
    assert_eq!(sum, 42);
    let error = rust.call::<_, i64, _>(&add, LIMIT, |reply| ("sub", reply)).await.unwrap_err();
    let CallError::Died(reason) = error else { panic!("{error}") };
    assert_eq!(words(reason.values()), ["busy", "sub"]);
    let error = rust.call::<_, i64, _>(&add, LIMIT, |reply| ("add", 1, 2, reply)).await.unwrap_err();
    let CallError::Died(reason) = error else { panic!("{error}") };
    assert_eq!(reason.identifier().as_deref(), Some("no_such_port"));

    let here = rust
        .handlers()
        .on("add", |cx: &mut Context<'_>, (a, b, reply): (i64, i64, ReplyTo<(i64, String)>)| {
            cx.reply(reply, (a + b, "sum".into()));
        })
        .on("end", |cx: &mut Context<'_>, (_,): (PortId,)| cx.end(Reason::text("busy", "ended")))
        .build();
    perl.run(&format!("cal '{here}', add => 1, '2', sub {{ ev (sum => @_) }}")).await;
    assert_eq!(perl.event("sum").await, [json!(3), json!("sum")]);
    perl.run(&format!("cal '{here}', 'end', sub {{ ev (none => scalar @_) }}")).await;
    assert_eq!(perl.event("none").await, [json!(0)]);
    perl.run(&format!("cal '{here}', add => 1, 2, sub {{ ev (none => scalar @_) }}, 0.1")).await;
    assert_eq!(perl.event("none").await, [json!(0)]);
}

pub(crate) async fn kills_and_monitors(pair: &mut Pair) {
    let Pair { rust, perl, .. } = pair;
    // Rust monitors and kills ports of Perl, with and without a reason.
    let reason =
        Reason::new([Value::name("why"), 7.into(), "\u{20ac}".into(), Value::List(vec![Value::Null])]);
    for reason in [reason.clone(), Reason::NORMAL] {
        let port = perl.port("$p = port { ev (got => @_) }; mon $p, sub { ev (killed => @_) }; $p").await;
        let deaths = [rust.exited(&port), rust.exited(&port)];
        rust.send(&port, ("before",)).unwrap();
        rust.kill(&port, reason.clone());
        rust.send(&port, ("after",)).unwrap();
        for death in deaths {
            assert_eq!(plain_reason(&soon("the death", death).await), plain_reason(&reason));
        }
        assert_eq!(perl.event("got").await, [json!("before")]);
        let there = perl.event("killed").await;
        assert_eq!(there.len(), reason.values().len());
        // Dead now, and a name that never was one.
        let never = perl.node.named("never");
        for gone in [&port, &never] {
            let reason = soon("the answer", rust.exited(gone)).await;
            assert_eq!(reason.identifier().as_deref(), Some("no_such_port"));
            assert_eq!(reason.values()[2].to_name(), Some(gone.to_string()));
        }
    }
    // Perl kills its own port; what it sent before comes first.
    let (me, mut received) = inbox(rust);
    let port = perl
        .port(&format!("$p = port {{ snd '{me}', 'last'; kil $SELF, die => 'ouch', {{ a => 1 }} }}"))
        .await;
    let to_me = rust.monitor_send(&port, &me, |reason| {
        AnyMessage([vec![Value::name("gone")], reason.values().to_vec()].concat())
    });
    rust.send(&port, ("end",)).unwrap();
    assert_eq!(words(&next(&mut received).await), ["last"]);
    let gone = next(&mut received).await;
    assert_eq!(words(&gone[..3]), ["gone", "die", "ouch"]);
    assert_eq!(gone[3].get("a"), Some(&Value::from(1)));
    drop(to_me);
    let dying = perl.port("port { die \"in the handler\\n\" }").await;
    let death = rust.exited(&dying);
    rust.send(&dying, ()).unwrap();
    assert_eq!(words(soon("the death", death).await.values()), ["die", "in the handler"]);

    perl_monitors(pair, &reason).await;
}

fn plain_reason(reason: &Reason) -> Vec<Value> {
    reason.values().iter().map(plain).collect()
}

async fn perl_monitors(pair: &mut Pair, reason: &Reason) {
    let Pair { rust, perl, .. } = pair;
    for (list, reason) in [("why => 7, chr 0x20ac, [undef]", reason.clone()), ("", Reason::NORMAL)] {
        let (port, mut received) = inbox(rust);
        let here = rust.exited(&port);
        perl.run(&format!("mon '{port}', sub {{ ev (died => @_) }} for 1, 2")).await;
        perl.run(&format!("snd '{port}', 'before'; kil '{port}', {list}; snd '{port}', 'after'")).await;
        let expected = if list.is_empty() {
            vec![]
        } else {
            vec![json!("why"), json!(7), json!("\u{20ac}"), json!([null])]
        };
        assert_eq!(perl.event("died").await, expected);
        assert_eq!(perl.event("died").await, expected);
        assert_eq!(plain_reason(&soon("the death", here).await), plain_reason(&reason));
        assert_eq!(words(&next(&mut received).await), ["before"]);
        assert!(soon("the end of the port", received.recv()).await.is_none());
        for gone in [port, rust.id().named("never")] {
            perl.run(&format!("mon '{gone}', sub {{ ev (died => @_) }}")).await;
            let died = perl.event("died").await;
            assert_eq!((&died[0], &died[2]), (&json!("no_such_port"), &json!(gone.to_string())));
        }
    }
    // A port of each side that dies with one of the other, in a chain.
    let (first, _received) = inbox(rust);
    let second = perl.port(&format!("$second = port {{ }}; mon '{first}', $second; $second")).await;
    perl.reached(rust.id()).await;
    let (third, _also) = inbox(rust);
    rust.monitor_kill(&second, &third).detach();
    let end = rust.exited(&third);
    rust.kill(&first, Reason::text("chain", "pulled"));
    assert_eq!(words(soon("the death", end).await.values()), ["chain", "pulled"]);
    // A panic is a death with a reason.
    let (sender, _kept) = mpsc::unbounded_channel();
    let panics = rust.port(move |_: &mut Context<'_>, (word,): (String,)| {
        sender.send(()).unwrap();
        panic!("at {word}")
    });
    perl.run(&format!("mon '{panics}', sub {{ ev (died => @_) }}; snd '{panics}', 'once'")).await;
    let died = perl.event("died").await;
    assert_eq!(died[0], "die");
    assert!(died[1].as_str().unwrap().contains("at once"), "{died:?}");
}

pub(crate) async fn withdrawn_monitors(pair: &mut Pair) {
    let Pair { rust, perl, .. } = pair;
    let (me, mut received) = inbox(rust);
    let port = perl.port("port { kil $SELF, 'end' }").await;
    let say = |word: &'static str| move |_: Reason| (word,);
    drop(rust.monitor_send(&port, &me, say("withdrawn")));
    let guard = rust.monitor_send(&port, &me, say("withdrawn, too"));
    rust.monitor_send(&port, &me, say("kept")).detach();
    drop(guard);
    rust.send(&port, ()).unwrap();
    assert_eq!(words(&next(&mut received).await), ["kept"]);
    // Set and withdrawn again: Perl knows of nobody who monitors.
    let port = perl.port("$p = port { }").await;
    drop(rust.monitor_send(&port, &me, say("withdrawn")));
    let watchers = format!("scalar keys %{{ $AnyEvent::MP::Kernel::LMON{{'{}'}} }}", port.name());
    // In order after the withdrawal.
    let probe = perl.port("$echo = port; peval $echo, \\&echo; $echo").await;
    let () = rust.call(&probe, LIMIT, |reply| (reply,)).await.unwrap();
    assert_eq!(perl.ask(&watchers).await, [json!(0)]);
    rust.kill(&port, Reason::NORMAL);
    rust.send(&probe, ("only", &me)).unwrap();
    assert_eq!(words(&next(&mut received).await), ["only"]);

    let (port, _received) = inbox(rust);
    perl.run(&format!("$g1 = mon '{port}', sub {{ ev (fired => 1) }}; $g2 = mon '{port}', sub {{ ev (fired => 2) }}; undef $g1")).await;
    perl.reached(rust.id()).await;
    rust.kill(&port, Reason::NORMAL);
    assert_eq!(perl.event("fired").await, [json!(2)]);
    let (port, _received) = inbox(rust);
    perl.run(&format!(
        "$g1 = mon '{port}', sub {{ ev (fired => 1) }}; undef $g1; mon '{port}', sub {{ ev (fired => 3) }}"
    ))
    .await;
    perl.reached(rust.id()).await;
    rust.kill(&port, Reason::NORMAL);
    assert_eq!(perl.event("fired").await, [json!(3)]);
}

pub(crate) async fn node_requests(pair: &mut Pair) {
    let Pair { rust, perl, .. } = pair;
    let to = perl.node.control_port();
    let (tail, time): (String, f64) =
        rust.call(&to, LIMIT, |reply: ReplyTo<(String, f64)>| ("time", reply, "tail")).await.unwrap();
    assert!(tail == "tail" && time > 1.7e9);
    for (tag, known) in [("g_found", true), ("nothing", false)] {
        let answer: bool = rust.call(&to, LIMIT, |reply: ReplyTo<bool>| ("can", tag, reply)).await.unwrap();
        assert_eq!(answer, known);
    }
    let echo: (u8, String) =
        rust.call(&to, LIMIT, |reply: ReplyTo<(u8, String)>| ("snd", reply, 1, "x")).await.unwrap();
    assert_eq!(echo, (1, "x".into()));
    // What a node counts is asked for with code, which says nothing to Perl.
    for answer in [
        rust.stats_of(&perl.node, LIMIT).await.map(drop),
        rust.lost_messages_of(&perl.node, LIMIT).await.map(drop),
        rust.port_stats_of(&perl.node, 1, LIMIT).await.map(drop),
    ] {
        assert!(matches!(answer, Err(AskError::Unknown)), "{answer:?}");
    }
    let (error, sum): (String, i64) =
        rust.call(&to, LIMIT, |reply: ReplyTo<(String, i64)>| ("eval", "40 + 2", reply)).await.unwrap();
    assert_eq!((error.as_str(), sum), ("", 42));
    rust.send(&to, ("devnull", 1)).unwrap();
    rust.send(&to, ("",)).unwrap();
    rust.send(&to, ("main::ev", "called", 1)).unwrap();
    assert_eq!(perl.event("called").await, [json!(1)]);

    perl.run("$to = port { ev (answer => @_) }; snd rust => time => $to, 'tail'").await;
    let answer = perl.event("answer").await;
    assert!(answer[0] == "tail" && answer[1].as_f64().unwrap() > 1.7e9, "{answer:?}");
    perl.run("snd rust => can => $_, $to for 'g_find', 'g_found', 'rust::echo', 'nothing'").await;
    for known in [true, true, true, false] {
        let answer = perl.event("answer").await;
        assert_eq!(answer[0] == "1" || answer[0] == 1 || answer[0] == true, known, "{answer:?}");
    }
    perl.run("snd rust => snd => $to, 1, 'x'").await;
    assert_eq!(perl.event("answer").await, [json!(1), json!("x")]);
    perl.run("eval_on rust => '40 + 2', $to").await;
    assert!(perl.event("answer").await[0].as_str().unwrap().contains("refused"));
    let (me, mut received) = inbox(rust);
    perl.run(&format!("snd rust => devnull => 1; snd rust => ''; AnyEvent::MP::Kernel::snd_to_func rust => 'rust::tell', '{me}', 'hello'")).await;
    assert_eq!(words(&next(&mut received).await[..2]), ["told", "hello"]);
}
