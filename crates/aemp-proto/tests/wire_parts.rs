//! Large messages in parts: what an outbox cuts a reader puts together, and what no sender would
//! write ends the connection.

#![allow(clippy::unwrap_used)] // a test may

mod support;

use aemp_proto::kernel::LinkId;
use aemp_proto::outbox::{Outbox, OutboxLimits, Queued};
use aemp_proto::wire::{
    Frame, FrameError, FrameReader, Framing, Limits, Records, RelayId, RelayRequest, Request,
};
use aemp_proto::{Body, NodeId, PortId, Reason, Value};
use proptest::prelude::*;
use support::{message, read_in_pieces};

/// Bytes of a part; four times as much is large.
const PART: usize = 16;

fn link() -> LinkId {
    LinkId::dialled(1)
}

fn outbox<M>(limits: OutboxLimits) -> Outbox<M> {
    let mut outbox = Outbox::new(NodeId::new("far").unwrap(), limits);
    outbox.attach(link(), Framing::Native);
    outbox.send_parts(link());
    outbox
}

fn small_parts() -> OutboxLimits {
    OutboxLimits::default().part(PART)
}

fn port(name: &str) -> PortId {
    NodeId::new("far").unwrap().named(name)
}

fn body(number: usize, bytes: usize) -> Body {
    Body::encode(&[Value::from(number as u64), Value::Bytes(vec![number as u8; bytes].into())]).unwrap()
}

/// What a link writes next.
fn taken<M>(outbox: &mut Outbox<M>) -> Vec<u8> {
    let mut records = Records::default();
    assert!(outbox.take(link(), &mut records));
    records.pieces().collect::<Vec<_>>().concat()
}

/// Everything that a link writes until nothing is left.
fn drained<M>(outbox: &mut Outbox<M>) -> Vec<u8> {
    let mut stream = Vec::new();
    loop {
        let more = taken(outbox);
        if more.is_empty() {
            assert_eq!(outbox.backlog(), 0);
            return stream;
        }
        stream.extend(more);
    }
}

fn read(stream: &[u8]) -> (Vec<Frame>, Option<FrameError>) {
    read_in_pieces(Framing::Native, Limits::default(), stream, &[])
}

/// The first values of the messages in a stream: which ones they are.
fn numbers(stream: &[u8]) -> Vec<u64> {
    let (frames, error) = read(stream);
    assert_eq!(error, None);
    let number = |frame: &Frame| match &message(frame).1[0] {
        Value::Int(number) => u64::try_from(*number).unwrap(),
        other => panic!("{other:?} is no number"),
    };
    frames.iter().map(number).collect()
}

/// A part as `PROTOCOL.md` has it.
fn part(seq: u64, number: u32, left: u32, piece: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend_from_slice(&(20 + piece.len() as u32).to_le_bytes());
    out.extend_from_slice(&[2, 0]);
    out.extend_from_slice(&seq.to_le_bytes());
    out.extend_from_slice(&[0, 0]);
    out.extend_from_slice(&number.to_le_bytes());
    out.extend_from_slice(&left.to_le_bytes());
    out.extend_from_slice(piece);
    out
}

/// The payload of `["add", 1, 2]` to the port `adder1`.
const PAYLOAD: &[u8] = b"\x06\x00adder1\x83\x43add\x01\x02";

#[derive(Debug, Clone)]
enum Step {
    Send { from: Option<u64>, to: usize, bytes: usize },
    Kill { from: u64, port: usize, bytes: usize },
    Spawn { from: u64, port: usize, bytes: usize },
    Monitor { from: u64, port: usize },
    Died(usize),
    Relayed(usize),
    Node(usize),
    Take,
}

/// Sizes on both sides of what is large, no matter what else of a request counts.
fn bytes() -> impl Strategy<Value = usize> {
    prop_oneof![3 => 0..40usize, 3 => 40..70usize, 2 => 100..1000usize]
}

fn step() -> impl Strategy<Value = Step> {
    let from = prop_oneof![Just(None), (0..4u64).prop_map(Some)];
    prop_oneof![
        8 => (from, 0..5usize, bytes()).prop_map(|(from, to, bytes)| Step::Send { from, to, bytes }),
        2 => (0..4u64, 0..5usize, bytes()).prop_map(|(from, port, bytes)| Step::Kill { from, port, bytes }),
        2 => (0..4u64, 0..5usize, bytes()).prop_map(|(from, port, bytes)| Step::Spawn { from, port, bytes }),
        1 => (0..4u64, 0..5usize).prop_map(|(from, port)| Step::Monitor { from, port }),
        1 => bytes().prop_map(Step::Died),
        1 => bytes().prop_map(Step::Relayed),
        1 => bytes().prop_map(Step::Node),
        5 => Just(Step::Take),
    ]
}

/// What was appended: who sent it, what it is for (`None`: everything), and how it has to arrive.
type Sent = (Option<u64>, Option<String>, (String, Vec<Value>));

/// Does a step; tells what was appended. Who sends is told to the outbox, and not how large what it
/// sends will be.
fn act(outbox: &mut Outbox<u64>, index: usize, step: &Step) -> Option<Sent> {
    let name = |port: &usize| format!("p{port}");
    let text = |bytes: &usize| Reason::text(&"x".repeat(*bytes), index);
    let (from, stream, request) = match step {
        Step::Take => return None,
        Step::Send { from, to, bytes } => {
            let body = body(index, *bytes);
            match (from, bytes % 2) {
                (Some(from), 0) => outbox.by(|| *from).send(&port(&name(to)), &body),
                (Some(from), _) => {
                    outbox.by(|| *from).send_items(&port(&name(to)), body.count(), body.items())
                }
                (None, 0) => outbox.send(&port(&name(to)), &body),
                (None, _) => outbox.send_items(&port(&name(to)), body.count(), body.items()),
            };
            return Some((*from, Some(name(to)), (name(to), body.decode().unwrap())));
        }
        Step::Monitor { from, port: at } => {
            // Each one is the first on its port, or the last.
            let number = (*at as u64) << 32;
            let request = match outbox.by(|| *from).unmonitor(&port(&name(at)), number) {
                Some(_) => Request::Unmonitor(name(at)),
                None => {
                    outbox.by(|| *from).monitor(&port(&name(at)), number, *from, number);
                    Request::Monitor(name(at))
                }
            };
            let values = request.encode().unwrap().decode().unwrap();
            return Some((Some(*from), Some(name(at)), (String::new(), values)));
        }
        Step::Kill { from, port: at, bytes } => {
            outbox.by(|| *from).kill(&port(&name(at)), &text(bytes));
            let values = Request::Kill(name(at), text(bytes)).encode().unwrap().decode().unwrap();
            return Some((Some(*from), Some(name(at)), (String::new(), values)));
        }
        Step::Spawn { from, port, bytes } => {
            let args = body(index, *bytes);
            (Some(*from), Some(name(port)), Request::Spawn { name: name(port), function: "f".into(), args })
        }
        Step::Died(bytes) => (None, None, Request::Died("gone".into(), text(bytes))),
        Step::Relayed(bytes) => {
            let piece = RelayRequest::Data(
                RelayId { by_sender: true, number: index as u64 + 1 },
                vec![1; *bytes].into(),
            );
            (None, Some(String::new()), Request::Relay(piece))
        }
        Step::Node(bytes) => (None, Some(String::new()), Request::Call("f".into(), body(index, *bytes))),
    };
    match from {
        Some(from) => drop(outbox.by(|| from).request(&request).unwrap()),
        None => drop(outbox.request(&request)),
    }
    Some((from, stream, (String::new(), request.encode().unwrap().decode().unwrap())))
}

proptest! {
    #[test]
    fn all_arrives_once_and_in_order_where_anything_is_in_common(
        steps in prop::collection::vec(step(), 1..60), pieces in prop::collection::vec(1usize..300, 1..9),
        message in prop_oneof![Just(1200usize), Just(2000), Just(64 << 20)],
    ) {
        let mut outbox = outbox(small_parts().message(message));
        let (mut sent, mut stream) = (Vec::new(), Vec::new());
        for (index, step) in steps.iter().enumerate() {
            match act(&mut outbox, index, step) {
                Some(this) => sent.push(this),
                None => stream.extend(taken(&mut outbox)),
            }
        }
        stream.extend(drained(&mut outbox));
        // All requests fit: one that does not is dropped, or its reason replaced (`outbox.rs`).
        let limits = Limits::default().frame(message);
        let (frames, error) = read_in_pieces(Framing::Native, limits, &stream, &pieces);
        prop_assert_eq!(error, None);
        prop_assert_eq!(frames.len(), sent.len());
        // Where each one has arrived; monitors of one port look alike, and any order of these is
        // right.
        let mut left: Vec<Option<(String, Vec<Value>)>> = frames.iter().map(|frame| Some(self::message(frame))).collect();
        let mut places = Vec::new();
        for (_, _, expected) in &sent {
            let place = left.iter().position(|found| found.as_ref() == Some(expected));
            prop_assert!(place.is_some(), "{:?} is missing", expected);
            left[place.unwrap()] = None;
            places.push(place.unwrap());
        }
        for later in 0..sent.len() {
            for earlier in 0..later {
                let ((from, stream, _), (others, before, _)) = (&sent[later], &sent[earlier]);
                let bound = stream.is_none() || stream == before || (from.is_some() && from == others);
                prop_assert!(!bound || places[earlier] < places[later], "{} has overtaken {}", later, earlier);
            }
        }
    }

    #[test]
    fn any_cut_gives_the_message(cuts in prop::collection::btree_set(1..PAYLOAD.len(), 0..6), step in 1usize..40) {
        let ends: Vec<usize> = cuts.into_iter().chain([PAYLOAD.len()]).collect();
        let mut stream = Vec::new();
        let mut at = 0;
        for end in ends {
            let last = end == PAYLOAD.len();
            stream.extend(part(u64::from(last), 1, (PAYLOAD.len() - at) as u32, &PAYLOAD[at..end]));
            at = end;
        }
        let (frames, error) = read_in_pieces(Framing::Native, Limits::default(), &stream, &[step]);
        prop_assert_eq!(error, None);
        let expected = ("adder1".to_string(), vec![Value::Bytes("add".into()), 1.into(), 2.into()]);
        prop_assert_eq!(frames.iter().map(message).collect::<Vec<_>>(), [expected]);
    }

    #[test]
    fn parts_at_random_never_panic_and_give_the_same_in_any_pieces(
        parts in prop::collection::vec((0..3u64, 0..4u32, 0..20u32, prop::collection::vec(any::<u8>(), 0..20)), 0..12),
        pieces in prop::collection::vec(1usize..30, 1..5),
    ) {
        let stream: Vec<u8> = parts.iter().flat_map(|(seq, number, left, piece)| part(*seq, *number, *left, piece)).collect();
        let whole = read(&stream);
        prop_assert_eq!(read_in_pieces(Framing::Native, Limits::default(), &stream, &pieces), whole);
    }
}

#[test]
fn small_messages_pass_a_large_one_and_those_that_belong_behind_it_wait() {
    let mut outbox: Outbox<()> = outbox(small_parts());
    assert_eq!(outbox.by(|| 7).send(&port("a"), &body(1, 1000)), Queued::Wake);
    let mut stream = taken(&mut outbox);
    assert!(stream.len() < 6 * (PART + 40), "{} bytes at once", stream.len());
    outbox.by(|| 7).send(&port("b"), &body(2, 1)); // the same sender
    outbox.by(|| 8).send(&port("a"), &body(3, 1)); // the same receiver
    outbox.by(|| 8).send(&port("b"), &body(4, 1)); // behind the one before
    outbox.by(|| 9).send(&port("c"), &body(5, 1));
    assert_eq!(outbox.by(|| 9).send(&port("d"), &body(6, 400)), Queued::Bulk);
    outbox.send(&port("e"), &body(7, 1));
    stream.extend(drained(&mut outbox));
    assert_eq!(numbers(&stream), [5, 7, 6, 1, 2, 3, 4]);
    // Nothing is remembered of what is done.
    outbox.by(|| 7).send(&port("a"), &body(8, 1));
    assert_eq!(outbox.backlog(), drained(&mut outbox).len() + 64);
}

#[test]
fn what_waits_longer_begins_first_and_only_some_are_unfinished_at_once() {
    let mut outbox: Outbox<()> = outbox(small_parts().message(1000));
    // Four of these are as long as two of the largest.
    for number in 0..20 {
        outbox.send(&port(&format!("p{number}")), &body(number, 480));
    }
    let arrived = numbers(&drained(&mut outbox));
    assert_eq!(arrived.len(), 20);
    for (place, number) in arrived.iter().enumerate() {
        assert!(number / 4 == place as u64 / 4, "{arrived:?}");
    }
}

#[test]
fn to_a_peer_that_reads_no_parts_everything_goes_as_before() {
    let send = |outbox: &mut Outbox<()>| {
        outbox.by(|| unreachable!("nobody wants to know")).send(&port("a"), &body(1, 1000));
        outbox.by(|| unreachable!("nobody wants to know")).send(&port("b"), &body(2, 10));
        outbox.request(&Request::Died("x".into(), Reason::NORMAL));
    };
    let mut with_large_parts = outbox(OutboxLimits::default().part(usize::MAX));
    let mut old = Outbox::new(NodeId::new("far").unwrap(), small_parts());
    old.attach(link(), Framing::Native);
    old.send_parts(LinkId::dialled(2)); // another link
    send(&mut with_large_parts);
    send(&mut old);
    let stream = taken(&mut old);
    assert_eq!(stream, taken(&mut with_large_parts));
    assert!(!stream.is_empty() && taken(&mut old).is_empty());
}

#[test]
fn what_is_held_counts_and_is_lost_by_a_break() {
    let mut outbox: Outbox<()> = outbox(small_parts().connected(5000));
    outbox.send(&port("a"), &body(1, 2000));
    let first = outbox.backlog();
    assert!((2000..2500).contains(&first), "{first}");
    assert!(!taken(&mut outbox).is_empty());
    outbox.written(link(), 0);
    assert!(outbox.backlog() < first, "{}", outbox.backlog());
    outbox.send(&port("a"), &body(2, 10));
    assert_eq!(outbox.send(&port("b"), &body(3, 3000)), Queued::Overflow);
    assert_eq!(outbox.send(&port("b"), &body(4, 1)), Queued::Dropped);
    let broken = outbox.break_now();
    assert_eq!(broken.held.len(), 3);
    assert_eq!(outbox.backlog(), 0);
    // The next connection begins anew, and whole until it is said that its peer reads parts.
    outbox.attach(link(), Framing::Native);
    outbox.send(&port("a"), &body(5, 1000));
    outbox.send_parts(link());
    outbox.send(&port("a"), &body(6, 1000));
    outbox.send(&port("b"), &body(7, 1));
    assert_eq!(numbers(&drained(&mut outbox)), [5, 7, 6]);
}

#[test]
fn parts_that_no_sender_would_write_end_the_connection() {
    let all = PAYLOAD.len() as u32;
    let first = part(0, 1, all, &PAYLOAD[..4]);
    let bad: [(&str, Vec<Vec<u8>>); 11] = [
        ("of nothing", vec![part(0, 2, all, PAYLOAD)]),
        ("numbered from 0", vec![part(1, 0, all, PAYLOAD)]),
        ("of a message that is finished", vec![part(1, 1, all, PAYLOAD), part(2, 1, all, PAYLOAD)]),
        ("two firsts", vec![first.clone(), first.clone()]),
        ("a gap", vec![first.clone(), part(1, 1, all - 5, &PAYLOAD[5..])]),
        ("too long", vec![first.clone(), part(1, 1, all - 4, &[&PAYLOAD[4..], b"x"].concat())]),
        ("empty", vec![first.clone(), part(0, 1, all - 4, b"")]),
        ("the number of a message too early", vec![part(1, 1, all, &PAYLOAD[..4])]),
        ("no number of a message at the end", vec![part(0, 1, all, PAYLOAD)]),
        ("the wrong number of a message", vec![part(2, 1, all, PAYLOAD)]),
        ("not a message", vec![part(1, 1, 3, b"\x00\x00\x01")]),
    ];
    for (what, parts) in bad {
        let (frames, error) = read(&parts.concat());
        assert!(frames.len() < parts.len(), "{what}");
        assert!(error.is_some(), "{what}");
    }
    let mut short = part(0, 1, all, b"");
    short.truncate(20);
    short[0] = 16;
    assert!(matches!(read(&short), (_, Some(FrameError::Malformed(_)))));
}

#[test]
fn a_message_that_is_announced_as_longer_than_a_frame_is_refused_at_once() {
    let limits = Limits::default().frame(1000);
    for (len, fits) in [(984, true), (985, false), (u32::MAX, false)] {
        let (_, error) = read_in_pieces(Framing::Native, limits, &part(0, 1, len, b"x"), &[]);
        assert_eq!(error, (!fits).then_some(FrameError::TooLong { limit: 1000 }));
    }
}

#[test]
fn no_more_may_be_unfinished_than_the_limits_allow() {
    let limits = Limits::default().frame(1000);
    let begin = |count: u32, len| -> Vec<u8> { (1..=count).flat_map(|n| part(0, n, len, b"x")).collect() };
    for (stream, fits) in [(begin(8, 250), true), (begin(9, 100), false), (begin(8, 251), false)] {
        let (frames, error) = read_in_pieces(Framing::Native, limits, &stream, &[]);
        assert!(frames.is_empty());
        assert_eq!(matches!(error, Some(FrameError::Part { .. })), !fits, "{error:?}");
    }
}

#[test]
fn the_example_in_the_protocol_is_a_message() {
    let example = concat!(
        "18000000 02 00 0000000000000000 0000 01000000 0f000000 06006164",
        "1f000000 02 00 0100000000000000 0000 01000000 0b000000 64657231 83436164640102",
    );
    let digits: Vec<u8> = example.bytes().filter(|digit| *digit != b' ').collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    let (frames, error) = read(&digits.chunks(2).map(byte).collect::<Vec<_>>());
    assert_eq!(error, None);
    let expected = ("adder1".to_string(), vec![Value::Bytes("add".into()), 1.into(), 2.into()]);
    assert_eq!(frames.iter().map(message).collect::<Vec<_>>(), [expected]);
}

#[test]
fn other_frames_pass_between_parts() {
    let all = PAYLOAD.len() as u32;
    let mut stream = part(0, 1, all, &PAYLOAD[..4]);
    aemp_proto::wire::write_control(&mut stream, aemp_proto::wire::Control::Ping(3));
    aemp_proto::wire::write_message(&mut stream, 1, "other", &body(9, 0)).unwrap();
    stream.extend(part(2, 1, all - 4, &PAYLOAD[4..]));
    let mut reader = FrameReader::new(Framing::Native, Limits::default());
    reader.buffer().extend_from_slice(&stream);
    assert_eq!(reader.next(), Ok(Some(Frame::Ping(3))));
    assert_eq!(message(&reader.next().unwrap().unwrap()).0, "other");
    let Ok(Some(Frame::Message { seq, port, .. })) = reader.next() else { panic!("no message") };
    assert_eq!((seq, &*port), (Some(2), "adder1"));
    assert_eq!(reader.next(), Ok(None));
}
