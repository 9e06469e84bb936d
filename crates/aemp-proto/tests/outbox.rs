//! The outbox: what large messages and partial writes count for, and when writers are asked for.

#![allow(clippy::unwrap_used)] // a test may

use aemp_proto::kernel::LinkId;
use aemp_proto::outbox::{Monitored, Outbox, OutboxLimits, Queued};
use aemp_proto::wire::{Records, Request, message_len};
use aemp_proto::{Body, NodeId, PortId, Reason, Value};

/// Octets that a frame counts for beside its own.
const COST: usize = 64;

fn link() -> LinkId {
    LinkId::dialled(1)
}

fn outbox(connected: usize) -> (Outbox<()>, PortId) {
    let node = NodeId::new("far").unwrap();
    let limits = OutboxLimits { connected, ..OutboxLimits::default() };
    let mut outbox = Outbox::new(node.clone(), limits);
    assert!(!outbox.attach(link()));
    (outbox, node.named("port"))
}

fn body(octets: usize) -> Body {
    Body::encode(&[Value::Bytes(vec![1; octets].into())]).unwrap()
}

#[test]
fn shared_octets_count_for_the_limit() {
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
            assert_eq!(outbox.monitor(&port, 1, ()), Monitored::Set(Queued::Wanted));
            assert_eq!(outbox.send(&port, &large), Queued::Behind);
        } else {
            assert_eq!(outbox.send(&port, &large), Queued::Wanted);
        }
        assert!(outbox.attach(link()));
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
    let limits = OutboxLimits { message: 1000, ..OutboxLimits::default() };
    let mut outbox: Outbox<()> = Outbox::new(node.clone(), limits);
    outbox.attach(link());
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
        // About 24 octets a message.
        assert_eq!(asked.len(), 20_000 * message_len("port", &small) / (128 << 10));
        assert!(outbox.take(link(), &mut taken));
        assert_eq!(taken.len(), 20_000 * message_len("port", &small));
        taken.clear(0);
    }
}
