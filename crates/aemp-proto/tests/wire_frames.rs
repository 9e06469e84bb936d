//! Messages through every framing, no matter what the pieces in which they arrive.

#[path = "support/checks.rs"]
mod checks;
mod support;

use std::collections::HashSet;
use std::sync::Arc;

use aemp_proto::Value;
use aemp_proto::budget::Budget;
use aemp_proto::wire::{
    Body, Control, EncodeError, Frame, FrameError, FrameReader, Framing, Limits, Malformed, Room,
    message_len, reframe, write_control, write_message,
};
use bytes::Bytes;
use proptest::prelude::*;
use support::{any_value, json_value, message, read_all, read_in_pieces};

fn native(messages: &[(String, Vec<Value>)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (seq, (port, values)) in (1..).zip(messages) {
        write_message(&mut out, seq, port, &Body::encode(values).expect("a body")).expect("a frame");
    }
    out
}

fn reframed(messages: &[(String, Vec<Value>)], framing: Framing) -> Vec<u8> {
    let mut out = Vec::new();
    reframe(&native(messages), framing, &mut out).expect("native frames");
    out
}

fn messages(value: impl Strategy<Value = Value>) -> impl Strategy<Value = Vec<(String, Vec<Value>)>> {
    prop::collection::vec((".{0,12}", prop::collection::vec(value, 0..5)), 0..5)
}

proptest! {
    #[test]
    fn read_in_runs_it_is_the_same(
        runs in prop::collection::vec((".{0,3}", any_value(), 1usize..5), 0..6), cut in 0usize..400, change in any::<u8>(),
    ) {
        let repeated = runs.iter().flat_map(|(port, value, times)| vec![(port.clone(), vec![value.clone()]); *times]);
        let mut stream = native(&repeated.collect::<Vec<_>>());
        checks::read_frames(Framing::Native, &stream);
        if let Some(byte) = stream.get_mut(cut) {
            *byte ^= change;
            checks::read_frames(Framing::Native, &stream);
        }
    }

    #[test]
    fn values_survive_encoding(values in prop::collection::vec(any_value(), 0..6)) {
        let body = Body::encode(&values).unwrap();
        prop_assert_eq!(body.decode().unwrap(), values.clone());
        prop_assert_eq!(&Body::parse(body.items().clone(), Limits::default()).unwrap(), &body);
        prop_assert_eq!(body.rest().decode().unwrap(), values.get(1..).unwrap_or_default());
        let name = body.first_name().map(|name| name.into_owned());
        prop_assert_eq!(name, values.first().and_then(Value::to_name));
    }

    #[test]
    fn messages_survive_native_and_cbor_in_any_pieces(
        sent in messages(any_value()), pieces in prop::collection::vec(1usize..30, 1..9),
    ) {
        for framing in [Framing::Native, Framing::Cbor] {
            let stream = reframed(&sent, framing);
            let (frames, error) = read_in_pieces(framing, Limits::default(), &stream, &pieces);
            prop_assert_eq!(error, None);
            prop_assert_eq!(frames.iter().map(message).collect::<Vec<_>>(), sent.clone());
        }
    }

    #[test]
    fn messages_survive_json_in_any_pieces(
        sent in messages(json_value()), pieces in prop::collection::vec(1usize..30, 1..9),
    ) {
        let stream = reframed(&sent, Framing::Json);
        let (frames, error) = read_in_pieces(Framing::Json, Limits::default(), &stream, &pieces);
        prop_assert_eq!(error, None);
        prop_assert_eq!(frames.iter().map(message).collect::<Vec<_>>(), sent);
    }

    #[test]
    fn garbage_gives_the_same_frames_and_error_in_any_pieces(
        stream in prop::collection::vec(any::<u8>(), 0..200), pieces in prop::collection::vec(1usize..9, 1..9),
    ) {
        for framing in Framing::ALL {
            let limits = Limits::DEFAULT.frame(100).depth(5);
            let (whole, error) = read_in_pieces(framing, limits, &stream, &[]);
            let (frames, later) = read_in_pieces(framing, limits, &stream, &pieces);
            prop_assert_eq!(frames, whole);
            prop_assert_eq!(later, error);
        }
    }

    #[test]
    fn mutated_messages_never_panic(
        sent in messages(json_value()), flips in prop::collection::vec((any::<usize>(), any::<u8>()), 1..4),
    ) {
        for framing in Framing::ALL {
            let mut stream = reframed(&sent, framing);
            for (at, byte) in &flips {
                let len = stream.len().max(1);
                if let Some(place) = stream.get_mut(at % len) {
                    *place = *byte;
                }
            }
            for frame in read_in_pieces(framing, Limits::default(), &stream, &[]).0 {
                if let Frame::Message { body, .. } = frame {
                    prop_assert!(body.decode().is_ok());
                    let _ = body.len_in(Framing::Json, "");
                }
            }
        }
    }
}

#[test]
fn control_frames_arrive_between_messages() {
    let mut stream = Vec::new();
    let body = Body::encode(&["tag".into()]).unwrap();
    write_control(&mut stream, Control::Ping(7));
    write_message(&mut stream, 1, "p", &body).unwrap();
    for control in [Control::Ack(1), Control::Credit(u64::MAX), Control::Pong(7), Control::Bye] {
        write_control(&mut stream, control);
    }
    let message = Frame::Message { seq: Some(1), port: "p".into(), body, trace: None };
    let expected =
        [Frame::Ping(7), message, Frame::Ack(1), Frame::Credit(u64::MAX), Frame::Pong(7), Frame::Bye];
    assert_eq!(read_all(Framing::Native, &stream), expected);
}

#[test]
fn messages_must_be_numbered_without_a_gap() {
    let mut stream = Vec::new();
    write_message(&mut stream, 5, "p", &Body::default()).unwrap();
    write_message(&mut stream, 7, "p", &Body::default()).unwrap();
    let mut reader = FrameReader::new(Framing::Native, Limits::default());
    reader.expect(5);
    reader.buffer().extend_from_slice(&stream);
    assert!(matches!(reader.next(), Ok(Some(Frame::Message { seq: Some(5), .. }))));
    let gap = Err(FrameError::Sequence { expected: 6, got: 7 });
    assert_eq!(reader.next(), gap);
    assert_eq!(reader.next(), gap, "the first bad frame is the last");
}

#[test]
fn an_unknown_tlv_is_skipped_and_an_unknown_kind_is_not() {
    let mut stream = Vec::new();
    write_message(&mut stream, 1, "p", &Body::encode(&[1.into()]).unwrap()).unwrap();
    let mut with_tlv = stream.clone();
    with_tlv.splice(16..16, [9, 1, 0, 0xff]);
    with_tlv[0] += 4;
    with_tlv[14] = 4;
    assert_eq!(read_all(Framing::Native, &with_tlv), read_all(Framing::Native, &stream));
    stream[4] = 99;
    let (_, error) = read_in_pieces(Framing::Native, Limits::default(), &stream, &[]);
    assert_eq!(error, Some(FrameError::Kind(99)));
}

#[test]
fn what_cannot_be_written_is_an_error_and_leaves_nothing() {
    let too_large = Value::Int(1 << 64);
    assert_eq!(Body::encode(&[too_large]), Err(EncodeError::Integer(1 << 64)));
    let nested = |levels| (0..levels).fold(Value::Null, |inner, _| Value::List(vec![inner]));
    assert!(Body::encode(&[nested(511)]).is_ok());
    assert_eq!(Body::encode(&[nested(512)]), Err(EncodeError::TooDeep { limit: 512 }));
    let mut out = Vec::new();
    let name = "x".repeat(0x1_0000);
    assert_eq!(write_message(&mut out, 1, &name, &Body::default()), Err(EncodeError::NameTooLong(0x1_0000)));
    assert!(out.is_empty());
}

#[test]
fn what_json_cannot_say_is_found_before_it_is_sent() {
    let not_finite = Value::from(vec![Value::Float(f64::NAN)]);
    let tagged = Value::Tag(1, Box::new(0.into()));
    let list_key = Value::Map(vec![(Value::List(vec![]), Value::Null)]);
    for value in [not_finite, tagged, list_key] {
        let sent = [("p".into(), vec![1.into()]), ("p".into(), vec![value])];
        let error = Body::encode(&sent[1].1).unwrap().len_in(Framing::Json, "").unwrap_err();
        assert!(matches!(error, EncodeError::NoForm { framing: Framing::Json, .. }));
        let mut out = Vec::new();
        assert_eq!(reframe(&native(&sent), Framing::Json, &mut out), Err(error.into()));
        assert_eq!(out, br#"["p",1]"#);
    }
}

#[test]
fn json_writes_bytes_as_code_points_and_keys_as_strings() {
    let keys = [Value::Null, Value::Bool(true), Value::Int(-5), Value::Float(0.5), Value::Bytes("k".into())];
    let map = Value::Map(keys.into_iter().map(|key| (key, Value::List(vec![]))).collect());
    let bytes = Value::Bytes(Bytes::from_static(b"\xe9\x00"));
    let sent = [("é".into(), vec![bytes, map, Value::Int(i128::from(u64::MAX)), Value::Float(-0.0)])];
    let json = r#"["é","é\u0000",{"":[],"1":[],"-5":[],"0.5":[],"k":[]},18446744073709551615,-0.0]"#;
    assert_eq!(String::from_utf8(reframed(&sent, Framing::Json)).unwrap(), json);
}

#[test]
fn a_message_is_as_long_as_announced() {
    for values in [vec![], vec![Value::Null; 30], vec![Value::Null; 300]] {
        let sent = [("port".to_string(), values)];
        assert_eq!(native(&sent).len(), message_len("port", &Body::encode(&sent[0].1).unwrap()));
    }
}

#[test]
fn the_frame_limit_is_exact() {
    let sent = [("p".to_string(), vec![Value::Text("x".repeat(300)), Value::List(vec![1.into(); 50])])];
    for framing in Framing::ALL {
        let stream = reframed(&sent, framing);
        for (limit, fits) in
            [(stream.len() - 1, false), (stream.len(), true), (stream.len() + 1, true), (0, true)]
        {
            let limits = Limits::default().frame(limit);
            for pieces in [&[][..], &[1]] {
                let (frames, error) = read_in_pieces(framing, limits, &stream, pieces);
                assert_eq!(frames.len(), usize::from(fits), "{framing} {limit}");
                assert_eq!(error, (!fits).then_some(FrameError::TooLong { limit }));
            }
        }
    }
}

#[test]
fn the_depth_limit_is_exact() {
    for framing in Framing::ALL {
        for (levels, fits) in [(8, true), (9, true), (10, false)] {
            let value = (0..levels).fold(Value::Null, |inner, _| Value::List(vec![inner]));
            let stream = reframed(&[("p".into(), vec![value])], framing);
            let limits = Limits::default().depth(10);
            let (frames, error) = read_in_pieces(framing, limits, &stream, &[3]);
            assert_eq!(frames.len(), usize::from(fits), "{framing} {levels}");
            // The reader of native bodies counts from the body's array on.
            let limit = if framing == Framing::Native { 9 } else { 10 };
            assert_eq!(error, (!fits).then_some(FrameError::TooDeep { limit }));
        }
    }
}

#[test]
fn a_string_or_array_that_announces_too_much_is_refused_at_its_head() {
    let heads: [&[u8]; 4] = [
        b"\x82\x41p\x5b\x00\x00\x00\x00\x80\x00\x00\x00",
        b"\x82\x41p\x9a\x80\x00\x00\x00",
        b"\x82\x41p\xbb\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x82\x41p\x7b\xff\xff\xff\xff\xff\xff\xff\xff",
    ];
    for head in heads {
        let (frames, error) = read_in_pieces(Framing::Cbor, Limits::default(), head, &[]);
        assert_eq!((frames.len(), error), (0, Some(FrameError::TooLong { limit: 64 << 20 })));
    }
    let (_, error) = read_in_pieces(Framing::Native, Limits::default(), b"\xff\xff\xff\xff", &[]);
    assert_eq!(error, Some(FrameError::TooLong { limit: 64 << 20 }));
}

#[test]
fn nesting_without_end_is_refused() {
    for (framing, bytes) in [(Framing::Cbor, [0x81]), (Framing::Json, [b'[']), (Framing::Cbor, [0x9f])] {
        let (_, error) = read_in_pieces(framing, Limits::default(), &bytes.repeat(100_000), &[4096]);
        assert_eq!(error, Some(FrameError::TooDeep { limit: 512 }));
    }
    let tags = [&[0x82, 0x40][..], &[0xc1; 100_000]].concat();
    let (_, error) = read_in_pieces(Framing::Cbor, Limits::default(), &tags, &[]);
    assert_eq!(error, Some(FrameError::TooDeep { limit: 512 }));
}

#[test]
fn frames_before_the_bad_one_are_given_first() {
    for (framing, stream) in [(Framing::Cbor, &b"\x81\x41p\xa0"[..]), (Framing::Json, br#"["p"]{}"#)] {
        let (frames, error) = read_in_pieces(framing, Limits::default(), stream, &[]);
        assert_eq!(frames.iter().map(message).collect::<Vec<_>>(), [("p".to_string(), vec![])]);
        let error = error.expect("a map is not a message");
        assert_eq!(error, Malformed { at: 0, what: "a message is not an array" }.into());
    }
}

/// Reads messages of 10 KB and keeps a small one of each 600 KB; says in how many pieces of 512 KiB
/// the kept ones lie.
fn memory_kept(framing: Framing, budget: &Arc<Budget>) -> usize {
    let small = (1..61).map(|_| ("p".to_string(), vec![Value::Bytes(vec![7; 10_000].into())]));
    let all: Vec<_> = std::iter::once(("p".to_string(), vec![Value::from(7)])).chain(small).collect();
    let mut reader = FrameReader::with_room(framing, Limits::default(), Room::charged_to(budget));
    let (mut kept, mut due) = (Vec::new(), 1);
    for _ in 0..200 {
        let mut stream = Vec::new();
        for (port, values) in &all {
            write_message(&mut stream, due, port, &Body::encode(values).expect("a body")).expect("a frame");
            due += 1;
        }
        let mut out = Vec::new();
        reframe(&stream, framing, &mut out).expect("native frames");
        for piece in out.chunks(16 << 10) {
            reader.make_room();
            reader.buffer().extend_from_slice(piece);
            while let Some(frame) = reader.next().expect("frames") {
                let Frame::Message { body, .. } = frame else { continue };
                if body.items().len() < 100 {
                    kept.push(body);
                }
            }
        }
    }
    assert_eq!(kept.len(), 200);
    assert!(kept.iter().all(|body| body.decode().expect("a body") == [Value::from(7)]));
    let room = reader.take_room();
    assert!(budget.used() > 0);
    let pieces: HashSet<usize> =
        kept.iter().map(|body| body.items().as_ptr() as usize / (512 << 10)).collect();
    drop((kept, room));
    assert_eq!(budget.used(), 0);
    pieces.len()
}

#[test]
fn small_messages_that_are_kept_keep_no_more_of_what_was_read_than_the_budget_has() {
    for framing in [Framing::Native, Framing::Cbor] {
        let kept = memory_kept(framing, &Budget::new(1 << 30));
        assert!(kept <= 80, "{framing}: {kept}");
        let kept = memory_kept(framing, &Budget::new(8 << 20));
        assert!(kept <= 30, "{framing}: {kept}");
    }
}
