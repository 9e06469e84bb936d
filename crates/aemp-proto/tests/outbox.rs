//! The outbox: what large messages and partial writes count for, and when writers are asked for.

#![allow(clippy::unwrap_used)] // a test may

use aemp_proto::kernel::LinkId;
use aemp_proto::outbox::{Outbox, OutboxLimits, Queued, Refused};
use aemp_proto::wire::{Framing, MeshRequest, Records, Request, message_len};
use aemp_proto::{Body, NodeId, PortId, Reason, Value};

/// Bytes that a frame counts for beside its own.
const COST: usize = 64;

fn link() -> LinkId {
    LinkId::dialled(1)
}

fn outbox(connected: usize) -> (Outbox<()>, PortId) {
    let node = NodeId::new("far").unwrap();
    let limits = OutboxLimits::default().connected(connected);
    let mut outbox = Outbox::new(node.clone(), limits);
    assert!(!outbox.attach(link(), Framing::Native).waiting);
    (outbox, node.named("port"))
}

fn body(bytes: usize) -> Body {
    Body::encode(&[Value::Bytes(vec![1; bytes].into())]).unwrap()
}

#[test]
fn shared_bytes_count_for_the_limit() {
    let body = body(100_000);
    let each = message_len("port", &body) + COST;
    let (mut outbox, port) = outbox(3 * each);
    assert_eq!(outbox.send(&port, &body), Queued::Wake);
    assert_eq!(outbox.backlog(), each);
    assert_eq!(outbox.send(&port, &body), Queued::Bulk);
    assert_ne!(outbox.send(&port, &body), Queued::Overflow);
    assert_eq!(outbox.send(&port, &body), Queued::Overflow);
    assert!(outbox.is_condemned());
    assert_eq!(outbox.break_now().lost.len(), 4 * (each - COST));
    assert_eq!(outbox.backlog(), 0);
}

#[test]
fn a_large_first_message_asks_for_a_connection_and_waits_for_it() {
    let node = NodeId::new("far").unwrap();
    let port = node.named("port");
    for monitored in [false, true] {
        let mut outbox: Outbox<()> = Outbox::new(node.clone(), OutboxLimits::default());
        let large = body(20 << 20);
        if monitored {
            assert_eq!(outbox.monitor(&port, 1, 1, ()), Queued::Wanted);
            assert_eq!(outbox.send(&port, &large), Queued::Behind);
        } else {
            assert_eq!(outbox.send(&port, &large), Queued::Wanted);
        }
        assert!(outbox.attach(link(), Framing::Native).waiting);
        let mut taken = Records::default();
        assert!(outbox.take(link(), &mut taken));
        assert!(taken.len() > 20 << 20);
        // What follows while nobody drains it counts as before.
        let mut outbox: Outbox<()> = Outbox::new(node.clone(), OutboxLimits::default());
        assert_eq!(outbox.send(&port, &large), Queued::Wanted);
        assert_eq!(outbox.send(&port, &body(1)), Queued::Overflow);
    }
}

#[test]
fn requests_keep_the_limit_of_a_message_and_deaths_are_told_all_the_same() {
    let node = NodeId::new("far").unwrap();
    let limits = OutboxLimits::default().message(1000);
    let mut outbox: Outbox<()> = Outbox::new(node.clone(), limits);
    outbox.attach(link(), Framing::Native);
    let mut taken = Records::default();
    let large = Reason::text("large", "x".repeat(2000));
    assert_eq!(outbox.kill(&node.named("port"), &large), Queued::Wake);
    assert_eq!(outbox.request(&Request::Died("port".into(), large)), Queued::Behind);
    assert!(outbox.take(link(), &mut taken));
    let written = taken.pieces().flatten().copied().collect::<Vec<u8>>();
    assert!(written.len() < 500);
    assert_eq!(String::from_utf8_lossy(&written).matches("bad_reason").count(), 2);
    let spawn = Request::Spawn { name: "a".into(), function: "f".into(), args: body(2000) };
    assert_eq!(outbox.request(&spawn), Queued::Dropped);
    assert!(!outbox.is_condemned());
}

#[test]
fn what_is_being_written_counts_until_it_is_written() {
    let body = body(50_000);
    let len = message_len("port", &body);
    let (mut outbox, port) = outbox(1 << 20);
    outbox.send(&port, &body);
    outbox.send(&port, &body);
    let mut taken = Records::default();
    assert!(outbox.take(link(), &mut taken));
    assert_eq!(outbox.backlog(), 2 * (len + COST));
    outbox.written(link(), len + 1);
    assert_eq!(outbox.backlog(), len + 1);
    // The writer of a link that was replaced has nothing to say.
    outbox.written(LinkId::dialled(2), 0);
    assert_eq!(outbox.backlog(), len + 1);
    taken.clear(0);
    assert!(outbox.take(link(), &mut taken));
    assert_eq!(outbox.backlog(), 0);
    assert!(!outbox.take(LinkId::dialled(2), &mut Records::default()));
}

#[test]
fn a_writer_is_asked_for_at_the_first_message_and_whenever_a_good_deal_waits() {
    let (mut outbox, port) = outbox(64 << 20);
    let small = Body::encode(&[Value::from(1u64)]).unwrap();
    let mut taken = Records::default();
    for _ in 0..2 {
        assert_eq!(outbox.send(&port, &small), Queued::Wake);
        let asked: Vec<usize> =
            (1..20_000).filter(|_| outbox.send_items(&port, 1, small.items()) == Queued::Bulk).collect();
        // About 24 bytes a message.
        assert_eq!(asked.len(), 20_000 * message_len("port", &small) / (128 << 10));
        assert!(outbox.take(link(), &mut taken));
        assert_eq!(taken.len(), 20_000 * message_len("port", &small));
        taken.clear(0);
    }
}

/// What an attached link writes, in the framing of its peer.
fn written(outbox: &mut Outbox<u64>, framing: Framing) -> String {
    let (mut taken, mut out) = (Records::default(), Vec::new());
    assert!(outbox.take(link(), &mut taken));
    taken.reframe(framing, &mut out).unwrap();
    String::from_utf8_lossy(&out).replace("][", "]\n[")
}

fn values(values: &[Value]) -> Body {
    Body::encode(values).unwrap()
}

fn nan() -> Body {
    values(&[Value::Float(f64::NAN)])
}

#[test]
fn what_waited_and_cannot_be_read_is_a_loss_for_its_port_and_for_nobody_else() {
    let node = NodeId::new("far").unwrap();
    let (bad, good, made) = (node.named("bad"), node.named("good"), node.named("made"));
    let mut outbox: Outbox<u64> = Outbox::new(node.clone(), OutboxLimits::default());
    let number = |n: u64| values(&[n.into()]);
    outbox.send(&bad, &number(1));
    outbox.monitor(&bad, 1, 1, 1);
    outbox.monitor(&good, 2, 2, 2);
    outbox.send(&bad, &nan());
    outbox.send(&good, &number(2));
    // Behind a hole: nothing of it may come.
    outbox.send(&bad, &number(3));
    outbox.monitor(&bad, 3, 3, 3);
    outbox.kill(&bad, &Reason::NORMAL);
    // The arguments of a spawn are a message to the port that it makes.
    let args = nan();
    let spawn = Request::Spawn { name: made.name().to_string(), function: "f".into(), args };
    outbox.request(&spawn);
    outbox.send(&made, &number(4));
    // Of a death only the reason has to have a form; of the database all but the entry.
    outbox.kill(&good, &Reason::new([Value::Float(f64::INFINITY)]));
    outbox.request(&Request::Died("ours".into(), Reason::new([Value::Float(f64::NAN)])));
    let entries = [("a".to_string(), 1.into()), ("b".to_string(), Value::Float(f64::NAN))];
    outbox.request(&Request::Mesh(MeshRequest::Update("f".into(), entries.into(), Vec::new())));
    let attached = outbox.attach(link(), Framing::Json);
    assert!(attached.waiting);
    assert_eq!(attached.left_out, 1);
    let lost: Vec<_> = attached
        .lost
        .iter()
        .map(|lost| (&lost.port, lost.fires.iter().map(|loss| loss.monitor).collect()))
        .collect();
    assert_eq!(lost, [(&bad, vec![1, 3]), (&made, vec![])]);
    assert!(matches!(attached.lost[0].why, Refused::NoForm(_)), "{:?}", attached.lost[0].why);
    // As for any loss, the port is gated until its monitors have fired, and only then.
    assert_eq!(outbox.send(&bad, &number(5)), Queued::Dropped);
    outbox.fired(&bad, 1);
    assert_eq!(outbox.send(&bad, &number(6)), Queued::Dropped);
    outbox.fired(&bad, 3);
    outbox.send(&bad, &number(7));
    outbox.send(&made, &number(8));
    let text = "\"bad_reason\",\"a number that is not finite has no form in json, the framing of the peer\"";
    let expected = [
        "[\"bad\",1]",
        "[\"\",\"mon1\",\"good\"]",
        "[\"good\",2]",
        &format!("[\"\",\"kil1\",\"good\",{text}]"),
        &format!("[\"\",\"kil0\",\"ours\",{text}]"),
        "[\"\",\"g_upd\",\"f\",{\"a\":1},[\"b\"]]",
        "[\"bad\",7]",
        "[\"made\",8]",
    ];
    assert_eq!(written(&mut outbox, Framing::Json), expected.join("\n"));
    outbox.written(link(), 0);
    assert_eq!(outbox.backlog(), 0);
}

#[test]
fn what_an_attached_peer_cannot_read_is_refused_before_it_is_queued() {
    let node = NodeId::new("far").unwrap();
    let port = node.named("port");
    let limits = OutboxLimits::default().message(1000);
    let mut outbox: Outbox<u64> = Outbox::new(node.clone(), limits);
    let list_as_key = values(&[Value::Map(vec![(Value::List(Vec::new()), 1.into())])]);
    let wide = values(&[Value::Text("\u{1}".repeat(300))]);
    let bytes = values(&[Value::Bytes(vec![0xff; 600].into())]);
    let reference = values(&[Value::Tag(29, Box::new(5.into()))]);
    let large = body(1000);
    for (framing, refused) in [
        (None, &[&large][..]),
        (Some(Framing::Native), &[&large]),
        (Some(Framing::Cbor), &[&reference, &large]),
        (Some(Framing::Json), &[&nan(), &list_as_key, &wide, &bytes, &reference, &large]),
    ] {
        outbox.break_now();
        if let Some(framing) = framing {
            outbox.attach(link(), framing);
        }
        for message in [&nan(), &list_as_key, &wide, &bytes, &reference, &large] {
            let expected = refused.contains(&message) || *message == large;
            assert_eq!(outbox.check(&port, message.items()).is_err(), expected, "{framing:?} {message:?}");
            let args = (*message).clone();
            let spawn = Request::Spawn { name: "p".into(), function: "f".into(), args };
            assert_eq!(outbox.by(|| 1).request(&spawn).is_err(), expected, "{framing:?} {message:?}");
        }
    }
}
