//! The place of a message in a trace: it arrives with the message, wherever that was held, and
//! peers that read other frames than native ones get the same bytes as without it.

#![allow(clippy::unwrap_used)] // a test may

use aemp_proto::kernel::LinkId;
use aemp_proto::outbox::{Outbox, OutboxLimits};
use aemp_proto::wire::{Frame, FrameReader, Framing, Limits, Records, Request};
use aemp_proto::{Body, NodeId, PortId, TraceContext, Value};

const PART: usize = 16;

fn link() -> LinkId {
    LinkId::dialled(1)
}

fn port(name: &str) -> PortId {
    NodeId::new("far").unwrap().named(name)
}

fn context(span: u8) -> TraceContext {
    format!("00-0af7651916cd43dd8448eb211c80319c-00000000000000{span:02x}-01").parse().unwrap()
}

fn outbox(framing: Framing) -> Outbox<u64> {
    let mut outbox = Outbox::new(NodeId::new("far").unwrap(), OutboxLimits::default().part(PART));
    outbox.attach(link(), framing);
    outbox
}

/// Everything that a link writes until nothing is left.
fn written(outbox: &mut Outbox<u64>) -> Vec<u8> {
    let (mut stream, framing) = (Vec::new(), outbox.framing());
    loop {
        let mut records = Records::default();
        assert!(outbox.take(link(), &mut records));
        if records.is_empty() {
            return stream;
        }
        records.reframe(framing, &mut stream).unwrap();
    }
}

fn read(stream: &[u8]) -> Vec<(String, Option<TraceContext>)> {
    let mut reader = FrameReader::new(Framing::Native, Limits::default());
    reader.buffer().extend_from_slice(stream);
    let frames = std::iter::from_fn(|| {
        reader.fill().unwrap();
        // What is found without looking closer has no place in a trace.
        let batch = reader.batch().clone();
        if let Some(found) = reader.find().unwrap() {
            return Some((String::from_utf8(batch[found.port].to_vec()).unwrap(), None));
        }
        match reader.next().unwrap()? {
            Frame::Message { port, trace, .. } => Some((port.to_string(), trace.map(|trace| *trace))),
            other => panic!("{other:?}"),
        }
    });
    frames.collect()
}

fn expected(messages: &[(&str, Option<u8>)]) -> Vec<(String, Option<TraceContext>)> {
    messages.iter().map(|(port, span)| ((*port).into(), span.map(context))).collect()
}

fn body(bytes: usize) -> Body {
    Body::encode(&["tag".into(), Value::Bytes(vec![7; bytes].into())]).unwrap()
}

#[test]
fn it_arrives_with_its_message_and_no_other() {
    let mut outbox = outbox(Framing::Native);
    outbox.by(|| 1).send(&port("a"), &body(3));
    outbox.by(|| 1).send_traced(&port("b"), &body(3), context(1));
    outbox.by(|| 1).send_traced(&port("c"), &body(100_000), context(2));
    let spawn = Request::Spawn { name: "d".into(), function: "f".into(), args: Body::default() };
    outbox.by(|| 1).request_traced(&spawn, context(3)).unwrap();
    outbox.by(|| 1).send(&port("d"), &body(3));
    let read = read(&written(&mut outbox));
    assert_eq!(read, expected(&[("a", None), ("b", Some(1)), ("c", Some(2)), ("", Some(3)), ("d", None)]));
}

#[test]
fn the_bytes_are_those_of_the_protocol() {
    let mut outbox = outbox(Framing::Native);
    let adder = Body::encode(&[Value::name("add"), 1.into(), 2.into()]).unwrap();
    outbox.by(|| 1).send_traced(&port("adder1"), &adder, context(0x31));
    // As `PROTOCOL.md` §2.4 has it, as hexadecimal digits.
    let expected_bytes = "37000000 01 00 0100000000000000 1c00 \
        01 1900 0af7651916cd43dd8448eb211c80319c 0000000000000031 01 \
        0600 616464657231 83 43616464 01 02";
    let digits = expected_bytes.replace(char::is_whitespace, "");
    let hex: String = written(&mut outbox).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, digits);
}

#[test]
fn it_arrives_with_a_message_in_parts_and_with_what_had_to_wait_for_it() {
    let mut outbox = outbox(Framing::Native);
    outbox.send_parts(link());
    outbox.by(|| 1).send_traced(&port("large"), &body(500), context(1));
    outbox.by(|| 1).send_traced(&port("behind"), &body(1), context(2));
    outbox.by(|| 1).send(&port("last"), &body(1));
    outbox.by(|| 2).send(&port("other"), &body(1));
    let read = read(&written(&mut outbox));
    assert_eq!(read, expected(&[("other", None), ("large", Some(1)), ("behind", Some(2)), ("last", None)]));
}

#[test]
fn it_waits_with_its_message_at_a_gate() {
    let mut outbox = outbox(Framing::Native);
    outbox.monitor(&port("a"), 1, 1, 1);
    outbox.monitor(&port("a"), 2, 2, 2);
    assert_eq!(outbox.break_now().fires.len(), 2);
    outbox.attach(link(), Framing::Native);
    outbox.fired(&port("a"), 1);
    outbox.monitor(&port("a"), 3, 1, 3);
    outbox.by(|| 1).send_traced(&port("a"), &body(3), context(1));
    assert_eq!(read(&written(&mut outbox)), []);
    outbox.fired(&port("a"), 2);
    assert_eq!(read(&written(&mut outbox)), expected(&[("", None), ("a", Some(1))]));
}

#[test]
fn peers_that_read_other_frames_get_the_same_bytes() {
    let spawn = Request::Spawn { name: "d".into(), function: "f".into(), args: Body::default() };
    for framing in [Framing::Cbor, Framing::Json] {
        let (mut plain, mut traced) = (outbox(framing), outbox(framing));
        for bytes in [0, 3, 100_000] {
            plain.by(|| 1).send(&port("a"), &body(bytes));
            traced.by(|| 1).send_traced(&port("a"), &body(bytes), context(1));
        }
        plain.by(|| 1).request(&spawn).unwrap();
        traced.by(|| 1).request_traced(&spawn, context(2)).unwrap();
        let bytes = written(&mut plain);
        assert!(!bytes.is_empty() && bytes == written(&mut traced), "{framing}");
    }
}

#[test]
fn what_waited_for_a_connection_to_such_a_peer_is_the_same_too() {
    for framing in [Framing::Cbor, Framing::Json] {
        let waiting = || Outbox::<u64>::new(NodeId::new("far").unwrap(), OutboxLimits::default());
        let (mut plain, mut traced) = (waiting(), waiting());
        plain.by(|| 1).send(&port("a"), &body(3));
        traced.by(|| 1).send_traced(&port("a"), &body(3), context(1));
        for outbox in [&mut plain, &mut traced] {
            outbox.attach(link(), framing);
        }
        assert_eq!(written(&mut plain), written(&mut traced), "{framing}");
    }
}

#[test]
fn an_older_peer_skips_it() {
    let (mut plain, mut traced) = (outbox(Framing::Native), outbox(Framing::Native));
    plain.by(|| 1).send(&port("a"), &body(3));
    traced.by(|| 1).send_traced(&port("a"), &body(3), context(1));
    let (plain, mut traced) = (written(&mut plain), written(&mut traced));
    // What `PROTOCOL.md` tells such a peer to do.
    let skipped = usize::from(u16::from_le_bytes([traced[14], traced[15]]));
    traced.drain(16..16 + skipped);
    assert_eq!(traced[5..14], plain[5..14]);
    assert_eq!(traced[16..], plain[16..]);
}
