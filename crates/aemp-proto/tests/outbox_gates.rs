//! Gates after a loss: who sends to a port again, when, and what follows when everybody has been
//! told.

#![allow(clippy::unwrap_used)] // a test may

mod support;

use std::collections::BTreeMap;

use aemp_proto::kernel::LinkId;
use aemp_proto::outbox::{Loss, Outbox, OutboxLimits, Queued};
use aemp_proto::wire::{Frame, Framing, Limits, Records};
use aemp_proto::{Body, NodeId, PortId, Reason, Value};
use proptest::prelude::*;
use support::{message, read_in_pieces};

/// Two owners of monitors.
const P: u64 = 1;
const Q: u64 = 2;
/// A sender that monitors nothing.
const OTHER: u64 = 3;

fn link() -> LinkId {
    LinkId::dialled(1)
}

fn port() -> PortId {
    NodeId::new("far").unwrap().named("port")
}

fn outbox_within(limits: OutboxLimits) -> Outbox<u64> {
    let mut outbox = Outbox::new(NodeId::new("far").unwrap(), limits);
    outbox.attach(link(), Framing::Native);
    outbox
}

fn outbox(waiting: usize) -> Outbox<u64> {
    outbox_within(OutboxLimits::default().waiting(waiting))
}

/// An outbox after a loss of which P has been told and Q has not. P has set monitor 3, which waits
/// at the gate.
fn half_told_within(limits: OutboxLimits) -> Outbox<u64> {
    let mut outbox = outbox_within(limits);
    outbox.monitor(&port(), 1, P, 1);
    outbox.monitor(&port(), 2, Q, 2);
    reset(&mut outbox);
    outbox.fired(&port(), 1);
    outbox.monitor(&port(), 3, P, 3);
    outbox
}

fn half_told(waiting: usize) -> Outbox<u64> {
    half_told_within(OutboxLimits::default().waiting(waiting))
}

/// What a peer makes of all that was written since the last break.
#[derive(Default)]
struct Peer {
    stream: Vec<u8>,
    read: usize,
}

fn send(outbox: &mut Outbox<u64>, sender: u64, number: u64) -> Queued {
    let body = Body::encode(&[Value::from(sender), Value::from(number)]).unwrap();
    outbox.by(|| sender).send(&port(), &body)
}

/// Breaks the outbox; the next link drains it. Gives the monitors that fire.
fn reset(outbox: &mut Outbox<u64>) -> Vec<u64> {
    let mut fires: Vec<u64> = outbox.break_now().fires.into_iter().map(|loss| loss.id).collect();
    fires.sort_unstable();
    outbox.attach(link(), Framing::Native);
    fires
}

/// What the link writes next: for messages to the port sender and number, for anything else its
/// text.
#[derive(Debug, PartialEq, Eq)]
enum Written {
    Message(u64, u64),
    Request(String),
}

fn written(outbox: &mut Outbox<u64>) -> Vec<Written> {
    Peer::default().reads(outbox)
}

impl Peer {
    fn reads(&mut self, outbox: &mut Outbox<u64>) -> Vec<Written> {
        let mut records = Records::default();
        assert!(outbox.take(link(), &mut records));
        self.stream.extend(records.pieces().flatten());
        let (frames, error) = read_in_pieces(Framing::Native, Limits::default(), &self.stream, &[]);
        assert_eq!(error, None);
        let new = frames[self.read..].iter().map(meaning).collect();
        self.read = frames.len();
        new
    }
}

fn meaning(frame: &Frame) -> Written {
    match message(frame) {
        (to, values) if to == "port" => {
            let number = |at: usize| match &values[at] {
                Value::Int(number) => u64::try_from(*number).unwrap(),
                other => panic!("{other:?} is not a number"),
            };
            Written::Message(number(0), number(1))
        }
        (_, values) => Written::Request(values[0].to_name().unwrap()),
    }
}

fn request(name: &str) -> Written {
    Written::Request(name.into())
}

#[test]
fn a_monitor_set_at_a_gate_waits_and_is_set_when_all_have_been_told() {
    let mut outbox = outbox(1 << 20);
    assert_eq!(outbox.monitor(&port(), 1, P, 1), Queued::Wake);
    outbox.monitor(&port(), 2, Q, 2);
    assert_eq!(reset(&mut outbox), [1, 2]);
    outbox.fired(&port(), 1);
    // Again and again: none of these is another gate.
    for id in 3..10 {
        assert_eq!(outbox.monitor(&port(), id, P, id), Queued::Behind);
    }
    let mut peer = Peer::default();
    assert_eq!(outbox.gated_ports(), 1);
    assert_eq!(peer.reads(&mut outbox), []);
    assert_eq!(outbox.fired(&port(), 2), Queued::Wake);
    assert_eq!((outbox.gated_ports(), outbox.watched_ports()), (0, 1));
    assert_eq!(peer.reads(&mut outbox), [request("mon1")]);
    assert_eq!(reset(&mut outbox), [3, 4, 5, 6, 7, 8, 9]);
}

#[test]
fn what_is_sent_by_a_sender_that_has_been_told_follows_and_by_one_that_has_not_is_lost() {
    let mut outbox = outbox(1 << 20);
    outbox.monitor(&port(), 1, P, 1);
    outbox.monitor(&port(), 2, Q, 2);
    reset(&mut outbox);
    for sender in [P, Q, OTHER] {
        assert_eq!(send(&mut outbox, sender, 1), Queued::Dropped);
    }
    outbox.fired(&port(), 1);
    // It has been told, but no monitor counts yet.
    assert_eq!(send(&mut outbox, P, 2), Queued::Dropped);
    outbox.monitor(&port(), 3, P, 3);
    assert_eq!(send(&mut outbox, P, 3), Queued::Behind);
    assert_eq!(send(&mut outbox, Q, 3), Queued::Dropped);
    // The new monitor counts for what others send, too, unless they will be told themselves.
    assert_eq!(send(&mut outbox, OTHER, 3), Queued::Behind);
    assert_eq!(outbox.by(|| P).kill(&port(), &Reason::text("enough", "")), Queued::Behind);
    assert_eq!(written(&mut outbox), []);
    assert_eq!(outbox.fired(&port(), 2), Queued::Wake);
    send(&mut outbox, Q, 4);
    let all = [
        request("mon1"),
        Written::Message(P, 3),
        Written::Message(OTHER, 3),
        request("kil1"),
        Written::Message(Q, 4),
    ];
    assert_eq!(written(&mut outbox), all);
}

#[test]
fn the_news_of_a_death_stays_behind_the_last_words_of_the_port() {
    let mut outbox = half_told(1 << 20);
    send(&mut outbox, P, 1);
    let mut peer = Peer::default();
    assert_eq!(outbox.by(|| P).died("p".into(), &Reason::NORMAL), Queued::Behind);
    assert_eq!(peer.reads(&mut outbox), []);
    outbox.by(|| OTHER).died("other".into(), &Reason::NORMAL);
    assert_eq!(peer.reads(&mut outbox), [request("kil0")]);
    assert_eq!(outbox.fired(&port(), 2), Queued::Wake);
    assert_eq!(peer.reads(&mut outbox), [request("mon1"), Written::Message(P, 1), request("kil0")]);
}

#[test]
fn a_second_loss_loses_what_was_held_and_fires_the_monitors_that_waited() {
    let mut outbox = half_told(1 << 20);
    send(&mut outbox, P, 1);
    let broken = outbox.break_now();
    assert_eq!(broken.held.len(), 1);
    assert_eq!(broken.fires, [Loss { port: port(), id: 3, monitor: 3 }]);
    outbox.attach(link(), Framing::Native);
    outbox.fired(&port(), 2);
    assert_eq!(send(&mut outbox, P, 2), Queued::Dropped);
    assert_eq!(outbox.fired(&port(), 3), Queued::Behind);
    assert_eq!(outbox.gated_ports(), 0);
    send(&mut outbox, P, 3);
    assert_eq!(written(&mut outbox), [Written::Message(P, 3)]);
}

#[test]
fn a_waiting_monitor_can_be_withdrawn_and_what_was_held_follows_all_the_same() {
    let mut outbox = half_told(1 << 20);
    send(&mut outbox, P, 1);
    assert_eq!(outbox.unmonitor(&port(), 3), Some((3, Queued::Behind)));
    send(&mut outbox, P, 2);
    outbox.fired(&port(), 2);
    assert_eq!(outbox.watched_ports(), 0);
    assert_eq!(written(&mut outbox), [Written::Message(P, 1), Written::Message(P, 2)]);
}

#[test]
fn of_more_than_may_be_held_some_follows_and_the_rest_is_a_loss_of_that_port_alone() {
    let body = Body::encode(&[Value::Bytes(vec![1; 1000].into())]).unwrap();
    // What is held counts as its values and 256 bytes.
    let each = body.items().len() + 256;
    let mut outbox = half_told(3 * each);
    for _ in 0..3 {
        assert_eq!(outbox.by(|| P).send(&port(), &body), Queued::Behind);
    }
    assert_eq!(outbox.by(|| P).send(&port(), &body), Queued::Dropped);
    assert_eq!(send(&mut outbox, P, 1), Queued::Dropped, "behind a hole");
    assert_eq!(outbox.fired(&port(), 2), Queued::Refused);
    let (fires, lost) = outbox.refused();
    assert_eq!(fires, [Loss { port: port(), id: 3, monitor: 3 }]);
    assert!(lost.is_empty());
    // What was held is on its way; behind the hole nothing passes before its owner has been told.
    assert_eq!(send(&mut outbox, P, 2), Queued::Dropped);
    outbox.fired(&port(), 3);
    send(&mut outbox, P, 3);
    assert!(!outbox.is_condemned());
    let mut records = Records::default();
    assert!(outbox.take(link(), &mut records));
    let (frames, _) = read_in_pieces(
        Framing::Native,
        Limits::default(),
        &records.pieces().flatten().copied().collect::<Vec<u8>>(),
        &[],
    );
    let to_port = frames.iter().map(message).filter(|(to, _)| to == "port").map(|(_, values)| values.len());
    assert_eq!(to_port.collect::<Vec<_>>(), [1, 1, 1, 2]);
}

#[test]
fn an_outbox_that_overflows_when_a_gate_opens_says_so() {
    let body = Body::encode(&[Value::Bytes(vec![1; 1000].into())]).unwrap();
    let each = body.items().len() + 256;
    for sends in [3, 4] {
        let limits = OutboxLimits::default().waiting(3 * each).connected(each);
        let mut outbox = half_told_within(limits);
        // The fourth one does not fit at the gate.
        for _ in 0..sends {
            outbox.by(|| P).send(&port(), &body);
        }
        assert_eq!(outbox.fired(&port(), 2), Queued::Overflow);
        assert!(outbox.is_condemned());
        assert_eq!(outbox.break_now().fires, [Loss { port: port(), id: 3, monitor: 3 }]);
    }
}

#[derive(Debug, Clone)]
enum Step {
    Send(u64),
    /// The owner takes note of the oldest news that it has, and monitors again.
    Hear(u64),
    Break,
    Write,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0..4u64).prop_map(Step::Send),
        3 => (0..4u64).prop_map(Step::Hear),
        1 => Just(Step::Break),
        2 => Just(Step::Write),
    ];
    prop::collection::vec(step, 1..200)
}

/// What one owner sends between two pieces of news: how many were sent, and which came.
type Pieces = BTreeMap<(u64, u64), (u64, Vec<u64>)>;

proptest! {
    /// Four senders, of which each monitors the port, and again whenever it hears of a loss. What
    /// each of them sends between two pieces of news arrives up to some point, and if something is
    /// missing, news follows.
    #[test]
    fn each_sender_sees_prefixes_between_its_news(steps in steps(), waiting in prop_oneof![Just(600), Just(1 << 20)]) {
        let mut outbox = outbox(waiting);
        let (mut epochs, mut news) = ([0u64; 4], BTreeMap::<u64, Vec<u64>>::new());
        let mut pieces = Pieces::new();
        let mut next = 100;
        let mut owners = BTreeMap::new();
        for owner in 0..4 {
            next += 1;
            owners.insert(next, owner);
            outbox.monitor(&port(), next, owner, next);
        }
        let mut peer = Peer::default();
        let note = |peer: &mut Peer, outbox: &mut Outbox<u64>, pieces: &mut Pieces| {
            for message in peer.reads(outbox) {
                if let Written::Message(sender, number) = message {
                    pieces.entry((sender % 10, sender / 10)).or_default().1.push(number);
                }
            }
        };
        // At the end everybody hears of everything, sends once more, and it is written.
        let end = (0..40).map(|n| Step::Hear(n % 4)).chain((0..4).map(Step::Send)).chain([Step::Write]);
        for step in steps.into_iter().chain(end) {
            match step {
                Step::Send(owner) => {
                    let epoch = epochs[owner as usize];
                    let sent = &mut pieces.entry((owner, epoch)).or_default().0;
                    let body = Body::encode(&[Value::from(owner + 10 * epoch), Value::from(*sent)]).unwrap();
                    *sent += 1;
                    outbox.by(|| owner).send(&port(), &body);
                }
                Step::Hear(owner) => {
                    let Some(id) = news.entry(owner).or_default().pop() else { continue };
                    if outbox.fired(&port(), id) == Queued::Refused {
                        for loss in outbox.refused().0 {
                            news.entry(owners[&loss.id]).or_default().push(loss.id);
                        }
                    }
                    epochs[owner as usize] += 1;
                    next += 1;
                    owners.insert(next, owner);
                    outbox.monitor(&port(), next, owner, next);
                }
                Step::Break => {
                    peer = Peer::default();
                    for id in reset(&mut outbox) {
                        news.entry(owners[&id]).or_default().push(id);
                    }
                }
                Step::Write => note(&mut peer, &mut outbox, &mut pieces),
            }
        }
        prop_assert_eq!(outbox.gated_ports(), 0);
        for ((owner, epoch), (sent, came)) in pieces {
            prop_assert_eq!(&came, &(0..came.len() as u64).collect::<Vec<_>>(), "owner {} epoch {}", owner, epoch);
            let told = epochs[owner as usize] > epoch;
            prop_assert!(told || came.len() as u64 == sent, "owner {} epoch {} lost {} silently", owner, epoch, sent);
        }
    }
}
