//! Values and tags cross in both directions without change.

use aemp::{AnyMessage, Context, Value};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::mpsc;

use crate::network::{Pair, inbox, next, plain, soon};

/// A value, a Perl expression that is true if it arrived in `$_`, and one that makes it.
type Row = (Value, &'static str, &'static str);

fn bytes(bytes: &'static [u8]) -> Value {
    Value::Bytes(bytes.into())
}

fn map(entries: &[(&str, Value)]) -> Value {
    Value::Map(entries.iter().map(|(key, value)| (Value::name(key), value.clone())).collect())
}

/// Values whose form in Perl and on the wire is the same in both framings.
fn rows() -> Vec<Row> {
    vec![
        (Value::Null, "!defined", "undef"),
        (true.into(), "Types::Serialiser::is_true $_", "$Types::Serialiser::true"),
        (false.into(), "Types::Serialiser::is_false $_", "$Types::Serialiser::false"),
        (0.into(), "!ref && $_ == 0", "0"),
        (23.into(), "$_ == 23", "23"),
        ((-1).into(), "$_ == -1", "-1"),
        (u32::MAX.into(), "$_ == 4294967295", "4294967295"),
        ((-4_294_967_297_i64).into(), "$_ == -4294967297", "-4294967297"),
        (i64::MAX.into(), "$_ eq '9223372036854775807'", "9223372036854775807"),
        ((i64::MIN + 1).into(), "$_ eq '-9223372036854775807'", "-9223372036854775807"),
        (u64::MAX.into(), "$_ eq '18446744073709551615'", "18446744073709551615"),
        (1.5.into(), "$_ == 1.5", "1.5"),
        ((-0.1).into(), "abs ($_ + 0.1) < 1e-15", "-0.1"),
        (1e300.into(), "$_ == 1e300", "1e300"),
        (bytes(b""), "defined && !ref && $_ eq ''", "''"),
        (bytes(b"bytes"), "$_ eq 'bytes'", "'bytes'"),
        (bytes(b"1"), "$_ eq '1'", "'1'"),
        (
            "\u{e9}\u{20ac}\u{1f600}".into(),
            r"$_ eq chr (0xe9) . chr (0x20ac) . chr (0x1f600)",
            r"chr (0xe9) . chr (0x20ac) . chr (0x1f600)",
        ),
        (bytes(b"\0\x01\n\x7f"), r#"$_ eq "\0\1\n\x7f""#, r#""\0\1\n\x7f""#),
        (Value::List(vec![]), "ref eq 'ARRAY' && !@$_", "[]"),
        (map(&[]), "ref eq 'HASH' && !%$_", "{}"),
        (
            Value::List(vec![1.into(), Value::Null, Value::List(vec![bytes(b"x")])]),
            "$_->[0] == 1 && !defined $_->[1] && $_->[2][0] eq 'x'",
            "[1, undef, ['x']]",
        ),
        (
            map(&[("key", 1.into()), ("\u{e9}", true.into()), ("", map(&[("\u{20ac}", bytes(b"y"))]))]),
            "$_->{key} == 1 && $_->{chr 0xe9} && $_->{''}{chr 0x20ac} eq 'y' && keys %$_ == 3",
            "({ key => 1, chr (0xe9) => $Types::Serialiser::true, '' => { chr (0x20ac) => 'y' } })",
        ),
    ]
}

/// Bytes and characters are told apart in CBOR only; JSON numbers have a fraction or not as they
/// are written.
fn cbor_rows() -> Vec<Row> {
    vec![
        ("text".into(), "$_ eq 'text' && utf8::is_utf8 $_", "do { my $t = 'text'; utf8::upgrade $t; $t }"),
        (bytes(b"\xe9\xff\x80"), r#"$_ eq "\xe9\xff\x80" && !utf8::is_utf8 $_"#, r#""\xe9\xff\x80""#),
        (bytes(b"\xc3\xa9"), r#"length == 2 && !utf8::is_utf8 $_"#, r#""\xc3\xa9""#),
        (i64::MIN.into(), "$_ eq '-9223372036854775808'", "-9223372036854775808"),
        (f64::INFINITY.into(), "$_ == 9**9**9", "9**9**9"),
        (0.1.into(), "$_ == 0.1", "0.1"),
    ]
}

pub(crate) async fn every_value(pair: &mut Pair) {
    let Pair { setup, rust, perl } = pair;
    let mut rows = rows();
    if !setup.is_json() {
        rows.extend(cbor_rows());
    }
    let values: Vec<Value> = rows.iter().map(|row| row.0.clone()).collect();
    let compared = |values: &[Value]| -> Vec<Value> {
        if setup.is_json() { values.iter().map(plain).collect() } else { values.to_vec() }
    };
    let (me, mut received) = inbox(rust);

    // Perl makes them and Rust looks at them. Before they were looked at, which would make numbers
    // strings in Perl.
    let made: Vec<&str> = rows.iter().map(|row| row.2).collect();
    perl.run(&format!("snd '{me}', made => {}", made.join(", "))).await;
    let message = next(&mut received).await;
    assert_eq!(message[0].to_name().as_deref(), Some("made"));
    for (row, value) in rows.iter().zip(compared(&message[1..])) {
        assert_eq!(value, compared(std::slice::from_ref(&row.0))[0], "made by {}", row.2);
    }
    assert_eq!(message.len(), rows.len() + 1);

    // Rust sends them and Perl looks at them.
    let look = perl.port("port { @got = @_; ev 'got' }").await;
    rust.send(&look, AnyMessage(values.clone())).unwrap();
    perl.event("got").await;
    for (at, row) in rows.iter().enumerate() {
        let right = perl.ask(&format!("$_ = $got[{at}]; ({}) ? 1 : 0", row.1)).await;
        assert_eq!(right, [json!(1)], "{:?} arrived as {:?}", row.0, perl.ask(&format!("$got[{at}]")).await);
    }

    // Perl gives them back untouched.
    let echo = perl.port("$echo = port; peval $echo, \\&echo; $echo").await;
    let mut there = values.clone();
    there.push(Value::from(&me));
    rust.send(&echo, AnyMessage(there)).unwrap();
    assert_eq!(compared(&next(&mut received).await), compared(&values));

    // A message of no value, and a large one.
    rust.send(&echo, (&me,)).unwrap();
    assert_eq!(next(&mut received).await, []);
    let large = Value::Bytes(vec![b'x'; 3 << 20].into());
    rust.send(&echo, AnyMessage(vec![large.clone(), Value::from(&me)])).unwrap();
    let back = next(&mut received).await;
    assert!(compared(&back) == compared(std::slice::from_ref(&large)), "the large message has changed");
}

#[derive(Debug, PartialEq, Serialize, Deserialize, aemp::Message)]
enum Order {
    Begin {
        count: u32,
        name: String,
    },
    #[message(tag = "gr\u{fc}n")]
    Green(Option<i64>),
    #[message(tag = "\u{20ac}")]
    Euro,
}

pub(crate) async fn tags(pair: &mut Pair) {
    let Pair { rust, perl, .. } = pair;
    let (sender, mut received) = mpsc::unbounded_channel();
    let port = rust.port(move |_: &mut Context<'_>, order: Order| sender.send(order).unwrap());
    perl.run(&format!(
        "snd '{port}', begin => '7', 'n'; snd '{port}', \"gr\\xfcn\", undef; snd '{port}', chr 0x20ac"
    ))
    .await;
    // The same tag as characters, as Perl sends a tag that it has got as text.
    perl.run(&format!("$tag = 'begin'; utf8::upgrade $tag; snd '{port}', $tag, 8, \"\\xfc\"")).await;
    let mut orders = Vec::new();
    for _ in 0..4 {
        orders.push(soon("a message", received.recv()).await.unwrap());
    }
    let expected = [
        Order::Begin { count: 7, name: "n".into() },
        Order::Green(None),
        Order::Euro,
        Order::Begin { count: 8, name: "\u{fc}".into() },
    ];
    assert_eq!(orders, expected);

    let there = perl
        .port("port; my $p = port; rcv $p, begin => sub { ev (begin => @_) }, \"gr\\xfcn\" => sub { ev (green => @_) }, chr 0x20ac, sub { ev (euro => @_) }; $p")
        .await;
    rust.send(&there, Order::Begin { count: 9, name: "\u{fc}".into() }).unwrap();
    rust.send(&there, Order::Green(Some(-3))).unwrap();
    rust.send(&there, Order::Euro).unwrap();
    rust.send(&there, ("begin", 1)).unwrap();
    assert_eq!(perl.event("begin").await, [json!(9), json!("\u{fc}")]);
    assert_eq!(perl.event("green").await, [json!(-3)]);
    assert_eq!(perl.event("euro").await, Vec::<serde_json::Value>::new());
    assert_eq!(perl.event("begin").await, [json!(1)]);

    // A tag that nobody handles kills the port, here and there.
    let death = rust.exited(&there);
    rust.send(&there, ("unknown",)).unwrap();
    assert_eq!(soon("the death", death).await.identifier().as_deref(), Some("unhandled_message"));
    perl.run(&format!("mon '{port}', sub {{ ev (died => @_) }}; snd '{port}', 'unknown'")).await;
    assert_eq!(perl.event("died").await[0], "unhandled_message");
}
